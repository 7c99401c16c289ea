"""Reads exports back: what is in an archive becomes a domain, all of it or nothing.

The whole archive is read and judged before anything is written. Then it is written in batches, into a domain that has
the tag IMPORTING until the last one: what is killed between is found by it, deleted, and begun anew. The tag names the
run as well: one whose domain another has taken over for a dead one's stops, and undoes nothing. Only what an import has
written is deleted; a voice that was enrolled meanwhile stays.

What belongs here: from the lines of docs/exports.md to rows, and what is refused of them. What must never: how an
archive is built (`archive.py`).
"""

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TypeAlias, TypeVar

from earwitness.errors import (
    AlreadyExists,
    ArchiveInvalid,
    BadRequest,
    Conflict,
    ConsentMissing,
    NotFound,
    StoreUnavailable,
)
from earwitness.progress import Progress
from earwitness.store.records import NewVoiceprint, Scope, VoiceProfileDomain
from earwitness.store.store import Store, Unit
from earwitness.tasks.archive import OpenedPart, opened_parts
from earwitness.tasks.exporting import records_mark
from earwitness.tasks.import_leftovers import (
    INTO,
    WRITER,
    GiveTurn,
    Leftovers,
    archive_mark,
    audit_import,
    imported_consent_id,
    new_profile_id,
    require_mark,
)
from earwitness.tasks.judged_archive import (
    IMPORTING,
    TAGS_MAX,
    ImportedConsent,
    ImportedProfile,
    ImportedVoiceprint,
    Judged,
    lines_of,
    quality_of,
    speech_of,
)
from earwitness.voice.band import BAND_TAG
from earwitness.voice.consent import ConsentRequirement, ConsentTerms, ConsentUse, requirement_of
from earwitness.voice.job import PartKind
from earwitness.voice.retention import PROFILE_KEPT

_AT_ONCE = 100
_LineT = TypeVar("_LineT")

GiveId: TypeAlias = Callable[[], str]
_log = logging.getLogger("earwitness.import")


@dataclass(frozen=True, kw_only=True)
class ImportTarget:
    """Where an archive goes."""

    scope: Scope
    #: The id of an empty domain that is there; empty for a new one.
    domain_id: str = ""
    #: What the new domain is called; empty for the name in the archive.
    name: str = ""
    #: Whether profiles get new ids.
    new_ids: bool = False
    domains_max: int | None = None
    profiles_max: int | None = None


@dataclass(frozen=True, kw_only=True)
class ImportResult:
    """What an import has written."""

    domain: VoiceProfileDomain
    profiles: int
    voiceprints: int
    #: Of another encoder, with their speech: `earwitness backfill reembed` makes them anew.
    to_reembed: int
    #: Voiceprints that were left out, as `PROFILE/VOICEPRINT`.
    left_out: tuple[str, ...]
    #: Profiles that had expired.
    expired: int
    consents: int
    #: Profiles that were left out because their subjects have withdrawn, and consents that do not count for that.
    withdrawn_profiles: int
    withdrawn_consents: int
    #: Labelled calls, which stay in the file.
    labels: int
    #: The calibration by which the domain is searched from now on; None where it is another than the export's, or none.
    calibration_id: str | None
    #: Why the calibration of the export is not in use; None where it is, or where there is none.
    calibration_left_out: str | None


def import_archive(
    store: Store,
    path: Path,
    judged: Judged,
    target: ImportTarget,
    *,
    identity: str | None,
    new_id: GiveId,
    now: datetime,
    progress: Progress,
    pause: GiveTurn,
) -> ImportResult:
    """Write what was judged; whatever fails leaves nothing behind.

    Raise ArchiveInvalid when the file is another one by now, AlreadyExists, Conflict, ConsentMissing, LimitExceeded,
    NotFound.
    """
    Leftovers(store, judged, target.scope).delete(pause)
    domain, mark = _begun(store, judged, target, new_id)
    try:
        writer = _Writer(store, judged, target, domain, mark=mark, now=now, progress=progress, pause=pause)
        digest = hashlib.sha256()
        for part in opened_parts(path, identity=identity):
            digest.update(part.listed.sha256.encode())
            writer.write(part)
        if digest.hexdigest() != judged.digest:
            raise ArchiveInvalid("the file was changed while it was read; nothing was imported")
        calibration_id = store.write(lambda unit: _finish(unit, judged, target, domain, mark))
    except BaseException:
        try:
            Leftovers(store, judged, target.scope).undo(domain, mark, pause)
        except StoreUnavailable as error:  # the reason why there is something to undo says more
            _log.warning("the next import of this file deletes what this one has written", extra={"reason": str(error)})
        raise
    return writer.result(calibration_id)


