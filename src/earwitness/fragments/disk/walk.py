"""A segment file read from its beginning: every record whose head is whole, and where records are lost.

A head that does not read costs its record. The walk goes on at the next whole head, however far that is, and remembers
the place; of what lies behind the last whole record it tells a torn end from a damaged one.

What belongs here: reading heads. What must never: changing a file, media, keys.
"""

import logging
import os
from dataclasses import dataclass, field
from pathlib import Path

from earwitness.fragments.disk.record import HEAD_BYTES, MAGIC, Kind, RecordHead, read_head
from earwitness.fragments.disk.segment import Segment

_WINDOW_BYTES = 1 << 20

_log = logging.getLogger("earwitness.fragments")


@dataclass(kw_only=True, slots=True)
class Walk:
    """What is in a segment file."""

    segment: Segment
    file_bytes: int
    end: int = 0
    """Where its last whole record ends. What follows is of no use."""

    records: int = 0
    """Whole records of media, those out of their place too; erased ones do not count."""

    lost_after: list[int] = field(default_factory=list[int])
    """Sequences behind which something was, and cannot be read."""


def walk(path: Path, first_sequence: int, *, after: int) -> Walk:
    """The segment as its records say; `after` is the last sequence of the segment before it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        walked = Walk(segment=Segment(first_sequence), file_bytes=os.fstat(descriptor).st_size)
        _walk(descriptor, walked, name=path.name, after=max(after, first_sequence - 1))
        return walked
    finally:
        os.close(descriptor)


def _walk(descriptor: int, walked: Walk, *, name: str, after: int) -> None:
    segment, size = walked.segment, walked.file_bytes
    while walked.end < size:
        offset = walked.end
        head = _whole_head(descriptor, offset, size)
        newest = segment.sequences[-1] if len(segment) else after
        if head is None:
            found = _resume(descriptor, offset + 1, size)
            if found is None:
                if _is_damaged_end(descriptor, offset):
                    walked.lost_after.append(newest)
                    _log.error("a damaged record is at the end", extra={"file": name, "from": offset})
                return
            walked.lost_after.append(newest)
            _log.error("a damaged record is skipped", extra={"file": name, "from": offset, "to": found})
            walked.end = found
            continue
        if not _add(segment, head, offset, newest=newest):
            _log.error("a record out of its place is skipped", extra={"file": name, "from": offset})
        walked.records += head.kind is not Kind.ERASED
        walked.end = offset + head.size


def _add(segment: Segment, head: RecordHead, offset: int, *, newest: int) -> bool:
    if head.kind is Kind.FRAGMENT:
        if head.number.sequence <= newest:
            return False
        segment.add(head, offset)
    elif head.kind is Kind.TAGS:
        index = segment.index_of(head.number)
        if index is None:
            return False
        segment.add_tags(index, head, offset)
    return True


def _whole_head(descriptor: int, offset: int, size: int) -> RecordHead | None:
    head = read_head(os.pread(descriptor, HEAD_BYTES, offset))
    return head if head is not None and offset + head.size <= size else None


def _is_damaged_end(descriptor: int, offset: int) -> bool:
    """Whether a record that may have been acknowledged stood here.

    A crash leaves part of a head, a whole one without all of its body, or room that was never filled; none of these
    was acknowledged. Anything else was once written and is not what it was.
    """
    data = os.pread(descriptor, HEAD_BYTES, offset)
    return len(data) == HEAD_BYTES and any(data) and read_head(data) is None


def _resume(descriptor: int, offset: int, size: int) -> int | None:
    """Where the next whole record begins, at or after this offset."""
    while offset < size:
        window = os.pread(descriptor, _WINDOW_BYTES, offset)
        at = window.find(MAGIC)
        while at >= 0:
            if _whole_head(descriptor, offset + at, size) is not None:
                return offset + at
            at = window.find(MAGIC, at + 1)
        if len(window) < _WINDOW_BYTES:
            return None
        offset += len(window) - len(MAGIC) + 1
    return None
