"""Reading one fragment from its file, on a thread of the readers' pool.

A file is opened for each read and closed after it: nobody holds what retention has removed, and readers need no
descriptors while they wait.

What belongs here: bytes at a known place to a fragment. What must never: knowing which fragment is next.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from earwitness.errors import CiphertextRefused
from earwitness.fragments.interface import Fragment, FragmentInfo, StreamIdentity
from earwitness.fragments.numbers import FragmentNumber
from earwitness.fragments.record import HEAD_BYTES, Kind, open_body, read_head
from earwitness.vault.data_key import DataKey


@dataclass(frozen=True, kw_only=True, slots=True)
class Whereabouts:
    """Where a fragment is, copied from the index so that no thread looks into that."""

    path: Path
    number: FragmentNumber
    info: FragmentInfo
    records: list[tuple[Kind, int, int]]
    """Kind, offset and size of its record and of its tags' records."""


def read_fragment(where: Whereabouts, *, key: DataKey, stream: StreamIdentity) -> Fragment | None:
    """The fragment; None when its file is gone or what is there is not what was written. OSError otherwise."""
    try:
        descriptor = os.open(where.path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        parts = [_read_record(descriptor, place, where.number, key=key, stream=stream) for place in where.records]
    except CiphertextRefused:
        return None
    finally:
        os.close(descriptor)
    header, cluster, _ = parts[0]
    return Fragment(info=where.info, header=header, cluster=cluster, tags=b"".join(part[2] for part in parts))


def _read_record(
    descriptor: int, place: tuple[Kind, int, int], number: FragmentNumber, *, key: DataKey, stream: StreamIdentity
) -> tuple[bytes, bytes, bytes]:
    """Header, cluster and tags; CiphertextRefused when another record is here, or none."""
    kind, offset, size = place
    data = os.pread(descriptor, size, offset)
    head = read_head(data[:HEAD_BYTES])
    if head is None or head.kind is not kind or head.number != number or head.size != len(data):
        raise CiphertextRefused("another record, or none, is where a fragment was written; restore the segment file")
    return open_body(head, data[HEAD_BYTES:], key=key, stream=stream)
