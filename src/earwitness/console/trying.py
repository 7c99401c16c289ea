"""*Try it*: who speaks in a recording that a browser sends, or enrol the voice in it."""

from earwitness.console.context import ConsoleCall, Content, Done
from earwitness.console.verdict import verdicts_in
from earwitness.errors import BadRequest
from earwitness.rest.context import RestCall
from earwitness.rest.domains import domain_of, list_domains
from earwitness.rest.parameters import (
    EnrolRecording,
    Identifier,
    ListDomains,
    Parameters,
    SearchRecording,
)
from earwitness.rest.recording_models import ChannelNumber, Reference
from earwitness.rest.recordings import enrol_recording, search_domain

DOMAINS_MAX = 100
"""That are offered by name; of more the id is typed."""


class TryIt(Parameters):
    """Try a recording."""

    domain_id: Identifier | None = None


class TriedRecording(Parameters, kw_only=True):
    """What the form of a recording says."""

    domain_id: Identifier
    channel: ChannelNumber | None = None
    consent: Reference | None = None
    profile_id: Identifier | None = None
    subject: Reference | None = None
    client_request_token: Identifier | None = None


def try_page(call: ConsoleCall[TryIt]) -> Content:
    """Show the form."""
    found = call.ask(list_domains, ListDomains(region=call.params.region, limit=DOMAINS_MAX))
    return {
        "domains": found.domains,
        "isComplete": found.next_token is None,
        "requestToken": call.rest.new_id(),
        "bytesMax": call.rest.limits.recording_bytes_max,
    }


def identify_upload(call: ConsoleCall[TriedRecording]) -> Content:
    """Search a domain with the recording; it is kept as long as the search takes."""
    params = call.params
    asked = SearchRecording(
        region=params.region, domain_id=params.domain_id, channel=params.channel, subject=params.subject
    )
    found = call.ask(search_domain, asked)
    domain = domain_of(call.rest, RestCall(caller=call.caller, params=asked))
    return {
        "domain": {"domainId": domain.domain_id, "name": domain.name},
        "found": found,
        "verdicts": verdicts_in(call, domain.domain_id, found),
    }


def enrol_upload(call: ConsoleCall[TriedRecording]) -> Done:
    """Enrol the voice in the recording."""
    params = call.params
    if params.consent is None:
        raise BadRequest("an enrolment needs a consent reference: where the consent of the voice's owner is recorded")
    made = call.ask(
        enrol_recording,
        EnrolRecording(
            region=params.region,
            domain_id=params.domain_id,
            channel=params.channel,
            consent=params.consent,
            profile_id=params.profile_id,
            subject=params.subject,
            client_request_token=params.client_request_token,
        ),
    )
    others = len(made.same_voice_as)
    alike = (
        f" It sounds like {others} other profile{'' if others == 1 else 's'}: see the gallery doctor." if others else ""
    )
    return Done(message=f"The voice is enrolled.{alike}", path=f"/profiles/{made.profile_id}")
