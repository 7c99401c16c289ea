"""Lists from their first record to their last, a page at a time."""

from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Protocol, TypeVar

from earwitness.store.records import Page, PageKey
from earwitness.threads import RunInThread

_RecordT = TypeVar("_RecordT")

_RECORDS_AT_ONCE = 100
"""Some 5 ms, which requests in other threads do not notice."""


class ReadPage(Protocol[_RecordT]):
    """Any list of a reader's."""

    def __call__(self, *, after: PageKey | None, limit: int) -> Page[_RecordT]:
        """Return at most `limit` records behind `after`."""
        ...


def all_records(read: ReadPage[_RecordT]) -> Iterator[_RecordT]:
    """Yield the records of all pages. What comes meanwhile is among them or not; nothing is twice or left out."""
    after: PageKey | None = None
    while True:
        page = read(after=after, limit=_RECORDS_AT_ONCE)
        yield from page.items
        if page.next_key is None:
            return
        after = page.next_key


async def all_records_in_thread(read: ReadPage[_RecordT], run_in_thread: RunInThread) -> AsyncIterator[_RecordT]:
    """Yield the same on an event loop, which never waits for a page."""
    after: PageKey | None = None
    while True:
        page = await run_in_thread(partial(read, after=after, limit=_RECORDS_AT_ONCE))
        for record in page.items:
            yield record
        if page.next_key is None:
            return
        after = page.next_key
