"""A file as a decoder should see it: stretches of it, and bytes that stand in for what its writer got wrong.

What belongs here: the view. What must never: what a container's bytes mean (`links.py`, `wave_sizes.py`).
"""

import io
import os
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Part = bytes | range
"""Bytes of our own, or a stretch of the file by its offsets."""


@dataclass(frozen=True, kw_only=True)
class Link:
    """One stream of audio in a file; a file that was chained or concatenated holds several."""

    parts: tuple[Part, ...]
    """The whole file as it is when this is empty."""

    present: float = 1.0
    """How much of the length that its header declares is there, 0 to 1; a file that was cut has less than all."""


WHOLE_FILE = Link(parts=())


class FileParts(io.RawIOBase):
    """A read-only binary file of a link's parts, one after the other."""

    def __init__(self, path: Path, parts: tuple[Part, ...]) -> None:
        self._file = path.open("rb")
        self._parts = parts
        self._starts = [0, *accumulate(len(part) for part in parts)]
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Fill the buffer as far as there are bytes; how many were read."""
        view = memoryview(buffer).cast("B")
        filled = 0
        while filled < len(view) and self._at < self._starts[-1]:
            piece = self._piece(len(view) - filled)
            if not piece:
                break  # the file became shorter while it was read
            view[filled : filled + len(piece)] = piece
            filled += len(piece)
            self._at += len(piece)
        return filled

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._starts[-1]}[whence]
        self._at = max(0, start + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def close(self) -> None:
        self._file.close()
        super().close()

    def __enter__(self) -> "FileParts":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _piece(self, count: int) -> bytes:
        """At most `count` bytes of the part that the position is in."""
        index = bisect_right(self._starts, self._at) - 1
        part, within = self._parts[index], self._at - self._starts[index]
        if isinstance(part, bytes):
            return part[within : within + count]
        self._file.seek(part.start + within)
        return self._file.read(min(count, len(part) - within))
