"""What an earlier process left of a stream: its segments, its index files, the sequence it had come to.

What belongs here: reading and mending what is found when a stream is opened. What must never: appending, audio.
"""

import logging
import os
import sys
import zlib
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest
from pathlib import Path

from earwitness.fragments.losses import add_losses, forget_losses
from earwitness.fragments.names import (
    index_path,
    make_folder,
    path_text,
    replace_file,
    segment_path,
    sync_file,
    sync_folder,
)
from earwitness.fragments.record import HEAD_BYTES, read_head
from earwitness.fragments.retention import Retention
from earwitness.fragments.segment import COLUMNS, TAGS_COLUMNS, Segment
from earwitness.fragments.times import to_ms
from earwitness.fragments.walk import walk

_INDEX_MAGIC = b"EWI1" + sys.byteorder.encode().ljust(6)

_log = logging.getLogger("earwitness.fragments")


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What is found of a stream."""

    segments: list[Segment]
    """Ascending."""

    next_sequence: int
    """The first that was certainly not given out."""

    lost_after: list[int]
    """Sequences behind which something is lost, ascending."""


def load_folder(folder: Path, clock: Callable[[], datetime]) -> Found:
    """What an earlier process left, or a new folder; torn ends are cut off, what is damaged is left out and told."""
    make_folder(folder)
    segments = _load_segments(folder)
    newest = segments[-1].sequences[-1] if segments else 0
    remembered = _load_sequence(folder)
    if remembered is None:
        # Milliseconds since 1970 are ahead of any sequence: a stream has at most five fragments a second.
        remembered = to_ms(clock())
        _log.error("the file `sequence` is damaged; numbers jump ahead", extra={"file": path_text(folder)})
    lost_after = forget_losses(folder, before=segments[0].first_sequence - 1 if segments else 0)
    return Found(segments=segments, next_sequence=max(newest + 1, remembered), lost_after=lost_after)


def _load_sequence(folder: Path) -> int | None:
    """The first sequence that was certainly not given out, 1 in a new folder; None when that cannot be told."""
    try:
        text = (folder / "sequence").read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return 1 if next(folder.glob("*.segment"), None) is None else None
    return int(text) if text.endswith("\n") and text[:-1].isdecimal() else None


def pack_index(segment: Segment, *, segment_bytes: int) -> bytes:
    """An index file's content: what segment it describes, by its size, its columns, and a CRC-32 of all."""
    columns = segment.columns
    counts = array("Q", [segment_bytes, len(columns[0]), len(columns[-1])])
    content = b"".join([_INDEX_MAGIC, counts.tobytes(), *(column.tobytes() for column in columns)])
    return content + zlib.crc32(content).to_bytes(4, "little")


def _load_segments(folder: Path) -> list[Segment]:
    segments: list[Segment] = []
    after = 0
    sequences = segment_sequences(folder)
    for first_sequence, following in zip_longest(sequences, sequences[1:]):
        segment = load_segment(folder, first_sequence, after=after, before=following)
        if len(segment):
            after = segment.sequences[-1]
            segments.append(segment)
    return segments


def segment_sequences(folder: Path) -> list[int]:
    """First sequences of the segments that are there, ascending."""
    return sorted(int(path.stem) for path in folder.glob("*.segment") if path.stem.isdigit())


def load_segment(folder: Path, first_sequence: int, *, after: int, before: int | None) -> Segment:
    """One segment, by its index file or, where that does not describe it, by a walk, which leaves a new index file.

    `after` is the last sequence of the segment before it, `before` the first of the one behind it, None for the last.
    What is lost in it is remembered (`losses`). A file in which nothing can be read, or all is erased, is removed:
    retention would never find it.
    """
    path = segment_path(folder, first_sequence)
    size = path.stat().st_size
    indexed = _read_index(folder, first_sequence)
    if indexed is not None and indexed[1] == size and indexed[0].sequences[0] > after:
        return indexed[0]
    walked = walk(path, first_sequence, after=after, before=before)
    segment = walked.segment
    if indexed is not None and indexed[1] > size:
        walked.lost_after.append(segment.sequences[-1] if len(segment) else max(after, first_sequence - 1))
        _log.error("a segment file is shorter than it was", extra={"file": path.name, "bytes": indexed[1] - size})
    add_losses(folder, walked.lost_after)
    if walked.records == 0:
        _remove(folder, first_sequence)
        return segment
    if walked.end < size:
        os.truncate(path, walked.end)
        sync_file(path)
        _log.warning("a torn end was cut off", extra={"file": path.name, "bytes": size - walked.end})
    if len(segment):
        replace_file(index_path(folder, first_sequence), pack_index(segment, segment_bytes=walked.end))
    return segment


def expire_folder(folder: Path, *, retention: Retention, now_ms: int) -> None:
    """Remove, oldest first, segments of which the retention covers nothing. The stream must not be open.

    A glance at the first head is enough where nothing is due, which is what it finds as a rule.
    """
    sequences = segment_sequences(folder)
    kept_bytes = sum(segment_path(folder, first).stat().st_size for first in sequences)
    oldest_ms = now_ms - retention.window_ms
    for first_sequence, following in zip_longest(sequences, sequences[1:]):
        path = segment_path(folder, first_sequence)
        size = path.stat().st_size
        too_much = kept_bytes - size >= retention.bytes_kept
        if not too_much and _begins_at(path) >= oldest_ms:
            return
        segment = _look_at(folder, first_sequence, before=following)
        if len(segment) and not too_much and segment.server_ms[-1] >= oldest_ms:
            return
        _remove(folder, first_sequence)
        kept_bytes -= size


def _look_at(folder: Path, first_sequence: int, *, before: int | None) -> Segment:
    """A segment, without writing anything: what is to be deleted is deleted on a full disk too."""
    indexed = _read_index(folder, first_sequence)
    path = segment_path(folder, first_sequence)
    if indexed is not None and indexed[1] == path.stat().st_size:
        return indexed[0]
    return walk(path, first_sequence, after=0, before=before).segment


def _begins_at(path: Path) -> int:
    """When the first fragment of a segment came, in ms; 0, which is long ago, when its head does not read."""
    with path.open("rb") as file:
        head = read_head(file.read(HEAD_BYTES))
    return 0 if head is None else head.number.server_ms


def _remove(folder: Path, first_sequence: int) -> None:
    for path in (segment_path(folder, first_sequence), index_path(folder, first_sequence)):
        path.unlink(missing_ok=True)
    sync_folder(folder)


def _read_index(folder: Path, first_sequence: int) -> tuple[Segment, int] | None:
    """The segment as its index file says, and how long its file was then; None when there is none that can be used."""
    try:
        content = index_path(folder, first_sequence).read_bytes()
    except FileNotFoundError:
        return None
    body, check = content[:-4], content[-4:]
    start = len(_INDEX_MAGIC) + 24
    if not body.startswith(_INDEX_MAGIC) or zlib.crc32(body).to_bytes(4, "little") != check:
        _log.warning("an index file is damaged, the segment is walked instead", extra={"file": path_text(folder)})
        return None
    counts = array("Q", body[len(_INDEX_MAGIC) : start])
    if counts[1] == 0:
        return None
    columns: list[array[int]] = []
    for place, kind in enumerate(COLUMNS + TAGS_COLUMNS):
        column: array[int] = array(kind)
        end = start + column.itemsize * counts[1 if place < len(COLUMNS) else 2]
        column.frombytes(body[start:end])
        columns.append(column)
        start = end
    return Segment(first_sequence, tuple(columns)), counts[0]
