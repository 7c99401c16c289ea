"""Exports: what a job reads of a domain for them, and the parts that it makes, until these are fetched.

A part holds a span of rows by their keys, as they are when it is written: whoever was deleted until then is not in it.
Parts lie in pieces, sealed under the domain's key whether they are encrypted for somebody or not.
"""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import partial

from sqlalchemy import Column, ColumnElement, exists, select, tuple_

from earwitness.errors import CiphertextRefused
from earwitness.store.columns import JsonObject
from earwitness.store.consent_schema import consents
from earwitness.store.consents import Consent, consent_terms
from earwitness.store.driver_errors import convert
from earwitness.store.hot_reads import StoredRow
from earwitness.store.job_records import ClaimedItem, Job
from earwitness.store.job_schema import job_parts, jobs
from earwitness.store.label_schema import task_labels
from earwitness.store.records import Scope, VoiceProfile
from earwitness.store.repository import Reader, RowSeal, Writer, in_scope, record, same, select_in_scope
from earwitness.store.schema import profile_voiceprints, profiles, tags
from earwitness.vault.data_key import DataKey
from earwitness.voice.consent import ConsentTerms
from earwitness.voice.deletion import DeletionKind
from earwitness.voice.job import JobKind, JobState

_log = logging.getLogger("earwitness.store")

