"""What an earlier process left of a stream: its segments, its index files, where something is lost.

A segment whose index file does not describe it is walked: read from its beginning, record by record. A head that does
not read costs its record; the walk goes on at the next whole head, however far that is, and remembers the place. An
index file says nothing of what could not be read, and a segment is walked once; so a loss is written down, in the file
`lost`, before the index that hides it. A hole in the sequences proves no loss: numbers are given out that are never
appended.

What belongs here: reading and mending what is found when a stream is opened, or is expired without being opened. What
must never: appending, media, keys.
"""

import itertools
import logging
import os
import sys
import zlib
from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from earwitness.fragments.index import COLUMNS, TAGS_COLUMNS, IndexEntry, Segment
from earwitness.fragments.interface import Retention
from earwitness.fragments.names import (
    index_path,
    make_folder,
    path_text,
    remove_segments,
    replace_file,
    segment_path,
    sync,
)
from earwitness.fragments.numbers import to_ms
from earwitness.fragments.record import HEAD_BYTES, MAGIC, RecordHead, RecordKind, read_head

_INDEX_MAGIC = b"EWI1" + sys.byteorder.encode().ljust(6)

_WINDOW_BYTES = 1 << 20

_SECTOR_BYTES = 512
"""What a disk writes whole or not at all; some of those in use write more at once."""

_ZEROS_MIN = 16
"""So many zeros at a given place are not what sealing leaves: once in 2**128."""

_log = logging.getLogger("earwitness.fragments")


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamFiles:
    """What is found of a stream. `segments` and `lost_after` ascend."""

    segments: list[Segment]
    #: The first that was certainly not given out.
    next_sequence: int
    #: Sequences behind which something is lost.
    lost_after: list[int]


def load_folder(folder: Path, clock: Callable[[], datetime]) -> StreamFiles:
    """Return what an earlier process left, or a new folder.

    Torn ends are cut off; what is damaged is left out, logged and remembered as lost.
    """
    make_folder(folder)
    segments: list[Segment] = []
    for first_sequence, following in _names_with_next(folder):
        after = segments[-1].sequences[-1] if segments else 0
        segment = _load_segment(folder, first_sequence, after=after, before=following)
        if len(segment):
            segments.append(segment)
    newest = segments[-1].sequences[-1] if segments else 0
    remembered = _load_sequence(folder)
    if remembered is None:
        # Milliseconds since 1970 are ahead of any sequence: a stream has at most five fragments a second.
        remembered = to_ms(clock())
        _log.error("the file `sequence` is damaged; numbers jump ahead", extra={"file": path_text(folder)})
    lost_after = _forget_losses(folder, before=segments[0].first_sequence - 1 if segments else 0)
    return StreamFiles(segments=segments, next_sequence=max(newest + 1, remembered), lost_after=lost_after)


def expire_folder(folder: Path, *, retention: Retention, now_ms: int) -> None:
    """Remove, oldest first, segments of which the retention covers nothing. The stream must not be open.

    Where nothing is due, which is the rule, only the first head is read.
    """
    names = _names_with_next(folder)
    kept_bytes = sum(segment_path(folder, first).stat().st_size for first, _ in names)
    oldest_ms = now_ms - retention.window_ms
    for first_sequence, following in names:
        path = segment_path(folder, first_sequence)
        size = path.stat().st_size
        too_much = kept_bytes - size >= retention.bytes_kept
        if not too_much and _begins_at(path) >= oldest_ms:
            return
        # Nothing is written to find this out: what is to be deleted is deleted on a full disk too.
        segment, segment_bytes = _read_index(folder, first_sequence)
        if segment is None or segment_bytes != size:
            segment = walk(path, first_sequence, 0, following).segment
        if len(segment) and not too_much and segment.server_ms[-1] >= oldest_ms:
            return
        remove_segments(folder, [first_sequence])
        kept_bytes -= size


