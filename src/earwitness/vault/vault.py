"""The vault: makes data keys, opens them, and remembers the ones in use.

A data key exists outside this process only wrapped. Whoever deletes the wrapped key has destroyed everything sealed
under it; `forget` then removes what this process still remembers.
"""

import asyncio
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock, local
from typing import Protocol, TypeVar

from earwitness.errors import CiphertextRefused, EarwitnessError, KeyServiceUnavailable, StoreBusy
from earwitness.vault.data_key import DataKey
from earwitness.vault.master_key import KEY_BYTES
from earwitness.vault.uses import KeyUses
from earwitness.vault.wrapping import MasterKeyWrapper

KEYS_REMEMBERED_MAX = 10_000
"""Data keys kept open: about 10 MB, and more domains, streams and access keys than are in use at one time."""

KEY_SERVICE_SECONDS = 300.0
"""How long a data key is used that a key service opened: so long after its key is disabled there, nothing opens."""

_OF_KEY_SERVICE = b"\x02"
"""What the wrapped form of such a data key begins with; then the ARN after its length, and what the service made."""

_MADE_MAX = 1_000

_ResultT = TypeVar("_ResultT")


class _ThisThread(local):
    may_wait = True


def is_of_key_service(wrapped_key: bytes) -> bool:
    """Return whether a data key is wrapped by a key service, and no master key opens it."""
    return wrapped_key[:1] == _OF_KEY_SERVICE


def is_on_loop() -> bool:
    """Return whether this thread runs an event loop, which must not wait."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def owner_of(*, account_id: str, table: str, row_id: str) -> str:
    """Return the owner that a data key is bound to, `account/table/id`."""
    return f"{account_id}/{table}/{row_id}"


class RemoteKeys(Protocol):
    """Where keys are that this process never has. Its methods raise KeyServiceUnavailable."""

    def has(self, arn: str) -> bool:
        """Return whether this key is there."""
        ...

    def wrap(self, data_key: bytes, *, arn: str, owner: str) -> bytes:
        """Return a data key, wrapped under the key of this ARN for one owner."""
        ...

    def unwrap(self, blob: bytes, *, arn: str, owner: str) -> bytes:
        """Return the data key; raise CiphertextRefused for another owner's."""
        ...

    def fault(self) -> str:
        """Return what is wrong with keys that were asked for; "" for nothing."""
        ...


class _NotAtHandError(EarwitnessError):
    """A data key has to be asked for at the key service, which nobody may wait for in a transaction."""

    def __init__(self, fetch: Callable[[], object]) -> None:
        super().__init__("the data key has to be asked for at the key service; try again")
        self.fetch = fetch


