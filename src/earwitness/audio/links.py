"""What one file holds one after the other: chained Ogg, concatenated FLAC and WAV, MP3 of any length, found by content.

What belongs here: where in a file each stream of audio lies. What must never: decoding it (`sound_file.py`).
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from earwitness.audio.file_parts import WHOLE_FILE, Link
from earwitness.audio.mp3_frames import mp3_link
from earwitness.audio.wave_sizes import wave_links
from earwitness.errors import AudioUnreadable

LINKS_MAX = 1_000
_SCAN_BYTES = 1 << 20
_FLAC_START = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")
"""The marker and the head of STREAMINFO, which always comes first and has 34 bytes (RFC 9639)."""

_OGG_HEAD_BYTES = 27
_OGG_FIRST_PAGE = 0x02


def links_of(path: Path) -> list[Link]:
    """The streams of audio in a file, in order.

    Raises AudioUnreadable for more than `LINKS_MAX`, OSError when the file cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] in (b"RIFF", b"RF64"):
            links = wave_links(path)
        elif head[:4] == b"OggS":
            links = _split(path, list(_ogg_starts(file)))
        elif head[:4] == b"fLaC":
            links = _split(path, list(_matches(file, _FLAC_START)))
        elif head[:3] == b"ID3" or (len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0):
            links = [mp3_link(path)]
        else:
            links = [WHOLE_FILE]
    if len(links) > LINKS_MAX:
        raise AudioUnreadable(
            f"{path.name} holds {len(links):,} streams one after the other and {LINKS_MAX:,} are read; split it"
        )
    return links


def _split(path: Path, starts: list[int]) -> list[Link]:
    if len(starts) < 2:
        return [WHOLE_FILE]
    ends = [*starts[1:], path.stat().st_size]
    return [Link(parts=(range(start, end),)) for start, end in zip(starts, ends, strict=True)]


def _ogg_starts(file: BinaryIO) -> Iterator[int]:
    """Where each link of a chain begins: a first page (RFC 3533) behind a page that is none."""
    at, in_heads = 0, False
    while True:
        file.seek(at)
        head = file.read(_OGG_HEAD_BYTES)
        if len(head) < _OGG_HEAD_BYTES or head[:4] != b"OggS":
            return
        is_first = bool(head[5] & _OGG_FIRST_PAGE)
        if is_first and not in_heads:
            yield at
        in_heads = is_first
        at += _OGG_HEAD_BYTES + head[26] + sum(file.read(head[26]))


def _matches(file: BinaryIO, pattern: re.Pattern[bytes]) -> Iterator[int]:
    """Offsets of all matches in a file, which are shorter than 16 bytes, read piece by piece."""
    at, rest = 0, b""
    file.seek(0)
    while data := file.read(_SCAN_BYTES):
        piece = rest + data
        for found in pattern.finditer(piece):
            if found.end() > len(rest):  # what ends in the former piece was found there
                yield at - len(rest) + found.start()
        at += len(data)
        rest = piece[-15:]
