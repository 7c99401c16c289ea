"""Where the fragments of a stream come from: our own media log, AWS's Kinesis Video Streams, or a file.

A source yields fragments in order from a position, each once, and survives what can be survived (a connection that
breaks). What must never be here: what is in a fragment.
"""
