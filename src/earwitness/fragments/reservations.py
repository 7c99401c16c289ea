"""Which numbers are given out, and which of them may still be appended.

What belongs here: the stream's sequence. What must never: the disk, other than through the call that remembers it.
"""

import asyncio
from collections.abc import Awaitable, Callable

from earwitness.errors import Conflict
from earwitness.fragments.numbers import RANDOM_BITS, SEQUENCE_MAX, FragmentNumber

BLOCK = 1_024
"""Sequences that one write to the disk allows to be given out: one write in 17 minutes at a fragment a second. After a
crash the rest of a block is skipped; numbers need to grow, not to be without gaps."""


_OUT_MAX = 1_024
"""Numbers that are remembered as given out; two or three are in use at a time, and others were given up."""


class Reservations:
    """The next number, and those that are out."""

    def __init__(self, *, next_sequence: int, newest_ms: int, remember: Callable[[int], Awaitable[None]]) -> None:
        self.next_sequence = next_sequence
        self._newest_ms = newest_ms
        self._remember = remember
        self._remembered = next_sequence
        self._remembering = asyncio.Lock()
        self._out: dict[int, FragmentNumber] = {}
        self._newest_claimed = 0

    async def reserve(self, *, now_ms: int, random_bits: Callable[[int], int]) -> FragmentNumber:
        """The next number; FragmentLogUnavailable when it could not be remembered that it is given out."""
        while self.next_sequence >= self._remembered:
            async with self._remembering:
                if self.next_sequence >= self._remembered:
                    end = min(self.next_sequence + BLOCK, SEQUENCE_MAX + 1)
                    await self._remember(end)
                    self._remembered = end
        self._newest_ms = max(self._newest_ms, now_ms)
        number = FragmentNumber(sequence=self.next_sequence, server_ms=self._newest_ms, random=random_bits(RANDOM_BITS))
        self._out[number.sequence] = number
        self._out.pop(number.sequence - _OUT_MAX, None)
        self.next_sequence += 1
        return number

    def claim(self, number: FragmentNumber) -> None:
        """This one is being appended: no lower one can be any more. Conflict when it isn't out, or no longer."""
        if self._out.get(number.sequence) != number:
            raise Conflict(
                "this fragment number was not reserved here, was used, or a later fragment was appended; drop the "
                "fragment, or reserve a new number"
            )
        self._out = {sequence: out for sequence, out in self._out.items() if sequence > number.sequence}
        self._newest_claimed = number.sequence

    def give_back(self, number: FragmentNumber) -> None:
        """Its append failed: it may be tried again, unless a later one was claimed meanwhile."""
        if number.sequence == self._newest_claimed:
            self._out[number.sequence] = number
