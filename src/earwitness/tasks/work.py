"""The seam between those who start and stop tasks and those who run them."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from earwitness.store.records import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkItem:
    """A task, by name; all else stands in its record."""

    scope: Scope
    """Whose it is."""

    pipeline_id: str
    """The pipeline it belongs to."""

    task_id: str
    """Its GUID."""


RunTask: TypeAlias = Callable[[WorkItem, asyncio.Event], Awaitable[None]]
"""Runs a task to its end. The event is set when its record has changed, a stop was asked for say; whoever runs the task
clears it and reads the record. It returns when the task has ended, and lets CancelledError pass when it must let go of
a task that has not; another worker then takes it up."""


GiveUp: TypeAlias = Callable[[WorkItem, str], Awaitable[None]]
"""Ends a task that failed too often, with the reason. It is called again after an error that is retryable."""


class Work(Protocol):
    """Hands tasks to workers. Every method may be called from any thread."""

    def require_room(self, account_id: str, *, is_alone: bool) -> None:
        """Raise Unavailable when no task could be run or keep its pace, or the account has its share of tasks.

        `is_alone`: there is no other account that room would have to be kept for.
        """
        ...

    def running(self, account_id: str) -> int:
        """Return how many tasks of an account are in progress."""
        ...

    def most(self, account_id: str, *, is_alone: bool) -> int:
        """Return how many tasks of an account may be in progress, if all others keep what they have."""
        ...

    def submit(self, item: WorkItem) -> None:
        """Have a task run whose record says that it is active. One that runs already is not run twice."""
        ...

    def changed(self, item: WorkItem) -> None:
        """Tell whoever runs the task to look at its record."""
        ...

    def pipeline_changed(self, pipeline_id: str) -> None:
        """The same for all tasks of a pipeline."""
        ...

    def all_changed(self) -> None:
        """The same for all tasks: a domain was deleted, say."""
        ...
