"""Where a stream's fragments are lost: the file `lost`, a line for each sequence behind which something was.

An index file says nothing of what could not be read, and a segment is walked once; so a loss is written down before
the index that hides it. Sequences may have holes by themselves (numbers are given out that are never appended), so a
hole proves nothing.

What belongs here: that file. What must never: finding losses, telling readers of them.
"""

import logging
from collections.abc import Iterable
from pathlib import Path

from earwitness.fragments.names import path_text, replace_file

_log = logging.getLogger("earwitness.fragments")


def load_losses(folder: Path) -> list[int]:
    """The sequences, ascending. Lines that are none are logged and left out."""
    try:
        lines = (folder / "lost").read_text(encoding="ascii", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    read = [int(line) for line in lines if line.isascii() and line.isdigit()]
    if len(read) < len(lines):
        _log.error("the file `lost` is damaged; some gaps will not be told", extra={"file": path_text(folder)})
    return sorted(set(read))


def add_losses(folder: Path, lost_after: Iterable[int]) -> None:
    """Remember these too, durably."""
    known = load_losses(folder)
    if missing := set(lost_after) - set(known):
        _write(folder, {*known, *missing})


def forget_losses(folder: Path, *, before: int) -> list[int]:
    """Drop those before a sequence, behind which nothing is kept that they could be told with; the others."""
    known = load_losses(folder)
    kept = [sequence for sequence in known if sequence >= before]
    if len(kept) < len(known):
        _write(folder, kept)
    return kept


def _write(folder: Path, sequences: Iterable[int]) -> None:
    replace_file(folder / "lost", "".join(f"{sequence}\n" for sequence in sorted(sequences)).encode())
