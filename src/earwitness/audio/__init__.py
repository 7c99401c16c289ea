"""Bytes to net speech: decoding, the canonical band, voice activity, what is worth hearing.

Everything that follows live audio is fed in chunks of any size and gives the same result for every chunking. soxr,
soundfile and PyAV live here; evaluation uses them too, to simulate telephone lines. No speakers here.
"""
