"""The vault: makes data keys, opens them, and remembers the ones in use.

A data key exists outside this process only wrapped. Whoever deletes the wrapped key has destroyed everything sealed
under it; `forget` then removes what this process still remembers.
"""

import os
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

from earwitness.vault.data_key import DataKey
from earwitness.vault.master_key import KEY_BYTES
from earwitness.vault.uses import KeyUses
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
        self.uses = KeyUses()
        """Whose keys were used."""
        self._remembered: OrderedDict[tuple[bytes, str], DataKey] = OrderedDict()
        self._lock = Lock()

    @property
    def master_keys(self) -> MasterKeyWrapper:
        """Return what wraps here."""
        return self._wrapper

    def new_wrapped_key(self, *, owner: str, under: str = "") -> bytes:
        """Return a new data key, wrapped for this owner. Store it with what is sealed under it; it is the only copy.

        `under` is the id of a master key. Raise MasterKeyInvalid when that is not here.
        """
        return self._wrapper.wrap(self._random_bytes(KEY_BYTES), owner=owner, under=under)

    def wrapped_again(self, wrapped_key: bytes, *, owner: str, under: str) -> bytes | None:
        """Return the same data key, wrapped under another master key; None when that has wrapped it already.

        Raise CiphertextRefused when no master key here opens it.
        """
        opener = self._wrapper.opener(wrapped_key, owner=owner)
        if opener == under:
            return None
        return self._wrapper.wrap(self._wrapper.unwrap(wrapped_key, owner=owner), owner=owner, under=under)

    def key(self, wrapped_key: bytes, *, owner: str) -> DataKey:
        """Return the data key; raise CiphertextRefused when it was wrapped for another owner, or damaged."""
        name = (wrapped_key, owner)
        with self._lock:
            known = self._remembered.get(name)
            if known is not None:
                self._remembered.move_to_end(name)
        if known is not None:
            self.uses.note(owner)
            return known
        opened = DataKey(self._wrapper.unwrap(wrapped_key, owner=owner), random_bytes=self._random_bytes)
        with self._lock:
            self._remembered[name] = opened
            if len(self._remembered) > self._keys_remembered_max:
                self._remembered.popitem(last=False)
        self.uses.note(owner)
        return opened

    def forget(self, wrapped_key: bytes, *, owner: str) -> None:
        """Keep no open copy of this key any longer; for when its wrapped form has been deleted."""
        with self._lock:
            self._remembered.pop((wrapped_key, owner), None)
