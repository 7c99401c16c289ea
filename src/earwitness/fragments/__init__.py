"""The media log: fragments are appended, read from a position, kept as long as their stream's retention says.

Sealed records in append-only segment files, one folder a stream, on this machine's disk. `log.py` is the way in.

What belongs here: files, the index of what is in them, the threads that write and read them. What must never: what is
inside a fragment (its bytes are opaque here), records of streams, HTTP.
"""
