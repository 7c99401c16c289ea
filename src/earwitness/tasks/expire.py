"""Expire: delete what is older than it may be, in small steps, so that nobody waits for it.

Deleted, not hidden: voiceprints of tasks after 24 hours, tasks with their results and ended pipelines after seven
days, embeddings and audio of profiles when they expire, request tokens after 24 hours, delivered events after seven
days, audit entries after a year.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from earwitness.errors import StoreFull, StoreUnavailable
from earwitness.store.store import Store, Unit

BATCH = 200
"""Deleted in one transaction at most."""

_log = logging.getLogger("earwitness.expire")


@dataclass(frozen=True, kw_only=True)
class Ages:
    """How long things are kept. Sources: va-data-retention and va-task-result-poll, where AWS says."""

    results: timedelta = timedelta(days=7)
    """Tasks with their results, and pipelines, after their end; events after they were written."""

    request_tokens: timedelta = timedelta(hours=24)
    audit: timedelta = timedelta(days=365)


def expire(store: Store, *, now: datetime, ages: Ages | None = None) -> dict[str, int]:
    """Delete all that is due at a time; how many of each were deleted. Raises StoreUnavailable."""
    ages = ages or Ages()
    old = now - ages.results
    steps: dict[str, Callable[[Unit, int], int]] = {
        "task voiceprints": lambda unit, limit: unit.task_voiceprints.purge(kept_until=now, limit=limit),
        "tasks": lambda unit, limit: unit.tasks.purge(ended_before=old, limit=limit),
        "pipelines": lambda unit, limit: unit.pipelines.purge(ended_before=old, limit=limit),
        "profile voiceprints": lambda unit, limit: unit.profile_voiceprints.expire(expired_before=now, limit=limit),
        "events": lambda unit, limit: unit.events.purge(created_before=old, limit=limit),
    }
    done = {name: _all(store, step) for name, step in steps.items()}
    yesterday, long_ago = now - ages.request_tokens, now - ages.audit
    done["request tokens"] = _deleted(store, lambda unit: unit.idempotency.purge(claimed_before=yesterday))
    done["audit entries"] = _deleted(store, lambda unit: unit.audit.purge(before=long_ago))
    return done


def expire_quietly(store: Store, *, now: datetime) -> None:
    """The same for a timer: what was deleted goes to the log, and a store that is away is tried at the next turn."""
    try:
        deleted = {name: count for name, count in expire(store, now=now).items() if count}
    except StoreUnavailable as error:
        _log.error("what is old cannot be deleted now", extra={"reason": str(error)})
        return
    if deleted:
        _log.info("deleted what was old", extra={"deleted": deleted})


def _all(store: Store, step: Callable[[Unit, int], int]) -> int:
    """Repeat a step until it deletes nothing. On a full disk its batches get smaller until the reserve has room."""
    total, limit = 0, BATCH
    while True:
        try:
            count = _deleted(store, lambda unit, most=limit: step(unit, most))
        except StoreFull:
            if limit == 1:
                raise
            limit = max(1, limit // 8)
            continue
        if count == 0:
            return total
        total += count


def _deleted(store: Store, step: Callable[[Unit], int]) -> int:
    """How many a step deleted. It may use the room for deletions even where it finds nothing to delete."""

    def work(unit: Unit) -> int:
        unit.use_reserve()
        return step(unit)

    return store.write(work)
