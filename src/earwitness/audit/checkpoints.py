"""Signed checkpoints: how many entries a chain had at a time, and the digest of the last one.

Whoever has one, and the public key, can show that entries up to it are missing or were changed. A checkpoint is a line
of JSON in its canonical form (RFC 8785), so that a single changed bit is noticed.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from typing import cast

from earwitness.audit.bucket import AuditObject
from earwitness.audit.places import AuditFile, content_of
from earwitness.errors import SignatureInvalid
from earwitness.progress import Progress, not_shown
from earwitness.store.columns import from_microseconds, to_microseconds
from earwitness.vault.signing import PublicKey, Signer, canonical, verified

PURPOSE = "earwitness audit checkpoint 1"
_FILE_BYTES_MAX = 64 * 2**20
_READ_AT_ONCE = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditCheckpoint:
    """What is known of a chain at a time."""

    node: str
    #: How many entries there ever were: the number of the last one.
    number: int
    #: The digest of that entry.
    digest: bytes
    time: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadCheckpoint:
    """A checkpoint that was read from somewhere, or why it cannot be believed."""

    #: The file and the line.
    where: str
    checkpoint: AuditCheckpoint | None
    refusal: str = ""
    #: The last line has no end: a kill in the middle of writing leaves such a line.
    is_unfinished: bool = False


def signed_checkpoint(checkpoint: AuditCheckpoint, signer: Signer) -> dict[str, object]:
    """Return the document of a checkpoint with its signature."""
    document = {
        "node": checkpoint.node,
        "number": checkpoint.number,
        "digest": checkpoint.digest.hex(),
        "timeMicroseconds": to_microseconds(checkpoint.time),
    }
    return signer.signed(document, purpose=PURPOSE)


def checkpoint_line(checkpoint: AuditCheckpoint, signer: Signer) -> bytes:
    """Return a checkpoint as a line, without its end."""
    return canonical(signed_checkpoint(checkpoint, signer))


def checkpoint_of(text: bytes, key: PublicKey) -> AuditCheckpoint:
    """Return the checkpoint of a line; raise SignatureInvalid unless every bit of it is as it was signed."""
    document = verified(text, purpose=PURPOSE, key=key)
    if canonical(json.loads(text)) != text:
        raise SignatureInvalid("the checkpoint is not written as it was signed")
    node, number, digest, time = (document.get(name) for name in ("node", "number", "digest", "timeMicroseconds"))
    known = isinstance(node, str) and isinstance(number, int) and isinstance(digest, str) and isinstance(time, int)
    if not known:
        raise SignatureInvalid("the document is no checkpoint of an audit trail")
    return AuditCheckpoint(
        node=cast("str", node),
        number=cast("int", number),
        digest=bytes.fromhex(cast("str", digest)),
        time=from_microseconds(cast("int", time)),
    )


def read_checkpoints(
    files: Sequence[AuditFile], key_of: Callable[[], PublicKey], show: Progress = not_shown
) -> Iterator[ReadCheckpoint]:
    """Give the checkpoints of files in their order: lines as they are written, or an answer of `GET /audit/checkpoint`.

    Raise AuditPlaceUnavailable for a file that cannot be read.
    """
    for file, content in _contents(files, show):
        answered = _of_answer(content)
        lines = content.split(b"\n") if answered is None else answered
        for number, line in enumerate(lines, start=1):
            if line.strip():
                read = _read_one(line, f"{file}, line {number}", key_of())
                if isinstance(file, AuditObject):  # which comes whole
                    yield _as_named(read, file)
                else:
                    is_last = answered is None and number == len(lines)
                    yield replace(read, is_unfinished=True) if is_last and read.checkpoint is None else read


def _contents(files: Sequence[AuditFile], show: Progress) -> Iterator[tuple[AuditFile, bytes]]:
    """Give what files hold; some are read at once, because each of a bucket takes a round trip."""
    with ThreadPoolExecutor(_READ_AT_ONCE, thread_name_prefix="earwitness checkpoints") as threads:
        for first in range(0, len(files), _READ_AT_ONCE):
            some = files[first : first + _READ_AT_ONCE]
            yield from zip(some, threads.map(_content, some), strict=True)
            show("reading checkpoints", first + len(some), len(files))


def _content(file: AuditFile) -> bytes:
    return content_of(file, bytes_max=_FILE_BYTES_MAX, what="file of checkpoints")


def _as_named(read: ReadCheckpoint, file: AuditObject) -> ReadCheckpoint:
    """Return what was read of an object, or a refusal when its name says something else than it does."""
    one = read.checkpoint
    if one is None or file.is_named_for(one.node, one.time):
        return read
    return replace(read, checkpoint=None, refusal="it is not the one of this name: another was put in its place")


def _read_one(line: bytes, where: str, key: PublicKey) -> ReadCheckpoint:
    try:
        return ReadCheckpoint(where=where, checkpoint=checkpoint_of(line, key))
    except SignatureInvalid as error:
        return ReadCheckpoint(where=where, checkpoint=None, refusal=str(error))


def _of_answer(content: bytes) -> list[bytes] | None:
    """Return the checkpoints of an answer of the JSON API as lines; None when it is none."""
    try:
        parsed: object = json.loads(content)
        if not isinstance(parsed, dict) or "checkpoints" not in parsed:
            return None
        return [canonical(one) for one in cast("dict[str, list[object]]", parsed)["checkpoints"]]
    except (ValueError, TypeError, RecursionError):
        return None
