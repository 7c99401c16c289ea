"""The files of one stream: what they are called, what is found in them when the stream is opened.

    SEQUENCE.segment    records one after the other; the name is the first one's sequence
    SEQUENCE.index      the columns of that segment, so that it need not be walked again
    sequence            below this number all sequences may have been given out

What belongs here: names, and reading what an earlier process left. What must never: appending, media in clear.
"""

import hashlib
import logging
import os
import sys
import zlib
from array import array
from pathlib import Path

from earwitness.fragments.disk.record import HEAD_BYTES, MAGIC, Kind, RecordHead, read_head
from earwitness.fragments.disk.segment import COLUMNS, TAGS_COLUMNS, Segment
from earwitness.fragments.seam import StreamIdentity

FOLDER_RIGHTS, FILE_RIGHTS = 0o700, 0o600

_INDEX_MAGIC = b"EWI1" + sys.byteorder.encode().ljust(6)
_WINDOW_BYTES = 1 << 20

_log = logging.getLogger("earwitness.fragments")


def folder_name(stream: StreamIdentity) -> str:
    """64 characters that say nothing of the stream; a name of the user's never becomes a path."""
    return hashlib.sha256(f"{stream.account_id}\0{stream.stream_arn}".encode()).hexdigest()


def segment_path(folder: Path, first_sequence: int) -> Path:
    """The file of the segment that begins with this sequence."""
    return folder / f"{first_sequence:020}.segment"


def index_path(folder: Path, first_sequence: int) -> Path:
    """The file of its columns."""
    return folder / f"{first_sequence:020}.index"


def sync_folder(folder: Path) -> None:
    """Make the names in it durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(path: Path, content: bytes) -> None:
    """Put this content there, whole or not at all, durably."""
    new = path.with_suffix(".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_RIGHTS)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
    sync_folder(path.parent)


def make_folder(folder: Path) -> None:
    """Make it, durably, when it is not there."""
    if not folder.exists():
        folder.mkdir(mode=FOLDER_RIGHTS, parents=True, exist_ok=True)
        sync_folder(folder.parent)


def load_sequence(folder: Path) -> int | None:
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


def load_segments(folder: Path) -> list[Segment]:
    """All segments that are there, ascending; torn ends are cut off, what is damaged is logged and left out."""
    segments: list[Segment] = []
    after = 0
    for path in sorted(folder.glob("*.segment")):
        if not path.stem.isdigit():
            continue
        segment = _load(folder, int(path.stem), after=after)
        if len(segment):
            after = segment.sequences[-1]
            segments.append(segment)
    return segments


def _load(folder: Path, first_sequence: int, *, after: int) -> Segment:
    path = segment_path(folder, first_sequence)
    size = path.stat().st_size
    segment = _read_index(folder, first_sequence, segment_bytes=size)
    if segment is None or segment.sequences[0] <= after:
        segment, size = _walk(path, first_sequence, after=after)
        if len(segment):
            replace_file(index_path(folder, first_sequence), pack_index(segment, segment_bytes=size))
        elif size == 0:
            path.unlink()
    return segment


def _read_index(folder: Path, first_sequence: int, *, segment_bytes: int) -> Segment | None:
    """The segment as its index file says; None when there is none, or it describes another state of the segment."""
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
    if counts[0] != segment_bytes or counts[1] == 0:
        return None
    columns: list[array[int]] = []
    for place, kind in enumerate(COLUMNS + TAGS_COLUMNS):
        column: array[int] = array(kind)
        end = start + column.itemsize * counts[1 if place < len(COLUMNS) else 2]
        column.frombytes(body[start:end])
        columns.append(column)
        start = end
    return Segment(first_sequence, tuple(columns))


def path_text(folder: Path) -> str:
    """A stream's folder as a log may name it."""
    return folder.name[:16]


def _walk(path: Path, first_sequence: int, *, after: int) -> tuple[Segment, int]:
    """The segment as its records say, and its size after a torn end was cut off."""
    segment = Segment(first_sequence)
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        size, offset = os.fstat(descriptor).st_size, 0
        while offset < size:
            head = _whole_head(descriptor, offset, size)
            if head is None:
                found = _resume(descriptor, offset + 1, size)
                if found is None:
                    os.ftruncate(descriptor, offset)
                    os.fsync(descriptor)
                    _log.warning("a torn end was cut off", extra={"file": path.name, "bytes": size - offset})
                    return segment, offset
                _log.error("a damaged record is skipped", extra={"file": path.name, "from": offset, "to": found})
                offset = found
                continue
            if not _add(segment, head, offset, after=after):
                _log.error("a record out of its place is skipped", extra={"file": path.name, "from": offset})
            offset += head.size
        return segment, size
    finally:
        os.close(descriptor)


def _add(segment: Segment, head: RecordHead, offset: int, *, after: int) -> bool:
    if head.kind is Kind.FRAGMENT:
        newest = segment.sequences[-1] if len(segment) else after
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
