"""The duty of a running service: ledgers of deletions are told of each deletion within seconds, and when there is none.

Deletions are in the table of the records, in the transaction that made them; this gives them their places in the ledger
and writes what a place does not have yet. A place that cannot be reached is tried again, and nothing is lost by a kill:
what was written and not noted is written once more, the same.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from earwitness.backup.ledger import ENTRIES_AT_ONCE, entry_digest, schedules_of, write_entries, write_head
from earwitness.backup.places import Place
from earwitness.errors import BackupPlaceUnavailable, ConfigurationError
from earwitness.store.deletion_records import LedgerPlace
from earwitness.store.store import Store
from earwitness.tasks.regular import RegularWork

LOOK_SECONDS = 2.0
"""How often a service looks for deletions that a ledger does not have: so many seconds of them may be lost with it."""

LAST_LOOK_SECONDS = 5.0
"""How long a service that stops waits for its ledgers."""

HEAD_EVERY = timedelta(seconds=60)
"""How often a ledger is told that nothing was deleted."""

TRY_AGAIN_AFTER = timedelta(seconds=30)
FORGET_EVERY = timedelta(hours=1)
KEPT_LONGER = timedelta(days=30)
"""How much longer than any backup deletions are kept in the records."""

_PURGED_AT_ONCE = 500

_log = logging.getLogger("earwitness.ledger")


class LedgerKeeper:
    """Tells the ledgers. One thread at a time."""

    def __init__(
        self,
        store: Store,
        *,
        place_of: Callable[[str], Place],
        second_place: str,
        backup_days_max: float,
        clock: Callable[[], datetime],
    ) -> None:
        """`second_place` is where a ledger is kept apart from backups; nowhere when empty. Raise ConfigurationError."""
        self._store, self._place_of, self._clock = store, place_of, clock
        self._second = place_of(second_place).address if second_place else ""
        self._kept = timedelta(days=backup_days_max) + KEPT_LONGER
        self._not_before: dict[str, datetime] = {}
        self._forgot_at: datetime | None = None
        self._has_second = False

    def look(self) -> None:
        """Tell each ledger what it does not have. Raise StoreUnavailable; places that are away are tried later."""
        if self._second and not self._has_second:
            self.add_place(self._second)
            self._has_second = True
        places = self._store.backups.places()
        if not places:
            return
        now = self._clock()  # before the numbers: what was confirmed until now is among them
        self.number()
        position, digest = self._store.deletions.head()
        for place in places:
            if self._is_due(place, position, now):
                self._tell(place, position, digest, now)
        self._forget(now)

    def number(self) -> None:
        """Give all deletions their places in the ledger."""
        while self._store.write(lambda unit: unit.deletions.number(entry_digest, limit=ENTRIES_AT_ONCE)):
            pass

    def add_place(self, address: str) -> str:
        """Keep a ledger at a place from now on; return its name there."""
        name = self._store.signer().public.key_id
        return self._store.write(lambda unit: unit.backups.add_place(address, ledger=name))

    def tell(self, address: str) -> None:
        """Tell the ledger at a place now. Raise BackupPlaceUnavailable when that cannot be done."""
        self._not_before.pop(address, None)
        now = self._clock()
        self.number()
        position, digest = self._store.deletions.head()
        for place in self._store.backups.places():
            if place.place == address:
                self._write(place, position, digest, now)

    def _is_due(self, place: LedgerPlace, position: int, now: datetime) -> bool:
        if now < self._not_before.get(place.place, now):
            return False
        return place.position < position or place.told_at is None or now - place.told_at >= HEAD_EVERY

    def _tell(self, place: LedgerPlace, position: int, digest: bytes, now: datetime) -> None:
        try:
            self._write(place, position, digest, now)
        except (BackupPlaceUnavailable, ConfigurationError) as error:
            self._not_before[place.place] = now + TRY_AGAIN_AFTER
            reason = str(error)
            if reason != place.last_error:
                _log.error("a ledger of deletions cannot be written, and is tried again", extra={"reason": reason})
                self._store.write(lambda unit: unit.backups.not_told(place.place, reason=reason))

    def _write(self, place: LedgerPlace, position: int, digest: bytes, now: datetime) -> None:
        at = self._place_of(place.place)
        behind = place.position
        before = self._store.deletions.digest_at(behind)
        while entries := self._store.deletions.behind(behind, limit=ENTRIES_AT_ONCE):
            write_entries(at, place.ledger, entries, before=before)
            behind, before = entries[-1].position or behind, entries[-1].entry_digest or b""
        # What came meanwhile is in the ledger as well; the head does not speak of it yet.
        signer, schedules = self._store.signer(), schedules_of(self._store)
        write_head(at, place.ledger, signer, position=position, digest=digest, told_at=now, schedules=schedules)
        self._store.write(lambda unit: unit.backups.told(place.place, position=max(behind, position)))

    def _forget(self, now: datetime) -> None:
        """Forget deletions that no backup is older than, backups that are long gone, and places that have none."""
        if self._forgot_at is not None and now - self._forgot_at < FORGET_EVERY:
            return
        self._forgot_at = now
        before = now - self._kept
        while self._store.write(lambda unit: unit.deletions.purge(before=before, limit=_PURGED_AT_ONCE)):
            pass
        self._store.write(lambda unit: unit.backups.forget(deleted_before=before))
        used = {one.place for one in self._store.backups.list() if one.deleted_at is None} | {self._second}
        for place in self._store.backups.places():
            if place.place not in used and now - place.created_at > timedelta(days=1):
                self._store.write(lambda unit, name=place.place: unit.backups.remove_place(name))


async def keep_ledgers(keeper: LedgerKeeper, *, keeps_house: Callable[[], bool]) -> None:
    """Look again and again until cancelled, on a thread of its own, where this process keeps house; then once more."""
    thread = ThreadPoolExecutor(1, thread_name_prefix="earwitness ledgers")

    async def look() -> None:
        if keeps_house():
            await asyncio.get_running_loop().run_in_executor(thread, keeper.look)

    try:
        await RegularWork(LOOK_SECONDS, look).run()
    except asyncio.CancelledError:
        await asyncio.wait({asyncio.ensure_future(look())}, timeout=LAST_LOOK_SECONDS)
        raise
    finally:
        thread.shutdown(wait=False, cancel_futures=True)
