"""Streams of media: who may send and read them, how fast, and where the fragments of a task come from."""
