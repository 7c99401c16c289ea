"""Signed files of audit entries: those that were taken off the records, and exports.

A line for each entry, in the canonical form of RFC 8785: its number in the file, what is chained of it, its digest, and
the digest before it where that is not the line before. The last line says how many there are and SHA-256 of all lines
before it, and is signed. So the file can be checked by itself, with the public key alone.
"""

import hashlib
import json
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, BinaryIO, cast

from earwitness.audit.places import AuditFile
from earwitness.errors import AuditPlaceUnavailable, SignatureInvalid
from earwitness.store.audit_chain import digest_after, entry_document
from earwitness.store.audit_records import AuditEntry
from earwitness.store.columns import to_microseconds
from earwitness.vault.signing import MEMBER, PublicKey, Signer, canonical, verified

PURPOSE = "earwitness audit file 1"
_LINE_BYTES_MAX = 64 * 1024
_PROBLEMS_MAX = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditProblem:
    """One thing that is not as it was written, and where."""

    #: Where it was found: the records, or a file and a line.
    where: str
    #: What is wrong, in a sentence that names the entry.
    says: str
    #: The chain, and the number of the first entry that is concerned; None where no entry can be told.
    node: str | None = None
    number: int | None = None


@dataclass(kw_only=True)
class ReadFile:
    """What a file of entries holds, and what is wrong with it."""

    path: AuditFile
    entries: int = 0
    #: Of the chain that it continues, where it holds entries that were taken off: node, first and last number.
    node: str | None = None
    first: int | None = None
    last: int | None = None
    #: The digests before the first and of the last entry, in hexadecimal digits.
    before: str | None = None
    last_digest: str | None = None
    #: The digest of each number, for checkpoints; only of numbers that were asked for.
    digests: dict[tuple[str, int], bytes] = field(default_factory=dict[tuple[str, int], bytes])
    problems: list[AuditProblem] = field(default_factory=list[AuditProblem])

    def found(self, says: str, *, line: int | None = None, node: str | None = None, number: int | None = None) -> None:
        """Remember that something is wrong; the first hundred are enough."""
        if len(self.problems) < _PROBLEMS_MAX:
            where = str(self.path) if line is None else f"{self.path}, line {line}"
            self.problems.append(AuditProblem(where=where, says=says, node=node, number=number))


def file_lines(
    entries: Iterable[tuple[AuditEntry, bytes | None]],
    signer: Signer,
    *,
    now: datetime,
    summary: Mapping[str, object],
) -> Generator[bytes]:
    """Give the lines of a file. Each entry comes with the digest before it, None where it has no place in a chain.

    `summary` is what the last line says beside what is said of every file.
    """
    content, count = hashlib.sha256(), 0
    last: tuple[str | None, bytes | None] = None, None
    for entry, previous in entries:
        count += 1
        document = {"line": count, **entry_document(entry)}
        if entry.digest is not None and previous is not None:
            document["digest"] = entry.digest.hex()
            if last != (entry.node, previous):
                document["previous"] = previous.hex()
        last = entry.node, entry.digest
        line = canonical(document) + b"\n"
        content.update(line)
        yield line
    document = {"entries": count, "sha256": content.hexdigest(), "timeMicroseconds": to_microseconds(now), **summary}
    yield canonical(signer.signed(document, purpose=PURPOSE)) + b"\n"


def read_file(
    path: AuditFile,
    key: PublicKey,
    *,
    content: BinaryIO | None = None,
    wanted: Callable[[str, int], bool] = lambda _node, _number: False,
) -> ReadFile:
    """Return what a file holds and what is wrong with it. Digests of `wanted` entries are remembered.

    `content` is the file's where it is open already, and is closed. Raise AuditPlaceUnavailable when it cannot be read.
    """
    read, walk = ReadFile(path=path), _Walk()
    for number, line in enumerate(_lines(path, content), start=1):
        if walk.summary is not None:
            read.found("lines follow behind the signature", line=number)
            return read
        _take(line, number, walk, read, wanted)
    read.entries = walk.count
    if walk.summary is None:
        read.found("the file ends without its signature: lines at its end are missing", line=walk.lines)
    else:
        _conclude(walk, walk.summary, read, key)
    return read


@dataclass(kw_only=True)
class _Walk:
    """Where the reading of a file is."""

    lines: int = 0
    count: int = 0
    #: The number of the last line, as it says itself.
    told: int = 0
    node: str | None = None
    number: int | None = None
    digest: bytes | None = None
    summary: bytes | None = None
    #: Numbers of lines that seem to be missing, by the place of their problem.
    gaps: dict[int, range] = field(default_factory=dict[int, range])
    content: Any = field(default_factory=hashlib.sha256)  # `Any`: hashlib's type has no name


