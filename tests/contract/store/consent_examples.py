"""What the tests of consents have in common."""

from dataclasses import replace
from datetime import timedelta

from search_examples import add_task
from store_examples import MINE, START, add_domain

from earwitness.store.records import SpeakerSearchTask, VoiceProfileDomain
from earwitness.store.store import Store, Unit
from earwitness.voice.consent import CarriedConsent, ConsentRequirement, ConsentTerms

SUBJECT = "customer 4711"
TERMS = ConsentTerms(
    subject=SUBJECT,
    text_version="2026-01",
    given_at=START - timedelta(days=1),
    medium="phone",
    evidence="call 17",
    purpose="to know callers",
)


def named(subject: str = SUBJECT) -> CarriedConsent:
    return CarriedConsent(terms=ConsentTerms(subject=subject))


def later(days: float) -> ConsentTerms:
    return replace(TERMS, given_at=START + timedelta(days=days))


def domain_requiring(store: Store, required: ConsentRequirement) -> VoiceProfileDomain:
    domain = store.write(add_domain)
    store.write(lambda unit: unit.consents.require_by(MINE, domain.domain_id, required))
    return domain


def task_of(unit: Unit, domain_id: str, carried: CarriedConsent) -> SpeakerSearchTask:
    """A task that is started for a subject."""
    return add_task(unit, domain_id, consent=carried)
