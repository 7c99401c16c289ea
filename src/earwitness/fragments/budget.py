"""How much the media may take of a disk: they are refused below a reserve for the records, and above a bound.

Refused, not overwritten: media that were kept are a promise to their account, and whoever sends much could otherwise
erase what others keep. What is refused is told to its producer, and can be sent again.

What belongs here: measuring and refusing. What must never: deleting.
"""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock

from earwitness.errors import FragmentLogUnavailable
from earwitness.metrics.counts import DiskState

RESERVE_SHARE = 20
"""The reserve is at most this part of the file system, a twentieth, so that a small disk is of use too."""

_MEASURED_SECONDS = 60.0
_MEASURED_AGAIN_SECONDS = 5.0
"""How old a measure of all media may be, and how old where the bound is reached: what was deleted must be seen."""

_log = logging.getLogger("earwitness.fragments")


class Budget:
    """What the media of one folder may take. Safe to use from several threads."""

    def __init__(
        self,
        folder: Path,
        *,
        reserve_bytes: int = 0,
        bytes_max: int = 0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`reserve_bytes` stay free on the file system; all media together take `bytes_max`. 0 is no limit."""
        self._folder = folder
        self._reserve_bytes = reserve_bytes
        self._bytes_max = bytes_max
        self._monotonic = monotonic
        self._lock = Lock()
        self._measured_at = float("-inf")
        self._bytes = 0
        self._refused_size = 0

    def require(self, size: int) -> None:
        """Count so many bytes that are about to be written. FragmentLogUnavailable when there is no room for them."""
        refusal = self.refusal(size)
        with self._lock:
            if refusal is None:
                self._bytes += size
            changed = bool(self._refused_size) != (refusal is not None)
            self._refused_size = 0 if refusal is None else max(size, 1)
        if changed:
            _log.warning("media are refused" if refusal else "media are taken again", extra={"reason": refusal})
        if refusal is not None:
            raise FragmentLogUnavailable(refusal)

    def standing_refusal(self) -> str | None:
        """Why media like the last are refused; None when they would be taken."""
        return self.refusal(self._refused_size)

    def refusal(self, size: int = 0) -> str | None:
        """Why so many bytes would be refused now; None when they would be taken. OSErrors of the disk pass."""
        return self._disk_refusal(size) or self._bound_refusal(size)

    def state(self) -> DiskState:
        """Return what all media take, and the disk they are on. It walks through all files. OSErrors pass."""
        disk = os.statvfs(self._folder)
        return DiskState(
            media_bytes=_measure(self._folder),
            free_bytes=disk.f_bavail * disk.f_frsize,
            size_bytes=disk.f_blocks * disk.f_frsize,
        )

    def _disk_refusal(self, size: int) -> str | None:
        if not self._reserve_bytes:
            return None
        disk = os.statvfs(self._folder)
        total, free = disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize
        reserve = min(self._reserve_bytes, total // RESERVE_SHARE)
        if total == 0 or free - size >= reserve:  # a file system without a size does not say what is free
            return None
        return (
            f"the disk of the media has {_mb(free)} free, and {_mb(reserve)} are kept for the records: media are "
            "refused; make room, or shorten retentions"
        )

    def _bound_refusal(self, size: int) -> str | None:
        if not self._bytes_max or self._known(_MEASURED_SECONDS) + size <= self._bytes_max:
            return None
        known = self._known(_MEASURED_AGAIN_SECONDS)
        if known + size <= self._bytes_max:
            return None
        return (
            f"all media take {_mb(known)}, and {_mb(self._bytes_max)} is their bound (media_bytes): media are refused; "
            "delete streams, shorten retentions, or raise the bound"
        )

    def _known(self, seconds: float) -> int:
        """Bytes of all media: as measured at most so long ago, and what was written since."""
        with self._lock:
            if self._monotonic() - self._measured_at > seconds:
                self._bytes = _measure(self._folder)
                self._measured_at = self._monotonic()
            return self._bytes


def _measure(folder: Path) -> int:
    """Bytes of all files below a folder. One that is deleted meanwhile counts nothing."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(parent, name)).st_size  # noqa: PTH116, PTH118  # ten thousands of files
            except FileNotFoundError:
                continue
    return total


def _mb(size: int) -> str:
    return f"{size / 1e6:.0f} MB"
