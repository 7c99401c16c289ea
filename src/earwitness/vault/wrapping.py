"""How data keys are wrapped: under a master key, each for one owner.

While a master key is rotated there are two, and either opens what it has wrapped. Which one new keys are wrapped under
is what the records say.
"""

import os
import time
from collections.abc import Callable, Sequence
from threading import Lock

from earwitness.errors import CiphertextRefused, MasterKeyInvalid
from earwitness.vault.data_key import DataKey, SealedPlace
from earwitness.vault.master_key import KEY_BYTES, MasterKey

_LOOKS_APART_SECONDS = 1.0
"""A key that nobody has is asked for again and again; its file is not read as often."""


def _no_others() -> Sequence[MasterKey]:
    return ()


class MasterKeyWrapper:
    """Wraps under master keys that this process holds. Safe to use from several threads."""

    def __init__(
        self,
        *master_keys: MasterKey,
        look_again: Callable[[], Sequence[MasterKey]] = _no_others,
        random_bytes: Callable[[int], bytes] = os.urandom,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """The first key is the one to wrap under. `look_again` returns the keys that can be had now."""
        self._random_bytes = random_bytes
        self._look_again = look_again
        self._monotonic = monotonic
        self._lock = Lock()
        self._looked_at: float | None = None
        self._keys = {key.key_id: DataKey(key.key, random_bytes=random_bytes) for key in master_keys}
        self._sources = {key.key_id: key.source for key in master_keys}
        self.preferred = master_keys[0].key_id
        """The id of the key to wrap under, unless another one is asked for."""

    def wrap(self, data_key: bytes, *, owner: str, under: str = "") -> bytes:
        """Return 61 bytes: the data key as a ciphertext whose place is its owner.

        `under` is the id of a master key. Raise MasterKeyInvalid when that is not here.
        """
        chosen = under or self.preferred
        if not self.has(chosen):
            raise MasterKeyInvalid(f"the master key {chosen} is not here; put it where this process looks for its own")
        return self._keys[chosen].seal(data_key, _place(owner))

    def unwrap(self, wrapped_key: bytes, *, owner: str) -> bytes:
        """Return the data key; raise CiphertextRefused when no master key here has wrapped this for this owner."""
        return self._opened(wrapped_key, owner)[1]

    def opener(self, wrapped_key: bytes, *, owner: str) -> str | None:
        """Return the id of the master key that opens this; None when none here does."""
        try:
            return self._opened(wrapped_key, owner)[0]
        except CiphertextRefused:
            return None

    def has(self, key_id: str) -> bool:
        """Return whether a master key is here, looking for it again where it is not."""
        if key_id not in self._keys:
            self._look()
        return key_id in self._keys

    def source(self, key_id: str) -> str:
        """Return where a master key that is here came from."""
        return self._sources.get(key_id, "")

    def keep_only(self, key_id: str) -> None:
        """Forget all master keys but this one, which is here, and wrap under it."""
        with self._lock:
            self.preferred = key_id
            self._keys = {key_id: self._keys[key_id]}

    def _opened(self, wrapped_key: bytes, owner: str) -> tuple[str, bytes]:
        place = _place(owner)
        found = self._tried(wrapped_key, place)
        if found is None and self._look():
            found = self._tried(wrapped_key, place)
        if found is None:
            # In the words of a ciphertext that no key opens.
            found = self.preferred, self._keys[self.preferred].open(wrapped_key, place)
        if len(found[1]) != KEY_BYTES:
            raise CiphertextRefused("a wrapped data key holds something else than a key; restore it from a backup")
        return found

    def _tried(self, wrapped_key: bytes, place: SealedPlace) -> tuple[str, bytes] | None:
        for key_id, key in list(self._keys.items()):
            try:
                return key_id, key.open(wrapped_key, place)
            except CiphertextRefused:
                continue
        return None

    def _look(self) -> bool:
        """Return whether there are keys now that were not here before."""
        with self._lock:
            now = self._monotonic()
            if self._looked_at is not None and now - self._looked_at < _LOOKS_APART_SECONDS:
                return False
            self._looked_at = now
            try:
                found = [key for key in self._look_again() if key.key_id not in self._keys]
            except MasterKeyInvalid:
                return False  # what a start would say of the file, nobody asks for here
            self._keys |= {key.key_id: DataKey(key.key, random_bytes=self._random_bytes) for key in found}
            self._sources |= {key.key_id: key.source for key in found}
            return bool(found)


def _place(owner: str) -> SealedPlace:
    return SealedPlace(account_id="", table="wrapped keys", row_id=owner, column="key")
