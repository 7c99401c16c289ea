"""What the product does, one verb a file: follow a call, identify its speaker, deliver events, expire what is old.

A flow brings rooms together and decides what is written in which transaction. What must never be here: HTTP, SQL, and
the building of anything it uses.
"""
