"""A reader of one stream: where it begins, and how it goes on.

It remembers one number. It looks its fragment up when it is asked for it, so it holds no memory, nobody waits for it,
and a call that is cancelled has taken nothing.

What belongs here: positions and the way from one fragment to the next. What must never: writing.
"""

from collections.abc import AsyncIterator

from earwitness.fragments.index import Located
from earwitness.fragments.interface import LIVE_GAP_MS, AtTime, Earliest, Fragment, Now, ReadResult
from earwitness.fragments.state import StreamState
from earwitness.fragments.times import to_ms


def sequence_before(state: StreamState, position: Now | Earliest | AtTime) -> int:
    """The sequence after which a reader from this position begins."""
    index = state.index
    if isinstance(position, Earliest):
        return index.expired_through
    newest = index.last()
    located = index.at(position) if isinstance(position, AtTime) else _if_live(state, newest)
    if located is not None:
        return located.number.sequence - 1
    return index.expired_through if newest is None else newest.number.sequence


def _if_live(state: StreamState, newest: Located | None) -> Located | None:
    """The newest fragment, when its producer may still be connected."""
    if newest is None:
        return None
    end_ms = newest.number.server_ms + newest.segment.info(newest.index).duration_ms
    return newest if to_ms(state.workshop.clock()) <= end_ms + LIVE_GAP_MS else None


class FragmentReader:
    """Follows a stream forever, in the order of numbers. A call that is cancelled takes nothing: call again.

    It holds no fragment, and no writer waits for it. Where retention overtakes it, it goes on at the oldest fragment.
    Raises Gone when the stream is deleted, FragmentLogUnavailable when the medium fails or the log is closed.
    """

    def __init__(self, state: StreamState, *, after: int) -> None:
        self._state = state
        self._after = after
        self._damage_passed = False

    def __aiter__(self) -> AsyncIterator[ReadResult]:
        return self

    async def __anext__(self) -> ReadResult:
        """The next fragment, when there is one."""
        while True:
            self._state.require_open()
            located = self._state.index.after(self._after)
            if located is None:
                await self._state.news()
                continue
            sequence = located.number.sequence
            fragment = await self._state.fetch(located)
            if fragment is not None:
                return self._delivered(fragment, sequence)
            if sequence in self._state.damaged:
                self._after, self._damage_passed = sequence, True

    def _delivered(self, fragment: Fragment, sequence: int) -> ReadResult:
        index = self._state.index
        expired_through = min(index.expired_through, sequence - 1)  # this one may have expired while it was read
        gap = self._damage_passed or self._after < expired_through or index.is_loss_before(sequence)
        newest = index.last()
        behind = newest.number.server_ms - to_ms(fragment.info.server_timestamp) if newest else 0
        self._after, self._damage_passed = sequence, False
        return ReadResult(fragment=fragment, millis_behind_now=max(0, behind), gap=gap)
