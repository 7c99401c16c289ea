"""MP3 whose length nobody states, or states too short: concatenated files, variable rates from a pipe.

libsndfile stops at the length that the first frame's tag tells, or at one guessed from the first frame's bit rate. Such
a file is counted here, and given a tag that tells the truth.

Sources: ISO/IEC 11172-3 and 13818-3 for the frame's header; the tag is Xing's, as LAME writes it.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from earwitness.audio.file_parts import WHOLE_FILE, Link, Part
from earwitness.errors import AudioUnreadable

_READ_BYTES = 1 << 20
_KBITS_MPEG_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBITS_MPEG_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
"""Hz, by the header's bits of the version: MPEG 1, 2, and 2.5."""

_SYNC = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb]")
_SLACK_SHARE, _SLACK_BYTES = 0.02, 2_048
"""Tags at the end of a file may be this long; what is longer behind the stated length is more audio."""


@dataclass(frozen=True, slots=True)
class _Frame:
    """What the header of a frame of layer III says."""

    head: bytes
    length: int
    rate: int
    mono: bool
    side_bytes: int
    """Of the side information, behind which a tag may stand instead of sound."""


def mp3_link(path: Path) -> Link:
    """The file as it is where its first frame tells its length, else its frames behind a tag that does.

    Raises AudioUnreadable when its rate or channels change on the way.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        reader = _Reader(file)
        start = _first_frame(reader, size)
        if start is None:
            return WHOLE_FILE
        at, first = start
        if _stated_bytes(reader, at, first) >= (size - at) * (1 - _SLACK_SHARE) - _SLACK_BYTES:
            return WHOLE_FILE
        stretches: list[range] = []
        count = 0
        for found, frame in _frames(reader, at, size):
            if (frame.rate, frame.mono) != (first.rate, first.mono):
                raise AudioUnreadable(
                    f"{path.name} changes its sample rate or channels on the way; give each part as its own file"
                )
            if _tag(reader, found, frame):
                continue
            count += 1
            end = found + frame.length
            if stretches and stretches[-1].stop == found:
                stretches[-1] = range(stretches[-1].start, end)
            else:
                stretches.append(range(found, end))
    if not count:
        return WHOLE_FILE
    parts: list[Part] = [_true_tag(first, count, sum(len(each) for each in stretches)), *stretches]
    return Link(parts=tuple(parts))


class _Reader:
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


def _first_frame(reader: _Reader, size: int) -> tuple[int, _Frame] | None:
    return next(_frames(reader, 0, size), None)


def _frames(reader: _Reader, at: int, size: int) -> Iterator[tuple[int, _Frame]]:
    """Each whole frame and where it begins; tags and what is damaged are passed over."""
    known: dict[bytes, _Frame | None] = {}
    in_step = False
    while at + 4 <= size:
        head = reader.take(at, 4)
        if head not in known:
            known[head] = _parse(head)
        frame = known[head]
        if frame is not None and at + frame.length <= size and (in_step or _followed(reader, at + frame.length, size)):
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


def _followed(reader: _Reader, at: int, size: int) -> bool:
    """Whether another frame, a tag or the end follows: two bytes of damage may look like one frame, not like two."""
    following = reader.take(at, 4)
    return at >= size or following[:3] in (b"ID3", b"TAG") or _parse(following) is not None


def _parse(head: bytes) -> _Frame | None:
    """The header of a frame of layer III with a stated bit rate, or None."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return None
    version, kbits, rate = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or kbits in (0, 15) or rate == 3:
        return None
    return _frame(head, version=version, kbits_index=kbits, rate=_RATES[version][rate])


def _frame(head: bytes, *, version: int, kbits_index: int, rate: int) -> _Frame:
    is_mpeg_1, mono = version == 3, head[3] & 0xC0 == 0xC0
    kbits = (_KBITS_MPEG_1 if is_mpeg_1 else _KBITS_MPEG_2)[kbits_index]
    length = (144_000 if is_mpeg_1 else 72_000) * kbits // rate + (head[2] >> 1 & 1)
    side = (17 if mono else 32) if is_mpeg_1 else (9 if mono else 17)
    return _Frame(head=head, length=length, rate=rate, mono=mono, side_bytes=side)


def _tag(reader: _Reader, at: int, frame: _Frame) -> bytes:
    """What stands behind a frame's side information when that is a tag of lengths: its name, flags and numbers."""
    tag = reader.take(at + 4 + frame.side_bytes, 16)
    return tag if tag[:4] in (b"Xing", b"Info") else b""


def _stated_bytes(reader: _Reader, at: int, frame: _Frame) -> int:
    """How long the first frame says that the file is from there; 0 when it does not."""
    tag = _tag(reader, at, frame)
    if len(tag) < 16:
        return 0
    flags, *numbers = struct.unpack(">4xIII", tag)
    return numbers[flags & 1] if flags & 2 and flags & 1 else 0


def _true_tag(like: _Frame, count: int, length: int) -> bytes:
    """A frame of 64 kbit/s without sound that tells how many frames and bytes follow."""
    version = like.head[1] >> 3 & 3
    index = (_KBITS_MPEG_1 if version == 3 else _KBITS_MPEG_2).index(64)
    head = bytes((0xFF, like.head[1] | 1, index << 4 | like.head[2] & 0x0C, like.head[3]))
    frame = _frame(head, version=version, kbits_index=index, rate=like.rate)
    tag = b"Info" + struct.pack(">III", 3, count, length + frame.length)
    return (head + bytes(frame.side_bytes) + tag).ljust(frame.length, b"\0")


def _id3_bytes(head: bytes) -> int:
    """Length of an ID3v2 tag, 0 when there is none."""
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    first, second, third, fourth = head[6:10]
    return 10 + (first << 21 | second << 14 | third << 7 | fourth)
