"""Encrypted media (SRTP, RFC 3711) with keys in the session description (SDES, RFC 4568).

The keys stand there in clear, so they are worth something over TLS only; `call` sees to that. libsrtp does the work,
through `pylibsrtp`, which is loaded when the first encrypted call comes.
"""

import base64
import binascii
import re
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import cast

SUITES = {
    "AES_CM_128_HMAC_SHA1_80": 30,
    "AES_CM_128_HMAC_SHA1_32": 30,
    "AEAD_AES_128_GCM": 28,
    "AEAD_AES_256_GCM": 44,
}
"""Bytes of master key and salt of each crypto suite that is taken (RFC 4568, 6.2; RFC 7714, 14.2)."""

_CRYPTO = re.compile(r"(\d{1,9})\s+([A-Z0-9_]+)\s+inline:([A-Za-z0-9+/=]+)((?:\|[^|\s;]+){0,2})(.*)")


@dataclass(frozen=True, kw_only=True, slots=True)
class SrtpKey:
    """A crypto line: its tag, suite and key with salt."""

    tag: int
    suite: str
    key: bytes = field(repr=False)

    @property
    def written(self) -> str:
        """Return what stands after `a=crypto:`."""
        return f"{self.tag} {self.suite} inline:{base64.b64encode(self.key).decode()}"


def read_crypto(text: str) -> SrtpKey | None:
    """Return the key of a crypto line; None for suites, key identifiers (MKI) and parameters that are not taken."""
    matched = _CRYPTO.fullmatch(text.strip())
    if matched is None or matched[2] not in SUITES:
        return None
    if ":" in matched[4] or matched[5].strip():  # an MKI, several keys, or parameters such as UNENCRYPTED_SRTP
        return None
    try:
        key = base64.b64decode(matched[3] + "=" * (-len(matched[3]) % 4), validate=True)
    except binascii.Error:
        return None
    return SrtpKey(tag=int(matched[1]), suite=matched[2], key=key) if len(key) == SUITES[matched[2]] else None


def is_available() -> bool:
    """Say whether encrypted media can be taken here."""
    return find_spec("pylibsrtp") is not None


class Decryption:
    """What opens the packets of one stream, whatever its SSRC; a packet that comes again is refused."""

    def __init__(self, key: SrtpKey) -> None:
        from pylibsrtp import Error, Policy, Session

        profiles: dict[str, int] = {
            "AES_CM_128_HMAC_SHA1_80": Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
            "AES_CM_128_HMAC_SHA1_32": Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
            "AEAD_AES_128_GCM": Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
            "AEAD_AES_256_GCM": Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
        }
        self._error = Error
        policy = Policy(key=key.key, ssrc_type=cast("int", Policy.SSRC_ANY_INBOUND), srtp_profile=profiles[key.suite])
        self._session = Session(policy)

    def open(self, packet: bytes) -> bytes | None:
        """Return the RTP packet; None when it is forged, damaged or a copy."""
        try:
            return self._session.unprotect(packet)
        except (self._error, ValueError):  # ValueError: longer than any packet
            return None
