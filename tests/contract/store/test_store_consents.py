"""Consents: what is recorded, what a domain requires of searches and enrolments, and who is refused."""

from dataclasses import replace

import pytest
from consent_examples import SUBJECT, TERMS, domain_requiring, named, task_of
from search_examples import THREE_YEARS, adopted, end, enrol, voiceprint
from sqlalchemy import select, update
from store_examples import MINE, OTHERS, START, add_domain, add_profile, guid

from earwitness.errors import BadRequest, ConsentMissing, LimitExceeded, NotFound
from earwitness.store.consent_schema import consents
from earwitness.store.consents import CONSENTS_MAX
from earwitness.store.profile_voiceprints import ProfileVoiceprintWriter
from earwitness.store.records import SpeakerSearchTask
from earwitness.store.repository import RowSeal
from earwitness.store.schema import profile_voiceprints
from earwitness.store.store import Store
from earwitness.voice.consent import CarriedConsent, ConsentRequirement, ConsentTerms, ConsentUse


def test_a_consent_is_recorded_once_and_found_by_its_subject(store: Store) -> None:
    domain = store.write(add_domain)
    first = store.write(lambda unit: unit.consents.record(MINE, domain.domain_id, TERMS))
    again = store.write(lambda unit: unit.consents.record(MINE, domain.domain_id, TERMS))
    assert again == first
    newer = store.write(lambda unit: unit.consents.record(MINE, domain.domain_id, replace(TERMS, text_version="2")))
    digest = store.subject_digest(MINE, SUBJECT)
    assert store.consents.of_subject(MINE, digest) == (first, newer)
    assert first.terms == TERMS
    assert "4711" not in repr(first)
    for scope in OTHERS:
        assert store.consents.of_subject(scope, digest) == ()
        assert store.subject_digest(scope, SUBJECT) != digest


def test_nothing_of_a_consent_lies_in_clear(store: Store) -> None:
    domain = store.write(add_domain)
    store.write(lambda unit: unit.consents.record(MINE, domain.domain_id, TERMS))
    with store._database.engine.connect() as connection:
        row = connection.execute(select(consents)).mappings().one()
    assert all(word not in repr(dict(row)) for word in ("4711", "call 17", "to know", "2026-01", "phone"))


@pytest.mark.parametrize("missing", ["text_version", "given_at", "medium", "evidence", "purpose"])
def test_what_a_consent_lacks_is_named(store: Store, missing: str) -> None:
    domain = store.write(add_domain)
    with pytest.raises(BadRequest, match=missing.replace("_", "-")):
        store.write(lambda unit: unit.consents.record(MINE, domain.domain_id, replace(TERMS, **{missing: None})))


def test_a_subject_has_so_many_consents(store: Store) -> None:
    domain = store.write(add_domain)

    def record(number: int) -> None:
        terms = replace(TERMS, text_version=str(number))
        store.write(lambda unit: unit.consents.record(MINE, domain.domain_id, terms))

    for number in range(CONSENTS_MAX):
        record(number)
    with pytest.raises(LimitExceeded):
        record(CONSENTS_MAX)


def test_a_search_needs_a_consent_where_the_domain_requires_it(store: Store) -> None:
    domain = domain_requiring(store, ConsentRequirement.SEARCH)

    def start(carried: CarriedConsent) -> SpeakerSearchTask:
        return store.write(lambda unit: task_of(unit, domain.domain_id, carried))

    with pytest.raises(ConsentMissing, match="names no subject"):
        start(CarriedConsent())
    with pytest.raises(ConsentMissing, match="none of this person is recorded"):
        start(named())
    assert store.tasks.count_active(MINE) == 0
    with pytest.raises(BadRequest, match="lacks its text-version"):
        start(CarriedConsent(terms=ConsentTerms(subject=SUBJECT, medium="web")))
    with pytest.raises(BadRequest, match="names its subject"):
        start(CarriedConsent(terms=ConsentTerms(medium="web")))
    with pytest.raises(NotFound):
        start(CarriedConsent(consent_id="consent-0"))
    task = start(CarriedConsent(terms=TERMS))  # it comes with the request, and is recorded
    (kept,) = store.consents.of_subject(MINE, store.subject_digest(MINE, SUBJECT))
    end(store, adopted(store, task))  # a channel has one active task
    start(CarriedConsent(consent_id=kept.consent_id))


def test_a_consent_in_one_domain_is_none_in_another(store: Store) -> None:
    domain, other = (domain_requiring(store, ConsentRequirement.SEARCH) for _ in range(2))
    store.write(lambda unit: unit.consents.record(MINE, domain.domain_id, TERMS))
    store.write(lambda unit: task_of(unit, domain.domain_id, named()))
    with pytest.raises(ConsentMissing):
        store.write(lambda unit: task_of(unit, other.domain_id, named()))


