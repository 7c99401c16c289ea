"""Whose media lie in a folder, and of which streams: what can be told without opening the log.

Commands ask this of every installation, so nothing is loaded here that reads media.
"""

import os
import re
from contextlib import suppress
from pathlib import Path

from earwitness.fragments.names import disk_errors, replace_file

_OWNER_FILE = "records"
_STREAM = re.compile("[0-9a-f]{64}")


def owner_of(folder: Path) -> str | None:
    """Return the name of the records that these media belong to; None when that was never written down.

    Raise FragmentLogUnavailable when the folder cannot be read.
    """
    with disk_errors(), suppress(FileNotFoundError):
        return (folder / _OWNER_FILE).read_text(encoding="ascii", errors="replace").strip() or None
    return None


def write_owner(folder: Path, owner: str) -> None:
    """Write down whose media these are, unless it is known. OSErrors pass."""
    if owner_of(folder) is None:
        replace_file(folder / _OWNER_FILE, f"{owner}\n".encode("ascii"))


def streams_in(folder: Path) -> frozenset[str]:
    """Return digests of the streams that something is stored of.

    Raise FragmentLogUnavailable when the folder cannot be read.
    """
    with disk_errors(), suppress(FileNotFoundError), os.scandir(folder) as entries:
        return frozenset(entry.name for entry in entries if _STREAM.fullmatch(entry.name) and entry.is_dir())
    return frozenset()
