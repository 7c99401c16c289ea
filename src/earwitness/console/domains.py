"""Voice profile domains, who is enrolled in them, and by what voiceprints."""

from earwitness.console.context import ConsoleCall, Content, Done
from earwitness.errors import NotFound
from earwitness.rest.context import RestCall
from earwitness.rest.domains import delete_profile, domain_of, get_profile, list_domains, list_profiles
from earwitness.rest.lines import get_lines
from earwitness.rest.models import DomainAnswer
from earwitness.rest.parameters import (
    DeleteProfile,
    GetLines,
    GetProfile,
    ListDomainProfiles,
    ListDomains,
    ListFindings,
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


def delete_profile_action(call: ConsoleCall[DeleteProfile]) -> Done:
    """Delete a profile. Whoever comes second is told so."""
    try:
        deleted = call.ask(delete_profile, call.params)
    except NotFound:
        return Done(message="This voice profile was deleted already.", path="/domains")
    return Done(message="The voice profile and its voiceprints are deleted.", path=f"/domains/{deleted.domain_id}")
