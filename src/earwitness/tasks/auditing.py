"""The keeping of the audit trail, again and again: places in the chain, checkpoints, expiry."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime

from earwitness.audit.keeping import AuditKeeping
from earwitness.audit.places import AuditPlace
from earwitness.errors import AuditPlaceUnavailable, EarwitnessError
from earwitness.store.store import Store
from earwitness.tasks.regular import RegularWork
from earwitness.threads import RunInThread

SEAL_SECONDS = 5.0
"""How long an entry on PostgreSQL has no place in the chain of its node, at most, while the node serves."""

CHECKPOINT_SECONDS = 60.0

EXPIRE_SECONDS = 600.0

PLACE_SECONDS_MAX = 30.0
"""A place that takes longer is told as one that is away: a share that hangs lets nobody go."""

LAST_SECONDS_MAX = 5.0
"""How long a service that stops waits for its last checkpoint."""

_log = logging.getLogger("earwitness.audit")


class Auditing:
    """The timers of one process. Lives on the event loop."""

    def __init__(
        self,
        store: Store,
        place: AuditPlace,
        *,
        keeps_expired: bool,
        run_in_thread: RunInThread,
        clock: Callable[[], datetime],
        seconds_max: float = PLACE_SECONDS_MAX,
    ) -> None:
        """`place` is where checkpoints go; with `keeps_expired` also entries that have expired."""
        self._place, self._keeping = place, AuditKeeping(store, place, keeps_expired=keeps_expired)
        self._run_in_thread, self._clock = run_in_thread, clock
        self._hour: str | None = None
        self._seconds_max = seconds_max
        self._late: asyncio.Future[None] | None = None
        self.told_at = clock()
        """When the place last had all that there was to say; until it first had, when this began."""
        # Without nodes entries have their place at once.
        sealing = [] if store.node_id is None else [RegularWork(SEAL_SECONDS, self._seal)]
        self.works = [
            *sealing,
            RegularWork(CHECKPOINT_SECONDS, lambda: self._checkpoint(self._seconds_max)),
            RegularWork(EXPIRE_SECONDS, self._expire),
        ]

    def told_at_seconds(self) -> float:
        """Return when that was, in seconds since 1970."""
        return self.told_at.timestamp()

    async def close(self) -> None:
        """Write what there is to say at the end; when it cannot be written, the next start does."""
        try:
            await self._checkpoint(min(self._seconds_max, LAST_SECONDS_MAX))
        except EarwitnessError as error:
            _log.warning("the last checkpoint of the audit trail is not written", extra={"reason": str(error)})

    async def _seal(self) -> None:
        await self._run_in_thread(lambda: self._keeping.seal([self._keeping.own_chain()]))

    async def _checkpoint(self, seconds_max: float) -> None:
        now = self._clock()
        hour = f"{now:%Y-%m-%d %H}"
        begins_hour, self._hour = self._hour not in (None, hour), hour

        def work() -> None:
            self._keeping.write_key_uses(begins_hour=begins_hour)
            self._keeping.checkpoint(now)

        await self._in_time(work, seconds_max)
        self.told_at = now

    async def _in_time(self, work: Callable[[], None], seconds_max: float) -> None:
        """Do this in a thread. Raise AuditPlaceUnavailable, and leave it to itself, when it takes too long.

        Nothing is begun while the one before still waits: each would hold a thread.
        """
        before = self._late
        running = asyncio.ensure_future(self._run_in_thread(work)) if before is None else before
        self._late = running
        await asyncio.wait({running}, timeout=seconds_max)
        if not running.done():
            raise AuditPlaceUnavailable(
                f"{self._place.address} has not answered for {seconds_max:g} s; look after it and the way to it"
            )
        self._late = None
        running.result()
        if before is not None:  # the late one wrote an older state: write the present one too
            await self._in_time(work, seconds_max)

    async def _expire(self) -> None:
        now = self._clock()
        count = await self._run_in_thread(lambda: self._keeping.expire(now))
        if count:
            _log.info("audit entries that had expired were taken off", extra={"deleted": count})
