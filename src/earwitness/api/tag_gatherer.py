"""Fragments and the tags behind them, put together before they are kept.

Whoever reads a stream live gets a fragment as it is kept. Tags that are kept later come too late for them, and with the
tags the news that another call has begun. Pure: events in, events out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from earwitness.audio.matroska.events import FragmentReceived, MatroskaEvent, TagsReceived
from earwitness.fragments.interface import TAGS_BYTES_MAX


@dataclass(frozen=True, kw_only=True)
class FragmentComplete:
    """A fragment is to be kept, with what has come of its tags. It follows the fragment's FragmentReceived."""

    fragment: FragmentReceived
    tags: bytes
    """Tags elements, one after the other."""


class TagGatherer:
    """Waits with a fragment for as many Tags elements as the fragment before it had; never for a first one's.

    Anything but tags ends the wait. So a producer that stops sending tags delays one fragment, until the next begins.
    """

    def __init__(self) -> None:
        self._waiting: FragmentReceived | None = None
        self._tags = b""
        self._usual = 0
        """Tags elements of the fragment before the latest."""

        self._count = 0
        """Tags elements of the latest fragment."""

    def gather(self, events: Sequence[MatroskaEvent]) -> list[MatroskaEvent | FragmentComplete]:
        """The events of a reader, and after each FragmentReceived, or later, that it is complete.

        Tags that are part of a FragmentComplete are told no more; those that come too late are.
        """
        told: list[MatroskaEvent | FragmentComplete] = []
        for event in events:
            if isinstance(event, TagsReceived):
                self._count += 1
                if self._joins(event):
                    continue
            told += self.release()
            told.append(event)
            if isinstance(event, FragmentReceived):
                self._waiting, self._usual, self._count = event, self._count, 0
        if self._count >= self._usual:
            told += self.release()
        return told

    def release(self) -> list[MatroskaEvent | FragmentComplete]:
        """The fragment that waits, if one does."""
        fragment, tags, self._waiting, self._tags = self._waiting, self._tags, None, b""
        return [] if fragment is None else [FragmentComplete(fragment=fragment, tags=tags)]

    def _joins(self, event: TagsReceived) -> bool:
        """Whether tags go with the fragment that waits; the mark at a fragment's end is kept with none."""
        own = event.tags.raw if event.tags.own else b""
        if self._waiting is None or len(self._tags) + len(own) > TAGS_BYTES_MAX:
            return False
        self._tags += own
        return True
