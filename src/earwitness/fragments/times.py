"""Milliseconds since 1970, which is how the log counts, and aware datetimes, which is how others speak to it.

What belongs here: the two conversions. What must never: a clock.
"""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def to_ms(time: datetime) -> int:
    """Whole milliseconds since 1970, rounded down; ValueError when the time has no zone."""
    if time.tzinfo is None:
        raise ValueError("a time without a zone was given to the media log; give an aware datetime")
    return (time - _EPOCH) // _MILLISECOND


def from_ms(milliseconds: int) -> datetime:
    """The time in UTC."""
    return _EPOCH + milliseconds * _MILLISECOND
