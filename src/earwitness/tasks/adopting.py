"""Take tasks over from those who ran them, many in one transaction.

A task that begins needs a transaction before anything else. After the death of a node a thousand begin at once, and
their calls go on only when it is their turn: so those that come while a transaction is under way share the next one.
"""

import asyncio
from asyncio import Future
from collections.abc import Sequence
from copy import copy
from typing import TypeAlias

from earwitness.errors import EarwitnessError
from earwitness.store.records import SpeakerSearchTask
from earwitness.store.store import Store
from earwitness.tasks.runner import WorkItem
from earwitness.threads import RunInThread

AT_ONCE_MAX = 100
"""Tasks in one transaction, which keeps their rows for some 50 ms: a stop that a client asks for waits for that."""

Adopted: TypeAlias = "SpeakerSearchTask | None"
"""A task whose attempt has begun, or None where there is nothing to do."""


class Adoption:
    """Begins attempts at tasks. Lives on an event loop."""

    def __init__(self, store: Store, *, run_in_thread: RunInThread) -> None:
        self._store = store
        self._run_in_thread = run_in_thread
        self._waiting: list[tuple[WorkItem, Future[Adopted]]] = []
        self._work: asyncio.Task[None] | None = None

    async def adopt(self, item: WorkItem) -> Adopted:
        """Return the task, its next attempt begun, or None, as `AttemptWriter.adopt`. Raise what the store raises."""
        loop = asyncio.get_running_loop()
        coming: Future[Adopted] = loop.create_future()
        self._waiting.append((item, coming))
        if self._work is None:
            self._work = loop.create_task(self._adopt_those_who_wait(), name="adoption of tasks")
        return await coming

    async def _adopt_those_who_wait(self) -> None:
        while self._waiting:
            some, self._waiting = self._waiting[:AT_ONCE_MAX], self._waiting[AT_ONCE_MAX:]
            await self._adopt_together(some)
        self._work = None

    async def _adopt_together(self, some: Sequence[tuple[WorkItem, Future[Adopted]]]) -> None:
        keys = [(item.scope, item.task_id) for item, _ in some]
        try:
            adopted = await self._run_in_thread(lambda: self._store.write(lambda unit: unit.attempts.adopt_all(keys)))
        except Exception as error:
            if len(some) == 1 or (isinstance(error, EarwitnessError) and error.retryable):
                for _, coming in some:
                    _give(coming, copy(error))
                return
            # One of them cannot be adopted, and those beside it can.
            for one in some:
                await self._adopt_together([one])
        else:
            for (_, coming), task in zip(some, adopted, strict=True):
                _give(coming, task)


def _give(coming: "Future[Adopted]", result: "Adopted | Exception") -> None:
    if coming.done():  # nobody waits any more
        return
    if isinstance(result, Exception):
        coming.set_exception(result)
    else:
        coming.set_result(result)
