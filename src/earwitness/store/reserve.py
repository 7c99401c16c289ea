"""Bytes that are kept beside a SQLite database and given up when its disk is full, so that things can still be deleted
and ended.

A deletion writes to the write-ahead log before it frees anything. Other changes do not get these bytes: while they are
given up, those are refused until the file is whole again.
"""

import logging
import os
from pathlib import Path
from threading import Lock

RESERVE_BYTES = 16 * 2**20
"""Room for what waits in the write-ahead log, for a deletion of some thousands of voiceprints, and for any number of
small ones."""

_SHARE = 10
"""At most a tenth of the file system, so that a small disk is of use too. Less than 4 MiB helps little: before
a deletion frees anything, what waits in the write-ahead log has to move into the database, and that is as much."""

_log = logging.getLogger("earwitness.store")


class Reserve:
    """A file of zeros. Safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()

    def fill(self) -> bool:
        """Whether the file is whole, after what is missing was added, if the disk has room for all of it."""
        with self._lock:
            disk = os.statvfs(self._path.parent)
            wanted = min(RESERVE_BYTES, disk.f_blocks * disk.f_frsize // _SHARE)
            if self._size() >= wanted:
                return True
            if disk.f_bavail * disk.f_frsize < 2 * wanted:  # taking the last bytes would refuse others what they need
                return False
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, max(wanted, 1))
            except OSError as error:
                _log.warning("there is no room for the records' reserve", extra={"reason": str(error.strerror)})
                os.ftruncate(descriptor, 0)
                return False
            finally:
                os.close(descriptor)
            return True

    def give_up(self) -> bool:
        """Free the bytes; False when there were none."""
        with self._lock:
            if self._size() == 0:
                return False
            os.truncate(self._path, 0)
        _log.warning("the disk of the records is full; their reserve is used to delete, and other changes are refused")
        return True

    def is_given_up(self) -> bool:
        """Whether the bytes were given up and are not back."""
        return self._path.exists() and self._size() == 0

    def _size(self) -> int:
        return self._path.stat().st_size if self._path.exists() else 0
