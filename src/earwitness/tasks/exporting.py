"""Makes exports: which parts an export has, and what is in each of them.

What belongs here: from rows to the lines of docs/exports.md. What must never: how an archive is built (`archive.py`),
and who works on a part (`jobs.py`).
"""

import hashlib
import io
import json
import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any

from earwitness import __version__
from earwitness.store.columns import JsonObject
from earwitness.store.consents import Consent
from earwitness.store.exports import ExportedProfile, ExportedVoiceprint, Span
from earwitness.store.job_records import ItemInput, Job, JobItem
from earwitness.store.records import Scope, VoiceProfileDomain
from earwitness.store.store import Store, Unit
from earwitness.tasks.archive import FORMAT, VERSION, ListedPart, Manifest, part_name, part_of
from earwitness.tasks.labelled import labelled_call, sample_of
from earwitness.vault.age import encrypt
from earwitness.voice.band import CANONICAL_RATE
from earwitness.voice.decision import Outcome
from earwitness.voice.job import ItemState, PartKind

PROFILES_IN_PART = 1_000
VOICEPRINTS_IN_PART = 1_000
CONSENTS_IN_PART = 1_000
LABELS_IN_PART = 1_000
RECORDINGS_IN_PART = 10
"""Voiceprints of a part that has their speech too: 6.4 MB."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MadePart:
    """A part of an export that was read, and is not written yet."""

    content: bytes = field(repr=False)
    result: JsonObject
    #: The keys of the rows that are in it.
    keys: tuple[tuple[str, ...], ...]


def parts_of(unit: Unit, scope: Scope, domain_id: str, *, audio: bool) -> list[ItemInput]:
    """Return the parts that an export of a domain has, as it is now."""
    at_once = RECORDINGS_IN_PART if audio else VOICEPRINTS_IN_PART
    profiles = unit.exports.profile_keys(scope, domain_id)
    voiceprints = unit.exports.voiceprint_keys(scope, domain_id)
    return [
        ItemInput(name="", part=PartKind.DOMAIN),
        *_spans(PartKind.PROFILES, profiles, PROFILES_IN_PART),
        *_spans(PartKind.VOICEPRINTS, voiceprints, at_once),
        *_spans(PartKind.CONSENTS, unit.exports.consent_keys(scope, domain_id), CONSENTS_IN_PART),
        *_spans(PartKind.LABELS, unit.exports.label_keys(scope, domain_id), LABELS_IN_PART),
    ]


def make_part(store: Store, scope: Scope, domain: VoiceProfileDomain, asked: ItemInput, source: JsonObject) -> MadePart:
    """Return a part as the records are now, encrypted if the export is. Raise NotFound without the domain."""
    kind, span = PartKind(asked.part or ""), Span(first=asked.first or (), last=asked.last or ())
    recordings: list[tuple[str, bytes]] = []
    keys: tuple[tuple[str, ...], ...] = ()
    if kind is PartKind.DOMAIN:
        lines = [_domain_line(store, scope, domain)]
    elif kind is PartKind.PROFILES:
        profiles = store.exports.profiles(scope, domain.domain_id, span)
        keys = tuple((one.profile.profile_id,) for one in profiles)
        lines = [_profile_line(one) for one in profiles]
    elif kind is PartKind.CONSENTS:
        keys = store.exports.consent_keys(scope, domain.domain_id, span)
        lines = [_consent_line(one) for one in store.exports.consents(scope, domain.domain_id, span)]
    elif kind is PartKind.LABELS:
        keys = store.exports.label_keys(scope, domain.domain_id, span)
        lines = _label_lines(store, scope, domain.domain_id, [task_id for (task_id,) in keys])
    else:
        found = store.exports.voiceprints(scope, domain.domain_id, span, audio=bool(source["audio"]))
        keys = tuple((one.profile_id, one.voiceprint_id) for one in found)
        lines = [_voiceprint_line(one) for one in found]
        recordings = [(_audio_name(one), _wav(one.audio)) for one in found if one.audio is not None]
    content = part_of(kind, lines, recordings)
    if source["recipient"] is not None:
        content = encrypt(content, recipient=str(source["recipient"]))
    result: JsonObject = {
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "lines": len(lines),
        "recordings": len(recordings),
    }
    return MadePart(content=content, result=result, keys=keys)


def is_current(unit: Unit, scope: Scope, domain_id: str, asked: ItemInput, made: MadePart) -> bool:
    """Return whether the rows of a part are those that are there; the domain is locked."""
    span = Span(first=asked.first or (), last=asked.last or ())
    if asked.part == PartKind.PROFILES:
        return unit.exports.profile_keys(scope, domain_id, span) == made.keys
    if asked.part == PartKind.VOICEPRINTS:
        return unit.exports.voiceprint_keys(scope, domain_id, span) == made.keys
    if asked.part == PartKind.CONSENTS:
        return unit.exports.consent_keys(scope, domain_id, span) == made.keys
    if asked.part == PartKind.LABELS:
        return unit.exports.label_keys(scope, domain_id, span) == made.keys
    return True


def records_mark(store: Store, scope: Scope) -> str:
    """Return what an account and Region of these records is known by, which tells nobody anything else: digests of
    subjects in an export are of use only where they were made. It is that of no subject, because none is empty."""
    return store.subject_digest(scope, "").hex()


def manifest_of(job: Job, items: Sequence[JobItem]) -> Manifest:
    """Return the manifest of an export that is complete, of which these are all items."""
    source = job.source or {}
    recipient = source.get("recipient")
    return Manifest(
        format=FORMAT,
        version=VERSION,
        writer=__version__,
        job_id=job.job_id,
        domain_id=job.domain_id,
        created_at=_time(job.ended_at or job.updated_at),
        recipient=None if recipient is None else str(recipient),
        with_audio=bool(source.get("audio")),
        parts=tuple(_listed(items, encrypted=recipient is not None)),
        missing_parts=tuple(item.number for item in items if item.state is not ItemState.DONE or item.result is None),
    )


def _listed(items: Sequence[JobItem], *, encrypted: bool) -> Iterator[ListedPart]:
    for item in items:
        if item.result is not None and item.input is not None:
            name = part_name(item.number, encrypted=encrypted)
            known: dict[str, Any] = dict(item.result)  # `Any`: as make_part wrote it
            yield ListedPart(name=name, kind=PartKind(item.input.part or ""), **known)


def _spans(kind: PartKind, keys: Sequence[tuple[str, ...]], at_once: int) -> Iterator[ItemInput]:
    for start in range(0, len(keys), at_once):
        chosen = keys[start : start + at_once]
        yield ItemInput(name="", part=kind, first=list(chosen[0]), last=list(chosen[-1]))


# `Any`: whatever JSON holds.
def _domain_line(store: Store, scope: Scope, domain: VoiceProfileDomain) -> dict[str, Any]:
    found = sample_of(store, scope, domain.domain_id, random=Random(domain.domain_id))  # noqa: S311  draws a sample
    return {
        "domainId": domain.domain_id,
        "arn": domain.arn,
        "name": domain.name,
        "description": domain.description,
        "band": domain.band,
        "tags": store.tags.list(scope, domain.arn),
        "records": records_mark(store, scope),
        "calibration": _calibration(store, scope, domain.domain_id),
        "matches": found.of_all(Outcome.MATCH),
        "noMatches": found.of_all(Outcome.NO_MATCH),
        "createdAt": _time(domain.created_at),
        "updatedAt": _time(domain.updated_at),
    }


def _calibration(store: Store, scope: Scope, domain_id: str) -> dict[str, Any] | None:
    """Return what was installed last in a domain, as a calibration file has it; None for the service's own."""
    version = store.calibrations.current(scope, domain_id)
    return None if version is None or version.document is None else json.loads(version.document)


