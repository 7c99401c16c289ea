"""Timestamps on the wire: read in any of AWS's forms, written in the one the model asks for.

Results carry milliseconds, cut and not rounded, so that a time never lies in the future of the event it names.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

TIMES_KEPT = 4_096
"""Written times that are kept: whoever waits for a task or a pipeline asks for the same ones every second."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


def read_timestamp(value: object) -> datetime:
    """Return seconds since 1970, ISO 8601 (UTC unless it has an offset) or RFC 822 text as an aware UTC datetime.

    Raise ValueError for anything else, and for years outside 1 to 9999.
    """
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return EPOCH + timedelta(seconds=value)
        if isinstance(value, str):
            return _read_text(value)
    except OverflowError as cause:
        raise ValueError("the year is outside 1 to 9999") from cause
    raise ValueError("neither a number nor text")


def _read_text(text: str) -> datetime:
    if "," in text:
        from email.utils import parsedate_to_datetime  # rare, and slow to import

        value = parsedate_to_datetime(text)
    else:
        value = datetime.fromisoformat(text)
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


@lru_cache(TIMES_KEPT)
def write_timestamp(value: datetime, timestamp_format: str) -> str | float | int:
    """Write an aware datetime as `iso8601` (milliseconds, Z), `unixTimestamp` (seconds) or `rfc822` (whole seconds).

    Raise ValueError for a naive datetime, whose moment is anybody's guess, and for another format.
    """
    if value.tzinfo is None:
        raise ValueError("a naive datetime; give it a timezone")
    if timestamp_format == "unixTimestamp":
        milliseconds = (value - EPOCH) // MILLISECOND
        return milliseconds / 1000 if milliseconds % 1000 else milliseconds // 1000
    utc = value if value.tzinfo is UTC else value.astimezone(UTC)
    if timestamp_format == "iso8601":
        return utc.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
    if timestamp_format == "rfc822":
        from email.utils import format_datetime

        return format_datetime(utc, usegmt=True)
    raise ValueError(f"the unknown timestamp format {timestamp_format}")