def pack_index(segment: Segment, *, segment_bytes: int) -> bytes:
    """Return an index file's content: the size of its segment file, its columns, and a CRC-32 of all."""
    counts = array("Q", [segment_bytes, len(segment), len(segment.columns[-1])])
    content = b"".join([_INDEX_MAGIC, counts.tobytes(), *(column.tobytes() for column in segment.columns)])
    return content + zlib.crc32(content).to_bytes(4, "little")


def load_losses(folder: Path) -> list[int]:
    """Return the sequences behind which something is lost, ascending. Lines that are none are logged and left out."""
    try:
        lines = (folder / "lost").read_text(encoding="ascii", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    read = [int(line) for line in lines if line.isascii() and line.isdigit()]
    if len(read) < len(lines):
        _log.error("the file `lost` is damaged; some gaps will not be told", extra={"file": path_text(folder)})
    return sorted(set(read))


@dataclass(kw_only=True, slots=True)
class Walk:
    """What is in a segment file."""

    segment: Segment
    file_bytes: int
    #: Where its last whole record ends. What follows is of no use.
    end: int = 0
    #: Whole records of media, those out of their place too; erased ones do not count.
    records: int = 0
    #: Sequences behind which something was, and cannot be read.
    lost_after: list[int] = field(default_factory=list[int])


def walk(path: Path, first_sequence: int, after: int, before: int | None) -> Walk:
    """Return the segment as its records say.

    `after` is the last sequence of the segment before it, `before` the first of the one behind it, or None where
    nothing is behind it that could have been acknowledged later.
    """
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
        is_at_the_end = before is None and offset + head.size == size and head.kind is not RecordKind.ERASED
        if is_at_the_end and _is_torn(descriptor, offset, size, zeros_min=_ZEROS_MIN):
            return
        if not _add(segment, head, offset, newest=newest, before=before):
            _log.error("a record out of its place is skipped", extra={"file": name, "from": offset})
        walked.records += head.kind is not RecordKind.ERASED
        walked.end = offset + head.size


def _add(segment: Segment, head: RecordHead, offset: int, *, newest: int, before: int | None) -> bool:
    """Add what belongs here; False when the record is out of its place."""
    if head.kind is RecordKind.FRAGMENT:
        if not newest < head.number.sequence < (before or sys.maxsize):
            return False
        segment.add(head, offset)
    elif head.kind is RecordKind.TAGS:
        entry = IndexEntry(segment, segment.index_after(head.number.sequence - 1))
        if entry.index == len(segment) or entry.number != head.number:
            return False
        segment.add_tags(entry.index, head, offset)
    return True


def _whole_head(descriptor: int, offset: int, size: int) -> RecordHead | None:
    head = read_head(os.pread(descriptor, HEAD_BYTES, offset))
    return head if head is not None and offset + head.size <= size else None


def _is_damaged_end(descriptor: int, offset: int, *, is_last: bool) -> bool:
    """Return whether a record that may have been acknowledged stood here.

    A crash leaves part of a head, a whole one without all of its body, or room that was never filled; none of these
    was acknowledged. Where power goes, a head may lack one of the sectors that it lies in. Anything else was once
    written and is not what it was.
    """
    data = os.pread(descriptor, HEAD_BYTES, offset)
    if len(data) < HEAD_BYTES or not any(data) or read_head(data) is not None:
        return False
    return not (is_last and _is_torn(descriptor, offset, offset + HEAD_BYTES, zeros_min=1))


def _is_torn(descriptor: int, start: int, end: int, *, zeros_min: int) -> bool:
    """Return whether some sectors of what lies here were never written, and others were.

    So it was being written when power went: it was not synced, and not acknowledged. Parts of sectors at its ends
    count from `zeros_min` bytes on.
    """
    data = memoryview(os.pread(descriptor, end - start, start))
    edges = [start, *range(start - start % _SECTOR_BYTES + _SECTOR_BYTES, end, _SECTOR_BYTES), end]
    parts = [data[first - start : last - start] for first, last in itertools.pairwise(edges)]
    blank = [not any(part) for part in parts if len(part) >= zeros_min]
    return any(blank) and not all(blank)


def _resume(descriptor: int, offset: int, size: int) -> int | None:
    """Return where the next whole record begins, at or after this offset."""
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


def _load_segment(folder: Path, first_sequence: int, *, after: int, before: int | None) -> Segment:
    """Return one segment, by its index file or, where that does not describe it, by a walk, which leaves a new one.

    A file in which nothing can be read, or all is erased, is removed: retention would never find it.
    """
    path = segment_path(folder, first_sequence)
    size = path.stat().st_size
    indexed, segment_bytes = _read_index(folder, first_sequence)
    if indexed is not None and segment_bytes == size and indexed.sequences[0] > after:
        return indexed
    walked = walk(path, first_sequence, after, before)
    segment = walked.segment
    if segment_bytes > size:
        walked.lost_after.append(segment.sequences[-1] if len(segment) else max(after, first_sequence - 1))
        _log.error("a segment file is shorter than it was", extra={"file": path.name, "bytes": segment_bytes - size})
    if missing := set(walked.lost_after).difference(known := load_losses(folder)):
        _write_losses(folder, {*known, *missing})
    if walked.records == 0:
        remove_segments(folder, [first_sequence])
        return segment
    if walked.end < size:
        os.truncate(path, walked.end)
        sync(path)
        _log.warning("a torn end was cut off", extra={"file": path.name, "bytes": size - walked.end})
    if len(segment):
        replace_file(index_path(folder, first_sequence), pack_index(segment, segment_bytes=walked.end))
    return segment


def _read_index(folder: Path, first_sequence: int) -> tuple[Segment | None, int]:
    """Return the segment as its index file says, and how long its file was then; None and 0 where that is of no use."""
    try:
        content = index_path(folder, first_sequence).read_bytes()
    except FileNotFoundError:
        return None, 0
    body, check = content[:-4], content[-4:]
    if not body.startswith(_INDEX_MAGIC) or zlib.crc32(body).to_bytes(4, "little") != check:
        _log.warning("an index file is damaged, the segment is walked instead", extra={"file": path_text(folder)})
        return None, 0
    start = len(_INDEX_MAGIC) + 24
    segment_bytes, fragments, tags = array("Q", body[len(_INDEX_MAGIC) : start])
    if fragments == 0:
        return None, 0
    columns: list[array[int]] = []
    for kind, count in [*((kind, fragments) for kind in COLUMNS), *((kind, tags) for kind in TAGS_COLUMNS)]:
        column: array[int] = array(kind)
        end = start + column.itemsize * count
        column.frombytes(body[start:end])
        columns.append(column)
        start = end
    return Segment(first_sequence, columns), segment_bytes


def _load_sequence(folder: Path) -> int | None:
    """Return the first sequence that was certainly not given out, 1 in a new folder; None when that is damaged."""
    try:
        text = (folder / "sequence").read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return 1 if next(folder.glob("*.segment"), None) is None else None
    return int(text) if text.endswith("\n") and text[:-1].isdecimal() else None


def _names_with_next(folder: Path) -> list[tuple[int, int | None]]:
    """Return the first sequence of each segment that is there and of the one behind it, ascending."""
    firsts = sorted(int(path.stem) for path in folder.glob("*.segment") if path.stem.isdigit())
    return list(itertools.zip_longest(firsts, firsts[1:]))


def _begins_at(path: Path) -> int:
    """Return when the first fragment of a segment came, in ms; 0, which is long ago, when its head does not read."""
    with path.open("rb") as file:
        head = read_head(file.read(HEAD_BYTES))
    return 0 if head is None else head.number.server_ms


def _forget_losses(folder: Path, *, before: int) -> list[int]:
    """Drop losses before this sequence, since no fragment is kept that they could be told with; return the others."""
    known = load_losses(folder)
    kept = [sequence for sequence in known if sequence >= before]
    if len(kept) < len(known):
        _write_losses(folder, kept)
    return kept


def _write_losses(folder: Path, sequences: Iterable[int]) -> None:
    replace_file(folder / "lost", "".join(f"{sequence}\n" for sequence in sorted(sequences)).encode())
