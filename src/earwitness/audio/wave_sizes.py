"""WAV files whose sizes are not what is there: recorders that never went back to the header, pipes, copies cut short.

Sources: Microsoft's Multimedia Programming Interface 1.0 (RIFF), EBU Tech 3306 (RF64 and its chunk ds64).
"""

import struct
from pathlib import Path
from typing import BinaryIO

from earwitness.audio.file_parts import WHOLE_FILE, Link

_CHUNKS_MAX = 1_000
_FORMAT_BYTES_MAX = 65_536
_UNKNOWN_32 = 0xFFFFFFFF
_NEAR = 64 * 1024
_TRAILER_BYTES_MAX = 4_096
"""What follows the audio and is no chunk: up to here it is padding or somebody's tag, beyond it is more audio."""

_TRAILING_CHUNKS = {b"LIST", b"id3 ", b"ID3 ", b"bext", b"iXML", b"JUNK", b"PAD ", b"cue ", b"fact", b"PEAK", b"_PMX"}
"""Chunks that are no audio, even where their own size is wrong."""


def wave_links(path: Path) -> list[Link]:
    """The RIFF or RF64 files that lie one after the other in a file; the whole file where its sizes are right."""
    size = path.stat().st_size
    links: list[Link] = []
    with path.open("rb") as file:
        start: int | None = 0
        while start is not None:
            link, start = _link(file, start, size)
            links.append(link)
    return links


def _link(file: BinaryIO, start: int, size: int) -> tuple[Link, int | None]:
    """The WAV that begins here, and where another one begins behind it."""
    found = _find_data(file, start, size)
    if found is None:
        return WHOLE_FILE if start == 0 else Link(parts=(range(start, size),)), None
    wave_format, begin, declared = found
    present = size - begin
    following = _after_chunks(file, begin + declared, size) if declared <= present else None
    if following is not None:
        honest = start == 0 and following == size
        link = WHOLE_FILE if honest else _rebuilt(wave_format, begin, declared)
        return link, None if following == size else following
    if declared <= present - _TRAILER_BYTES_MAX or _stands_for_unknown(declared):
        return _rebuilt(wave_format, begin, present), None
    if declared <= present:
        return WHOLE_FILE if start == 0 else _rebuilt(wave_format, begin, declared), None
    link = _rebuilt(wave_format, begin, present)
    return Link(parts=link.parts, present=present / declared), None


def _find_data(file: BinaryIO, start: int, size: int) -> tuple[bytes, int, int] | None:
    """The content of the chunk fmt, where the audio begins, and the size that is declared for it."""
    file.seek(start)
    head = file.read(12)
    if head[:4] not in (b"RIFF", b"RF64") or head[8:12] != b"WAVE":
        return None
    at, wave_format, long_size = start + 12, b"", _UNKNOWN_32
    for _ in range(_CHUNKS_MAX):
        file.seek(at)
        name, length = _chunk(file.read(8))
        if name == b"data":
            declared = long_size if head[:4] == b"RF64" and length == _UNKNOWN_32 else length
            return (wave_format, at + 8, declared) if wave_format else None
        if name == b"fmt ":
            wave_format = file.read(min(length, _FORMAT_BYTES_MAX))
        elif name == b"ds64" and len(sizes := file.read(16)) == 16:
            long_size = struct.unpack("<QQ", sizes)[1]
        at += 8 + length + length % 2
        if not name or at >= size:
            return None
    return None


def _after_chunks(file: BinaryIO, at: int, size: int) -> int | None:
    """Where a chain of chunks from here leads: to the end of the file, or to another WAV; None when it is no chain."""
    for _ in range(_CHUNKS_MAX):
        if at >= size:
            return size
        file.seek(at)
        name, length = _chunk(file.read(8))
        if not name and at % 2 and _is_chunk(file, at + 1):
            at += 1  # the pad byte behind audio of odd length
            continue
        if name in (b"RIFF", b"RF64"):
            return at
        if name in _TRAILING_CHUNKS and at + 8 + length > size:
            return size
        if not name or at + 8 + length > size:
            return size if size - at == 1 else None
        at += 8 + length + length % 2
    return None


def _is_chunk(file: BinaryIO, at: int) -> bool:
    file.seek(at)
    return bool(_chunk(file.read(8))[0])


def _chunk(head: bytes) -> tuple[bytes, int]:
    """A chunk's name and size; an empty name when this is none."""
    if len(head) < 8 or not all(0x20 <= letter < 0x7F for letter in head[:4]):
        return b"", 0
    return head[:4], struct.unpack("<I", head[4:])[0]


def _stands_for_unknown(declared: int) -> bool:
    """Whether recorders write this size when they cannot know: nothing, 2e9, the ends of 31, 32 and 64 bits."""
    near = (1 << 31, 1 << 32, 1 << 63, 1 << 64)
    return declared in (0, 2_000_000_000) or any(abs(declared - end) <= _NEAR for end in near)


def _rebuilt(wave_format: bytes, begin: int, length: int) -> Link:
    """The audio behind a header that tells its true length."""
    pad = b"\0" * (len(wave_format) % 2)
    chunks = b"fmt " + struct.pack("<I", len(wave_format)) + wave_format + pad
    sizes = b""
    riff, data = 4 + len(chunks) + 8 + length, length
    if riff > _UNKNOWN_32:
        sizes = b"ds64" + struct.pack("<IQQQI", 28, riff + 36, length, 0, 0)
        riff = data = _UNKNOWN_32
    head = (b"RF64" if sizes else b"RIFF") + struct.pack("<I", riff) + b"WAVE"
    header = head + sizes + chunks + b"data" + struct.pack("<I", data)
    return Link(parts=(header, range(begin, begin + length)))
