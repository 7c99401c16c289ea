"""The media log: fragments are appended, read from a position, kept as long as their stream's retention says.

What belongs here: the seam, its numbers and rules, and one folder for each way of keeping fragments. What must never:
what is inside a fragment (its bytes are opaque here), records of streams, HTTP.
"""
