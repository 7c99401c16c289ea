"""What an archive of an export holds, judged before anything of it is written: whole, ours, and of use here.

What belongs here: the lines that an import takes, and what is refused of them. What must never: records.
"""

import hashlib
import io
import json
import math
import re
import wave
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np

from earwitness.engine.space import Space
from earwitness.errors import ArchiveInvalid, BadRequest, BodyTooLarge, Unprocessable
from earwitness.store.consents import CONSENTS_MAX
from earwitness.tasks.archive import LabelOfLine, OpenedPart, opened_parts
from earwitness.tasks.calibrations import judged as judged_document
from earwitness.voice.band import CANONICAL_RATE, Band
from earwitness.voice.consent import ConsentTerms
from earwitness.voice.job import PartKind

IMPORTING = "earwitness:importing"
"""The tag of a domain that is not whole yet; its value tells of which archive."""

_LINE_BYTES_MAX = 2**20
_AUDIO_BYTES_MAX = 20 * 2**20
TAGS_MAX = 50
_UNIT_LENGTH_OFF_MAX = 1e-3
_SHOWN_MAX = 5
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_ENCODER = re.compile(r"[\w.-]{1,64}(/[\w.-]{1,64}){1,2}", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NAME_LENGTH_MAX, _DESCRIPTION_LENGTH_MAX, _CONSENT_LENGTH_MAX = 256, 1024, 256

_LineT = TypeVar("_LineT", bound=msgspec.Struct)


class ImportedDomain(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """Of a domain's line what an import takes. So it is with the following ones."""

    name: str
    description: str = ""
    band: str
    tags: dict[str, str] = {}
    #: What the records are known by whose digests of subjects these are; None in exports of the first format.
    records: str | None = None
    #: As a calibration file has it; null where the service's own was in use.
    calibration: msgspec.Raw = msgspec.Raw(b"null")


class ImportedProfile(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """Of a voice profile."""

    profile_id: str
    tags: dict[str, str] = {}
    expires_at: datetime
    #: Whose it is, where a consent says it.
    subject: str | None = None
    #: What the subject is found by in the records that the export was made of.
    subject_digest: str | None = None


class ImportedConsent(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """Of a consent."""

    consent_id: str
    subject: str
    text_version: str
    given_at: datetime
    medium: str
    evidence: str
    purpose: str
    withdrawn_at: datetime | None = None

    @property
    def terms(self) -> ConsentTerms:
        """Return what was agreed to."""
        return ConsentTerms(
            subject=self.subject,
            text_version=self.text_version,
            given_at=self.given_at,
            medium=self.medium,
            evidence=self.evidence,
            purpose=self.purpose,
        )


class ImportedLabel(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """Of a labelled call; an import looks at it and writes none of it."""

    task_id: str
    label: LabelOfLine


class ImportedVoiceprint(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """Of a voiceprint."""

    profile_id: str
    voiceprint_id: str
    encoder_id: str
    vector: bytes | None
    net_speech_seconds: float
    quality: dict[str, msgspec.Raw] = {}
    consent_reference: str | None = None
    audio: str | None = None


@dataclass(frozen=True, kw_only=True)
class ImportedCalibration:
    """A calibration of an export that can be used here."""

    calibration_id: str
    encoder_id: str
    #: As records keep it.
    document: bytes = field(repr=False)


@dataclass(kw_only=True)
class Judged:
    """What an archive holds, before anything is written."""

    digest: str
    domain: ImportedDomain
    band: Band
    profiles: set[str] = field(default_factory=set[str])
    expired: set[str] = field(default_factory=set[str])
    voiceprints: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    #: Voiceprints without a vector, or of another encoder without their speech: nothing can be compared with them.
    unusable: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    #: Voiceprints of another encoder whose speech is there: to be made anew.
    foreign: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    consents: set[str] = field(default_factory=set[str])
    #: By subject: when the latest of its consents was given, and when it withdrew last by what the export says.
    consented: dict[str, datetime] = field(default_factory=dict[str, datetime])
    withdrawn: dict[str, datetime] = field(default_factory=dict[str, datetime])
    #: Tasks with a label. Labels stand on tasks, so they stay in the file.
    labelled: set[str] = field(default_factory=set[str])
    calibration: ImportedCalibration | None = None
    #: Whether it has one of another encoder, which says nothing of scores here.
    has_foreign_calibration: bool = False

    def may_import(self, subject: str | None, withdrawn_at: datetime | None) -> bool:
        """Return whether something of a subject is taken that has withdrawn here at this time, or not: it is where a
        consent in the export is newer than each withdrawal, or where there is no withdrawal."""
        theirs = None if subject is None else self.withdrawn.get(subject)
        latest = max((one for one in (theirs, withdrawn_at) if one is not None), default=None)
        if latest is None:
            return True
        given_at = None if subject is None else self.consented.get(subject)
        return given_at is not None and given_at > latest


def judge(
    path: Path, *, identity: str | None, space_of: Callable[[Band], Space], now: datetime, leave_out: bool
) -> Judged:
    """Return what an archive holds, after all of it was read. Nothing is written.

    Raise ArchiveInvalid for anything that cannot be imported whole.
    """
    judged: Judged | None = None
    space: Space | None = None
    digest = hashlib.sha256()
    for part in opened_parts(path, identity=identity):
        digest.update(part.listed.sha256.encode())
        if judged is None or space is None:
            judged = _judged_domain(part)
            space = space_of(judged.band)
            _judge_calibration(judged, space)
        elif part.listed.kind is PartKind.PROFILES:
            _judge_profiles(judged, part, now)
        elif part.listed.kind is PartKind.VOICEPRINTS:
            _judge_voiceprints(judged, part, space)
        elif part.listed.kind is PartKind.CONSENTS:
            _judge_consents(judged, part, now)
        elif part.listed.kind is PartKind.LABELS:
            _judge_labels(judged, part)
        else:
            raise ArchiveInvalid("the export describes two domains; it is none of ours")
    if judged is None:
        raise ArchiveInvalid("the export has no domain in it; export it again")
    if judged.unusable and not leave_out:
        names = sorted("/".join(one) for one in judged.unusable)
        raise ArchiveInvalid(
            f"{len(names)} voiceprints are of another voice encoder, or damaged, and their speech is not in the "
            f"export, so that they can never be compared here: {', '.join(names[:_SHOWN_MAX])}"
            f"{' …' if len(names) > _SHOWN_MAX else ''}; export with --audio, or leave them out with --leave-out"
        )
    judged.digest = digest.hexdigest()
    return judged


def _judged_domain(part: OpenedPart) -> Judged:
    found = list(lines_of(part, ImportedDomain)) if part.listed.kind is PartKind.DOMAIN else []
    if len(found) != 1:
        raise ArchiveInvalid("the export does not begin with its domain; it is none of ours")
    (domain,) = found
    if domain.band not in set(Band):
        raise ArchiveInvalid("the export is of a band that this version does not know; upgrade it")
    if not 0 < len(domain.name) <= _NAME_LENGTH_MAX or len(domain.description) > _DESCRIPTION_LENGTH_MAX:
        raise ArchiveInvalid("the name or description of the exported domain is too long, or empty")
    _require_tags(domain.tags)
    return Judged(digest="", domain=domain, band=Band(domain.band))


def _judge_calibration(judged: Judged, space: Space) -> None:
    """Look at the calibration of an export as at one that an admin installs."""
    document = bytes(judged.domain.calibration)
    if document == b"null":
        return
    try:
        calibration, kept = judged_document(document, space.calibration)
    except Unprocessable:
        judged.has_foreign_calibration = True
    except (BadRequest, BodyTooLarge) as error:
        raise ArchiveInvalid(f"the calibration of the export cannot be taken: {error}") from error
    else:
        judged.calibration = ImportedCalibration(
            calibration_id=calibration.id, encoder_id=calibration.encoder_id, document=kept
        )


def _judge_profiles(judged: Judged, part: OpenedPart, now: datetime) -> None:
    for line in lines_of(part, ImportedProfile):
        if not _ID.fullmatch(line.profile_id) or line.expires_at.tzinfo is None:
            raise ArchiveInvalid("a profile of the export has an id or a time that nobody can have written")
        if line.profile_id in judged.profiles:
            raise ArchiveInvalid("the export has a profile twice; it is none of ours")
        judged.profiles.add(line.profile_id)
        _require_tags(line.tags)
        if line.subject_digest is not None and not _DIGEST.fullmatch(line.subject_digest):
            raise ArchiveInvalid("a profile of the export has a digest of a subject that nobody can have made")
        _require_terms(ConsentTerms(subject=line.subject), now)
        if line.expires_at <= now:
            judged.expired.add(line.profile_id)


def _judge_consents(judged: Judged, part: OpenedPart, now: datetime) -> None:
    counts = Counter[str]()
    for line in lines_of(part, ImportedConsent):
        withdrawn_at = line.withdrawn_at
        if not _ID.fullmatch(line.consent_id) or any(
            one is not None and one.tzinfo is None for one in (line.given_at, withdrawn_at)
        ):
            raise ArchiveInvalid("a consent of the export has an id or a time that nobody can have written")
        if line.consent_id in judged.consents:
            raise ArchiveInvalid("the export has a consent twice; it is none of ours")
        judged.consents.add(line.consent_id)
        _require_terms(line.terms, now)
        counts[line.subject] += 1
        judged.consented[line.subject] = max(line.given_at, judged.consented.get(line.subject, line.given_at))
        if withdrawn_at is not None:
            judged.withdrawn[line.subject] = max(withdrawn_at, judged.withdrawn.get(line.subject, withdrawn_at))
    if max(counts.values(), default=0) > CONSENTS_MAX:
        raise ArchiveInvalid(f"the export has more than {CONSENTS_MAX} consents of one subject; it is none of ours")


def _require_terms(terms: ConsentTerms, now: datetime) -> None:
    try:
        terms.checked(now=now)
    except BadRequest as error:
        raise ArchiveInvalid(f"a consent or a subject of the export cannot be taken: {error}") from error


def _judge_labels(judged: Judged, part: OpenedPart) -> None:
    for line in lines_of(part, ImportedLabel):
        named = line.label.profile_id
        if not _ID.fullmatch(line.task_id) or (named is not None and not _ID.fullmatch(named)):
            raise ArchiveInvalid("a label of the export has an id that nobody can have written")
        if line.task_id in judged.labelled:
            raise ArchiveInvalid("the export has the label of a call twice; it is none of ours")
        if line.label.spoke.names_profile != (named is not None):
            raise ArchiveInvalid(
                "a label of the export says that a profile spoke and names none, or names one where it says otherwise; "
                "it is none of ours"
            )
        judged.labelled.add(line.task_id)


def _judge_voiceprints(judged: Judged, part: OpenedPart, space: Space) -> None:
    dimension = len(space.shipped.mean)
    for line in lines_of(part, ImportedVoiceprint):
        named = line.profile_id, line.voiceprint_id
        if line.profile_id not in judged.profiles:
            raise ArchiveInvalid("the export has a voiceprint of a profile that is not in it")
        if named in judged.voiceprints:
            raise ArchiveInvalid("the export has a voiceprint twice; it is none of ours")
        if not _ID.fullmatch(line.voiceprint_id) or not _ENCODER.fullmatch(line.encoder_id):
            raise ArchiveInvalid("a voiceprint of the export has an id that nobody can have written")
        if not (math.isfinite(line.net_speech_seconds) and 0 <= line.net_speech_seconds <= 86_400):
            raise ArchiveInvalid("a voiceprint of the export is of an impossible amount of speech")
        if len(line.consent_reference or "") > _CONSENT_LENGTH_MAX:
            raise ArchiveInvalid(f"a consent reference of the export has more than {_CONSENT_LENGTH_MAX} characters")
        judged.voiceprints.add(named)
        quality_of(line)
        if line.audio is not None:
            speech_of(part.recordings[line.audio])
        is_ours = space.takes(line.encoder_id)
        if is_ours and line.vector is not None:
            _require_unit_vector(line.vector, dimension)
        elif line.audio is None or line.vector is None:
            judged.unusable.add(named)
        elif len(line.vector) > 4 * 4096:
            raise ArchiveInvalid("a voiceprint of the export has more numbers than any voice encoder gives")
        elif line.profile_id not in judged.expired:
            judged.foreign.add(named)


def _require_unit_vector(vector: bytes, dimension: int) -> None:
    numbers = np.frombuffer(vector, "<f4") if len(vector) == 4 * dimension else np.zeros(0, "<f4")
    length = float(np.linalg.norm(numbers.astype(np.float64))) if np.isfinite(numbers).all() else math.nan
    if not abs(length - 1.0) <= _UNIT_LENGTH_OFF_MAX:
        raise ArchiveInvalid("a voiceprint of the export is no unit vector of its voice encoder; export it again")


def _require_tags(tags: Mapping[str, str]) -> None:
    if len(tags) > TAGS_MAX or any(not 0 < len(key) <= 128 or len(value) > 256 for key, value in tags.items()):
        raise ArchiveInvalid("the tags of a resource of the export are too many or too long")
    if IMPORTING in tags:
        raise ArchiveInvalid("the export is of a domain whose own import was broken off; export the whole one")


def quality_of(line: ImportedVoiceprint) -> dict[str, float | str | bool | None]:
    """Return what was measured of the speech; raise ArchiveInvalid for anything but a few numbers and words."""
    values = {name: json.loads(bytes(value)) for name, value in line.quality.items()}
    for name, value in values.items():
        is_fine = value is None or (
            math.isfinite(value) if isinstance(value, int | float) else isinstance(value, str) and len(value) <= 100
        )
        if not is_fine or len(name) > 100 or len(values) > 50:
            raise ArchiveInvalid("the quality of a voiceprint of the export is nothing that is measured")
    return values


def speech_of(content: bytes) -> bytes:
    """Return the samples of a recording; raise ArchiveInvalid for another form than exports have."""
    try:
        with wave.open(io.BytesIO(content)) as reader:
            form = reader.getnchannels(), reader.getsampwidth(), reader.getframerate()
            samples = reader.readframes(reader.getnframes())
    except (wave.Error, EOFError):
        form, samples = (0, 0, 0), b""
    if form != (1, 2, CANONICAL_RATE) or not 0 < len(samples) <= _AUDIO_BYTES_MAX:
        raise ArchiveInvalid("a recording of the export is no WAV of 16 bits, 16 kHz and one channel, or too long")
    return samples


def lines_of(part: OpenedPart, kind: type[_LineT]) -> Iterator[_LineT]:
    """Yield the lines of a part; raise ArchiveInvalid for one that is not as docs/exports.md says."""
    decoder = msgspec.json.Decoder(kind)
    for line in part.lines:
        if len(line) > _LINE_BYTES_MAX:
            raise ArchiveInvalid("a line of the export is longer than a megabyte; it is none of ours")
        try:
            yield decoder.decode(line)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise ArchiveInvalid("the export holds a line that is not as docs/exports.md says") from error
