"""How data keys are wrapped: under the master key, each for one owner."""

import os
from collections.abc import Callable

from earwitness.errors import CiphertextRefused
from earwitness.vault.data_key import DataKey, SealedPlace
from earwitness.vault.master_key import KEY_BYTES, MasterKey


class MasterKeyWrapper:
    """Wraps under a master key that this process holds. Safe to use from several threads."""

    def __init__(self, master_key: MasterKey, *, random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        self._key = DataKey(master_key.key, random_bytes=random_bytes)

    def wrap(self, data_key: bytes, *, owner: str) -> bytes:
        """Return 61 bytes: the data key as a ciphertext whose place is its owner."""
        return self._key.seal(data_key, _place(owner))

    def unwrap(self, wrapped_key: bytes, *, owner: str) -> bytes:
        """Return the data key; raise CiphertextRefused when this is none of this owner's under this master key."""
        data_key = self._key.open(wrapped_key, _place(owner))
        if len(data_key) != KEY_BYTES:
            raise CiphertextRefused("a wrapped data key holds something else than a key; restore it from a backup")
        return data_key


def _place(owner: str) -> SealedPlace:
    return SealedPlace(account_id="", table="wrapped keys", row_id=owner, column="key")
