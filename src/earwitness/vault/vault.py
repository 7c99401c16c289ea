"""The vault: makes data keys, opens them, and remembers the ones in use.

A data key exists outside this process only wrapped. Whoever deletes the wrapped key has destroyed everything sealed
under it; `forget` then removes what this process still remembers.
"""

import os
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

from earwitness.errors import CiphertextRefused, MasterKeyInvalid
from earwitness.vault.data_key import DataKey
from earwitness.vault.master_key import KEY_BYTES
from earwitness.vault.wrapping import MasterKeyWrapper

KEYS_REMEMBERED_MAX = 10_000
"""Data keys kept open: about 10 MB, and more domains, streams and access keys than are in use at one time."""


def owner_of(*, account_id: str, table: str, row_id: str) -> str:
    """Return the owner that a data key is bound to, `account/table/id`."""
    return f"{account_id}/{table}/{row_id}"


class Vault:
    """Data keys behind one wrapper. Safe to use from several threads."""

    def __init__(
        self,
        wrapper: MasterKeyWrapper,
        *,
        random_bytes: Callable[[int], bytes] = os.urandom,
        keys_remembered_max: int = KEYS_REMEMBERED_MAX,
    ) -> None:
        self._wrapper = wrapper
        self._random_bytes = random_bytes
        self._keys_remembered_max = keys_remembered_max
        self._remembered: OrderedDict[tuple[bytes, str], DataKey] = OrderedDict()
        self._lock = Lock()

    def new_wrapped_key(self, *, owner: str) -> bytes:
        """Return a new data key, wrapped for this owner. Store it with what is sealed under it; it is the only copy."""
        return self._wrapper.wrap(self._random_bytes(KEY_BYTES), owner=owner)

    def key(self, wrapped_key: bytes, *, owner: str) -> DataKey:
        """Return the data key; raise CiphertextRefused when it was wrapped for another owner, or damaged."""
        name = (wrapped_key, owner)
        with self._lock:
            known = self._remembered.get(name)
            if known is not None:
                self._remembered.move_to_end(name)
                return known
        opened = DataKey(self._wrapper.unwrap(wrapped_key, owner=owner), random_bytes=self._random_bytes)
        with self._lock:
            self._remembered[name] = opened
            if len(self._remembered) > self._keys_remembered_max:
                self._remembered.popitem(last=False)
        return opened

    def forget(self, wrapped_key: bytes, *, owner: str) -> None:
        """Keep no open copy of this key any longer; for when its wrapped form has been deleted."""
        with self._lock:
            self._remembered.pop((wrapped_key, owner), None)

    def require_opens(self, check_value: bytes, *, owner: str) -> None:
        """Compare the master key with a check value, which is any key wrapped when the data began.

        Raise MasterKeyInvalid when it does not open: a wrong key is noticed at the start, not at the first read.
        """
        try:
            self.key(check_value, owner=owner)
        except CiphertextRefused as error:
            raise MasterKeyInvalid(
                "the records were written under another master key; give the one they were made with "
                "(records whose key is lost cannot be read by anybody)"
            ) from error
