"""A segment file read from its beginning: every record whose head is whole, and where records are lost.

A head that does not read costs its record. The walk goes on at the next whole head, however far that is, and remembers
the place; of what lies behind the last whole record it tells a torn end from a damaged one.

What belongs here: reading heads. What must never: changing a file, media, keys.
"""

import itertools
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path

from earwitness.fragments.record import HEAD_BYTES, MAGIC, Kind, RecordHead, read_head
from earwitness.fragments.segment import Segment

_WINDOW_BYTES = 1 << 20

_SECTOR_BYTES = 512
"""What a disk writes whole or not at all; of those in use some write more."""

_ZEROS_MIN = 16
"""So many zeros at a given place are not what sealing leaves: once in 2**128."""

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


def walk(path: Path, first_sequence: int, *, after: int, before: int | None) -> Walk:
    """The segment as its records say; `after` is the last sequence of the segment before it, `before` the first of the
    one behind it, or None where nothing is behind it that could have been acknowledged later."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        walked = Walk(segment=Segment(first_sequence), file_bytes=os.fstat(descriptor).st_size)
        _walk(descriptor, walked, name=path.name, after=max(after, first_sequence - 1), before=before)
        return walked
    finally:
        os.close(descriptor)


def _walk(descriptor: int, walked: Walk, *, name: str, after: int, before: int | None) -> None:
    segment, size = walked.segment, walked.file_bytes
    while walked.end < size:
        offset = walked.end
        head = _whole_head(descriptor, offset, size)
        newest = segment.sequences[-1] if len(segment) else after
        if head is None:
            found = _resume(descriptor, offset + 1, size)
            if found is None:
                if _is_damaged_end(descriptor, offset, is_last=before is None):
                    walked.lost_after.append(newest)
                    _log.error("a damaged record is at the end", extra={"file": name, "from": offset})
                return
            walked.lost_after.append(newest)
            _log.error("a damaged record is skipped", extra={"file": name, "from": offset, "to": found})
            walked.end = found
            continue
        is_at_the_end = before is None and offset + head.size == size and head.kind is not Kind.ERASED
        if is_at_the_end and _is_torn(descriptor, offset, size, zeros_min=_ZEROS_MIN):
            return
        if not _add(segment, head, offset, newest=newest, before=before):
            _log.error("a record out of its place is skipped", extra={"file": name, "from": offset})
        walked.records += head.kind is not Kind.ERASED
        walked.end = offset + head.size


def _add(segment: Segment, head: RecordHead, offset: int, *, newest: int, before: int | None) -> bool:
    if head.kind is Kind.FRAGMENT:
        sequence = head.number.sequence
        if sequence <= newest or (before is not None and sequence >= before):
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


def _is_damaged_end(descriptor: int, offset: int, *, is_last: bool) -> bool:
    """Whether a record that may have been acknowledged stood here.

    A crash leaves part of a head, a whole one without all of its body, or room that was never filled; none of these
    was acknowledged. Where power goes, a head may lack one of the sectors that it lies in. Anything else was once
    written and is not what it was.
    """
    data = os.pread(descriptor, HEAD_BYTES, offset)
    if len(data) < HEAD_BYTES or not any(data) or read_head(data) is not None:
        return False
    return not (is_last and _is_torn(descriptor, offset, offset + HEAD_BYTES, zeros_min=1))


def _is_torn(descriptor: int, start: int, end: int, *, zeros_min: int) -> bool:
    """Whether some sectors of what lies here were never written, and others were.

    As it was being written when power went: it was not synced, so it was not acknowledged. Parts of sectors at its
    ends count from `zeros_min` bytes on.
    """
    data = memoryview(os.pread(descriptor, end - start, start))
    edges = [start, *range(start - start % _SECTOR_BYTES + _SECTOR_BYTES, end, _SECTOR_BYTES), end]
    parts = [data[first - start : last - start] for first, last in itertools.pairwise(edges)]
    blank = [not any(part) for part in parts if len(part) >= zeros_min]
    return any(blank) and not all(blank)


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
