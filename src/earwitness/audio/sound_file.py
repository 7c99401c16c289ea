"""libsndfile, read from the first sample to the last: its quirks and its errors stay here.

What belongs here: opening one link of a file and reading it in order. What must never: which links a file has.
"""

import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Generator
from pathlib import Path

import numpy as np
import soundfile

from earwitness.audio.file_parts import FileParts, Link

ERRORS = (soundfile.LibsndfileError, TypeError)
"""What opening raises for a file that libsndfile does not know; TypeError: a suffix that means headerless audio."""


class _Sequential(soundfile.SoundFile):
    """Reads in order only.

    soundfile seeks to the present place after each read of a file that can seek; libsndfile cannot do that at the end
    of FLAC whose length is unknown, and in compressed formats it costs time.
    """

    def seekable(self) -> bool:
        return False


@contextlib.contextmanager
def opened(path: Path, link: Link) -> Generator[soundfile.SoundFile]:
    """A link of a file, ready to be read in order.

    `ERRORS` when libsndfile does not know the file, OSError when it cannot be read.
    """
    with contextlib.ExitStack() as stack:
        # As bytes, so that file names in any encoding pass; libsndfile takes them, its stub does not say so.
        source = stack.enter_context(FileParts(path, link.parts)) if link.parts else os.fsencode(path)
        with quiet():
            file = stack.enter_context(_Sequential(source))  # pyright: ignore[reportArgumentType]
        yield file


def frames_of(file: soundfile.SoundFile) -> int:
    """Frames that the header promises; 0 when it does not know."""
    return file.frames if 0 < file.frames < np.iinfo(np.int64).max else 0


_STDERR_NAMES = {"linux": "stderr", "darwin": "__stderrp"}


class _CErrors:
    """Sends what C code prints on its `stderr` to nowhere while at least one thread asks for it.

    libmpg123, inside libsndfile, prints a line for each odd frame of an MP3, and nothing that libsndfile offers stops
    it. In glibc and on macOS `stderr` is a variable: pointing it to another FILE for the moment of a read leaves file
    descriptor 2, and with it Python's own `sys.stderr`, the logs and every other thread's writes alone. Elsewhere (musl
    keeps it in read-only memory) the lines stay.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asking = 0
        self._variable = self._nowhere = self._own = None
        name = _STDERR_NAMES.get(sys.platform)
        if name is None or (sys.platform == "linux" and not _is_glibc()):
            return
        process = ctypes.CDLL(None)
        process.fopen.restype = ctypes.c_void_p
        self._variable = ctypes.c_void_p.in_dll(process, name)
        self._nowhere = process.fopen(os.devnull.encode(), b"w")

    @contextlib.contextmanager
    def quiet(self) -> Generator[None]:
        if self._variable is None or not self._nowhere:
            yield
            return
        with self._lock:
            if self._asking == 0:
                self._own, self._variable.value = self._variable.value, self._nowhere
            self._asking += 1
        try:
            yield
        finally:
            with self._lock:
                self._asking -= 1
                if self._asking == 0:
                    self._variable.value = self._own


def _is_glibc() -> bool:
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") is not None
    except (ValueError, OSError):
        return False


quiet = _CErrors().quiet
"""A context in which C code's lines do not reach the terminal or the log."""
