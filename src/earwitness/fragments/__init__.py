"""The media log: fragments are appended, read from a position, kept as long as their stream's retention says.

Sealed records in append-only segment files, one folder a stream, on this machine's disk. `log.py` is the way in.
Why these are files of our own and not SQLite: docs/decisions/2026-11-26-media-log.md.

What belongs here: files, the index of what is in them, the threads that write and read them. What must never: what is
inside a fragment (its bytes are opaque here), records of streams, HTTP.
"""
