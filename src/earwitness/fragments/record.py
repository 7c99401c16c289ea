"""One record of a segment file: 56 bytes in clear that say what it is, then its media, sealed.

    magic "EWF1" · kind · sequence · server ms · producer ms · random · duration ms
    · bytes of header, of tags (both in clear) · bytes of the sealed body · CRC-32 of all this

The body is header, cluster and tags of a fragment, or tags alone. What stands in clear is authenticated with it, as
part of the place the body is bound to. The CRC tells a record from noise before any key is at hand.

What belongs here: the bytes of a record, and reading a fragment from the records it is made of. What must never:
knowing where records are.
"""

import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

from earwitness.errors import CiphertextRefused
from earwitness.fragments.interface import Fragment, FragmentInfo, StreamIdentity
from earwitness.fragments.numbers import FragmentNumber
from earwitness.vault.data_key import OVERHEAD_BYTES, DataKey, SealedPlace

MAGIC = b"EWF1"
_FIELDS = struct.Struct("<4sB3xQqqIIIII")
_CHECK = struct.Struct("<I")
HEAD_BYTES = _FIELDS.size + _CHECK.size


class RecordKind(IntEnum):
    """What a record holds."""

    FRAGMENT = 1
    TAGS = 2
    #: The body was overwritten with zeros.
    ERASED = 3


class RecordPlace(NamedTuple):
    """Where in its segment file a record is."""

    kind: RecordKind
    offset: int
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordHead:
    """What stands in clear. `body_bytes` counts the sealed body."""

    kind: RecordKind
    number: FragmentNumber
    producer_ms: int = 0
    duration_ms: int = 0
    header_bytes: int = 0
    tags_bytes: int = 0
    body_bytes: int

    @property
    def size(self) -> int:
        """Return the bytes of the whole record."""
        return HEAD_BYTES + self.body_bytes

    @property
    def media_bytes(self) -> int:
        """Return the bytes of the media before they were sealed."""
        return self.body_bytes - OVERHEAD_BYTES

    def pack(self) -> bytes:
        """Return the 56 bytes."""
        number, times = self.number, (self.producer_ms, self.number.random, self.duration_ms)
        sizes = (self.header_bytes, self.tags_bytes, self.body_bytes)
        fields = _FIELDS.pack(MAGIC, self.kind, number.sequence, number.server_ms, *times, *sizes)
        return fields + _CHECK.pack(zlib.crc32(fields))

    def seal(self, media: Sequence[bytes], *, key: DataKey, stream: StreamIdentity) -> bytes:
        """Return the body."""
        return key.seal(b"".join(media), self._place(stream))

    def open(self, body: bytes, *, key: DataKey, stream: StreamIdentity) -> bytes:
        """Return the media. Raise CiphertextRefused when they are damaged, or belong to another place."""
        return key.open(body, self._place(stream))

    def _place(self, stream: StreamIdentity) -> SealedPlace:
        clear = f"{self.producer_ms} {self.duration_ms} {self.header_bytes} {self.tags_bytes}"
        return SealedPlace(
            account_id=stream.account_id,
            table="fragments",
            row_id=stream.stream_arn,
            column=f"{self.kind.name.lower()} of {self.number}: {clear}",
        )


def read_head(data: bytes) -> RecordHead | None:
    """Return the head that these 56 bytes are, or None when they are none."""
    if len(data) != HEAD_BYTES or data[:4] != MAGIC:
        return None
    fields = data[: _FIELDS.size]
    if zlib.crc32(fields) != _CHECK.unpack_from(data, _FIELDS.size)[0]:
        return None
    _, kind, sequence, server_ms, producer_ms, random, duration_ms, header, tags, body = _FIELDS.unpack(fields)
    if not RecordKind.FRAGMENT <= kind <= RecordKind.ERASED or header + tags + OVERHEAD_BYTES > body:
        return None
    return RecordHead(
        kind=RecordKind(kind),
        number=FragmentNumber(sequence=sequence, server_ms=server_ms, random=random),
        producer_ms=producer_ms,
        duration_ms=duration_ms,
        header_bytes=header,
        tags_bytes=tags,
        body_bytes=body,
    )


def read_fragment(
    path: Path, info: FragmentInfo, places: Sequence[RecordPlace], *, key: DataKey, stream: StreamIdentity
) -> Fragment | None:
    """Return the fragment whose record and whose tags' records are at these places of a segment file.

    Return None when the file is gone, or what is there is not what was written; other OSErrors pass. A file is opened
    for each read, so nobody holds what retention has removed, and readers need no descriptors while they wait.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        (head, media), *later = [_read_record(descriptor, place, info.number, key, stream) for place in places]
    except CiphertextRefused:
        return None
    finally:
        os.close(descriptor)
    tags_start = len(media) - head.tags_bytes
    return Fragment(
        info=info,
        header=media[: head.header_bytes],
        cluster=media[head.header_bytes : tags_start],
        tags=b"".join((media[tags_start:], *(tags for _, tags in later))),
    )


def _read_record(
    descriptor: int, place: RecordPlace, number: str, key: DataKey, stream: StreamIdentity
) -> tuple[RecordHead, bytes]:
    data = os.pread(descriptor, place.size, place.offset)
    head = read_head(data[:HEAD_BYTES])
    if head is None or (head.kind, str(head.number), head.size) != (place.kind, number, len(data)):
        raise CiphertextRefused("another record, or none, is where a fragment was written; restore the segment file")
    return head, head.open(data[HEAD_BYTES:], key=key, stream=stream)