class _Writer:
    """Writes the parts of an archive, a batch in each transaction."""

    def __init__(
        self,
        store: Store,
        judged: Judged,
        target: ImportTarget,
        domain: VoiceProfileDomain,
        *,
        mark: str,
        now: datetime,
        progress: Progress,
        pause: GiveTurn,
    ) -> None:
        self._store, self._judged, self._target, self._domain = store, judged, target, domain
        self._mark, self._now, self._progress, self._pause = mark, now, progress, pause
        self._profiles = self._voiceprints = self._consent_lines = 0
        # Whoever edits an export can give one consent several ids; it is one all the same.
        self._consents, self._withdrawn_consents = set[str](), set[ConsentTerms]()
        #: Profiles of subjects that have withdrawn, as the export calls them.
        self._withdrawn: set[str] = set()
        self._is_same_records = judged.domain.records == records_mark(store, target.scope)

    def write(self, part: OpenedPart) -> None:
        """Write what is in a part; the domain is there already."""
        if part.listed.kind is PartKind.PROFILES:
            for profiles in _batched(lines_of(part, ImportedProfile), _AT_ONCE):
                self._write(lambda unit, chosen=profiles: self._add_profiles(unit, chosen))
                self._profiles += len(profiles)
                self._progress("importing profiles", self._profiles, len(self._judged.profiles))
        elif part.listed.kind is PartKind.VOICEPRINTS:
            for voiceprints in _batched(lines_of(part, ImportedVoiceprint), _AT_ONCE):
                self._write(lambda unit, chosen=voiceprints: self._add_voiceprints(unit, part, chosen))
                self._voiceprints += len(voiceprints)
                self._progress("importing voiceprints", self._voiceprints, len(self._judged.voiceprints))
        elif part.listed.kind is PartKind.CONSENTS:
            for consents in _batched(lines_of(part, ImportedConsent), _AT_ONCE):
                self._write(lambda unit, chosen=consents: self._add_consents(unit, chosen))
                self._consent_lines += len(consents)
                self._progress("importing consents", self._consent_lines, len(self._judged.consents))

    def _write(self, batch: Callable[[Unit], Callable[[], None]]) -> None:
        """Write a batch, and count it when it is durable: a transaction may be tried more than once."""
        self._store.write(batch)()
        self._pause()

    def result(self, calibration_id: str | None) -> ImportResult:
        """Return what was written, with the calibration that was installed."""
        judged, gone = self._judged, self._judged.expired | self._withdrawn
        left_out = sorted("/".join(one) for one in judged.unusable)
        return ImportResult(
            domain=self._domain,
            profiles=len(judged.profiles - gone),
            voiceprints=sum(profile not in gone for profile, _ in judged.voiceprints - judged.unusable),
            to_reembed=sum(profile not in gone for profile, _ in judged.foreign),
            left_out=tuple(left_out),
            expired=len(judged.expired),
            consents=len(self._consents),
            withdrawn_profiles=len(self._withdrawn),
            withdrawn_consents=len(self._withdrawn_consents),
            labels=len(judged.labelled),
            calibration_id=calibration_id,
            calibration_left_out=_why_left_out(judged, self._target, calibration_id),
        )

    def _add_profiles(self, unit: Unit, chosen: tuple[ImportedProfile, ...]) -> Callable[[], None]:
        """Write profiles but for those of subjects that have withdrawn; return how that is counted."""
        digests = {line.profile_id: self._digest_of(line) for line in chosen}
        withdrawn_at = _locked(unit, self._target.scope, {one for one in digests.values() if one is not None})
        require_mark(unit, self._target.scope, self._domain, self._mark)
        withdrawn = set[str]()
        for line in chosen:
            digest = digests[line.profile_id]
            if line.profile_id in self._judged.expired:
                continue
            if not self._judged.may_import(line.subject, None if digest is None else withdrawn_at[digest]):
                withdrawn.add(line.profile_id)
                continue
            self._require_consent(unit, line, digest)
            profile_id = self._id_of(line.profile_id)
            arn = self._domain.arn.replace(
                f"voice-profile-domain/{self._domain.domain_id}", f"voice-profile/{profile_id}"
            )
            try:
                unit.profiles.create(
                    self._target.scope,
                    profile_id=profile_id,
                    domain_id=self._domain.domain_id,
                    arn=arn,
                    expires_at=min(line.expires_at, self._now + PROFILE_KEPT),
                    subject_digest=digest,
                    limit=self._target.profiles_max,
                )
            except AlreadyExists:
                raise AlreadyExists(
                    "a voice profile of the export is in these records already, in another domain; import it with "
                    "--new-ids"
                ) from None
            unit.tags.set(self._target.scope, arn, line.tags, limit=TAGS_MAX)
        self._audit(unit, "ImportProfiles")
        return lambda: self._withdrawn.update(withdrawn)

    def _id_of(self, profile_id: str) -> str:
        """Return the id that a profile of the export gets."""
        return new_profile_id(profile_id, self._judged, self._domain) if self._target.new_ids else profile_id

    def _require_consent(self, unit: Unit, line: ImportedProfile, digest: bytes | None) -> None:
        """Raise ConsentMissing where a domain that was there requires a consent of who is enrolled, and there is none
        in the export nor in the domain."""
        if not self._target.domain_id or line.subject in self._judged.consented:
            return
        try:
            unit.consents.require(self._target.scope, self._domain.domain_id, digest, use=ConsentUse.ENROLMENT)
        except ConsentMissing:
            raise ConsentMissing(
                "the domain requires a consent for each enrolment, and of a profile in the export there is none, in it "
                "or in the domain; record it (`earwitness consent record`), or import into a new domain"
            ) from None

    def _digest_of(self, line: ImportedProfile) -> bytes | None:
        """Return what the subject of a profile is found by here. Digests of other records are of no use."""
        if line.subject is not None:
            return self._store.subject_digest(self._target.scope, line.subject)
        own = line.subject_digest if self._is_same_records else None
        return None if own is None else bytes.fromhex(own)

    def _add_consents(self, unit: Unit, chosen: tuple[ImportedConsent, ...]) -> Callable[[], None]:
        """Record consents that are newer than each withdrawal of their subjects; return how that is counted."""
        scope, recorded, withdrawn = self._target.scope, set[str](), set[ConsentTerms]()
        digests = {line.subject: self._store.subject_digest(scope, line.subject) for line in chosen}
        withdrawn_at = _locked(unit, scope, set(digests.values()))
        require_mark(unit, scope, self._domain, self._mark)
        for line in chosen:
            withdrawals = withdrawn_at[digests[line.subject]], self._judged.withdrawn.get(line.subject)
            if all(one is None or line.given_at > one for one in withdrawals):
                has_new_ids = bool(self._target.domain_id) or self._target.new_ids
                consent_id = imported_consent_id(line.consent_id, self._judged, has_new_ids=has_new_ids)
                kept = unit.consents.record(scope, self._domain.domain_id, line.terms, consent_id=consent_id)
                recorded.add(kept.consent_id)
            else:
                withdrawn.add(line.terms)
        self._audit(unit, "ImportConsents")

        def counted() -> None:
            self._consents |= recorded
            self._withdrawn_consents |= withdrawn

        return counted

    def _add_voiceprints(
        self, unit: Unit, part: OpenedPart, chosen: tuple[ImportedVoiceprint, ...]
    ) -> Callable[[], None]:
        require_mark(unit, self._target.scope, self._domain, self._mark)
        gone = self._judged.expired | self._withdrawn
        for line in chosen:
            if (line.profile_id, line.voiceprint_id) in self._judged.unusable or line.profile_id in gone:
                continue
            profile = unit.profiles.get(self._target.scope, self._id_of(line.profile_id))
            if profile is None:
                raise Conflict("a profile was deleted while it was imported; import the export again")
            unit.profile_voiceprints.put(
                self._target.scope,
                profile,
                voiceprint_id=line.voiceprint_id,
                voiceprint=NewVoiceprint(
                    encoder_id=line.encoder_id,
                    vector=line.vector or b"",
                    net_speech_seconds=line.net_speech_seconds,
                    quality=quality_of(line),
                    audio=None if line.audio is None else speech_of(part.recordings[line.audio]),
                ),
                source_task_id=None,
                consent_reference=line.consent_reference,
            )
        self._audit(unit, "ImportVoiceprints")
        return lambda: None

    def _audit(self, unit: Unit, operation: str) -> None:
        audit_import(unit, self._target.scope, operation, self._domain.arn, "done")


