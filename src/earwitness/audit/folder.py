"""A folder for checkpoints and files of entries: on another disk, another machine's share, or beside the data.

`checkpoints/DAY-CHAIN.jsonl` has a line for each checkpoint, `entries/CHAIN/FIRST-LAST.jsonl` the entries that were
taken off the records. CHAIN is the id of a node, or `records` for what no node wrote.
"""

import hashlib
import os
import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

from earwitness.errors import AuditPlaceUnavailable

LINES_KEPT = timedelta(days=30)
"""After that a day's last checkpoint is enough: each one proves all entries before it."""

DAYS_KEPT = timedelta(days=400)

_NAME = re.compile(r"[0-9A-Za-z-]{1,64}", re.ASCII)

CHECKPOINTS, ENTRIES = "checkpoints", "entries"


class AuditFolder:
    """One such folder. It is made when something is first written. Its methods raise AuditPlaceUnavailable."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def address(self) -> str:
        """See `AuditPlace`."""
        return str(self.folder)

    def add_checkpoint(self, chain: str, line: bytes, *, now: datetime) -> None:
        """Append a line to the day's file of a chain; return when it is on the disk."""
        path = self.folder / CHECKPOINTS / f"{now:%Y-%m-%d}-{chain_name(chain)}.jsonl"
        try:
            _make_folder(path.parent)
            is_new = not path.exists()
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                end = os.lseek(descriptor, 0, os.SEEK_END)
                # A line that a kill left unfinished is not continued.
                torn = end > 0 and os.pread(descriptor, 1, end - 1) != b"\n"
                _write_all(descriptor, (b"\n" if torn else b"") + line + b"\n")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if is_new:
                _sync_folder(path.parent)
        except OSError as error:
            raise _unavailable(path, error) from error

    def put_entries(self, chain: str, *, first: int, last: int, lines: Iterable[bytes]) -> None:
        """Write a file of entries, whole or not at all, in place of one of the same name."""
        write_whole(self.folder / ENTRIES / chain_name(chain) / f"{first:012d}-{last:012d}.jsonl", lines)

    def thin(self, *, now: datetime) -> None:
        """Keep the last checkpoint of days that are over for a while, and none of those that are over for long."""
        for path in self.checkpoint_files():
            day = path.name[:10]
            if day < f"{now - DAYS_KEPT:%Y-%m-%d}":
                path.unlink(missing_ok=True)
            elif day < f"{now - LINES_KEPT:%Y-%m-%d}":
                lines = _read(path).splitlines()
                if len(lines) > 1:
                    write_whole(path, [lines[-1] + b"\n"])

    def checkpoint_files(self) -> list[Path]:
        """Return the files of checkpoints, oldest day first."""
        return sorted((self.folder / CHECKPOINTS).glob("????-??-??-*.jsonl"))

    def entry_files(self) -> list[Path]:
        """Return the files of entries, each chain in its order."""
        return sorted((self.folder / ENTRIES).glob("*/*.jsonl"))


def chain_name(node: str) -> str:
    """Return what the chain of a node is called in names of files; no name of a node climbs out of a folder."""
    if not node:
        return "records"
    return node if _NAME.fullmatch(node) else f"other-{hashlib.sha256(node.encode()).hexdigest()[:32]}"


def write_whole(path: Path, lines: Iterable[bytes]) -> None:
    """Write a file that is there whole or not at all, for its owner alone. Raise AuditPlaceUnavailable."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        _make_folder(path.parent)
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.writelines(lines)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except OSError as error:
        raise _unavailable(path, error) from error


def _unavailable(path: Path, error: OSError) -> AuditPlaceUnavailable:
    return AuditPlaceUnavailable(f"{path} cannot be written: {error.strerror}; look at the disk and its rights")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise AuditPlaceUnavailable(f"{path} cannot be read: {error.strerror}") from error


def _make_folder(folder: Path) -> None:
    """Make what is missing of a path, for its owner alone."""
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True, mode=0o700)


def _write_all(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
