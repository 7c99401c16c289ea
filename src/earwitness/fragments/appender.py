"""What one stream's appends do to its files. All of it runs on the stream's writer thread, one call after
the other.

A group is written, then synced, then told of; when either fails, the files are cut back to what was durable before.
If even the cut fails, nothing more is written until it succeeds, so a record whose append failed never comes before one
that is acknowledged. A file whose sync failed, after writing or after cutting, is never written to again: the kernel
may have dropped what it could not write and say of the next sync that all is well. Fragments go on in a new file, whose
name tells the next start where the old one ends, whatever is left there; late tags of the old one are refused.

What belongs here: appending, erasing and removing. What must never: the index, the event loop.
"""

import errno
import os
from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from earwitness.descriptors import is_exhausted
from earwitness.errors import Gone
from earwitness.fragments.budget import Budget
from earwitness.fragments.interface import KeySource, StreamIdentity
from earwitness.fragments.names import (
    FILE_RIGHTS,
    index_path,
    remove_folder,
    remove_segments,
    replace_file,
    segment_path,
    sync,
)
from earwitness.fragments.record import HEAD_BYTES, RecordHead, RecordKind, RecordPlace, read_head

SEGMENT_BYTES_MAX = 16 * 2**20
"""When a file is full: a twelfth of the smallest window by size, and 17 minutes of a telephone channel."""

GONE = "the stream was deleted, and what it held with it; use another one"

_ZEROS = bytes(1 << 16)


class Written(NamedTuple):
    """Where a record was appended: in which segment, and where in its file."""

    first_sequence: int
    offset: int


class _SegmentFile:
    """A segment file; `durable` bytes of it are synced, `end` are written. It is open from an append to the next sync.

    Opening it again costs some 10 µs, a sync a hundred times that; so files held open do not grow with the streams.
    How many are open before a sync is bounded by the writer thread.
    """

    def __init__(self, path: Path, first_sequence: int, *, started_ms: int) -> None:
        self.path = path
        self.first_sequence = first_sequence
        self.started_ms = started_ms
        self._descriptor = -1
        self._open()
        self.durable = self.end = os.fstat(self._descriptor).st_size

    def append(self, *parts: bytes) -> int:
        """Write a record, and return where it begins."""
        self._open()
        offset = self.end
        for part in parts:
            waiting = memoryview(part)
            while waiting:
                taken = os.write(self._descriptor, waiting)
                self.end += taken
                waiting = waiting[taken:]
        return offset

    def sync(self) -> None:
        os.fdatasync(self._descriptor)

    def settle(self) -> None:
        """Count all that is written as durable, and close the file."""
        self.durable = self.end
        self.close()

    def cut(self) -> None:
        """Go back to what is durable, in the file too. Raise OSError when that cannot be done now."""
        self._open()
        os.ftruncate(self._descriptor, self.durable)
        os.fsync(self._descriptor)
        self.end = self.durable
        self.close()
        if self.durable == 0:
            self.path.unlink()

    def close(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)

    def _open(self) -> None:
        if self._descriptor < 0:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._descriptor = os.open(self.path, flags, FILE_RIGHTS)


