"""Fragment numbers: 47 digits that sort alike as text and as integers.

    number = 2**156 + sequence * 2**92 + server_timestamp_ms * 2**28 + random

as decoded from real ones (shared reference, 8.8): the sequence grows by one a fragment and is never reset, the
timestamp tells when the fragment began to arrive, and 28 random bits make the number hard to guess.

What belongs here: composing and reading them, and milliseconds since 1970, in which the log counts time. What must
never: a clock, or where the next sequence comes from.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from earwitness.errors import BadRequest

DIGITS = 47
RANDOM_BITS = 28
_TIME_BITS = 64
_BASE = 1 << 156
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

SEQUENCE_MAX = (10**DIGITS - _BASE) // (1 << (RANDOM_BITS + _TIME_BITS)) - 1
"""The last sequence whose number has 47 digits: 1.7e18, or 11 billion years of five fragments a second."""


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class FragmentNumber:
    """A number in its parts. Their order is the order of the numbers."""

    #: Place in the stream, from 1.
    sequence: int
    #: When the fragment began to arrive, milliseconds since 1970.
    server_ms: int
    #: 28 random bits.
    random: int

    def __str__(self) -> str:
        """Return the 47 digits."""
        return str(_BASE + (((self.sequence << _TIME_BITS) + self.server_ms) << RANDOM_BITS) + self.random)


def read_number(text: str) -> FragmentNumber:
    """Return the parts of a number. Raise BadRequest when no stream of ours can have given it out."""
    if len(text) != DIGITS or not (text.isascii() and text.isdigit()) or int(text) < _BASE:
        raise BadRequest(f"this is not a fragment number; one has {DIGITS} digits, as an acknowledgement carries it")
    rest = int(text) - _BASE
    return FragmentNumber(
        sequence=rest >> (RANDOM_BITS + _TIME_BITS),
        server_ms=(rest >> RANDOM_BITS) & ((1 << _TIME_BITS) - 1),
        random=rest & ((1 << RANDOM_BITS) - 1),
    )


def number_before(text: str) -> str:
    """Return a number between this fragment's and that of the one before it, to read from this one on.

    Raise BadRequest as above. One less would do by the order of numbers, but has the same sequence, and a stream is
    read behind a sequence.
    """
    return last_of_sequence(max(0, read_number(text).sequence - 1))


def to_ms(time: datetime) -> int:
    """Return whole milliseconds since 1970, rounded down. Raise ValueError when the time has no zone."""
    if time.tzinfo is None:
        raise ValueError("a time without a zone was given to the media log; give an aware datetime")
    return (time - _EPOCH) // _MILLISECOND


def from_ms(milliseconds: int) -> datetime:
    """Return the time in UTC."""
    return _EPOCH + milliseconds * _MILLISECOND


def last_of_sequence(sequence: int) -> str:
    """Return the greatest number of a sequence: what follows it has a greater one."""
    return str(FragmentNumber(sequence=sequence, server_ms=(1 << _TIME_BITS) - 1, random=(1 << RANDOM_BITS) - 1))
