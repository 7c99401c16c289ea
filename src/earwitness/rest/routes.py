"""Every route of the API: who may call it, what it takes, what it answers, what does the work.

The table is all there is: the application and the OpenAPI document are made of it, and the tests run through it.
"""

from dataclasses import dataclass

from earwitness.access.roles import Role
from earwitness.rest.domains import create_domain, delete_domain, list_domains
from earwitness.rest.events import LATEST, get_event, list_events, replay_event
from earwitness.rest.openapi import tell_openapi
from earwitness.rest.parameters import Kind, Parameter, Place, Printable, Text, Whole
from earwitness.rest.profiles import list_profiles
from earwitness.rest.recordings import enrol_recording, search_domain
from earwitness.rest.status import tell_status
from earwitness.rest.tasks import get_task, list_tasks
from earwitness.rest.tools import Handler

PREFIX = "/earwitness/v1"
CONSENT_CHARACTERS_MAX = 256
WAIT_SECONDS_MAX = 20
"""Below the 30 s and more after which proxies and clients give up."""

_NOBODY_IN_PARTICULAR: frozenset[Role] = frozenset()
_ADMIN = frozenset({Role.ADMIN})
_OPERATOR = frozenset({Role.ADMIN, Role.OPERATOR})
_READER = frozenset({Role.ADMIN, Role.OPERATOR, Role.READER})

