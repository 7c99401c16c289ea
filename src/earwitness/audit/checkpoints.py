"""Signed checkpoints: how many entries a chain had at a time, and the digest of the last one.

Whoever has one, and the public key, can show that entries up to it are missing or were changed. A checkpoint is a line
of JSON in its canonical form (RFC 8785), so that a single changed bit is noticed.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import cast

from earwitness.errors import AuditPlaceUnavailable, SignatureInvalid
from earwitness.store.columns import from_microseconds, to_microseconds
from earwitness.vault.signing import PublicKey, Signer, canonical, verified

PURPOSE = "earwitness audit checkpoint 1"
_FILE_BYTES_MAX = 64 * 2**20


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


def read_checkpoints(paths: Iterable[Path], key_of: Callable[[], PublicKey]) -> Iterator[ReadCheckpoint]:
    """Give the checkpoints of files in their order: lines as they are written, or an answer of `GET /audit/checkpoint`.

    Raise AuditPlaceUnavailable for a file that cannot be read.
    """
    for path in paths:
        content = _content(path)
        answered = _of_answer(content)
        lines = content.split(b"\n") if answered is None else answered
        for number, line in enumerate(lines, start=1):
            if line.strip():
                read = _read_one(line, f"{path}, line {number}", key_of())
                is_last = answered is None and number == len(lines)
                yield replace(read, is_unfinished=True) if is_last and read.checkpoint is None else read


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


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise AuditPlaceUnavailable(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > _FILE_BYTES_MAX:
        raise AuditPlaceUnavailable(f"{path} has more than {_FILE_BYTES_MAX} bytes: it is no file of checkpoints")
    return content