_PIECE_BYTES = 2**20
_PIECES_AT_ONCE = 8
_PROFILE_KEY = (profiles.c.profile_id,)
_VOICEPRINT_KEY = (profile_voiceprints.c.profile_id, profile_voiceprints.c.voiceprint_id)
_CONSENT_KEY = (consents.c.consent_id,)
_LABEL_KEY = (task_labels.c.task_id,)


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """Rows of a domain by their keys, from the first to the last."""

    first: Sequence[str]
    last: Sequence[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportedProfile:
    """A voice profile as an export has it."""

    profile: VoiceProfile
    tags: dict[str, str] = field(repr=False)
    #: Whose it is, by a consent in its domain; None where there is none, and no subject or no consent.
    subject: str | None = field(repr=False)
    #: What the subject is found by in these records, whether or not there is a consent.
    subject_digest: bytes | None = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportedVoiceprint:
    """A voiceprint as an export has it."""

    profile_id: str
    voiceprint_id: str
    encoder_id: str
    net_speech_seconds: float
    quality: JsonObject
    source_task_id: str | None
    created_at: datetime
    expires_at: datetime
    #: The unit vector: float32, little endian; None when its ciphertext is damaged.
    vector: bytes | None = field(repr=False)
    consent_reference: str | None = field(repr=False)
    #: 16-bit samples at 16 kHz; None when none are kept, or not asked for.
    audio: bytes | None = field(repr=False)


class ExportReader(Reader):
    """What can be read for exports."""

    def profile_keys(self, scope: Scope, domain_id: str, span: Span | None = None) -> tuple[tuple[str, ...], ...]:
        """Return the keys of a domain's profiles in their order: all, or those of a span."""
        return self._keys(_PROFILE_KEY, in_scope(profiles, scope, domain_id=domain_id), span)

    def voiceprint_keys(self, scope: Scope, domain_id: str, span: Span | None = None) -> tuple[tuple[str, ...], ...]:
        """Return the same of its voiceprints: profile ids and voiceprint ids."""
        return self._keys(_VOICEPRINT_KEY, in_scope(profile_voiceprints, scope, domain_id=domain_id), span)

    def consent_keys(self, scope: Scope, domain_id: str, span: Span | None = None) -> tuple[tuple[str, ...], ...]:
        """Return the same of the consents that were recorded in it; evidence references go with voiceprints."""
        recorded = in_scope(consents, scope, domain_id=domain_id) & consents.c.given_at.is_not(None)
        return self._keys(_CONSENT_KEY, recorded, span)

    def label_keys(self, scope: Scope, domain_id: str, span: Span | None = None) -> tuple[tuple[str, ...], ...]:
        """Return the same of the tasks that are labelled."""
        return self._keys(_LABEL_KEY, in_scope(task_labels, scope, domain_id=domain_id), span)

    def consents(self, scope: Scope, domain_id: str, span: Span) -> tuple[Consent, ...]:
        """Return the consents of a span but for damaged ones. Raise NotFound without the domain."""
        key = self._require_domain_key(scope, domain_id)
        recorded = in_scope(consents, scope, domain_id=domain_id) & consents.c.given_at.is_not(None)
        rows = self._session.rows(select(consents).where(recorded, _within(_CONSENT_KEY, span)).order_by(*_CONSENT_KEY))
        opened = [(row, _terms(key, scope, row)) for row in rows]
        return tuple(record(Consent, row, terms=terms) for row, terms in opened if terms is not None)

    def profiles(self, scope: Scope, domain_id: str, span: Span) -> tuple[ExportedProfile, ...]:
        """Return the profiles of a span, with their tags and subjects."""
        chosen = select_in_scope(profiles, scope, domain_id=domain_id).where(_within(_PROFILE_KEY, span))
        rows = self._session.rows(chosen.order_by(*_PROFILE_KEY))
        tagged = in_scope(tags, scope), tags.c.resource_arn.in_([row["arn"] for row in rows])
        theirs: dict[str, dict[str, str]] = {}
        for row in self._session.rows(select(tags).where(*tagged).order_by(tags.c.tag_key)):
            theirs.setdefault(row["resource_arn"], {})[row["tag_key"]] = row["tag_value"]
        subjects = self._subjects(scope, domain_id, {row["subject_digest"] for row in rows} - {None})
        return tuple(
            ExportedProfile(
                profile=record(VoiceProfile, row),
                tags=theirs.get(row["arn"], {}),
                subject=subjects.get(row["subject_digest"]),
                subject_digest=row["subject_digest"],
            )
            for row in rows
        )

    def voiceprints(self, scope: Scope, domain_id: str, span: Span, *, audio: bool) -> tuple[ExportedVoiceprint, ...]:
        """Return the voiceprints of a span. Raise NotFound without the domain."""
        key = self._require_domain_key(scope, domain_id)
        columns = [one for one in profile_voiceprints.c if audio or one.name != "audio_ciphertext"]
        chosen = in_scope(profile_voiceprints, scope, domain_id=domain_id) & _within(_VOICEPRINT_KEY, span)
        with_consents = profile_voiceprints.outerjoin(
            consents, same(profile_voiceprints, consents, "domain_id", "consent_id")
        )
        found = select(*columns, consents.c.terms_ciphertext).select_from(with_consents)
        rows = self._session.rows(found.where(chosen).order_by(*_VOICEPRINT_KEY))
        return tuple(convert(partial(_voiceprint, key, scope, audio=audio), row) for row in rows)

    def part(self, job: Job, number: int) -> bytes | None:
        """Return a part of an export; None when it is not there. Raise NotFound without the domain."""
        key = self._require_domain_key(job.scope, job.domain_id)
        chosen = select_in_scope(job_parts, job.scope, job_id=job.job_id, number=number).order_by(job_parts.c.piece)
        pieces = [
            _part_seal(key, job.scope, job.job_id, number, row["piece"]).open(row, "piece_ciphertext")
            for row in self._session.rows(chosen)
        ]
        return b"".join(pieces) if pieces else None

    def has_parts(self, job: Job) -> bool:
        """Return whether anything of an export is there."""
        chosen = select(job_parts.c.number).where(in_scope(job_parts, job.scope, job_id=job.job_id))
        return self._session.row(chosen.limit(1)) is not None

    def kept_of(self, scope: Scope, domain_id: str) -> str | None:
        """Return the id of a job whose export of the domain is complete and was not fetched yet, or None."""
        has_parts = exists().where(same(job_parts, jobs, "job_id"))
        theirs = in_scope(jobs, scope, domain_id=domain_id, kind=JobKind.EXPORT, state=JobState.DONE)
        row = self._session.row(select(jobs.c.job_id).where(theirs, has_parts).limit(1))
        return None if row is None else row["job_id"]

    def _subjects(self, scope: Scope, domain_id: str, digests: set[bytes]) -> dict[bytes | None, str | None]:
        """Return what those of these subjects are called that have a consent in a domain."""
        if not digests:
            return {}
        key = self._require_domain_key(scope, domain_id)
        theirs = in_scope(consents, scope, domain_id=domain_id) & consents.c.given_at.is_not(None)
        rows = self._session.rows(select(consents).where(theirs, consents.c.subject_digest.in_(sorted(digests))))
        opened = [(row["subject_digest"], _terms(key, scope, row)) for row in rows]
        return {digest: terms.subject for digest, terms in opened if terms is not None}

    def _keys(
        self, key: Sequence[Column[str]], theirs: ColumnElement[bool], span: Span | None
    ) -> tuple[tuple[str, ...], ...]:
        chosen = select(*key).where(theirs if span is None else theirs & _within(key, span)).order_by(*key)
        return tuple(tuple(row[column.name] for column in key) for row in self._session.rows(chosen))


class ExportWriter(Writer, ExportReader):
    """What can be changed of exports."""

    def put_part(self, claimed: ClaimedItem, content: bytes) -> None:
        """Keep a part of an export, in the unit that ends its item. Raise NotFound without the domain."""
        key = self._require_domain_key(claimed.scope, claimed.domain_id, lock=True)
        names = {**asdict(claimed.scope), "job_id": claimed.job_id, "number": claimed.number}
        rows: list[dict[str, object]] = []
        for piece, start in enumerate(range(0, len(content), _PIECE_BYTES)):
            seal = _part_seal(key, claimed.scope, claimed.job_id, claimed.number, piece)
            sealed = seal.seal(piece_ciphertext=content[start : start + _PIECE_BYTES])
            rows.append({**names, "piece": piece, **sealed})
        self._writing.session.insert_all(job_parts, rows)

    def delete_parts(self, scope: Scope, job_id: str) -> bool:
        """Delete some pieces of an export, from the files as well; False when nothing is left of it."""
        dropped = self._drop(in_scope(job_parts, scope, job_id=job_id))
        if dropped and not self._count(job_parts, in_scope(job_parts, scope, job_id=job_id)):
            self._writing.note_deleted(scope, DeletionKind.EXPORT, job_id)
        return dropped > 0

    def purge_parts(self, *, ended_before: datetime) -> int:
        """Delete some pieces of exports that ended by then, or that nobody can or may fetch; return how many."""
        useless = (jobs.c.ended_at <= ended_before) | ~jobs.c.state.in_((JobState.OPEN, JobState.DONE))
        return self._drop(exists().where(same(job_parts, jobs, "job_id"), useless))

    def _drop(self, condition: ColumnElement[bool]) -> int:
        key = list(job_parts.primary_key.columns)
        found = [
            tuple(row.values()) for row in self._session.rows(select(*key).where(condition).limit(_PIECES_AT_ONCE))
        ]
        if found:
            self._writing.session.scrub()
            self._delete(job_parts, tuple_(*key).in_(found))
        return len(found)


def _within(key: Sequence[Column[str]], span: Span) -> ColumnElement[bool]:
    return (tuple_(*key) >= tuple_(*span.first)) & (tuple_(*key) <= tuple_(*span.last))


def _voiceprint(key: DataKey, scope: Scope, row: StoredRow, *, audio: bool) -> ExportedVoiceprint:
    seal = RowSeal(key, profile_voiceprints, scope, row["profile_id"], row["voiceprint_id"])
    try:
        vector = seal.open(row, "vector_ciphertext")
        consent = _evidence(key, scope, seal, row)
        speech = seal.open_optional(row, "audio_ciphertext") if audio else None
    except CiphertextRefused:
        vector, consent, speech = None, None, None
    return record(ExportedVoiceprint, row, vector=vector, consent_reference=consent, audio=speech)


def _terms(key: DataKey, scope: Scope, row: StoredRow) -> ConsentTerms | None:
    try:
        return consent_terms(key, scope, row)
    except CiphertextRefused:
        # A single damaged one does not hide those around it.
        _log.error("a consent cannot be opened", extra={"consent_id": row["consent_id"]})
        return None


def _evidence(key: DataKey, scope: Scope, seal: RowSeal, row: StoredRow) -> str | None:
    if row["terms_ciphertext"] is not None:
        return consent_terms(key, scope, row).evidence
    former = seal.open_optional(row, "consent_ciphertext")
    return None if former is None else former.decode()


def _part_seal(key: DataKey, scope: Scope, job_id: str, number: int, piece: int) -> RowSeal:
    return RowSeal(key, job_parts, scope, job_id, str(number), str(piece))
