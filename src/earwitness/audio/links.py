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
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from earwitness.audio.recording import changes_on_the_way
from earwitness.errors import AudioUnreadable

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

LINKS_MAX = 1_000

_READ_BYTES = 1 << 16
_FLAC_START = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")
_FLAC_START_BYTES = 8
"""The marker and the head of STREAMINFO, which always comes first and has 34 bytes."""

_OGG_HEAD_BYTES = 27
_OGG_FIRST_PAGE = 0x02
_CHUNKS_MAX = 1_000
_FORMAT_BYTES_MAX = 65_536
_UNKNOWN_32 = 0xFFFFFFFF
_NEAR = 64 * 1024
_TRAILER_BYTES_MAX = 4_096
"""What follows the audio and is no chunk: up to here it is padding or somebody's tag, beyond it is more audio."""

_TRAILING_CHUNKS = {b"LIST", b"id3 ", b"ID3 ", b"bext", b"iXML", b"JUNK", b"PAD ", b"cue ", b"fact", b"PEAK", b"_PMX"}
"""Chunks that are no audio, even where their own size is wrong."""

_KBITS_MPEG_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBITS_MPEG_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_MP3_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
"""Hz, by the header's bits of the version: MPEG 1, 2, and 2.5."""

_SYNC = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb]")
_SLACK_SHARE, _SLACK_BYTES = 0.02, 2_048
"""Tags at the end of a file may be this long; what is longer behind the stated length is more audio."""

Part = bytes | range
"""Bytes of our own, or a stretch of the file by its offsets."""


@dataclass(frozen=True, kw_only=True)
class Link:
    """One stream of audio in a file; a file that was chained or concatenated holds several."""

    #: The whole file as it is when this is empty.
    parts: tuple[Part, ...]
    #: How much of the length that its header declares is there, 0 to 1; a file that was cut has less than all.
    present: float = 1.0


WHOLE_FILE = Link(parts=())


