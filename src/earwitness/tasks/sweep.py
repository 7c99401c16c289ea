"""Sweep: media of streams that nobody has opened since the start, and media that no stream's record knows.

The log expires what is open by itself. After a start nothing is, so here all streams are gone through, one after the
other and without opening them. A folder without a record is what a kill left between a stream's record and its media,
whose key went with the record. It is deleted an hour after it was first seen, because it may also be that the service
was started with other records than these media belong to.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from earwitness.fragments.interface import Retention, StreamIdentity
from earwitness.fragments.log import FragmentLog
from earwitness.store.records import KinesisStream, PageKey
from earwitness.store.store import Store
from earwitness.threads import RunInThread

GRACE = timedelta(hours=1)
"""How long media may be without a record before they are deleted: time to see the warning and to stop the service."""

_PAGE = 100
"""Records read at once: some 5 ms, which requests in other threads do not notice."""

_log = logging.getLogger("earwitness.sweep")


RetentionOf = Callable[[KinesisStream], Retention]
"""How much of a stream is kept."""


class MediaSweep:
    """Goes through all stored media again and again."""

    def __init__(
        self, store: Store, log: FragmentLog, *, retention_of: RetentionOf, run_in_thread: RunInThread
    ) -> None:
        self._store = store
        self._log = log
        self._retention_of = retention_of
        self._run_in_thread = run_in_thread
        self._unknown_since: dict[str, datetime] = {}

    async def sweep(self, now: datetime) -> None:
        """Once through all. Raises StoreUnavailable, and FragmentLogUnavailable; nothing is deleted by half.

        What is stored is looked up before the records are: a stream's record is there before its media, so media that
        were there and have no record now had lost it, and are of no stream that is just being made.
        """
        stored = await self._log.stored()
        known: set[str] = set()
        after: PageKey | None = None
        while True:
            page = await self._run_in_thread(partial(self._store.streams.list_everywhere, after=after, limit=_PAGE))
            for account_id, stream in page.items:
                identity = StreamIdentity(account_id=account_id, stream_arn=stream.arn)
                known.add(identity.digest)
                if identity.digest in stored:
                    await self._log.expire_closed(identity, retention=self._retention_of(stream), now=now)
            after = page.next_key
            if after is None:
                break
        await self._delete_unknown(stored - known, now)

    async def _delete_unknown(self, unknown: frozenset[str], now: datetime) -> None:
        new = unknown - self._unknown_since.keys()
        self._unknown_since = {digest: self._unknown_since.get(digest, now) for digest in unknown}
        if new:
            _log.warning(
                "there are media of streams that have no record; they are deleted in an hour. If these are the wrong "
                "records for this media folder, stop the service",
                extra={"streams": len(new)},
            )
        due = [digest for digest, since in self._unknown_since.items() if now - since >= GRACE]
        for digest in due:
            await self._log.delete_stored(digest)
            del self._unknown_since[digest]
        if due:
            _log.info("deleted media of streams that have no record", extra={"streams": len(due)})