def _begun(store: Store, judged: Judged, target: ImportTarget, new_id: GiveId) -> tuple[VoiceProfileDomain, str]:
    """Return the domain that the archive goes into, and the mark that it has from now on."""
    scope, mark = target.scope, f"{archive_mark(judged)} {new_id()}{INTO if target.domain_id else ''}"

    def begin(unit: Unit) -> VoiceProfileDomain:
        if target.domain_id:
            domain = unit.domains.lock(scope, target.domain_id)
            if domain is None:
                raise NotFound("the voice profile domain does not exist; look at its id, --account and --region")
            if unit.profiles.count(scope, domain.domain_id):
                raise Conflict("the voice profile domain has profiles already; import into an empty or a new one")
            if domain.band is not judged.band:
                raise Conflict(f"the domain is for {domain.band} audio, and the export is of {judged.band}")
            unit.tags.set(scope, domain.arn, {IMPORTING: mark}, limit=TAGS_MAX + 1)
            audit_import(unit, scope, "ImportDomain", domain.arn, "begun")
            return domain
        domain_id = f"vpd-{new_id()}"
        arn = f"arn:aws:chime:{scope.region}:{scope.account_id}:voice-profile-domain/{domain_id}"
        domain = unit.domains.create(
            scope,
            domain_id=domain_id,
            arn=arn,
            name=target.name or judged.domain.name,
            description=judged.domain.description,
            kms_key_arn=f"arn:aws:kms:{scope.region}:{scope.account_id}:key/earwitness",
            band=judged.band,
            limit=target.domains_max,
        )
        tags = {**judged.domain.tags, BAND_TAG: judged.band.value, IMPORTING: mark}
        unit.tags.set(scope, arn, tags, limit=TAGS_MAX + 1)
        if (required := requirement_of(judged.domain.tags)) is not ConsentRequirement.NONE:
            unit.consents.require_by(scope, domain_id, required)
        audit_import(unit, scope, "ImportDomain", arn, "begun")
        return domain

    return store.write(begin), mark


