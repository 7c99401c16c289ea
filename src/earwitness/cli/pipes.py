"""Standard output into a pipe whose reader may go away, as `| head -1` does.

What was asked is answered all the same, so the exit code keeps its meaning: what cannot be written any more is dropped.
"""

import io
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _UntilNobodyReads(io.RawIOBase):
    """Writes to a file descriptor, and to nowhere once its reader is gone."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.reader_is_gone = False

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, data: "ReadableBuffer", /) -> int:
        if not self.reader_is_gone:
            try:
                return os.write(self._descriptor, data)
            except BrokenPipeError:
                self.reader_is_gone = True
        return memoryview(data).nbytes


_raw: _UntilNobodyReads | None = None


def write_until_nobody_reads() -> None:
    """Make standard output such a stream. Call it once, before anything is printed."""
    global _raw  # noqa: PLW0603
    own = sys.stdout
    if not isinstance(own, io.TextIOWrapper):
        return
    _raw = _UntilNobodyReads(own.fileno())
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(_raw), encoding=own.encoding, errors="replace", line_buffering=_raw.isatty()
    )


def reader_is_gone() -> bool:
    """Whether nobody reads any more: a command that goes on by itself ends then."""
    return _raw is not None and _raw.reader_is_gone