_ID = Text(pattern="[A-Za-z0-9_-]+", words="letters, digits, - and _", length_max=128)
_ID_OR_ARN = Text(pattern="[A-Za-z0-9_:/.-]+", words="an id or an ARN", length_max=1_024)
_REGION = Text(pattern="[a-z0-9-]+", words="small letters, digits and -", length_max=32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One route."""

    method: str
    """GET, POST or DELETE."""

    path: str
    """Behind PREFIX, parameters in braces."""

    operation: str
    """What it is called in the audit trail and in generated clients."""

    summary: str
    """What it does, in a sentence."""

    roles: frozenset[Role]
    """Who may call it; none of them means that anybody may, without credentials."""

    parameters: tuple[Parameter, ...] = ()
    """Of path and query; all others are refused."""

    takes_recording: bool = False
    """Whether its body is an audio file."""

    answer: str
    """The schema of what it answers."""

    handler: Handler
    """What does the work."""

    @property
    def is_public(self) -> bool:
        """Whether it needs no credentials."""
        return not self.roles


def _in_path(name: str, text: str) -> Parameter:
    return Parameter(name=name, place=Place.PATH, kind=_ID, text=text)


def _in_query(name: str, kind: Kind, text: str, *, default: str | int | None = None) -> Parameter:
    return Parameter(name=name, place=Place.QUERY, kind=kind, text=text, default=default)


REGION = _in_query("region", _REGION, "With a bearer token: the Region of the records.", default="us-east-1")
_TASK = _in_path("taskId", "The task's GUID.")
_EVENT = _in_path("eventId", "The event's id.")
_DOMAIN = _in_path("domainId", "The voice profile domain's id.")
_PIPELINE = _in_query("pipelineId", _ID_OR_ARN, "Only of this media insights pipeline (its id or ARN).")
_LIMIT = _in_query("limit", Whole(low=1, high=100), "Items at most.", default=50)
_NEXT_TOKEN = _in_query("nextToken", Printable(length_max=2_048), "Where to go on, as the page before said.")
_CHANNEL = _in_query("channel", Whole(low=0, high=63), "The channel, where the recording has several; from 0.")
_TARGET = _in_query("target", Printable(length_max=2_048), "Only to this target.")
_AFTER = _in_query(
    "after",
    Whole(low=0, high=10**18 - 1, word=LATEST),
    "Only events behind this number, or `latest`: from now on.",
    default=0,
)
_WAIT = _in_query(
    "wait", Whole(low=0, high=WAIT_SECONDS_MAX), "Seconds to wait at most when there is no event yet.", default=0
)
_CONSENT = Parameter(
    name="consent",
    place=Place.QUERY,
    kind=Printable(length_max=CONSENT_CHARACTERS_MAX),
    text="Where the consent of the voice's owner is recorded; kept encrypted with the voiceprint.",
    required=True,
)
_ONCE = _in_query(
    "clientRequestToken",
    Text(pattern="[-_a-zA-Z0-9]+", words="letters, digits, - and _", length_max=64),
    "Names this request: sent again within 24 hours, with the same parameters and recording, it makes nothing new.",
)
_PROFILE = _in_query("profileId", _ID, "The profile that gets a further voiceprint; a new one is made without it.")

_NAME = Parameter(
    name="name",
    place=Place.QUERY,
    kind=Printable(length_max=256),
    text="What to call it, for people.",
    required=True,
)
_DESCRIPTION = _in_query("description", Printable(length_max=1_024), "What it is for.")
_BAND = _in_query(
    "band",
    Text(pattern="telephone|wideband", words="telephone or wideband", length_max=9),
    "What its calls are: telephone calls, or microphones on both sides.",
    default="telephone",
)

ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/openapi.json",
        operation="GetOpenApi",
        summary="This API as an OpenAPI document.",
        roles=_NOBODY_IN_PARTICULAR,
        answer="OpenApi",
        handler=tell_openapi,
    ),
    Route(
        method="GET",
        path="/status",
        operation="GetStatus",
        summary="How many tasks run in this process, how far behind they are, and what the account uses of its limits.",
        roles=_OPERATOR,
        parameters=(REGION,),
        answer="Status",
        handler=tell_status,
    ),
    Route(
        method="GET",
        path="/tasks",
        operation="ListTasks",
        summary="Speaker search tasks with their results in full, newest first.",
        roles=_READER,
        parameters=(REGION, _PIPELINE, _LIMIT, _NEXT_TOKEN),
        answer="Tasks",
        handler=list_tasks,
    ),
    Route(
        method="GET",
        path="/tasks/{taskId}",
        operation="GetTask",
        summary="One speaker search task with its result in full.",
        roles=_READER,
        parameters=(REGION, _TASK),
        answer="Task",
        handler=get_task,
    ),
    Route(
        method="GET",
        path="/events",
        operation="ListEvents",
        summary="Events in the order of their numbers, with what became of them at each target; waits if asked to.",
        roles=_READER,
        parameters=(REGION, _PIPELINE, _AFTER, _LIMIT, _WAIT),
        answer="Events",
        handler=list_events,
    ),
    Route(
        method="GET",
        path="/events/{eventId}",
        operation="GetEvent",
        summary="One event.",
        roles=_READER,
        parameters=(REGION, _EVENT),
        answer="Event",
        handler=get_event,
    ),
    Route(
        method="POST",
        path="/events/{eventId}/replay",
        operation="ReplayEvent",
        summary="Deliver an event again that was delivered or parked; same id, same body.",
        roles=_OPERATOR,
        parameters=(REGION, _EVENT, _TARGET),
        answer="Replay",
        handler=replay_event,
    ),
    Route(
        method="GET",
        path="/domains",
        operation="ListDomains",
        summary="Voice profile domains, oldest first.",
        roles=_READER,
        parameters=(REGION, _LIMIT, _NEXT_TOKEN),
        answer="Domains",
        handler=list_domains,
    ),
    Route(
        method="POST",
        path="/domains",
        operation="CreateDomain",
        summary="Make a voice profile domain with an encryption key of its own.",
        roles=_ADMIN,
        parameters=(REGION, _NAME, _DESCRIPTION, _BAND, _ONCE),
        answer="Domain",
        handler=create_domain,
    ),
    Route(
        method="DELETE",
        path="/domains/{domainId}",
        operation="DeleteDomain",
        summary="Delete a domain with every voice in it, for good; answers what it was.",
        roles=_ADMIN,
        parameters=(REGION, _DOMAIN),
        answer="Domain",
        handler=delete_domain,
    ),
    Route(
        method="GET",
        path="/domains/{domainId}/profiles",
        operation="ListDomainProfiles",
        summary="Who is enrolled in a domain, by what voiceprints; written to the audit trail.",
        roles=_READER,
        parameters=(REGION, _DOMAIN, _LIMIT, _NEXT_TOKEN),
        answer="Profiles",
        handler=list_profiles,
    ),
    Route(
        method="POST",
        path="/domains/{domainId}/profiles",
        operation="EnrolRecording",
        summary="Enrol the voice in a recording: a new profile, or a further voiceprint of one.",
        roles=_OPERATOR,
        parameters=(REGION, _DOMAIN, _CONSENT, _CHANNEL, _PROFILE, _ONCE),
        takes_recording=True,
        answer="EnrolledProfile",
        handler=enrol_recording,
    ),
    Route(
        method="POST",
        path="/domains/{domainId}/search",
        operation="SearchRecording",
        summary="Who of a domain speaks in a recording, if anyone; written to the audit trail.",
        roles=_OPERATOR,
        parameters=(REGION, _DOMAIN, _CHANNEL),
        takes_recording=True,
        answer="Decision",
        handler=search_domain,
    ),
)