def _profile_line(one: ExportedProfile) -> dict[str, Any]:
    profile = one.profile
    return {
        "profileId": profile.profile_id,
        "arn": profile.arn,
        "tags": one.tags,
        "subject": one.subject,
        "subjectDigest": None if one.subject_digest is None else one.subject_digest.hex(),
        "createdAt": _time(profile.created_at),
        "updatedAt": _time(profile.updated_at),
        "expiresAt": _time(profile.expires_at),
    }


def _voiceprint_line(one: ExportedVoiceprint) -> dict[str, Any]:
    return {
        "profileId": one.profile_id,
        "voiceprintId": one.voiceprint_id,
        "encoderId": one.encoder_id,
        "vector": one.vector,
        "netSpeechSeconds": one.net_speech_seconds,
        "quality": one.quality,
        "taskId": one.source_task_id,
        "consentReference": one.consent_reference,
        "audio": None if one.audio is None else _audio_name(one),
        "createdAt": _time(one.created_at),
        "expiresAt": _time(one.expires_at),
    }


def _consent_line(one: Consent) -> dict[str, Any]:
    terms = one.terms
    return {
        "consentId": one.consent_id,
        "subject": terms.subject,
        "textVersion": terms.text_version,
        "givenAt": None if terms.given_at is None else _time(terms.given_at),
        "medium": terms.medium,
        "evidence": terms.evidence,
        "purpose": terms.purpose,
        # A withdrawal deletes the consents of its subject: what is here is in force.
        "withdrawnAt": None,
        "createdAt": _time(one.created_at),
    }


def _label_lines(store: Store, scope: Scope, domain_id: str, task_ids: Sequence[str]) -> list[dict[str, Any]]:
    """Return labelled calls as `earwitness labels export` writes them, without streams and without who labelled."""
    labels = store.labels.of_tasks(scope, domain_id, task_ids)
    lines: list[dict[str, Any]] = []
    for task_id, label in sorted(labels.items()):
        task = store.tasks.get(scope, task_id)
        call = None if task is None else labelled_call(task, label)
        if call is None:
            continue
        said = {"spoke": label.spoke, "profileId": label.profile_id, "picked": label.picked}
        lines.append(
            {
                "taskId": task_id,
                "outcome": call.outcome,
                "named": call.named,
                "candidates": [{"profileId": one, "score": score} for one, score in call.candidates],
                "probability": call.probability,
                "threshold": call.threshold,
                "lineMargin": call.line_margin,
                "strangersNamedPercent": call.strangers_named_percent,
                "gallerySize": call.gallery_size,
                "netSpeechSeconds": call.net_speech_seconds,
                "calibrationId": call.calibration_id,
                "label": {**said, "createdAt": _time(label.created_at), "updatedAt": _time(label.updated_at)},
            }
        )
    return lines


def _audio_name(one: ExportedVoiceprint) -> str:
    """Return the name of a recording, which is no part of anything that a person chose."""
    named = f"{one.profile_id}/{one.voiceprint_id}".encode()
    return f"audio/{hashlib.sha256(named).hexdigest()[:32]}.wav"


def _wav(pcm: bytes) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(CANONICAL_RATE)
        writer.writeframes(pcm)
    return file.getvalue()


def _time(value: datetime) -> str:
    return f"{value:%FT%T.%fZ}"
