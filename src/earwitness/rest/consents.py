"""Consents: what a domain requires, and what is recorded of whom."""

from earwitness.rest.consent_models import ConsentAnswer
from earwitness.rest.consent_parameters import RecordConsent, RecordedConsent, RequireConsent, body_of
from earwitness.rest.context import RestCall, RestContext, answer_of
from earwitness.rest.domains import domain_answers, domain_of
from earwitness.rest.models import DomainAnswer
from earwitness.store.consents import Consent
from earwitness.store.store import Unit
from earwitness.voice.consent import REQUIRED_TAG, ConsentTerms

_TAGS_MAX = 50


def require_consent(context: RestContext, call: RestCall[RequireConsent]) -> DomainAnswer:
    """Say what needs a consent in a domain."""
    domain, required = domain_of(context, call), call.params.required

    def write(unit: Unit) -> None:
        unit.consents.require_by(call.scope, domain.domain_id, required)
        unit.tags.set(call.scope, domain.arn, {REQUIRED_TAG: required.value}, limit=_TAGS_MAX)
        call.caller.record(unit, domain.arn)

    context.store.write(write)
    return domain_answers(context, call, [domain])[0]


def record_consent(context: RestContext, call: RestCall[RecordConsent]) -> ConsentAnswer:
    """Record a consent; of one that is there already, answer that."""
    domain, given = domain_of(context, call), body_of(call.body, RecordedConsent)
    terms = ConsentTerms(
        subject=given.subject,
        text_version=given.text_version,
        given_at=given.given_at,
        medium=given.medium,
        evidence=given.evidence,
        purpose=given.purpose,
    )

    def write(unit: Unit) -> Consent:
        kept = unit.consents.record(call.scope, domain.domain_id, terms, profile_id=given.profile_id)
        call.caller.record(unit, f"{domain.arn}/{kept.consent_id}")
        return kept

    return consent_answer(context.store.write(write))


def consent_answer(consent: Consent) -> ConsentAnswer:
    """Return a consent as answers tell of it, for those who may read its text."""
    terms = consent.terms
    return answer_of(
        ConsentAnswer,
        consent,
        subject=terms.subject,
        text_version=terms.text_version,
        given_at=terms.given_at,
        medium=terms.medium,
        evidence=terms.evidence,
        purpose=terms.purpose,
    )
