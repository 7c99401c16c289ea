"""Random identifiers as AWS writes them."""

import os
import random

_GUID_FIXED, _GUID_RANDOM = 0xF << 76 | 0x3 << 62, 0x4 << 76 | 0x2 << 62
"""The bits that say how a GUID was made, and what they say of a random one (RFC 9562, 5.4)."""


def new_guid() -> str:
    """A random identifier as AWS writes them."""
    return _guid(int.from_bytes(os.urandom(16)))


def new_request_id() -> str:
    """A name for a request. It opens nothing, so that it need not be unguessable, which costs a system call."""
    return _guid(random.getrandbits(128))


def _guid(bits: int) -> str:
    # uuid.uuid4 makes an object that checks its arguments.
    digits = f"{bits & ~_GUID_FIXED | _GUID_RANDOM:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
