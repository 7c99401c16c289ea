"""Encryption at rest: the master key, data keys that it wraps, ciphertexts that belong to one place.

What belongs here: keys and how bytes are sealed under them. What must never: files other than the master key's,
SQL, settings, and any word on what the bytes mean.
"""
