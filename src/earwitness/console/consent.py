"""What a domain requires a consent for, and forms that record and withdraw one: what they say stands in no address."""

from dataclasses import replace
from typing import TypeVar

from earwitness.console.context import ConsoleCall, Content, Done
from earwitness.rest.consent_parameters import (
    ConsentForm,
    NamedSubject,
    RecordConsent,
    RecordedConsent,
    RequireConsent,
    WithdrawalForm,
    WithdrawConsents,
    written,
)
from earwitness.rest.consents import record_consent, require_consent
from earwitness.rest.context import RestCall
from earwitness.rest.domains import domain_of
from earwitness.rest.parameters import Parameters
from earwitness.rest.withdrawals import withdraw_consents

_ParametersT = TypeVar("_ParametersT", bound=Parameters)


def consent_page(call: ConsoleCall[RecordConsent]) -> Content:
    """Show what a domain requires, with forms for those who may use them."""
    domain = domain_of(call.rest, RestCall(caller=call.caller, params=call.params))
    required = call.store.consents.requirement(call.scope, domain.domain_id)
    return {"domainId": domain.domain_id, "name": domain.name, "required": required}


def require_action(call: ConsoleCall[RequireConsent]) -> Done:
    """Say what needs a consent in a domain."""
    changed = call.ask(require_consent, call.params)
    return Done(message="It is saved what needs a consent.", path=f"/domains/{changed.domain_id}/consent")


def record_action(call: ConsoleCall[ConsentForm]) -> Done:
    """Record a consent."""
    form = call.params
    given = RecordedConsent(
        subject=form.subject,
        text_version=form.text_version,
        given_at=form.given_at or call.rest.clock(),
        medium=form.medium,
        evidence=form.evidence,
        purpose=form.purpose,
    )
    params = RecordConsent(domain_id=form.domain_id, region=form.region)
    kept = record_consent(call.rest, _asked(call, params, given))
    return Done(message=f"The consent is recorded as {kept.consent_id}.", path=f"/domains/{form.domain_id}/consent")


def withdraw_action(call: ConsoleCall[WithdrawalForm]) -> Done:
    """Delete everything that is held of a person."""
    params = WithdrawConsents(region=call.params.region)
    begun = withdraw_consents(call.rest, _asked(call, params, NamedSubject(subject=call.params.subject)))
    return Done(
        message=f"It is withdrawn, as {begun.withdrawal_id}. Results of other calls and media are looked through now.",
        path=f"/domains/{call.params.domain_id}/consent",
    )


def _asked(
    call: ConsoleCall[ConsentForm] | ConsoleCall[WithdrawalForm],
    params: _ParametersT,
    body: RecordedConsent | NamedSubject,
) -> RestCall[_ParametersT]:
    """Return the call of the JSON API that a form stands for; the action's roles are the operation's."""
    caller = replace(call.caller, operation=type(params).__name__)
    return RestCall(caller=caller, params=params, body=written(body))