class Vault:
    """Data keys behind one wrapper, or behind a key service. Safe to use from several threads."""

    def __init__(
        self,
        wrapper: MasterKeyWrapper,
        *,
        key_service: RemoteKeys | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        random_bytes: Callable[[int], bytes] = os.urandom,
        keys_remembered_max: int = KEYS_REMEMBERED_MAX,
    ) -> None:
        self._wrapper = wrapper
        self._random_bytes = random_bytes
        self._keys_remembered_max = keys_remembered_max
        self.uses = KeyUses()
        """Whose keys were used."""
        self._key_service = key_service
        self._monotonic = monotonic
        # With the time until which it may be used; None for good.
        self._remembered: OrderedDict[tuple[bytes, str], tuple[DataKey, float | None]] = OrderedDict()
        self._made: dict[tuple[str, str], bytes] = {}
        self._thread = _ThisThread()
        self._lock = Lock()

    @property
    def master_keys(self) -> MasterKeyWrapper:
        """Return what wraps here."""
        return self._wrapper

    def new_wrapped_key(self, *, owner: str, under: str = "", arn: str = "") -> bytes:
        """Return a new data key, wrapped for this owner. Store it with what is sealed under it; it is the only copy.

        `under` is the id of a master key; a key of this ARN at the key service goes before it. Raise MasterKeyInvalid
        when the master key is not here, KeyServiceUnavailable when the key service cannot be used.
        """
        if arn and self._key_service is not None and self._key_service.has(arn):
            return self._wrapped_by_service(self._key_service, arn, owner)
        return self._wrapper.wrap(self._random_bytes(KEY_BYTES), owner=owner, under=under)

    def wrapped_again(self, wrapped_key: bytes, *, owner: str, under: str) -> bytes | None:
        """Return the same data key, wrapped under another master key; None when that has wrapped it already.

        Raise CiphertextRefused when no master key here opens it.
        """
        if is_of_key_service(wrapped_key):
            return None
        opener = self._wrapper.opener(wrapped_key, owner=owner)
        if opener == under:
            return None
        return self._wrapper.wrap(self._wrapper.unwrap(wrapped_key, owner=owner), owner=owner, under=under)

    def key(self, wrapped_key: bytes, *, owner: str) -> DataKey:
        """Return the data key; raise CiphertextRefused when it was wrapped for another owner, or damaged."""
        name = (wrapped_key, owner)
        with self._lock:
            known, until = self._remembered.get(name, (None, None))
            if until is not None and self._monotonic() >= until:
                known = None
            if known is not None:
                self._remembered.move_to_end(name)
        if known is None:
            if is_of_key_service(wrapped_key):
                known = self._opened_by_service(wrapped_key, owner)
            else:
                opened = DataKey(self._wrapper.unwrap(wrapped_key, owner=owner), random_bytes=self._random_bytes)
                known = self._remember(name, opened, None)
        self.uses.note(owner)
        return known

    def waiting_is_not_allowed(self, work: Callable[[], _ResultT]) -> _ResultT:
        """Run work in a transaction, which waits for no key service: others would wait too.

        What it raises for want of a data key is for `fetch_what_lacked`; then it can be run again.
        """
        self._thread.may_wait = False
        try:
            return work()
        finally:
            self._thread.may_wait = True

    @staticmethod
    def fetch_what_lacked(error: EarwitnessError) -> bool:
        """Return whether work lacked a data key, which is here now. Raise KeyServiceUnavailable."""
        if not isinstance(error, _NotAtHandError):
            return False
        error.fetch()
        return True

    def key_service_fault(self) -> str:
        """Return what is wrong with keys at the key service; "" for nothing."""
        return "" if self._key_service is None else self._key_service.fault()

    def _wrapped_by_service(self, service: RemoteKeys, arn: str, owner: str) -> bytes:
        made = self._made.pop((arn, owner), None)
        if made is not None:
            return made

        def make() -> bytes:
            name = arn.encode()
            key = self._random_bytes(KEY_BYTES)
            wrapped_key = _OF_KEY_SERVICE + len(name).to_bytes(2, "big") + name
            wrapped_key += service.wrap(key, arn=arn, owner=owner)
            self._remember((wrapped_key, owner), DataKey(key, random_bytes=self._random_bytes), self._until())
            return wrapped_key

        def fetch() -> None:
            if len(self._made) >= _MADE_MAX:  # of work that was given up
                self._made.clear()
            self._made[arn, owner] = make()

        if not self._thread.may_wait:
            raise _NotAtHandError(fetch)
        return make()

    def _opened_by_service(self, wrapped_key: bytes, owner: str) -> DataKey:
        if is_on_loop():
            raise StoreBusy("the data key is asked for at the key service; a thread does it")

        def fetch() -> DataKey:
            length = int.from_bytes(wrapped_key[1:3], "big")
            arn, blob = wrapped_key[3 : 3 + length].decode(errors="replace"), wrapped_key[3 + length :]
            if self._key_service is None:
                raise KeyServiceUnavailable(f"this domain's data key is under {arn}; say where that is with kms_keys")
            key = self._key_service.unwrap(blob, arn=arn, owner=owner)
            if len(key) != KEY_BYTES:
                raise CiphertextRefused("a wrapped data key holds something else than a key; restore it from a backup")
            return self._remember((wrapped_key, owner), DataKey(key, random_bytes=self._random_bytes), self._until())

        if not self._thread.may_wait:
            raise _NotAtHandError(fetch)
        return fetch()

    def _until(self) -> float:
        return self._monotonic() + KEY_SERVICE_SECONDS

    def _remember(self, name: tuple[bytes, str], opened: DataKey, until: float | None) -> DataKey:
        with self._lock:
            self._remembered[name] = opened, until
            if len(self._remembered) > self._keys_remembered_max:
                self._remembered.popitem(last=False)
        return opened

    def forget(self, wrapped_key: bytes, *, owner: str) -> None:
        """Keep no open copy of this key any longer; for when its wrapped form has been deleted."""
        with self._lock:
            self._remembered.pop((wrapped_key, owner), None)
