"""Voice profile domains, who is enrolled in them, and by what voiceprints."""

from collections.abc import Callable

from earwitness.console.context import ConsoleCall, Content, Done
from earwitness.errors import NotFound
from earwitness.rest.context import RestCall
from earwitness.rest.domains import (
    delete_profile,
    domain_of,
    get_profile,
    list_domains,
    list_profiles,
    remove_voiceprint,
    roll_back_profile,
)
from earwitness.rest.lines import get_lines
from earwitness.rest.models import DomainAnswer, ProfileAnswer
from earwitness.rest.parameters import (
    DeleteProfile,
    GetLines,
    GetProfile,
    Identifier,
    ListDomainProfiles,
    ListDomains,
    ListFindings,
    Parameters,
    RemoveVoiceprint,
    RollBackProfile,
)
from earwitness.rest.recordings import list_findings


def domains_page(call: ConsoleCall[ListDomains]) -> Content:
    """Show the domains, how many are enrolled in each, and whether its lines are well."""
    answer = call.ask(list_domains, call.params)
    return {"domains": [_shown(call, one) for one in answer.domains], "nextToken": answer.next_token}


def _shown(call: ConsoleCall[ListDomains], domain: DomainAnswer) -> Content:
    first = call.store.profiles.next_to_expire(call.scope, domain.domain_id)
    return {
        "domain": domain,
        "profiles": call.store.profiles.count(call.scope, domain.domain_id),
        "nextExpiry": None if first is None else first.expires_at,
    }


def domain_page(call: ConsoleCall[ListDomainProfiles]) -> Content:
    """Show one domain, what it has learnt of its lines, and its profiles, which is written to the audit trail."""
    domain = domain_of(call.rest, RestCall(caller=call.caller, params=call.params))
    lines = call.ask(get_lines, GetLines(domain_id=domain.domain_id))
    answer = call.ask(list_profiles, call.params)
    first = call.store.profiles.next_to_expire(call.scope, domain.domain_id)
    return {
        "domain": {
            "domainId": domain.domain_id,
            "arn": domain.arn,
            "name": domain.name,
            "description": domain.description,
            "band": domain.band,
            "createdAt": domain.created_at,
            "version": domain.version,
        },
        "count": call.store.profiles.count(call.scope, domain.domain_id),
        "nextExpiry": None if first is None else first.expires_at,
        "lines": lines,
        "profiles": answer.profiles,
        "nextToken": answer.next_token,
    }


def findings_page(call: ConsoleCall[ListFindings]) -> Content:
    """Show what is wrong with voiceprints of a domain, as many as one look takes."""
    answer = call.ask(list_findings, call.params)
    return {
        "findings": answer.findings,
        "lookedAt": answer.looked_at,
        "former": answer.former_voiceprints,
        "nextToken": answer.next_token,
    }


def profile_page(call: ConsoleCall[GetProfile]) -> Content:
    """Show one profile with its voiceprints."""
    return {"profile": call.ask(get_profile, call.params)}


class ShowVoiceprint(Parameters, kw_only=True):
    """One voiceprint of a profile."""

    profile_id: Identifier
    voiceprint_id: Identifier


def voiceprint_page(call: ConsoleCall[ShowVoiceprint]) -> Content:
    """Ask whether a voiceprint is to be taken back, and with how many others."""
    profile = call.ask(get_profile, GetProfile(region=call.params.region, profile_id=call.params.profile_id))
    ids = [one.voiceprint_id for one in profile.voiceprints]
    if call.params.voiceprint_id not in ids:
        raise NotFound("the voice profile has no voiceprint of this id; it may have been removed meanwhile")
    place = ids.index(call.params.voiceprint_id)
    return {
        "profile": profile,
        "voiceprint": profile.voiceprints[place],
        "before": place,
        "after": len(ids) - place - 1,
    }


def remove_voiceprint_action(call: ConsoleCall[RemoveVoiceprint]) -> Done:
    """Remove one voiceprint."""
    return _taken_back(call, lambda: call.ask(remove_voiceprint, call.params))


def roll_back_action(call: ConsoleCall[RollBackProfile]) -> Done:
    """Remove a voiceprint and all later ones."""
    return _taken_back(call, lambda: call.ask(roll_back_profile, call.params))


def _taken_back(call: ConsoleCall[RemoveVoiceprint | RollBackProfile], work: Callable[[], ProfileAnswer]) -> Done:
    place = f"/profiles/{call.params.profile_id}"
    call.ask(get_profile, GetProfile(region=call.params.region, profile_id=call.params.profile_id))
    try:
        left = len(work().voiceprints)
    except NotFound:
        return Done(message="This voiceprint was removed already.", path=place)
    return Done(message=f"Removed. {left} voiceprint{' is' if left == 1 else 's are'} left.", path=place)


def delete_profile_action(call: ConsoleCall[DeleteProfile]) -> Done:
    """Delete a profile. Whoever comes second is told so."""
    try:
        deleted = call.ask(delete_profile, call.params)
    except NotFound:
        return Done(message="This voice profile was deleted already.", path="/domains")
    path = f"/certificates/{deleted.profile_id}"
    return Done(message="The voice profile and its voiceprints are deleted. This is the certificate.", path=path)
