"""Fragment numbers: 47 digits that sort alike as text and as integers.

    number = 2**156 + sequence * 2**92 + server_timestamp_ms * 2**28 + random

as decoded from real ones (shared reference, 8.8): the sequence grows by one a fragment and is never reset, the
timestamp tells when the fragment began to arrive, and 28 random bits make the number hard to guess.

What belongs here: composing and reading them. What must never: where the next sequence comes from.
"""

from dataclasses import dataclass

from earwitness.errors import BadRequest

DIGITS = 47
RANDOM_BITS = 28
_TIME_BITS = 64
_BASE = 1 << 156

SEQUENCE_MAX = (10**DIGITS - _BASE) // (1 << (RANDOM_BITS + _TIME_BITS)) - 1
"""The last sequence whose number has 47 digits: 1.7e18, or 11 billion years of five fragments a second."""


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class FragmentNumber:
    """A number in its parts. Their order is the order of the numbers."""

    sequence: int
    """Place in the stream, from 1."""

    server_ms: int
    """When the fragment began to arrive, milliseconds since 1970."""

    random: int
    """28 random bits."""

    def __str__(self) -> str:
        """The 47 digits."""
        return str(_BASE + (((self.sequence << _TIME_BITS) + self.server_ms) << RANDOM_BITS) + self.random)


def read_number(text: str) -> FragmentNumber:
    """The parts of a number; BadRequest when no stream of ours can have given it out."""
    if len(text) != DIGITS or not (text.isascii() and text.isdigit()) or int(text) < _BASE:
        raise BadRequest(f"this is not a fragment number; one has {DIGITS} digits, as an acknowledgement carries it")
    rest = int(text) - _BASE
    return FragmentNumber(
        sequence=rest >> (RANDOM_BITS + _TIME_BITS),
        server_ms=(rest >> RANDOM_BITS) & ((1 << _TIME_BITS) - 1),
        random=rest & ((1 << RANDOM_BITS) - 1),
    )


def number_before(text: str) -> str:
    """A number between this fragment's and that of the one before it, to read from this one on. BadRequest as above.

    One less would do by the order of numbers, but has the same sequence, and a stream is read behind a sequence.
    """
    sequence = read_number(text).sequence
    return str(
        FragmentNumber(sequence=max(0, sequence - 1), server_ms=(1 << _TIME_BITS) - 1, random=(1 << RANDOM_BITS) - 1)
    )
