"""Which records know the streams of a media folder: the file `records` in it, one line that names them.

Media whose records are not these look like media without a record, which are deleted. So whoever opens both compares
them first.

What belongs here: that file. What must never: what the name means.
"""

import os
import re
from pathlib import Path

from earwitness.fragments.lanes import translated
from earwitness.fragments.names import replace_file

_FILE = "records"
_STREAM = re.compile("[0-9a-f]{64}")


def owner_of(folder: Path) -> str | None:
    """The records that these media belong to; None when that was never written down.

    FragmentLogUnavailable when the folder cannot be read.
    """
    try:
        return (folder / _FILE).read_text(encoding="ascii", errors="replace").strip() or None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise translated(error) from error


def write_owner(folder: Path, owner: str) -> None:
    """Write down whose media these are, unless it is known. Raises OSError."""
    if owner_of(folder) is None:
        replace_file(folder / _FILE, f"{owner}\n".encode("ascii"))


def streams_in(folder: Path) -> frozenset[str]:
    """Digests of the streams that something is stored of. FragmentLogUnavailable when the folder cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry in entries if _STREAM.fullmatch(entry.name) and entry.is_dir())
    except FileNotFoundError:
        return frozenset()
    except OSError as error:
        raise translated(error) from error