def test_an_enrolment_takes_the_subject_of_its_task(store: Store) -> None:
    domain = domain_requiring(store, ConsentRequirement.ENROLMENT)
    anybody = store.write(lambda unit: task_of(unit, domain.domain_id, CarriedConsent()))
    anybody = adopted(store, anybody)
    concluded = {"attempt": anybody.attempt, "voiceprint": voiceprint()}
    store.write(lambda unit: unit.attempts.conclude_voiceprint(MINE, anybody.task_id, **concluded))
    with pytest.raises(ConsentMissing, match="none names a subject"):
        enrol(store, anybody)
    assert store.profiles.count(MINE, domain.domain_id) == 0


def test_a_profile_stays_its_subjects(store: Store) -> None:
    domain = store.write(add_domain)
    profile = store.write(lambda unit: add_profile(unit, domain.domain_id))
    consent = store.write(
        lambda unit: unit.consents.record(MINE, domain.domain_id, TERMS, profile_id=profile.profile_id)
    )
    assert store.consents.of_profile(MINE, profile.profile_id) == (consent,)
    other = replace(TERMS, subject="customer 2")
    with pytest.raises(BadRequest, match="another subject"):
        store.write(lambda unit: unit.consents.record(MINE, domain.domain_id, other, profile_id=profile.profile_id))
    with pytest.raises(NotFound):
        store.write(lambda unit: unit.consents.record(MINE, domain.domain_id, other, profile_id="vp-none"))
    assert store.consents.of_subject(MINE, store.subject_digest(MINE, "customer 2")) == ()


def test_a_recording_of_a_subject_without_a_consent_is_refused_before_and_at_the_end(store: Store) -> None:
    domain = domain_requiring(store, ConsentRequirement.ENROLMENT)

    def take(carried: CarriedConsent, use: ConsentUse) -> bytes | None:
        return store.write(lambda unit: unit.consents.take(MINE, domain.domain_id, carried, use=use))

    assert take(CarriedConsent(), ConsentUse.SEARCH) is None
    with pytest.raises(ConsentMissing):
        take(named(), ConsentUse.ENROLMENT)
    store.write(lambda unit: unit.consents.record(MINE, domain.domain_id, TERMS))
    assert take(named(), ConsentUse.ENROLMENT) == store.subject_digest(MINE, SUBJECT)


def test_references_of_former_enrolments_are_still_read(store: Store) -> None:
    """They lie beside the voiceprint, sealed for its row."""
    domain = store.write(add_domain)
    profile = store.write(lambda unit: add_profile(unit, domain.domain_id))
    store.write(lambda unit: unit.profiles.add_voiceprint(
        MINE, profile.profile_id, voiceprint_id=guid(), voiceprint=voiceprint(), expires_at=START + THREE_YEARS,
        consent_reference="form 12"))  # fmt: skip
    (kept,) = store.profile_voiceprints.list(MINE, profile.profile_id)
    assert kept.consent_reference == "form 12"
    (reference,) = store.consents.of_profile(MINE, profile.profile_id)
    assert reference.terms == ConsentTerms(evidence="form 12")

    def as_before(unit) -> None:
        prints: ProfileVoiceprintWriter = unit.profile_voiceprints
        key = prints._require_domain_key(MINE, domain.domain_id)
        seal = RowSeal(key, profile_voiceprints, MINE, profile.profile_id, kept.voiceprint_id)
        prints._writing.session.change(
            update(profile_voiceprints).values(consent_id=None, **seal.seal(consent_ciphertext=b"form 11"))
        )

    store.write(as_before)
    (former,) = store.profile_voiceprints.list(MINE, profile.profile_id)
    assert former.consent_reference == "form 11"


def test_the_rule_and_the_consents_go_with_the_domain(store: Store) -> None:
    domain = domain_requiring(store, ConsentRequirement.SEARCH)
    store.write(lambda unit: unit.consents.record(MINE, domain.domain_id, TERMS))
    assert store.consents.requirement(MINE, domain.domain_id) is ConsentRequirement.SEARCH
    store.write(lambda unit: unit.domains.delete(MINE, domain.domain_id))
    assert store.consents.requirement(MINE, domain.domain_id) is ConsentRequirement.NONE
    assert store.consents.of_subject(MINE, store.subject_digest(MINE, SUBJECT)) == ()
    with pytest.raises(NotFound):
        store.write(lambda unit: unit.consents.require_by(MINE, domain.domain_id, ConsentRequirement.SEARCH))