class FileParts(io.RawIOBase):
    """A read-only binary file of a link's parts, one after the other."""

    def __init__(self, path: Path, parts: tuple[Part, ...]) -> None:
        self._file = path.open("rb")
        self._parts = parts
        self._starts = [0, *accumulate(len(part) for part in parts)]
        self._at = 0

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Fill the buffer as far as there are bytes; return how many were read."""
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
        """Return at most `count` bytes of the part that the position is in."""
        index = bisect_right(self._starts, self._at) - 1
        part, within = self._parts[index], self._at - self._starts[index]
        if isinstance(part, bytes):
            return part[within : within + count]
        self._file.seek(part.start + within)
        return self._file.read(min(count, len(part) - within))


class _FileView:
    """Bytes at any place of a file, read in large pieces."""

    def __init__(self, file: BinaryIO) -> None:
        self.size = os.fstat(file.fileno()).st_size
        self._file = file
        self._base, self._data = 0, b""

    def take(self, at: int, count: int) -> bytes:
        start = at - self._base
        if start < 0 or start + count > len(self._data):
            self._file.seek(at)
            self._base, self._data, start = at, self._file.read(max(count, _READ_BYTES)), 0
        return self._data[start : start + count]


def links_of(path: Path) -> list[Link]:
    """Return the streams of audio in a file, in order.

    Raises AudioUnreadable for more than `LINKS_MAX`, and for MP3 whose rate or channels change; OSError when the file
    cannot be read.
    """
    with path.open("rb") as opened:
        file = _FileView(opened)
        head = file.take(0, 12)
        if head[:4] in (b"RIFF", b"RF64"):
            links = list(_wave_links(file))
        elif head[:4] == b"OggS":
            links = _split(file, list(_ogg_starts(file)))
        elif head[:4] == b"fLaC":
            links = _split(file, list(_flac_starts(file)))
        elif head[:3] == b"ID3" or (len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0):
            links = [_mp3_link(file, path)]
        else:
            links = [WHOLE_FILE]
    if len(links) > LINKS_MAX:
        raise AudioUnreadable(
            f"{path.name} holds {len(links):,} streams one after the other and {LINKS_MAX:,} are read; split it"
        )
    return links


def _split(file: _FileView, starts: list[int]) -> list[Link]:
    if len(starts) < 2:
        return [WHOLE_FILE]
    return [Link(parts=(range(start, end),)) for start, end in pairwise([*starts, file.size])]


def _ogg_starts(file: _FileView) -> Iterator[int]:
    """Give where each link of a chain begins: a first page behind a page that is none."""
    at, in_heads = 0, False
    while len(head := file.take(at, _OGG_HEAD_BYTES)) == _OGG_HEAD_BYTES and head[:4] == b"OggS":
        is_first = bool(head[5] & _OGG_FIRST_PAGE)
        if is_first and not in_heads:
            yield at
        in_heads = is_first
        at += _OGG_HEAD_BYTES + head[26] + sum(file.take(at + _OGG_HEAD_BYTES, head[26]))


def _flac_starts(file: _FileView) -> Iterator[int]:
    at, overlap = 0, _FLAC_START_BYTES - 1  # a start may lie across the end of a piece
    while len(piece := file.take(at, _READ_BYTES)) > overlap:
        yield from (at + found.start() for found in _FLAC_START.finditer(piece))
        at += len(piece) - overlap


def _wave_links(file: _FileView) -> Iterator[Link]:
    """Give the RIFF or RF64 files that lie one after the other; the whole file where its sizes are right."""
    start: int | None = 0
    while start is not None:
        link, start = _wave_link(file, start)
        yield link


def _wave_link(file: _FileView, start: int) -> tuple[Link, int | None]:
    """Return the WAV that begins here, and where another one begins behind it."""
    size, found = file.size, _find_wave_data(file, start)
    if found is None:
        return WHOLE_FILE if start == 0 else Link(parts=(range(start, size),)), None
    wave_format, begin, declared = found
    present = size - begin
    following = _after_chunks(file, begin + declared) if declared <= present else None
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


def _find_wave_data(file: _FileView, start: int) -> tuple[bytes, int, int] | None:
    """Return the content of the chunk fmt, where the audio begins, and the size that is declared for it."""
    head = file.take(start, 12)
    if head[:4] not in (b"RIFF", b"RF64") or head[8:12] != b"WAVE":
        return None
    at, wave_format, long_size = start + 12, b"", _UNKNOWN_32
    for _ in range(_CHUNKS_MAX):
        name, length = _chunk_at(file, at)
        if name == b"data":
            declared = long_size if head[:4] == b"RF64" and length == _UNKNOWN_32 else length
            return (wave_format, at + 8, declared) if wave_format else None
        if name == b"fmt ":
            wave_format = file.take(at + 8, min(length, _FORMAT_BYTES_MAX))
        elif name == b"ds64" and len(sizes := file.take(at + 8, 16)) == 16:
            long_size = struct.unpack("<QQ", sizes)[1]
        at += 8 + length + length % 2
        if not name or at >= file.size:
            return None
    return None


def _after_chunks(file: _FileView, at: int) -> int | None:
    """Return where a chain of chunks from here leads: to the end, or to another WAV; None when it is no chain."""
    size = file.size
    for _ in range(_CHUNKS_MAX):
        if at >= size:
            return size
        name, length = _chunk_at(file, at)
        if not name and at % 2 and _chunk_at(file, at + 1)[0]:
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


def _chunk_at(file: _FileView, at: int) -> tuple[bytes, int]:
    """Return a chunk's name and size; an empty name when this is none."""
    head = file.take(at, 8)
    if len(head) < 8 or not all(0x20 <= letter < 0x7F for letter in head[:4]):
        return b"", 0
    return head[:4], struct.unpack("<I", head[4:])[0]


def _stands_for_unknown(declared: int) -> bool:
    """Whether recorders write this size when they cannot know: nothing, 2e9, the ends of 31, 32 and 64 bits."""
    near = (1 << 31, 1 << 32, 1 << 63, 1 << 64)
    return declared in (0, 2_000_000_000) or any(abs(declared - end) <= _NEAR for end in near)


def _rebuilt_wave(wave_format: bytes, begin: int, length: int) -> Link:
    """Return the audio behind a header that tells its true length."""
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


@dataclass(frozen=True, slots=True)
class _Mp3Frame:
    """What the header of a frame of layer III says."""

    head: bytes
    length: int
    rate: int
    mono: bool
    #: Of the side information, behind which a tag may stand instead of sound.
    side_bytes: int