class Appender:
    """The writing half of a stream's folder."""

    def __init__(
        self,
        folder: Path,
        stream: StreamIdentity,
        *,
        key: KeySource,
        segments: Sequence[int],
        budget: Budget,
    ) -> None:
        self._folder = folder
        self._stream = stream
        self._key = key
        self._segments = sorted(segments)
        self._budget = budget
        self._current: _SegmentFile | None = None
        self._touched: list[_SegmentFile] = []
        self._spoiled: list[_SegmentFile] = []
        self._suspect: set[int] = set()
        self._names_changed = False
        self._removed = False

    def write(self, head: RecordHead, media: Sequence[bytes], *, span_ms: int) -> Written:
        """Append a record, in a new file when the last is full or began `span_ms` ago; not durable before `sync`."""
        self._require_there()
        self._mend()
        self._budget.require(head.size)
        body = head.seal(media, key=self._key(), stream=self._stream)
        file = self._file_of(head.number.sequence) if head.kind is RecordKind.TAGS else self._file_for(head, span_ms)
        if file not in self._touched:
            self._touched.append(file)
        return Written(file.first_sequence, file.append(head.pack(), body))

    @property
    def files_open(self) -> int:
        """Return how many files wait for the next sync."""
        return len(self._touched)

    def sync(self) -> None:
        """Make durable what was written."""
        for file in self._touched:
            try:
                file.sync()
            except OSError:
                self._suspect.add(file.first_sequence)
                raise
        if self._names_changed:
            sync(self._folder)
            self._names_changed = False
        for file in self._touched:
            file.settle()
        self._touched.clear()

    def undo(self) -> None:
        """Take back what was written since the last sync; what cannot be taken back now, before the next write."""
        self._spoiled += self._touched
        self._touched = []
        if self._current is not None:
            self._current.close()
            self._current = None
        self._mend()

    def remove_segments(self, segments: Sequence[int]) -> None:
        """Delete these files."""
        self._require_there()
        for first in segments:
            self._forget(first)
        remove_segments(self._folder, segments)

    def erase(self, first_sequence: int, records: Sequence[RecordPlace]) -> None:
        """Overwrite the bodies of these records, and mark them; nothing where their file is removed already."""
        self._require_there()
        if first_sequence not in self._segments:
            return
        index_path(self._folder, first_sequence).unlink(missing_ok=True)
        descriptor = os.open(segment_path(self._folder, first_sequence), os.O_RDWR | os.O_CLOEXEC)
        try:
            for _, offset, size in records:
                head = read_head(os.pread(descriptor, HEAD_BYTES, offset))
                _overwrite(descriptor, offset + HEAD_BYTES, size - HEAD_BYTES)
                if head is not None:
                    os.pwrite(descriptor, replace(head, kind=RecordKind.ERASED).pack(), offset)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def write_index(self, first_sequence: int, content: bytes) -> None:
        """Keep a segment's columns beside it, when it is still there."""
        if first_sequence in self._segments and not self._removed:
            replace_file(index_path(self._folder, first_sequence), content)

    def write_sequence(self, sequence: int) -> None:
        """Remember that all sequences below may have been given out."""
        self._require_there()
        replace_file(self._folder / "sequence", f"{sequence}\n".encode())

    def remove_all(self) -> None:
        """Delete the folder."""
        self._removed = True
        remove_folder(self._folder)

    def _require_there(self) -> None:
        """A stream that is made anew after a deletion has the same folder, and another appender."""
        if self._removed:
            raise Gone(GONE)

    def _mend(self) -> None:
        while self._spoiled:
            file = self._spoiled[-1]
            try:
                file.cut()
            except OSError as error:
                if not is_exhausted(error):  # then it was not even opened
                    self._suspect.add(file.first_sequence)
                raise
            self._spoiled.pop()
            if file.durable == 0:
                self._forget(file.first_sequence)

    def _file_for(self, head: RecordHead, span_ms: int) -> _SegmentFile:
        """Return the file that the next fragment goes to."""
        current, now_ms = self._current, head.number.server_ms
        if current is None or current.end >= SEGMENT_BYTES_MAX or now_ms - current.started_ms >= span_ms:
            first = head.number.sequence
            self._names_changed = True
            current = self._current = _SegmentFile(segment_path(self._folder, first), first, started_ms=now_ms)
            insort(self._segments, first)
        return current

    def _file_of(self, sequence: int) -> _SegmentFile:
        """Return the file that this fragment is in. Raise FileNotFoundError when it is gone."""
        place = bisect_right(self._segments, sequence) - 1
        if place < 0:
            raise FileNotFoundError
        first = self._segments[place]
        if first in self._suspect:
            raise OSError(errno.EIO, "a sync of this file failed, so it is not written to again")
        known = [file for file in (self._current, *self._touched) if file is not None and file.first_sequence == first]
        return known[0] if known else _SegmentFile(segment_path(self._folder, first), first, started_ms=0)

    def _forget(self, first_sequence: int) -> None:
        if self._current is not None and self._current.first_sequence == first_sequence:
            self._current.close()
            self._current = None
        self._suspect.discard(first_sequence)
        if first_sequence in self._segments:
            self._segments.remove(first_sequence)


def _overwrite(descriptor: int, offset: int, length: int) -> None:
    end = offset + length
    while offset < end:
        offset += os.pwrite(descriptor, _ZEROS[: end - offset], offset)
