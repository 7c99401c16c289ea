"""Folders of recordings: which files are meant, and whose they are.

Hidden files (`.DS_Store`, macOS's `._call.wav`) and documents are passed over. Every recording is given, those of
a kind that is not read too: whoever opens it says so by name.
"""

import mimetypes
import unicodedata
from pathlib import Path

from earwitness.errors import AudioUnreadable, GalleryUnreadable

_SUFFIXES = frozenset(
    {".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aiff", ".aif", ".au", ".caf", ".w64", ".gsm", ".mkv", ".mka"}
    | {".m4a", ".mp4", ".3gp", ".aac", ".amr", ".awb", ".wma", ".webm", ".weba", ".wv"}
    | {".ape", ".vox", ".dss", ".ds2", ".dvf", ".msv", ".raw", ".pcm", ".ulaw", ".alaw", ".g722", ".g729"}
)
"""Read, read with the extra `formats`, and not read."""


def recordings_in(folder: Path) -> list[Path]:
    """The recordings in a folder and the folders below it, in order. Raises AudioUnreadable when there are none."""
    found = _below(folder)
    if not found:
        raise AudioUnreadable(f"{folder} holds no recordings")
    return found


def people_in(folder: Path) -> dict[str, list[Path]]:
    """Person → recordings: a sub-folder is a person, and so is a file; named after it, in order.

    Raises GalleryUnreadable when the folder cannot be read or holds no recording.
    """
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise GalleryUnreadable(f"the folder {folder} cannot be read: {error.strerror}") from error
    people: dict[str, list[Path]] = {}
    for entry in entries:
        if files := _below(entry) if entry.is_dir() else [entry] if _is_recording(entry) else []:
            name = profile_name(entry.name if entry.is_dir() else entry.stem)
            people.setdefault(name, []).extend(files)
    if not people:
        raise GalleryUnreadable(f"{folder} holds no recordings; it needs one folder or audio file per person")
    return people


def _below(folder: Path) -> list[Path]:
    return sorted(
        file
        for file in folder.rglob("*")
        if _is_recording(file) and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    )


def _is_recording(file: Path) -> bool:
    """By its name: what is in it, is seen when it is opened."""
    kind, _ = mimetypes.guess_type(file.name)
    return file.suffix.lower() in _SUFFIXES or (kind or "").startswith(("audio/", "video/"))


def profile_name(text: str) -> str:
    """Return what a person is called in a gallery: the name without blanks around it, in Unicode's composed form (NFC).

    macOS gives file names decomposed: `Zoë` typed and `Zoë` read from a folder would be two people.
    """
    return unicodedata.normalize("NFC", text.strip())
