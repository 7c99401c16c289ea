"""Where in a file its streams of audio lie: chained Ogg, concatenated FLAC and WAV, MP3 of any length, wrong sizes.

What belongs here: stretches of a file, and bytes that stand in for what its writer got wrong. What must never: decoding
them (`sound_file.py`).

Sources: Microsoft's Multimedia Programming Interface 1.0 (RIFF), EBU Tech 3306 (RF64 and its chunk ds64), RFC 3533
(Ogg), RFC 9639 (FLAC), ISO/IEC 11172-3 and 13818-3 (MP3's frames); Xing's tag, as LAME writes it.
"""

import io
import os
import re
import struct
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from earwitness.audio.recording import changes_on_the_way
from earwitness.errors import AudioUnreadable

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Part = bytes | range
"""Bytes of our own, or a stretch of the file by its offsets."""


@dataclass(frozen=True, kw_only=True)
class Link:
    """One stream of audio in a file; a file that was chained or concatenated holds several."""

    parts: tuple[Part, ...]
    """The whole file as it is when this is empty."""

    present: float = 1.0
    """How much of the length that its header declares is there, 0 to 1; a file that was cut has less than all."""


WHOLE_FILE = Link(parts=())


class FileParts(io.RawIOBase):
    """A read-only binary file of a link's parts, one after the other."""

    def __init__(self, path: Path, parts: tuple[Part, ...]) -> None:
        self._file = path.open("rb")
        self._parts = parts
        self._starts = [0, *accumulate(len(part) for part in parts)]
        self._at = 0

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Fill the buffer as far as there are bytes; how many were read."""
        view = memoryview(buffer).cast("B")
        filled = 0
        while filled < len(view) and self._at < self._starts[-1]:
            piece = self._piece(len(view) - filled)
            if not piece:
                break  # the file became shorter while it was read
            view[filled : filled + len(piece)] = piece
            filled += len(piece)
            self._at += len(piece)
        return filled

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._starts[-1]}[whence]
        self._at = max(0, start + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def close(self) -> None:
        self._file.close()
        super().close()

    def _piece(self, count: int) -> bytes:
        """At most `count` bytes of the part that the position is in."""
        index = bisect_right(self._starts, self._at) - 1
        part, within = self._parts[index], self._at - self._starts[index]
        if isinstance(part, bytes):
            return part[within : within + count]
        self._file.seek(part.start + within)
        return self._file.read(min(count, len(part) - within))


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
            links = _wave_links(path)
        elif head[:4] == b"OggS":
            links = _split(path, list(_ogg_starts(file)))
        elif head[:4] == b"fLaC":
            links = _split(path, list(_matches(file, _FLAC_START)))
        elif head[:3] == b"ID3" or (len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0):
            links = [_mp3_link(path)]
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


_CHUNKS_MAX = 1_000
_FORMAT_BYTES_MAX = 65_536
_UNKNOWN_32 = 0xFFFFFFFF
_NEAR = 64 * 1024
_TRAILER_BYTES_MAX = 4_096
"""What follows the audio and is no chunk: up to here it is padding or somebody's tag, beyond it is more audio."""

_TRAILING_CHUNKS = {b"LIST", b"id3 ", b"ID3 ", b"bext", b"iXML", b"JUNK", b"PAD ", b"cue ", b"fact", b"PEAK", b"_PMX"}
"""Chunks that are no audio, even where their own size is wrong."""


def _wave_links(path: Path) -> list[Link]:
    """The RIFF or RF64 files that lie one after the other in a file; the whole file where its sizes are right."""
    size = path.stat().st_size
    links: list[Link] = []
    with path.open("rb") as file:
        start: int | None = 0
        while start is not None:
            link, start = _wave_link(file, start, size)
            links.append(link)
    return links


