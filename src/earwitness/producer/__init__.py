"""A producer of Kinesis Video Streams media: audio in, PutMedia out, acknowledgements back.

`earwitness.put_media` is public API; everything else here may change. It speaks to this service and to AWS alike. What
must never be here: anything of the server.
"""
