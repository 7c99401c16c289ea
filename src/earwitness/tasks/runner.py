"""Run tasks on the event loop of this process: each once, again after a failure, and not more than it can bear."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import TypeAlias

from earwitness.errors import EarwitnessError, Unavailable
from earwitness.log import frames_of
from earwitness.store.leading import NodeLoad
from earwitness.store.records import Scope
from earwitness.tasks.retrying import FAILURES_MAX, STEADY_SECONDS, Retrying, reason_of
from earwitness.wire.shares import may_take, most

TASKS_AT_ONCE_MAX = 200
"""What a machine of two cores bears in real time; docs/service.md says how it was measured."""

SHARE_WEIGHT = 4
"""One account gets four fifths of the places where there are others, two of them four ninths each (`wire/shares.py`):
the rest is kept for accounts with fewer calls."""

_log = logging.getLogger("earwitness.work")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkItem:
    """A task, by name; all else stands in its record."""

    scope: Scope
    pipeline_id: str
    task_id: str


RunTask: TypeAlias = Callable[[WorkItem, asyncio.Event], Awaitable[None]]
"""Runs a task to its end. The event is set when its record has changed, a stop was asked for say; whoever runs the task
clears it and reads the record. It returns when the task has ended, and lets CancelledError pass when it must let go of
a task that has not; another worker then takes it up."""

GiveUp: TypeAlias = Callable[[WorkItem, str], Awaitable[None]]
"""Ends a task that failed too often, with the reason. It is called again after an error that is retryable."""


@dataclass(slots=True)
class _Running:
    changed: asyncio.Event
    task: "asyncio.Task[None]"


class TaskRunner:
    """Runs tasks. Every method but `close` may be called from any thread."""

    def __init__(
        self,
        run: RunTask,
        *,
        give_up: GiveUp,
        retrying: Retrying,
        at_once_max: int = TASKS_AT_ONCE_MAX,
        call_soon: Callable[[Callable[[], None]], object],
        require_ready: Callable[[], None] = lambda: None,
    ) -> None:
        """`call_soon` calls something on the event loop, from any thread; `require_ready` raises Unavailable while no
        task could be run at all."""
        self._run = run
        self._give_up = give_up
        self._retrying = retrying
        self._require_ready = require_ready
        self._at_once_max = at_once_max
        self._call_soon = call_soon
        self._running: dict[WorkItem, _Running] = {}
        self._submitted: set[WorkItem] = set()
        # Let go of and not ended yet; True for those that are to be run again.
        self._dropped: dict[WorkItem, bool] = {}
        self._lock = Lock()
        self._closing = False

    def require_room(self, account_id: str, *, is_alone: bool) -> None:
        """Raise Unavailable when no task could be run or keep its pace, or the account has its share of tasks.

        `is_alone`: there is no other account that room would have to be kept for.
        """
        self._require_ready()
        free, held = self._free, self.running(account_id)
        if free <= 0:
            raise Unavailable(
                f"{self._at_once_max} calls are being listened to, and more would fall behind; try again when one ends"
            )
        if not is_alone and not may_take(held, free=free, weight=SHARE_WEIGHT):
            raise Unavailable(
                f"{held} calls of this account are being listened to, and the {free} that are left of "
                f"{self._at_once_max} are kept for other accounts; try again when one ends"
            )

    def running(self, account_id: str) -> int:
        """Return how many tasks of an account are in progress."""
        with self._lock:
            return sum(item.scope.account_id == account_id for item in self._submitted)

    def most(self, account_id: str, *, is_alone: bool) -> int:
        """Return how many tasks of an account may be in progress, if all others keep what they have."""
        held, free = self.running(account_id), max(0, self._free)
        return held + free if is_alone else most(held, free=free, weight=SHARE_WEIGHT)

    @property
    def _free(self) -> int:
        return self._at_once_max - len(self._submitted)

    def load(self) -> NodeLoad:
        """Return how many tasks run, and how many more would."""
        return NodeLoad(len(self._submitted), max(0, self._free))

    def submit(self, item: WorkItem) -> None:
        """Have a task run whose record says that it is active. One that runs already is not run twice."""
        with self._lock:
            if item in self._dropped:
                self._dropped[item] = True
            if item in self._submitted or self._closing:
                return
            self._submitted.add(item)
        self._call_soon(partial(self._start, item))

    def drop(self, item: WorkItem) -> None:
        """Let go of a task, which another node runs from now on. One that is submitted again is run again."""
        with self._lock:
            if item not in self._submitted:
                return
            self._dropped[item] = False
        self._call_soon(partial(self._cancel, item))

    def changed(self, item: WorkItem) -> None:
        """Have the record of a task looked at by who runs it."""
        self._call_soon(partial(self._wake, item))

    def pipeline_changed(self, pipeline_id: str) -> None:
        """Have the records of all tasks of a pipeline looked at."""
        self._call_soon(partial(self._wake_where, pipeline_id))

    def all_changed(self) -> None:
        """Have the records of all tasks looked at: a domain was deleted, say."""
        self._call_soon(partial(self._wake_where, None))

    async def close(self) -> None:
        """Let go of all tasks. Their records still say that they are active, so the next start takes them up."""
        self._closing = True
        await asyncio.sleep(0)  # those that were submitted just now
        running = [one.task for one in self._running.values()]
        for task in running:
            task.cancel()
        for task in running:
            with suppress(asyncio.CancelledError):
                await task

    def _start(self, item: WorkItem) -> None:
        if self._closing:
            self._submitted.discard(item)
            return
        changed = asyncio.Event()
        task = asyncio.get_running_loop().create_task(self._keep_running(item, changed), name="speaker search task")
        self._running[item] = _Running(changed, task)
        task.add_done_callback(lambda _: self._ended(item))

    def _ended(self, item: WorkItem) -> None:
        del self._running[item]
        with self._lock:
            is_to_run = self._dropped.pop(item, False) and not self._closing
            if not is_to_run:
                self._submitted.discard(item)
        if is_to_run:
            self._start(item)

    def _cancel(self, item: WorkItem) -> None:
        running = self._running.get(item)
        if running is not None and item in self._dropped:
            running.task.cancel()

    def _wake(self, item: WorkItem) -> None:
        running = self._running.get(item)
        if running is not None:
            running.changed.set()

    def _wake_where(self, pipeline_id: str | None) -> None:
        for item, running in self._running.items():
            if pipeline_id in (None, item.pipeline_id):
                running.changed.set()

    async def _keep_running(self, item: WorkItem, changed: asyncio.Event) -> None:
        """Run a task to its end; where it fails again and again, to that end."""
        failures, monotonic = 0, self._retrying.monotonic
        while True:
            began = monotonic()
            try:
                await self._run(item, changed)
                return
            except Exception as error:
                failures = failures + 1 if monotonic() - began < STEADY_SECONDS else 1
                _log.error(
                    "a task came to an unexpected end", extra={**_context(item, error), "failures_in_a_row": failures}
                )
                if failures >= FAILURES_MAX:
                    reason = f"{reason_of(error)} (tried {failures} times)"
                    break
            await self._retrying.wait(failures=failures)
        await self._end_it(item, reason)

    async def _end_it(self, item: WorkItem, reason: str) -> None:
        """End a task that is given up. While the records are away that waits, a minute at a time."""
        while True:
            try:
                await self._give_up(item, reason)
                return
            except Exception as error:
                _log.error("a task cannot be given up", extra=_context(item, error))
                if not isinstance(error, EarwitnessError) or not error.retryable:
                    return
            await self._retrying.wait(failures=FAILURES_MAX)


def _context(item: WorkItem, error: Exception) -> dict[str, object]:
    return {
        "task_id": item.task_id,
        "error": type(error).__name__,
        "reason": reason_of(error),
        "frames": frames_of(error),
    }
