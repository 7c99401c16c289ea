"""A data key: AES-256-GCM over single values, each bound to the place it was written for.

A ciphertext is one version byte, a random nonce of 12 bytes, the encrypted bytes and a tag of 16. The version byte
and the place are authenticated with it, so a value that was moved, cut or changed in any bit does not open. Nonces are
random: one key is good for 2**32 values (NIST SP 800-38D, 8.3), far more than one domain, stream or row has.
"""

import hashlib
import hmac
import os
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from earwitness.errors import CiphertextRefused

VERSION = b"\x01"
OVERHEAD_BYTES = 1 + 12 + 16
"""What a ciphertext is longer than its plaintext."""

_NONCE_BYTES = 12
_DIGEST_PURPOSE = b"earwitness keyed digest 1"
_ID_PURPOSE = b"earwitness key id 1"
_ID_BYTES = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class SealedPlace:
    """Where a ciphertext belongs; it opens nowhere else."""

    account_id: str
    #: The table, or the kind of file.
    table: str
    #: What identifies the row within account and table.
    row_id: str
    #: The column, or the position within a file.
    column: str

    def as_bytes(self) -> bytes:
        """Return the place without ambiguity: every part after its length."""
        parts = [part.encode() for part in (self.account_id, self.table, self.row_id, self.column)]
        return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


class DataKey:
    """One unwrapped key. Safe to use from several threads; it never shows itself."""

    __slots__ = ("_cipher", "_digest_key", "_random_bytes", "key_id")

    def __init__(self, key: bytes, *, random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        self._cipher = AESGCM(key)
        self._digest_key = hmac.digest(key, _DIGEST_PURPOSE, hashlib.sha256)
        self.key_id = hmac.digest(key, _ID_PURPOSE, hashlib.sha256)[:_ID_BYTES].hex()
        """16 characters that name this key and tell nothing of it; the same under every master key."""
        self._random_bytes = random_bytes

    def seal(self, plaintext: bytes, place: SealedPlace) -> bytes:
        """Return the ciphertext of this value at this place; another one every time."""
        nonce = self._random_bytes(_NONCE_BYTES)
        return VERSION + nonce + self._cipher.encrypt(nonce, plaintext, VERSION + place.as_bytes())

    def open(self, ciphertext: bytes, place: SealedPlace) -> bytes:
        """Return the value; raise CiphertextRefused when it is damaged, or was sealed for another place or key."""
        if len(ciphertext) < OVERHEAD_BYTES or ciphertext[:1] != VERSION:
            raise CiphertextRefused(_refusal(place))
        nonce, sealed = ciphertext[1 : 1 + _NONCE_BYTES], ciphertext[1 + _NONCE_BYTES :]
        try:
            return self._cipher.decrypt(nonce, sealed, VERSION + place.as_bytes())
        except InvalidTag:
            raise CiphertextRefused(_refusal(place)) from None

    def digest(self, data: bytes) -> bytes:
        """Return 32 bytes that are equal for equal data, and say nothing of it to whoever lacks the key.

        A plain hash of a phone number is found by trying all numbers.
        """
        return hmac.digest(self._digest_key, data, hashlib.sha256)


def _refusal(place: SealedPlace) -> str:
    return (
        f"column {place.column} of a row of {place.table} does not open: it is damaged, was moved here, or its key was "
        f"destroyed; restore it from a backup"
    )
