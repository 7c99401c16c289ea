"""One record of a segment file: 56 bytes in clear that say what it is, then its media, sealed.

    magic "EWF1" · kind · sequence · server ms · producer ms · random · duration ms
    · bytes of header, of tags (both in clear) · bytes of the sealed body · CRC-32 of all this

The body is header, cluster and tags of a fragment, or tags alone. What stands in clear is authenticated with it, as
part of the place the body is bound to; the CRC is there to tell a record from noise before any key is at hand.

What belongs here: bytes to record and back. What must never: files.
"""

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum

from earwitness.fragments.interface import StreamIdentity
from earwitness.fragments.numbers import FragmentNumber
from earwitness.vault.data_key import OVERHEAD_BYTES, DataKey, Place

MAGIC = b"EWF1"
_FIELDS = struct.Struct("<4sB3xQqqIIIII")
_CHECK = struct.Struct("<I")
HEAD_BYTES = _FIELDS.size + _CHECK.size


class Kind(IntEnum):
    """What a record holds."""

    FRAGMENT = 1
    TAGS = 2
    ERASED = 3
    """Its body was overwritten with zeros."""


_KINDS = frozenset(int(kind) for kind in Kind)


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordHead:
    """What stands in clear."""

    kind: Kind
    number: FragmentNumber
    producer_ms: int
    duration_ms: int
    header_bytes: int
    tags_bytes: int
    body_bytes: int
    """Of the sealed body."""

    @property
    def size(self) -> int:
        """Bytes of the whole record."""
        return HEAD_BYTES + self.body_bytes

    def pack(self) -> bytes:
        """The 56 bytes."""
        fields = _FIELDS.pack(
            MAGIC,
            self.kind,
            self.number.sequence,
            self.number.server_ms,
            self.producer_ms,
            self.number.random,
            self.duration_ms,
            self.header_bytes,
            self.tags_bytes,
            self.body_bytes,
        )
        return fields + _CHECK.pack(zlib.crc32(fields))


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Record:
    """What is to be written: media, not yet sealed."""

    kind: Kind
    number: FragmentNumber
    producer_ms: int = 0
    duration_ms: int = 0
    header: bytes = b""
    cluster: bytes = b""
    tags: bytes = b""

    @property
    def media_bytes(self) -> int:
        """Bytes of media in it."""
        return len(self.header) + len(self.cluster) + len(self.tags)

    def head(self) -> RecordHead:
        """What will stand in clear before it."""
        return RecordHead(
            kind=self.kind,
            number=self.number,
            producer_ms=self.producer_ms,
            duration_ms=self.duration_ms,
            header_bytes=len(self.header),
            tags_bytes=len(self.tags),
            body_bytes=self.media_bytes + OVERHEAD_BYTES,
        )

    def seal(self, head: RecordHead, *, key: DataKey, stream: StreamIdentity) -> bytes:
        """The sealed body."""
        return key.seal(b"".join((self.header, self.cluster, self.tags)), _place(head, stream))


def read_head(data: bytes) -> RecordHead | None:
    """The head that these 56 bytes are, or None when they are none."""
    if len(data) != HEAD_BYTES or data[:4] != MAGIC:
        return None
    fields = data[: _FIELDS.size]
    if zlib.crc32(fields) != _CHECK.unpack_from(data, _FIELDS.size)[0]:
        return None
    _, kind, sequence, server_ms, producer_ms, random, duration_ms, header, tags, body = _FIELDS.unpack(fields)
    if kind not in _KINDS or header + tags + OVERHEAD_BYTES > body:
        return None
    return RecordHead(
        kind=Kind(kind),
        number=FragmentNumber(sequence=sequence, server_ms=server_ms, random=random),
        producer_ms=producer_ms,
        duration_ms=duration_ms,
        header_bytes=header,
        tags_bytes=tags,
        body_bytes=body,
    )


def open_body(head: RecordHead, body: bytes, *, key: DataKey, stream: StreamIdentity) -> tuple[bytes, bytes, bytes]:
    """Header, cluster and tags; CiphertextRefused when they are damaged, or belong to another place."""
    media = key.open(body, _place(head, stream))
    tags_start = len(media) - head.tags_bytes
    return media[: head.header_bytes], media[head.header_bytes : tags_start], media[tags_start:]


def _place(head: RecordHead, stream: StreamIdentity) -> Place:
    kind = head.kind.name.lower()
    clear = f"{head.producer_ms} {head.duration_ms} {head.header_bytes} {head.tags_bytes}"
    return Place(
        account_id=stream.account_id,
        table="fragments",
        row_id=stream.stream_arn,
        column=f"{kind} of {head.number}: {clear}",
    )