def _locked(unit: Unit, scope: Scope, digests: set[bytes]) -> dict[bytes, datetime | None]:
    """Return when each of these subjects has withdrawn here last; nobody withdraws for one before this unit ends.

    They are locked before the domain, in one order, as everybody does.
    """
    for digest in sorted(digests):
        unit.consents.lock_digest(digest)
    return {digest: unit.consents.withdrawn_at(scope, digest) for digest in digests}


def _finish(unit: Unit, judged: Judged, target: ImportTarget, domain: VoiceProfileDomain, mark: str) -> str | None:
    """End an import; return the calibration of the export, if it is installed: in a new domain that has none yet.

    By what a domain that was there is searched, its admin decides; an import does not change it unasked.
    """
    scope = target.scope
    require_mark(unit, scope, domain, mark)
    unit.tags.remove(scope, domain.arn, [IMPORTING])
    installed: str | None = None
    found = None if target.domain_id else judged.calibration
    if found is not None and unit.calibrations.current(scope, domain.domain_id) is None:
        unit.calibrations.install(
            scope,
            domain.domain_id,
            calibration_id=found.calibration_id,
            encoder_id=found.encoder_id,
            document=found.document,
            key_id=WRITER,
        )
        installed = found.calibration_id
        audit_import(unit, scope, f"InstallCalibration {installed}", domain.arn, "done")
    audit_import(unit, scope, "ImportDomain", domain.arn, "done")
    return installed


def _why_left_out(judged: Judged, target: ImportTarget, calibration_id: str | None) -> str | None:
    if judged.has_foreign_calibration:
        return "it was fitted for another voice encoder"
    if judged.calibration is None or calibration_id is not None:
        return None
    if target.domain_id:
        return (
            f"only a new domain gets it; `earwitness calibration export {judged.calibration.calibration_id}`, asked "
            "where the export is from, writes it into a file, and `earwitness calibration install` installs that"
        )
    return "the domain has had a calibration of its own"


def _batched(lines: Iterable[_LineT], count: int) -> Iterator[tuple[_LineT, ...]]:
    found = iter(lines)
    while batch := tuple(islice(found, count)):
        yield batch


def require_target(target: ImportTarget) -> None:
    """Raise BadRequest for what cannot be meant together."""
    if target.domain_id and target.name:
        raise BadRequest("a domain that is there keeps its name; leave --name out, or --into")
