"""Numbers of one stream that are given out before their fragments are appended.

What belongs here: which number is next, and which may still be appended. What must never: files, the index.
"""

import asyncio
from collections.abc import Awaitable, Callable
from secrets import randbits

from earwitness.errors import Conflict
from earwitness.fragments.numbers import RANDOM_BITS, SEQUENCE_MAX, FragmentNumber

RESERVED_AT_ONCE = 1_024
"""Sequences that one write to the disk allows to be given out: one write in 17 minutes at a fragment a second. After a
crash the rest of them is skipped; numbers need to grow, not to be without gaps."""

_OUT_MAX = 1_024
"""Numbers that are remembered as given out; two or three are in use at a time, and others were given up."""


class Reservations:
    """Which numbers of a stream are given out, and which of them may still be appended."""

    def __init__(self, *, next_sequence: int, newest_ms: int, remember: Callable[[int], Awaitable[None]]) -> None:
        self.next_sequence = next_sequence
        self._newest_ms = newest_ms
        self._remember = remember
        self._through: Callable[[int], Awaitable[None]] | None = None
        self._remembered = next_sequence
        self._remembering = asyncio.Lock()
        self._out: dict[int, FragmentNumber] = {}
        self._newest_claimed = 0

    async def reserve(self, *, now_ms: int) -> FragmentNumber:
        """Return the next number. Raise FragmentLogUnavailable when it could not be remembered that it is given out."""
        while self.next_sequence >= self._remembered:
            async with self._remembering:
                if self.next_sequence >= self._remembered:
                    end = min(self.next_sequence + RESERVED_AT_ONCE, SEQUENCE_MAX + 1)
                    if self._through is not None:
                        await self._through(end)
                    await self._remember(end)
                    self._remembered = end
        self._newest_ms = max(self._newest_ms, now_ms)
        number = FragmentNumber(sequence=self.next_sequence, server_ms=self._newest_ms, random=randbits(RANDOM_BITS))
        self._out[number.sequence] = number
        self._out.pop(number.sequence - _OUT_MAX, None)
        self.next_sequence += 1
        return number

    def begin(self, first: int, *, through: Callable[[int], Awaitable[None]]) -> None:
        """Go on at `first`, should that be ahead; `through` allows what is given out, before it is."""
        self.next_sequence = max(self.next_sequence, first)
        self._remembered = self.next_sequence
        self._through = through

    def claim(self, number: FragmentNumber) -> None:
        """Mark this number as being appended, so no lower one can be any more. Raise Conflict when it is not out."""
        if self._out.get(number.sequence) != number:
            raise Conflict(
                "this fragment number was not reserved here, was used, or a later fragment was appended; drop the "
                "fragment, or reserve a new number"
            )
        self._out = {sequence: out for sequence, out in self._out.items() if sequence > number.sequence}
        self._newest_claimed = number.sequence

    def give_back(self, number: FragmentNumber) -> None:
        """Let a number whose append failed be tried again, unless a later one was claimed meanwhile."""
        if number.sequence == self._newest_claimed:
            self._out[number.sequence] = number
