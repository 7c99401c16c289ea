"""Names, rights and durable changes of the files of one stream, whose folder is called by the stream's digest.

    SEQUENCE.segment    records one after the other; the name is the first one's sequence
    SEQUENCE.index      the columns of that segment, so that it need not be walked again
    sequence            below this number all sequences may have been given out
    lost                sequences behind which something was that cannot be read; where nothing was, there is no file

What belongs here: what files are called, and how they come to be. What must never: what is in them.
"""

import os
from pathlib import Path

FOLDER_RIGHTS, FILE_RIGHTS = 0o700, 0o600


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


def sync_file(path: Path) -> None:
    """Make its content and length durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
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


def path_text(folder: Path) -> str:
    """A stream's folder as a log may name it."""
    return folder.name[:16]