def _wave_link(file: BinaryIO, start: int, size: int) -> tuple[Link, int | None]:
    """The WAV that begins here, and where another one begins behind it."""
    found = _find_wave_data(file, start, size)
    if found is None:
        return WHOLE_FILE if start == 0 else Link(parts=(range(start, size),)), None
    wave_format, begin, declared = found
    present = size - begin
    following = _after_chunks(file, begin + declared, size) if declared <= present else None
    if following is not None:
        honest = start == 0 and following == size
        link = WHOLE_FILE if honest else _rebuilt_wave(wave_format, begin, declared)
        return link, None if following == size else following
    if declared <= present - _TRAILER_BYTES_MAX or _stands_for_unknown(declared):
        return _rebuilt_wave(wave_format, begin, present), None
    if declared <= present:
        return WHOLE_FILE if start == 0 else _rebuilt_wave(wave_format, begin, declared), None
    link = _rebuilt_wave(wave_format, begin, present)
    return Link(parts=link.parts, present=present / declared), None


def _find_wave_data(file: BinaryIO, start: int, size: int) -> tuple[bytes, int, int] | None:
    """The content of the chunk fmt, where the audio begins, and the size that is declared for it."""
    file.seek(start)
    head = file.read(12)
    if head[:4] not in (b"RIFF", b"RF64") or head[8:12] != b"WAVE":
        return None
    at, wave_format, long_size = start + 12, b"", _UNKNOWN_32
    for _ in range(_CHUNKS_MAX):
        file.seek(at)
        name, length = _parse_chunk(file.read(8))
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
        name, length = _parse_chunk(file.read(8))
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
    return bool(_parse_chunk(file.read(8))[0])


def _parse_chunk(head: bytes) -> tuple[bytes, int]:
    """A chunk's name and size; an empty name when this is none."""
    if len(head) < 8 or not all(0x20 <= letter < 0x7F for letter in head[:4]):
        return b"", 0
    return head[:4], struct.unpack("<I", head[4:])[0]


def _stands_for_unknown(declared: int) -> bool:
    """Whether recorders write this size when they cannot know: nothing, 2e9, the ends of 31, 32 and 64 bits."""
    near = (1 << 31, 1 << 32, 1 << 63, 1 << 64)
    return declared in (0, 2_000_000_000) or any(abs(declared - end) <= _NEAR for end in near)


def _rebuilt_wave(wave_format: bytes, begin: int, length: int) -> Link:
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


_READ_BYTES = 1 << 20
_KBITS_MPEG_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBITS_MPEG_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_MP3_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
"""Hz, by the header's bits of the version: MPEG 1, 2, and 2.5."""

_SYNC = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb]")
_SLACK_SHARE, _SLACK_BYTES = 0.02, 2_048
"""Tags at the end of a file may be this long; what is longer behind the stated length is more audio."""


@dataclass(frozen=True, slots=True)
class _Mp3Frame:
    """What the header of a frame of layer III says."""

    head: bytes
    length: int
    rate: int
    mono: bool
    side_bytes: int
    """Of the side information, behind which a tag may stand instead of sound."""


def _mp3_link(path: Path) -> Link:
    """The file as it is where its first frame tells its length, else its frames behind a tag that does.

    Raises AudioUnreadable when its rate or channels change on the way.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        reader = _FileReader(file)
        start = next(_mp3_frames(reader, 0, size), None)
        if start is None:
            return WHOLE_FILE
        at, first = start
        if _stated_bytes(reader, at, first) >= (size - at) * (1 - _SLACK_SHARE) - _SLACK_BYTES:
            return WHOLE_FILE
        stretches: list[range] = []
        count = 0
        for found, frame in _mp3_frames(reader, at, size):
            if (frame.rate, frame.mono) != (first.rate, first.mono):
                raise changes_on_the_way(path)
            if _length_tag(reader, found, frame):
                continue
            count += 1
            end = found + frame.length
            if stretches and stretches[-1].stop == found:
                stretches[-1] = range(stretches[-1].start, end)
            else:
                stretches.append(range(found, end))
    if not count:
        return WHOLE_FILE
    parts: list[Part] = [_true_length_tag(first, count, sum(len(each) for each in stretches)), *stretches]
    return Link(parts=tuple(parts))


class _FileReader:
    """Bytes at any place of a file, read in large pieces."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._base, self._data = 0, b""

    def take(self, at: int, count: int) -> bytes:
        start = at - self._base
        if start < 0 or start + count > len(self._data):
            self._file.seek(at)
            self._base, self._data, start = at, self._file.read(max(count, _READ_BYTES)), 0
        return self._data[start : start + count]


