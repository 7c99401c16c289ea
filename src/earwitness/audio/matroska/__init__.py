"""Matroska as Kinesis Video Streams speaks it: fragments out of a producer's body, chunks for a consumer.

What belongs here: the bytes of EBML and Matroska (RFC 8794, RFC 9559), and PutMedia's and GetMedia's rules about them.
What must never: sockets, clocks, files, samples (`audio/channel.py` decodes), and acknowledgements as JSON.
`ebml` and `ids` are the ground; `tracks`, `tags` and `frames` read whole pieces; `reader` finds the pieces in a stream;
`writer` and `get_media` write them.
"""