def _take(line: bytes, number: int, walk: _Walk, read: ReadFile, wanted: Callable[[str, int], bool]) -> None:
    """Look at one line: whether it is in its place, and whether its entry follows from the one before."""
    walk.lines = number
    document = _document(line)
    if document is not None and MEMBER in document:
        walk.summary = line.rstrip(b"\n")
        return
    walk.content.update(line)
    walk.count += 1
    if document is None:
        read.found("the line is no entry: it was changed", line=number, node=walk.node, number=_following(walk))
        walk.told += 1
        walk.digest = None
        return
    told, node, place = document.pop("line", None), document.get("node"), document.get("number")
    given, previous = _bytes_of(document.pop("digest", None)), _bytes_of(document.pop("previous", None))
    node = node if isinstance(node, str) else None
    place = place if isinstance(place, int) else None
    in_order = _look_at_order(told, _Entry(line=number, node=node, number=place), walk, read)
    before = walk.digest if previous is None and in_order else previous
    if node is not None and place is not None:
        if given is None or (before is not None and digest_after(before, document) != given):
            read.found(f"entry {place} was changed", line=number, node=node, number=place)
        if wanted(node, place) and given is not None:
            read.digests[node, place] = given
        read.before = read.before or (before.hex() if before else None)
    if not isinstance(told, int) or told > walk.told:  # a line that came too late changes nothing of what follows
        walk.told = told if isinstance(told, int) else walk.told + 1
        walk.node, walk.number, walk.digest = node, place, given


@dataclass(frozen=True, kw_only=True, slots=True)
class _Entry:
    """Which entry is looked at, and in which line."""

    line: int
    node: str | None
    number: int | None


def _look_at_order(told: object, at: _Entry, walk: _Walk, read: ReadFile) -> bool:
    """Return whether a line is the one that follows."""
    expected = walk.told + 1
    if told == expected:
        return True
    if not isinstance(told, int):
        read.found("the line does not say which it is: it was changed", line=at.line, node=at.node, number=at.number)
    elif told == walk.told:
        read.found(f"entry {at.number} is there twice", line=at.line, node=at.node, number=at.number)
    elif told < expected:
        says = "lines were put in another order, from here on"
        gap = next((index for index, gap in walk.gaps.items() if told in gap), None)
        if gap is None:
            read.found(f"entry {at.number} is not in its place", line=at.line, node=at.node, number=at.number)
        else:  # what seemed to be missing is elsewhere
            read.problems[gap] = replace(read.problems[gap], says=says)
    else:
        first, several = _following(walk), told > expected + 1
        lines = f"lines {expected} to {told - 1} of the file are" if several else f"line {expected} of the file is"
        entry = "" if first is None else f": entry {first}{' and the next' if several else ''}"
        walk.gaps[len(read.problems)] = range(expected, told)
        read.found(f"{lines} missing{entry}", line=at.line, node=walk.node, number=first)
    return False


def _following(walk: _Walk) -> int | None:
    return None if walk.number is None else walk.number + 1


def _conclude(walk: _Walk, line: bytes, read: ReadFile, key: PublicKey) -> None:
    """Compare a file with its signed last line."""
    try:
        summary = verified(line, purpose=PURPOSE, key=key)
    except SignatureInvalid as error:
        read.found(f"its last line cannot be believed: {error}", line=walk.lines)
        return
    if canonical(json.loads(line)) != line:
        read.found("its last line is not written as it was signed", line=walk.lines)
    entries = summary.get("entries")
    if isinstance(entries, int) and entries > walk.told:
        first = _following(walk)
        read.found(
            f"{entries - walk.told} entries at the end are missing" + (f", from {first} on" if first else ""),
            line=walk.lines,
            node=walk.node,
            number=first,
        )
    elif summary.get("sha256") != walk.content.hexdigest() and not read.problems:
        read.found("the entries are not those that were signed, though they follow from each other")
    read.node, read.first, read.last = (cast("Any", summary.get(name)) for name in ("node", "first", "last"))
    read.last_digest = walk.digest.hex() if walk.digest else None


def _lines(path: AuditFile, content: BinaryIO | None) -> Iterator[bytes]:
    try:
        with path.open("rb") if content is None else content as file:
            while line := file.readline(_LINE_BYTES_MAX):
                yield line
    except OSError as error:
        raise AuditPlaceUnavailable(f"{path} cannot be read: {error.strerror}") from error


def _document(line: bytes) -> dict[str, Any] | None:
    """Return the object of a line that is written as we write; None for any other."""
    try:
        parsed: object = json.loads(line)
        if not isinstance(parsed, dict) or canonical(cast("object", parsed)) + b"\n" != line:
            return None
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", parsed)


def _bytes_of(text: object) -> bytes | None:
    try:
        return bytes.fromhex(text) if isinstance(text, str) else None
    except ValueError:
        return None
