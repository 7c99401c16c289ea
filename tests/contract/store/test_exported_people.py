"""Consents, subjects and labels in exports: what another account gets, and who does not come back by an import."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from consent_examples import SUBJECT, TERMS, later, named, task_of
from search_examples import adopted, end, enrol, voiceprint
from store_examples import MINE, OTHERS, Clock, add_domain, guid

from earwitness.cli.labels import read_exports
from earwitness.errors import ConsentMissing
from earwitness.store.records import Scope, VoiceProfile
from earwitness.store.store import Store, Unit
from earwitness.tasks.archive import FORMAT, VERSION, ListedPart, Manifest, archive_of, labels_of, part_name
from earwitness.tasks.exporting import is_current, make_part, parts_of
from earwitness.tasks.importing import ImportResult, ImportTarget, import_archive
from earwitness.tasks.judged_archive import judge
from earwitness.tasks.withdrawing import because_of
from earwitness.voice.consent import CarriedConsent, ConsentUse
from earwitness.voice.job import PartKind
from earwitness.voice.label import Picked, Spoke
from spaces import plain_space

ENCODER = "two-d-1/telephone"
THEIRS = OTHERS[0]
DECISION = {
    "outcome": "match",
    "candidates": [{"profile_id": "vp-gone", "score": 0.7, "confidence": 0.9}],
    "threshold": {"score": 0.6, "line_margin": 0.01, "strangers_named_percent": 1.0, "gallery_size": 3},
    "net_speech_seconds": 10.0,
}


@pytest.fixture
def domain_id(store: Store) -> str:
    return store.write(add_domain).domain_id


def enrolled(store: Store, domain_id: str, carried: CarriedConsent, *, spoke: Spoke | None = None) -> VoiceProfile:
    """A profile of a call in which this was said of the subject, and a label of the call, if one is given."""
    task = adopted(store, store.write(lambda unit: task_of(unit, domain_id, carried)))
    number = task.attempt
    made = replace(voiceprint(), encoder_id=ENCODER)
    store.write(
        lambda unit: unit.attempts.conclude_identification(MINE, task.task_id, attempt=number, identification=DECISION)
    )
    store.write(lambda unit: unit.attempts.conclude_voiceprint(MINE, task.task_id, attempt=number, voiceprint=made))
    task = end(store, task)
    profile = enrol(store, task)
    if spoke is not None:
        about = profile.profile_id if spoke.names_profile else None
        said = {"spoke": spoke, "profile_id": about, "picked": Picked.QUEUE, "key_id": "AKIA"}
        store.write(lambda unit: unit.labels.put(task, **said))
    return profile


def exported(store: Store, domain_id: str, path: Path) -> Path:
    """An export of a domain, made as the service makes it."""
    domain = store.domains.get(MINE, domain_id)
    assert domain is not None
    contents: list[tuple[str, bytes]] = []
    listed: list[ListedPart] = []
    asked = store.write(lambda unit: parts_of(unit, MINE, domain_id, audio=False))
    for number, each in enumerate(asked, 1):
        part = make_part(store, MINE, domain, each, {"recipient": None, "audio": False})
        assert store.write(lambda unit, each=each, part=part: is_current(unit, MINE, domain_id, each, part))
        name = part_name(number, encrypted=False)
        listed.append(msgspec.convert({"name": name, "kind": each.part, **part.result}, ListedPart))
        contents.append((name, part.content))
    manifest = Manifest(
        format=FORMAT,
        version=VERSION,
        writer="a test",
        job_id="job-1",
        domain_id=domain_id,
        created_at="2026-01-01T00:00:00Z",
        recipient=None,
        with_audio=False,
        parts=tuple(listed),
        missing_parts=(),
    )
    path.write_bytes(b"".join(archive_of(msgspec.json.encode(manifest), contents)))
    return path


def imported(store: Store, path: Path, clock: Clock, scope: Scope = THEIRS, **target) -> ImportResult:
    space_of = lambda _: plain_space(ENCODER, 2)  # noqa: E731
    judged = judge(path, identity=None, space_of=space_of, now=clock(), leave_out=False)
    order = ImportTarget(scope=scope, **target)
    return import_archive(
        store,
        path,
        judged,
        order,
        identity=None,
        new_id=guid,
        now=clock(),
        progress=lambda *_: None,
        pause=lambda: None,
    )


def withdraw(store: Store, scope: Scope) -> None:
    asked = {"withdrawal_id": f"withdrawal-{guid()}", "key_id": "AKIA"}

    def begin(unit: Unit) -> None:
        because_of(unit, **asked)
        unit.withdrawals.begin(scope, SUBJECT, **asked, forget_metadata=lambda _pipeline: {})

    store.write(begin)


def kinds(path: Path) -> Sequence[PartKind]:
    from earwitness.tasks.archive import opened_parts

    return [part.listed.kind for part in opened_parts(path, identity=None)]


def test_consents_and_subjects_come_along(store: Store, clock: Clock, domain_id: str, tmp_path: Path) -> None:
    profile = enrolled(store, domain_id, CarriedConsent(terms=TERMS))
    anybody = enrolled(store, domain_id, CarriedConsent())
    path = exported(store, domain_id, tmp_path / "export.tar")
    assert kinds(path) == [PartKind.DOMAIN, PartKind.PROFILES, PartKind.VOICEPRINTS, PartKind.CONSENTS]
    done = imported(store, path, clock)
    assert (done.profiles, done.consents, done.withdrawn_profiles, done.withdrawn_consents) == (2, 1, 0, 0)
    (before,) = store.consents.of_subject(MINE, store.subject_digest(MINE, SUBJECT))
    digest = store.subject_digest(THEIRS, SUBJECT)
    (consent,) = store.consents.of_subject(THEIRS, digest)
    assert (consent.terms, consent.consent_id, consent.domain_id) == (TERMS, before.consent_id, done.domain.domain_id)
    held = store.subjects.held(THEIRS, digest)
    assert [one.profile.profile_id for one in held.profiles] == [profile.profile_id]
    told = [(one.operation, one.outcome) for one in store.audit.list(THEIRS, limit=99).items]
    assert ("ImportConsents", "done") in told
    withdraw(store, THEIRS)  # the profile is the subject's there too
    assert store.profiles.get(THEIRS, profile.profile_id) is None
    assert store.profiles.get(THEIRS, anybody.profile_id) is not None
    assert store.profiles.get(MINE, profile.profile_id) is not None


def test_who_withdrew_at_the_destination_does_not_come_back(
    store: Store, clock: Clock, domain_id: str, tmp_path: Path
) -> None:
    profile = enrolled(store, domain_id, CarriedConsent(terms=TERMS))
    other = enrolled(store, domain_id, CarriedConsent(terms=replace(TERMS, subject="customer 2")))
    path = exported(store, domain_id, tmp_path / "export.tar")
    withdraw(store, THEIRS)
    done = imported(store, path, clock)
    assert (done.profiles, done.voiceprints, done.consents) == (1, 1, 1)
    assert (done.withdrawn_profiles, done.withdrawn_consents) == (1, 1)
    assert store.profiles.get(THEIRS, profile.profile_id) is None
    assert store.profiles.get(THEIRS, other.profile_id) is not None
    assert store.consents.of_subject(THEIRS, store.subject_digest(THEIRS, SUBJECT)) == ()
    with pytest.raises(ConsentMissing):
        store.write(lambda unit: unit.consents.take(THEIRS, done.domain.domain_id, named(), use=ConsentUse.SEARCH))


def test_a_consent_that_is_newer_than_the_withdrawal_at_the_destination_counts(
    store: Store, clock: Clock, domain_id: str, tmp_path: Path
) -> None:
    withdraw(store, THEIRS)
    clock.advance(timedelta(days=2))
    enrolled(store, domain_id, CarriedConsent(terms=TERMS))
    profile = enrolled(store, domain_id, CarriedConsent(terms=later(1)))
    done = imported(store, exported(store, domain_id, tmp_path / "export.tar"), clock)
    assert (done.profiles, done.consents, done.withdrawn_consents) == (2, 1, 1)
    assert store.profiles.get(THEIRS, profile.profile_id) is not None
    (consent,) = store.consents.of_subject(THEIRS, store.subject_digest(THEIRS, SUBJECT))
    assert consent.terms == later(1)


def test_who_withdrew_after_the_export_does_not_come_back_where_it_was_made(
    store: Store, clock: Clock, domain_id: str, tmp_path: Path
) -> None:
    """Of a subject without a consent there is its digest alone, which the same records know and no others."""
    profile = enrolled(store, domain_id, named())
    path = exported(store, domain_id, tmp_path / "export.tar")
    assert kinds(path) == [PartKind.DOMAIN, PartKind.PROFILES, PartKind.VOICEPRINTS]
    assert imported(store, path, clock).withdrawn_profiles == 0
    theirs = store.subjects.held(THEIRS, store.subject_digest(THEIRS, SUBJECT))
    assert theirs.profiles == ()
    there = store.profiles.get(THEIRS, profile.profile_id)
    assert there is not None
    of_them = {"profile_id": there.profile_id}  # it is nobody's there, until somebody says whose it is
    store.write(lambda unit: unit.consents.record(THEIRS, there.domain_id, TERMS, **of_them))
    imported(store, path, clock, MINE, new_ids=True)
    assert len(store.subjects.held(MINE, store.subject_digest(MINE, SUBJECT)).profiles) == 2
    withdraw(store, MINE)
    done = imported(store, path, clock, MINE, new_ids=True)
    assert (done.profiles, done.withdrawn_profiles) == (0, 1)
    assert store.subjects.held(MINE, store.subject_digest(MINE, SUBJECT)).profiles == ()


def test_labels_leave_with_what_the_searches_said(store: Store, domain_id: str, tmp_path: Path) -> None:
    labelled = enrolled(store, domain_id, CarriedConsent(), spoke=Spoke.PROFILE)
    enrolled(store, domain_id, CarriedConsent(), spoke=Spoke.NOBODY)
    enrolled(store, domain_id, CarriedConsent())
    path = exported(store, domain_id, tmp_path / "export.tar")
    assert kinds(path)[-1] is PartKind.LABELS
    document, left_out = labels_of(path, identity=None)
    assert left_out == 0
    file = tmp_path / "labels.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    read = read_exports([file])
    assert (read.matches, read.no_matches) == (3, 0)
    assert {(one.spoke, one.profile_id) for one in read.calls} == {
        (Spoke.PROFILE, labelled.profile_id),
        (Spoke.NOBODY, None),
    }
    assert {(one.threshold, one.line_margin, one.candidates) for one in read.calls} == {
        (0.6, 0.01, (("vp-gone", 0.7),))
    }


def test_a_part_is_made_again_when_a_consent_or_a_label_in_it_was_deleted(store: Store, domain_id: str) -> None:
    enrolled(store, domain_id, CarriedConsent(terms=TERMS), spoke=Spoke.NOBODY)
    domain = store.domains.get(MINE, domain_id)
    assert domain is not None
    asked = store.write(lambda unit: parts_of(unit, MINE, domain_id, audio=False))
    source = {"recipient": None, "audio": False}
    made = [(each, make_part(store, MINE, domain, each, source)) for each in asked]
    withdraw(store, MINE)
    current = {
        each.part: store.write(lambda unit, each=each, part=part: is_current(unit, MINE, domain_id, each, part))
        for each, part in made
    }
    assert [kind for kind, is_so in current.items() if is_so] == [PartKind.DOMAIN]
    assert set(current) == set(PartKind)
