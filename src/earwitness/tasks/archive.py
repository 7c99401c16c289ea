"""The archive that an export is: docs/exports.md describes it. Written in parts, read by whoever distrusts it.

An archive is a tar of `manifest.json` and the parts that it lists, each with its length and hash; a part is a tar of
JSON lines and recordings, encrypted for the recipient as an age file by itself. Tars hold plain files only, in one
order, and what is read of them is never written to a disk by its name.
"""

import hashlib
import io
import tarfile
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Annotated, Any

import msgspec

from earwitness.errors import ArchiveInvalid
from earwitness.voice.decision import Outcome
from earwitness.voice.job import PartKind
from earwitness.voice.label import EXPORT_FORMAT, Picked, Spoke

FORMAT, VERSION = "earwitness-export", 2
FIRST_VERSION = 1
"""Of exports before there were consents and labels in them; they are read as well."""

MANIFEST = "manifest.json"
MANIFEST_BYTES_MAX = 64 * 2**20
"""A hundred thousand parts need a third of it."""

PART_BYTES_MAX = 64 * 2**20
"""Of a part, encrypted or not. The service makes parts of a tenth; a reader holds one in memory at a time."""

_BLOCK = tarfile.BLOCKSIZE
_END = bytes(2 * _BLOCK)


class DomainLine(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """What a reader needs of a domain's line; there is more in it. So it is with the following ones."""

    domain_id: str
    name: str
    band: str
    #: Calls that named somebody and nobody, labelled or not; estimated from 1,000 where there are more.
    matches: Annotated[int, msgspec.Meta(ge=0)] = 0
    no_matches: Annotated[int, msgspec.Meta(ge=0)] = 0
    audio: None = None


class ProfileLine(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """Of a voice profile."""

    profile_id: str
    audio: None = None


class VoiceprintLine(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """Of a voiceprint."""

    profile_id: str
    voiceprint_id: str
    encoder_id: str
    #: float32, little endian; base64 in JSON. None when it was damaged in the records.
    vector: bytes | None
    consent_reference: str | None
    #: The name of its recording in the part.
    audio: str | None


class ConsentLine(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """Of a consent."""

    consent_id: str
    subject: str
    given_at: datetime
    audio: None = None


class LabelOfLine(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """Who spoke, by somebody's word."""

    spoke: Spoke
    profile_id: str | None
    picked: Picked
    updated_at: datetime


class LabelLine(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """Of a labelled call."""

    task_id: str
    outcome: Outcome
    label: LabelOfLine
    audio: None = None


_LINES: dict[PartKind, tuple[str, type[DomainLine | ProfileLine | VoiceprintLine | ConsentLine | LabelLine]]] = {
    PartKind.DOMAIN: ("domain.jsonl", DomainLine),
    PartKind.PROFILES: ("profiles.jsonl", ProfileLine),
    PartKind.VOICEPRINTS: ("voiceprints.jsonl", VoiceprintLine),
    PartKind.CONSENTS: ("consents.jsonl", ConsentLine),
    PartKind.LABELS: ("labels.jsonl", LabelLine),
}
"""What the lines of a part are in, and what each of them is."""


class ListedPart(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """A part as the manifest lists it."""

    name: str
    kind: PartKind
    #: As it lies in the archive.
    bytes: int
    sha256: str
    #: Lines of JSON in it, and recordings.
    lines: int
    recordings: int


class Manifest(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """What an archive holds. It is not encrypted, and names nobody."""

    format: str
    version: int
    #: Of earwitness, that wrote it.
    writer: str
    job_id: str
    domain_id: str
    #: When the last part was made: RFC 3339.
    created_at: str
    #: The public key that all parts are encrypted for; None when they are not.
    recipient: str | None
    #: Whether the speech of enrolments was asked for.
    with_audio: bool
    parts: tuple[ListedPart, ...]
    #: Parts that could not be made: their numbers, from 1.
    missing_parts: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class CheckedArchive:
    """An archive whose parts are all there and whole."""

    manifest: Manifest
    #: Lines of each kind that were read; empty when the parts are encrypted and no key was given.
    lines: dict[PartKind, int]
    recordings: int


def part_name(number: int, *, encrypted: bool) -> str:
    """Return the name of a part in the archive."""
    return f"part-{number:06d}.tar{'.age' if encrypted else ''}"


# `Any`: whatever JSON holds.
def part_of(kind: PartKind, lines: Sequence[dict[str, Any]], recordings: Sequence[tuple[str, bytes]]) -> bytes:
    """Return a part, not encrypted: its lines, then its recordings by name. The same content gives the same bytes."""
    text = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
    members = [(_LINES[kind][0], text), *recordings]
    return b"".join(block for name, content in members for block in _member(name, content)) + _END


def archive_length(manifest: bytes, parts: Iterable[ListedPart]) -> int:
    """Return how many bytes the archive of this manifest and these parts has."""
    return sum(_BLOCK + _padded(size) for size in (len(manifest), *(part.bytes for part in parts))) + len(_END)


def archive_of(manifest: bytes, parts: Iterable[tuple[str, bytes]]) -> Iterator[bytes]:
    """Yield an archive; its parts are asked for one by one."""
    yield from _member(MANIFEST, manifest)
    for name, content in parts:
        yield from _member(name, content)
    yield _END


def check_archive(path: Path, *, identity: str | None) -> CheckedArchive:
    """Read all of an archive and return what it holds. With a secret key of age, or without encryption, the parts too.

    Raise ArchiveInvalid for anything that is not as docs/exports.md says, and OSError.
    """
    lines, recordings = dict.fromkeys(PartKind, 0), 0
    with path.open("rb") as file, _translated():
        members = _members(file)
        manifest = _read_manifest(members)
        opens = manifest.recipient is None or identity is not None
        for listed, content in _listed_members(members, manifest):
            if opens:
                read, heard = _check_part(listed, _opened(content, manifest, identity))
                lines[listed.kind] += read
                recordings += heard
    return CheckedArchive(manifest=manifest, lines=lines if opens else {}, recordings=recordings)


@dataclass(frozen=True, kw_only=True)
class OpenedPart:
    """A part whose hash and members are as its manifest says."""

    listed: ListedPart
    #: JSON, each without its end.
    lines: tuple[bytes, ...]
    #: By name.
    recordings: dict[str, bytes]


def opened_parts(path: Path, *, identity: str | None) -> Iterator[OpenedPart]:
    """Yield the parts of an archive in their order, each checked and in memory by itself.

    Raise ArchiveInvalid for anything that is not as docs/exports.md says, also when parts are missing or the key is.
    Its end is looked at last: only who has read all knows that it is whole.
    """
    with path.open("rb") as file, _translated():
        members = _members(file)
        manifest = _read_manifest(members)
        if manifest.missing_parts:
            raise ArchiveInvalid(f"{len(manifest.missing_parts)} parts could not be made; export it again")
        if manifest.recipient is not None and identity is None:
            raise ArchiveInvalid("the export is encrypted; give the secret key of age with --key")
        for listed, content in _listed_members(members, manifest):
            inner = list(_members(io.BytesIO(_opened(content, manifest, identity))))
            _require_as_listed(listed, inner)
            lines = tuple(inner[0][1].splitlines())
            yield OpenedPart(listed=listed, lines=lines, recordings=dict(inner[1:]))


# `Any`: JSON objects.
def labels_of(path: Path, *, identity: str | None) -> tuple[dict[str, Any], int]:
    """Return the labels of an archive as the document that `earwitness labels export` writes, and how many are not in
    it because they name a profile that the archive does not have.

    Raise ArchiveInvalid as `opened_parts` does, and OSError.
    """
    profiles, calls = set[str](), list[dict[str, Any]]()
    document: dict[str, Any] = {"format": EXPORT_FORMAT}
    for part in opened_parts(path, identity=identity):
        if part.listed.kind is PartKind.DOMAIN:
            for line in part.lines:
                domain = msgspec.json.decode(line, type=DomainLine)
                document |= {"domainId": domain.domain_id, "matches": domain.matches, "noMatches": domain.no_matches}
        elif part.listed.kind is PartKind.PROFILES:
            profiles |= {msgspec.json.decode(line, type=ProfileLine).profile_id for line in part.lines}
        elif part.listed.kind is PartKind.LABELS:
            calls += [msgspec.json.decode(line) for line in part.lines]
    known = [one for one in calls if one["label"]["profileId"] is None or one["label"]["profileId"] in profiles]
    return document | {"calls": known}, len(calls) - len(known)


def _read_manifest(members: Iterator[tuple[str, bytes]]) -> Manifest:
    name, content = next(members, ("", b""))
    if name != MANIFEST:
        raise ArchiveInvalid(f"this is no export: it does not begin with {MANIFEST}")
    return _manifest(content)


def _listed_members(members: Iterator[tuple[str, bytes]], manifest: Manifest) -> Iterator[tuple[ListedPart, bytes]]:
    """Yield the parts that a manifest lists, whole and in their order; then there is nothing more."""
    for listed in manifest.parts:
        name, content = next(members, ("", b""))
        if name != listed.name:
            raise ArchiveInvalid(f"{listed.name} is missing, or not in its place; fetch the export again")
        if len(content) != listed.bytes or hashlib.sha256(content).hexdigest() != listed.sha256:
            raise ArchiveInvalid(f"{listed.name} is damaged; fetch the export again")
        yield listed, content
    if next(members, None) is not None:
        raise ArchiveInvalid("the export holds more than its manifest lists; fetch it again")


def _opened(content: bytes, manifest: Manifest, identity: str | None) -> bytes:
    if manifest.recipient is None or identity is None:
        return content
    from earwitness.vault.age import decrypt

    return decrypt(content, identity=identity)


def _check_part(listed: ListedPart, content: bytes) -> tuple[int, int]:
    """Return how many lines and recordings a part holds; raise ArchiveInvalid when these are not what is listed."""
    members = list(_members(io.BytesIO(content)))
    return _require_as_listed(listed, members)


def _require_as_listed(listed: ListedPart, members: Sequence[tuple[str, bytes]]) -> tuple[int, int]:
    """Return how many lines and recordings there are; raise ArchiveInvalid when these are not what is listed."""
    file_name, kind = _LINES[listed.kind]
    name, text = members[0] if members else ("", b"")
    if name != file_name:
        raise ArchiveInvalid(f"{listed.name} does not begin with {file_name}; fetch the export again")
    lines = [msgspec.json.decode(line, type=kind) for line in text.splitlines()]
    there, named = [name for name, _ in members[1:]], [line.audio for line in lines if line.audio is not None]
    if len(lines) != listed.lines or len(there) != listed.recordings or there != named:
        raise ArchiveInvalid(f"{listed.name} does not hold what its manifest says; fetch the export again")
    return len(lines), len(there)


def _manifest(content: bytes) -> Manifest:
    found = msgspec.json.decode(content, type=Manifest)
    if found.format != FORMAT:
        raise ArchiveInvalid("this is no export of earwitness")
    if not FIRST_VERSION <= found.version <= VERSION:
        raise ArchiveInvalid(
            f"the export has format {found.version}, and this version reads {FIRST_VERSION} to {VERSION}; upgrade it"
        )
    later = {PartKind.CONSENTS, PartKind.LABELS} & {part.kind for part in found.parts}
    if later and found.version == FIRST_VERSION:
        raise ArchiveInvalid(f"the export has parts that format {FIRST_VERSION} does not have; it is none of ours")
    return found


def _members(file: IO[bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield the names and contents of a tar's members: plain files of bounded size, without extended headers."""
    while (block := file.read(_BLOCK)) != bytes(_BLOCK):
        header = tarfile.TarInfo.frombuf(block, "ascii", "strict")
        most = MANIFEST_BYTES_MAX if header.name == MANIFEST else PART_BYTES_MAX
        if header.type != tarfile.REGTYPE or not 0 <= header.size <= most:
            raise ArchiveInvalid("the export holds something that is no file, or too large; fetch it again")
        content = file.read(_padded(header.size))
        if len(content) < _padded(header.size):
            raise ArchiveInvalid("the export is cut off; fetch it again")
        yield header.name, content[: header.size]
    if file.read(_BLOCK + 1) != bytes(_BLOCK):
        raise ArchiveInvalid("the export is cut off, or has something behind its end; fetch it again")


def _member(name: str, content: bytes) -> Iterator[bytes]:
    header = tarfile.TarInfo(name)
    header.size, header.mode = len(content), 0o600
    yield header.tobuf(tarfile.USTAR_FORMAT)
    yield content
    yield bytes(_padded(len(content)) - len(content))


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


@contextmanager
def _translated() -> Generator[None]:
    """Turn what readers of tar and JSON raise into ArchiveInvalid."""
    try:
        yield
    except tarfile.TarError as error:
        raise ArchiveInvalid("this is no export, or it is cut off; fetch it again") from error
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise ArchiveInvalid("the export holds something that cannot be read; fetch it again") from error