def _mp3_link(file: _FileView, path: Path) -> Link:
    """Return the file as it is where its first frame tells its length, else its frames behind a tag that does.

    libsndfile stops at the length that the first frame's tag tells, or at one guessed from the first frame's bit rate.
    """
    start = next(_mp3_frames(file, 0), None)
    if start is None:
        return WHOLE_FILE
    at, first = start
    if _stated_bytes(file, at, first) >= (file.size - at) * (1 - _SLACK_SHARE) - _SLACK_BYTES:
        return WHOLE_FILE
    stretches: list[range] = []
    count = 0
    for found, frame in _mp3_frames(file, at):
        if (frame.rate, frame.mono) != (first.rate, first.mono):
            raise changes_on_the_way(path)
        if _length_tag(file, found, frame):
            continue
        count += 1
        begin = stretches.pop().start if stretches and stretches[-1].stop == found else found
        stretches.append(range(begin, found + frame.length))
    if not count:
        return WHOLE_FILE
    return Link(parts=(_true_length_tag(first, count, sum(map(len, stretches))), *stretches))


def _mp3_frames(file: _FileView, at: int) -> Iterator[tuple[int, _Mp3Frame]]:
    """Give each whole frame and where it begins; tags and what is damaged are passed over."""
    known: dict[bytes, _Mp3Frame | None] = {}
    in_step = False
    while at + 4 <= file.size:
        head = file.take(at, 4)
        if head not in known:
            known[head] = _parse_mp3_head(head)
        frame = known[head]
        if frame is not None and at + frame.length <= file.size and (in_step or _is_followed(file, at + frame.length)):
            yield at, frame
            at += frame.length
            in_step = True
            continue
        in_step = False
        if tag := _id3_bytes(file.take(at, 10)):
            at += tag
            continue
        piece = file.take(at + 1, min(_READ_BYTES, file.size - at - 1))
        found = _SYNC.search(piece)
        at += 1 + (found.start() if found else max(1, len(piece) - 1))


def _is_followed(file: _FileView, at: int) -> bool:
    """Whether another frame, a tag or the end follows: two bytes of damage may look like one frame, not like two."""
    following = file.take(at, 4)
    return at >= file.size or following[:3] in (b"ID3", b"TAG") or _parse_mp3_head(following) is not None


def _parse_mp3_head(head: bytes) -> _Mp3Frame | None:
    """Return the header of a frame of layer III with a stated bit rate, or None."""
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


def _length_tag(file: _FileView, at: int, frame: _Mp3Frame) -> bytes:
    """Return the tag of lengths behind a frame's side information: its name, flags and numbers; empty for none."""
    tag = file.take(at + 4 + frame.side_bytes, 16)
    return tag if tag[:4] in (b"Xing", b"Info") else b""


def _stated_bytes(file: _FileView, at: int, frame: _Mp3Frame) -> int:
    """Return how long the first frame says that the file is from there; 0 when it does not."""
    tag = _length_tag(file, at, frame)
    if len(tag) < 16:
        return 0
    flags, *numbers = struct.unpack(">4xIII", tag)
    return numbers[flags & 1] if flags & 2 and flags & 1 else 0


def _true_length_tag(like: _Mp3Frame, count: int, length: int) -> bytes:
    """Return a frame of 64 kbit/s without sound that tells how many frames and bytes follow."""
    version = like.head[1] >> 3 & 3
    index = (_KBITS_MPEG_1 if version == 3 else _KBITS_MPEG_2).index(64)
    head = bytes((0xFF, like.head[1] | 1, index << 4 | like.head[2] & 0x0C, like.head[3]))
    frame = _mp3_frame(head, version=version, kbits_index=index, rate=like.rate)
    tag = b"Info" + struct.pack(">III", 3, count, length + frame.length)
    return (head + bytes(frame.side_bytes) + tag).ljust(frame.length, b"\0")


def _id3_bytes(head: bytes) -> int:
    """Return the length of an ID3v2 tag, 0 when there is none."""
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    first, second, third, fourth = head[6:10]
    return 10 + (first << 21 | second << 14 | third << 7 | fourth)
