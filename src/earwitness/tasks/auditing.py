"""The keeping of the audit trail, again and again: places in the chain, checkpoints, expiry."""

import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from earwitness.audit.keeping import AuditKeeping
from earwitness.audit.place import AuditFolder
from earwitness.errors import EarwitnessError
from earwitness.store.store import Store
from earwitness.tasks.regular import RegularWork
from earwitness.threads import RunInThread

SEAL_SECONDS = 5.0
"""How long an entry on PostgreSQL has no place in the chain of its node, at most, while the node serves."""

CHECKPOINT_SECONDS = 60.0

EXPIRE_SECONDS = 600.0

_log = logging.getLogger("earwitness.audit")


class Auditing:
    """The timers of one process. Lives on the event loop."""

    def __init__(
        self,
        store: Store,
        folder: Path,
        *,
        keeps_expired: bool,
        run_in_thread: RunInThread,
        clock: Callable[[], datetime],
    ) -> None:
        """`folder` is where checkpoints go; with `keeps_expired` also entries that have expired."""
        self._keeping = AuditKeeping(store, AuditFolder(folder), keeps_expired=keeps_expired)
        self._run_in_thread, self._clock = run_in_thread, clock
        self._hour: str | None = None
        # Without nodes entries have their place at once.
        sealing = [] if store.node_id is None else [RegularWork(SEAL_SECONDS, self._seal)]
        self.works = [
            *sealing,
            RegularWork(CHECKPOINT_SECONDS, self._checkpoint),
            RegularWork(EXPIRE_SECONDS, self._expire),
        ]

    async def close(self) -> None:
        """Write what there is to say at the end; when it cannot be written, the next start does."""
        try:
            await self._checkpoint()
        except EarwitnessError as error:
            _log.warning("the last checkpoint of the audit trail is not written", extra={"reason": str(error)})

    async def _seal(self) -> None:
        await self._run_in_thread(lambda: self._keeping.seal([self._keeping.own_chain()]))

    async def _checkpoint(self) -> None:
        now = self._clock()
        hour = f"{now:%Y-%m-%d %H}"
        begins_hour, self._hour = self._hour not in (None, hour), hour

        def work() -> None:
            self._keeping.write_key_uses(begins_hour=begins_hour)
            self._keeping.checkpoint(now)

        await self._run_in_thread(work)

    async def _expire(self) -> None:
        now = self._clock()
        count = await self._run_in_thread(lambda: self._keeping.expire(now))
        if count:
            _log.info("audit entries that had expired were taken off", extra={"deleted": count})
