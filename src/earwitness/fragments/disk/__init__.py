"""The media log on this machine's disk: sealed records in append-only segment files, one folder a stream.

What belongs here: files, the index of what is in them, and the threads that write them. What must never: rules that
another way of keeping fragments would have to repeat; those are a level up.
"""
