"""Remove the device id and the events that onnxruntime kept for sending, before earwitness opted out of its telemetry.

`import earwitness` sets ORT_DISABLE_TELEMETRY=1, which is the opt-out. The folder is onnxruntime's own, and other
programs of the same user may use it: so it is looked at once for each models' folder, and only files that onnxruntime
is known to make are removed. A program that sends telemetry on purpose makes them again and loses nothing else.
"""

import os
from pathlib import Path

_FILES = ("deviceid", "onnxruntime.db", "onnxruntime.db-wal", "onnxruntime.db-shm", "onnxruntime.db-journal")
"""Seen with onnxruntime 1.32.0."""

_MARKER = ".no-telemetry"
"""In a models' folder: nothing of an earlier version is left."""


def remove_leftovers(models_dir: Path) -> None:
    """Remove what onnxruntime kept for sending. Done once; a folder that cannot be written is left as it is."""
    try:
        (models_dir / _MARKER).touch(exist_ok=False)
    except OSError:  # it is done, or this user may not write here
        return
    folder = _cache_folder() / "Microsoft" / "DeveloperTools" / ".onnxruntime"
    if any(path.is_symlink() for path in (folder, folder.parent, folder.parent.parent)):
        return
    for name in _FILES:
        _unlink(folder / name)
    for empty in (folder, folder.parent, folder.parent.parent):
        try:
            empty.rmdir()
        except OSError:  # it is not there, or something of somebody else is in it
            return


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:  # not ours to remove
        return


def _cache_folder() -> Path:
    """Return the folder that onnxruntime uses on Linux."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
