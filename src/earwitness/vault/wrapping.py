"""The seam between data keys and what wraps them: a master key here, a key management service later."""

import os
from collections.abc import Callable
from typing import Protocol

from earwitness.errors import CiphertextRefused
from earwitness.vault.data_key import DataKey, SealedPlace
from earwitness.vault.master_key import KEY_BYTES, MasterKey


class KeyWrapper(Protocol):
    """Wraps data keys. An implementation may be called from several threads at once."""

    def wrap(self, data_key: bytes, *, owner: str) -> bytes:
        """The 32 bytes in a form that may lie on a disk and opens for this owner alone."""
        ...

    def unwrap(self, wrapped_key: bytes, *, owner: str) -> bytes:
        """The 32 bytes again; CiphertextRefused when they are damaged, or of another owner or another wrapping key."""
        ...


class MasterKeyWrapper:
    """Wraps under a master key that this process holds."""

    def __init__(self, master_key: MasterKey, *, random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        self._key = DataKey(master_key.key, random_bytes=random_bytes)

    def wrap(self, data_key: bytes, *, owner: str) -> bytes:
        """61 bytes: the data key as a ciphertext whose place is its owner."""
        return self._key.seal(data_key, _place(owner))

    def unwrap(self, wrapped_key: bytes, *, owner: str) -> bytes:
        """The data key; CiphertextRefused when this is not one of this owner's under this master key."""
        data_key = self._key.open(wrapped_key, _place(owner))
        if len(data_key) != KEY_BYTES:
            raise CiphertextRefused("a wrapped data key holds something else than a key; restore it from a backup")
        return data_key


def _place(owner: str) -> SealedPlace:
    return SealedPlace(account_id="", table="wrapped keys", row_id=owner, column="key")
