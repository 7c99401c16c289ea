"""Names, rights and durable changes of the files of one stream, whose folder is called by the stream's digest.

    SEQUENCE.segment    records one after the other; the name is the first one's sequence
    SEQUENCE.index      the columns of that segment, so that it need not be walked again
    sequence            below this number all sequences may have been given out
    lost                sequences behind which something was that cannot be read; where nothing was, there is no file

What belongs here: what files are called, and how they come and go. What must never: what is in them.
"""

import logging
import os
import shutil
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

from earwitness import descriptors
from earwitness.errors import FragmentLogUnavailable
from earwitness.log import Recurring

FOLDER_RIGHTS, FILE_RIGHTS = 0o700, 0o600

DELETED_SUFFIX = ".deleted"
"""Of a folder that is being deleted."""

_log = logging.getLogger("earwitness.fragments")
_failing = Recurring(_log)


def segment_path(folder: Path, first_sequence: int) -> Path:
    """Return the file of the segment that begins with this sequence."""
    return folder / f"{first_sequence:020}.segment"


def index_path(folder: Path, first_sequence: int) -> Path:
    """Return the file of its columns."""
    return folder / f"{first_sequence:020}.index"


def path_text(folder: Path) -> str:
    """Return a stream's folder as a log may name it."""
    return folder.name[:16]


def sync(path: Path) -> None:
    """Make a file's content and length durable, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make it, durably, when it is not there."""
    if not folder.exists():
        folder.mkdir(mode=FOLDER_RIGHTS, parents=True, exist_ok=True)
        sync(folder.parent)


def replace_file(path: Path, content: bytes) -> None:
    """Put this content there, whole or not at all, durably."""
    new = path.with_suffix(".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_RIGHTS)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
    sync(path.parent)


def remove_segments(folder: Path, firsts: Iterable[int]) -> None:
    """Delete the files of these segments, durably."""
    for first in firsts:
        for path in (segment_path(folder, first), index_path(folder, first)):
            path.unlink(missing_ok=True)
    sync(folder)


def remove_folder(folder: Path) -> None:
    """Delete a stream's folder, whether it is there or not, and what an earlier try left of it.

    Its name goes first, so that no crash brings half of it back.
    """
    doomed = folder.with_suffix(DELETED_SUFFIX)
    if doomed.exists():
        shutil.rmtree(doomed)
    if folder.exists():
        folder.rename(doomed)
        sync(folder.parent)
        shutil.rmtree(doomed)
    sync(folder.parent)


@contextmanager
def disk_errors() -> Generator[None]:
    """Raise FragmentLogUnavailable for what the file system says."""
    try:
        yield
    except OSError as error:
        raise translated(error) from error


def translated(error: Exception) -> Exception:
    """Return FragmentLogUnavailable for what the file system says; anything else as it is."""
    if not isinstance(error, OSError):
        return error
    if descriptors.is_exhausted(error):
        meaning = FragmentLogUnavailable(f"media cannot be kept: {descriptors.advice()}")
        _failing.tell(logging.ERROR, "no file descriptor is free for the media log", reason=descriptors.advice())
    else:
        meaning = FragmentLogUnavailable(f"the media log's disk says: {error.strerror}; make room or look after it")
        _failing.tell(logging.ERROR, "the media log's disk fails", reason=str(error.strerror))
    meaning.__cause__ = error
    return meaning