def _mp3_frames(reader: _FileReader, at: int, size: int) -> Iterator[tuple[int, _Mp3Frame]]:
    """Each whole frame and where it begins; tags and what is damaged are passed over."""
    known: dict[bytes, _Mp3Frame | None] = {}
    in_step = False
    while at + 4 <= size:
        head = reader.take(at, 4)
        if head not in known:
            known[head] = _parse_mp3_head(head)
        frame = known[head]
        if (
            frame is not None
            and at + frame.length <= size
            and (in_step or _is_followed(reader, at + frame.length, size))
        ):
            yield at, frame
            at += frame.length
            in_step = True
            continue
        in_step = False
        if tag := _id3_bytes(reader.take(at, 10)):
            at += tag
            continue
        piece = reader.take(at + 1, min(_READ_BYTES, size - at - 1))
        found = _SYNC.search(piece)
        at += 1 + (found.start() if found else max(1, len(piece) - 1))


def _is_followed(reader: _FileReader, at: int, size: int) -> bool:
    """Whether another frame, a tag or the end follows: two bytes of damage may look like one frame, not like two."""
    following = reader.take(at, 4)
    return at >= size or following[:3] in (b"ID3", b"TAG") or _parse_mp3_head(following) is not None


def _parse_mp3_head(head: bytes) -> _Mp3Frame | None:
    """The header of a frame of layer III with a stated bit rate, or None."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return None
    version, kbits, rate = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or kbits in (0, 15) or rate == 3:
        return None
    return _mp3_frame(head, version=version, kbits_index=kbits, rate=_MP3_RATES[version][rate])


def _mp3_frame(head: bytes, *, version: int, kbits_index: int, rate: int) -> _Mp3Frame:
    is_mpeg_1, mono = version == 3, head[3] & 0xC0 == 0xC0
    kbits = (_KBITS_MPEG_1 if is_mpeg_1 else _KBITS_MPEG_2)[kbits_index]
    length = (144_000 if is_mpeg_1 else 72_000) * kbits // rate + (head[2] >> 1 & 1)
    side = (17 if mono else 32) if is_mpeg_1 else (9 if mono else 17)
    return _Mp3Frame(head=head, length=length, rate=rate, mono=mono, side_bytes=side)


def _length_tag(reader: _FileReader, at: int, frame: _Mp3Frame) -> bytes:
    """What stands behind a frame's side information when that is a tag of lengths: its name, flags and numbers."""
    tag = reader.take(at + 4 + frame.side_bytes, 16)
    return tag if tag[:4] in (b"Xing", b"Info") else b""


def _stated_bytes(reader: _FileReader, at: int, frame: _Mp3Frame) -> int:
    """How long the first frame says that the file is from there; 0 when it does not."""
    tag = _length_tag(reader, at, frame)
    if len(tag) < 16:
        return 0
    flags, *numbers = struct.unpack(">4xIII", tag)
    return numbers[flags & 1] if flags & 2 and flags & 1 else 0


def _true_length_tag(like: _Mp3Frame, count: int, length: int) -> bytes:
    """A frame of 64 kbit/s without sound that tells how many frames and bytes follow."""
    version = like.head[1] >> 3 & 3
    index = (_KBITS_MPEG_1 if version == 3 else _KBITS_MPEG_2).index(64)
    head = bytes((0xFF, like.head[1] | 1, index << 4 | like.head[2] & 0x0C, like.head[3]))
    frame = _mp3_frame(head, version=version, kbits_index=index, rate=like.rate)
    tag = b"Info" + struct.pack(">III", 3, count, length + frame.length)
    return (head + bytes(frame.side_bytes) + tag).ljust(frame.length, b"\0")


def _id3_bytes(head: bytes) -> int:
    """Length of an ID3v2 tag, 0 when there is none."""
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    first, second, third, fourth = head[6:10]
    return 10 + (first << 21 | second << 14 | third << 7 | fourth)
