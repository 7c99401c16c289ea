"""What is asked: the parameters of every operation, and how they are read.

One class makes the check, the type that handlers work with, and the schema in the OpenAPI document. What belongs here:
names, types, limits, a sentence for each. What must never: what a handler does. The answers are in `models`.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cache
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from earwitness.errors import BadRequest
from earwitness.voice.band import Band
from earwitness.voice.connector import LABEL_CHARACTERS_MAX
from earwitness.voice.decision import Outcome
from earwitness.voice.job import ItemState, JobKind
from earwitness.voice.line import Codec, LineLearning
from earwitness.voice.task_status import TaskStatus

WAIT_SECONDS_MAX = 20
"""Below the 30 s and more after which proxies and clients give up."""

SEQUENCE_MAX = 10**18 - 1

PLAIN_BYTES_MAX = 65_536
"""Of a body of JSON, and of one where none is needed, which counts for the signature alone."""

JOB_ITEMS_MAX = 100_000
"""Recordings of one job."""


def doc(text: str) -> Meta:
    """Return the sentence that the OpenAPI document has for a field."""
    return Meta(description=text)


# Parameters of paths and queries. Patterns are ECMA-262's and Python's alike, and hold for the whole text.

Identifier: TypeAlias = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]+$", min_length=1, max_length=128)]
_IdOrArn: TypeAlias = Annotated[str, Meta(pattern="^[A-Za-z0-9_:/.-]+$", min_length=1, max_length=1_024)]
_RegionName: TypeAlias = Annotated[str, Meta(pattern="^[a-z0-9-]+$", min_length=1, max_length=32)]
_RequestToken: TypeAlias = Annotated[str, Meta(pattern="^[-_a-zA-Z0-9]+$", min_length=1, max_length=64)]
_Printable256: TypeAlias = Annotated[str, Meta(min_length=1, max_length=256)]
_Printable1024: TypeAlias = Annotated[str, Meta(min_length=1, max_length=1_024)]
_Printable2048: TypeAlias = Annotated[str, Meta(min_length=1, max_length=2_048)]
_Moment: TypeAlias = Annotated[datetime, Meta(tz=True)]
_Channel: TypeAlias = Annotated[int, Meta(ge=0, le=63)]

_GUID = "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"
DomainId: TypeAlias = Annotated[Identifier, doc("The voice profile domain's id.")]
_ProfileId: TypeAlias = Annotated[Identifier, doc("The voice profile's id.")]
_VoiceprintId: TypeAlias = Annotated[Identifier, doc("The voiceprint's id.")]
_JobId: TypeAlias = Annotated[Identifier, doc("The job's id.")]
_ConnectorId: TypeAlias = Annotated[Identifier, doc("The Voice Connector's id.")]
EventId: TypeAlias = Annotated[Identifier, doc("The event's id.")]
_OfPipeline: TypeAlias = Annotated[_IdOrArn | None, doc("Only of this media insights pipeline (its id or ARN).")]
Limit: TypeAlias = Annotated[int, Meta(ge=1, le=100), doc("Items at most.")]
PageToken: TypeAlias = Annotated[_Printable2048 | None, doc("Where to go on, as the page before said.")]
_Subject: TypeAlias = Annotated[
    _Printable256 | None,
    doc("Whose voice it is, as the consents of the domain call the person: a reference, not a name; kept encrypted."),
]
_InChannel: TypeAlias = Annotated[_Channel | None, doc("The channel, where the recording has several; from 0.")]
_Once: TypeAlias = Annotated[
    _RequestToken | None,
    doc(
        "Names this request: sent again within 24 hours, with the same parameters and recording, it makes nothing new."
    ),
]


class Parameters(Struct, kw_only=True, rename="camel"):
    """The parameters of an operation. A subclass is named as its operation, and its docstring is the summary."""

    region: Annotated[_RegionName, doc("With a bearer token: the Region of the records.")] = "us-east-1"


class GetOpenApi(Struct):
    """This API as an OpenAPI document."""


class GetStatus(Parameters):
    """How many tasks run in this process, how far behind they are, and what the account uses of its limits."""


class GetDoors(Parameters):
    """Where calls of phone systems come in, how many are in progress, and what was refused and why."""


class ListTasks(Parameters):
    """Speaker search tasks with their results in full, newest first."""

    pipeline_id: _OfPipeline = None
    status: Annotated[TaskStatus | None, doc("Only those that have it.")] = None
    outcome: Annotated[
        Outcome | None,
        doc(
            "Only those whose search ended so. Results are encrypted, so one request looks through 1,000 tasks at "
            "most: a page may have few or none and still a `nextToken`."
        ),
    ] = None
    limit: Limit = 50
    next_token: PageToken = None


class GetTask(Parameters, kw_only=True):
    """One speaker search task with its result in full."""

    task_id: Annotated[Identifier, doc("The task's GUID.")]


class ListEvents(Parameters):
    """Events in the order of their numbers, with what became of them at each target; waits if asked to."""

    pipeline_id: _OfPipeline = None
    after: Annotated[
        Annotated[int, Meta(ge=0, le=SEQUENCE_MAX)] | Literal["latest"],
        doc("Only events behind this number, or `latest`: from now on."),
    ] = 0
    limit: Limit = 50
    wait: Annotated[
        int, Meta(ge=0, le=WAIT_SECONDS_MAX), doc("Seconds to wait at most when there is no event yet.")
    ] = 0


class GetEvent(Parameters, kw_only=True):
    """One event."""

    event_id: EventId


class ReplayEvent(Parameters, kw_only=True):
    """Deliver an event again that was delivered or parked; same id, same body."""

    event_id: EventId
    target: Annotated[_Printable2048 | None, doc("Only to this target.")] = None


class ReplayEvents(Parameters):
    """Deliver all parked events of the account and Region again; same ids, same bodies."""

    target: Annotated[_Printable2048 | None, doc("Only to this target.")] = None


class ListDomains(Parameters):
    """Voice profile domains, oldest first."""

    limit: Limit = 50
    next_token: PageToken = None


class CreateDomain(Parameters, kw_only=True):
    """Make a voice profile domain with an encryption key of its own."""

    name: Annotated[_Printable256, doc("What to call it, for people.")]
    description: Annotated[_Printable1024 | None, doc("What it is for.")] = None
    band: Annotated[Band, doc("What its calls are: telephone calls, or microphones on both sides.")] = Band.TELEPHONE
    client_request_token: _Once = None


class DeleteDomain(Parameters, kw_only=True):
    """Delete a domain with every voice in it, for good; answers what it was."""

    domain_id: DomainId


class ListDomainProfiles(Parameters, kw_only=True):
    """Who is enrolled in a domain, by what voiceprints; written to the audit trail."""

    domain_id: DomainId
    id_prefix: Annotated[Identifier | None, doc("Only those whose id begins so.")] = None
    limit: Limit = 50
    next_token: PageToken = None


class ListFindings(Parameters, kw_only=True):
    """What is wrong with the voiceprints of a domain: twins, copies, poor ones; written to the audit trail."""

    domain_id: DomainId
    limit: Annotated[int, Meta(ge=1, le=100), doc("Voiceprints to look at, at most.")] = 100
    next_token: PageToken = None


class GetProfile(Parameters, kw_only=True):
    """One voice profile with its voiceprints; written to the audit trail."""

    profile_id: _ProfileId


class DeleteProfile(Parameters, kw_only=True):
    """Delete a voice profile with all its voiceprints, for good; answers what it was."""

    profile_id: _ProfileId


class RemoveVoiceprint(Parameters, kw_only=True):
    """Remove one voiceprint of a voice profile, for good; answers the profile. The last one stays."""

    profile_id: _ProfileId
    voiceprint_id: _VoiceprintId


class RollBackProfile(Parameters, kw_only=True):
    """Give a voice profile the voiceprints again that it had before one was enrolled: that one and all later ones are
    removed, for good; answers the profile."""

    profile_id: _ProfileId
    voiceprint_id: _VoiceprintId


class GetLines(Parameters, kw_only=True):
    """What a domain has learnt of its lines, one for each codec, and whether they are well."""

    domain_id: DomainId


class SwitchLines(Parameters, kw_only=True):
    """Tell a domain whether to learn its lines. Off deletes the voices that are kept for it; what is learnt stays."""

    domain_id: DomainId
    learning: Annotated[LineLearning, doc("On or off.")]


class ResetLines(Parameters, kw_only=True):
    """Forget what is learnt of a line, or of all lines of a domain; they are learnt anew where the domain learns."""

    domain_id: DomainId
    codec: Annotated[Codec | None, doc("Only this line.")] = None


class RevertLine(Parameters, kw_only=True):
    """Give a line the mean of an earlier version again; where the domain learns, it goes on from there."""

    domain_id: DomainId
    codec: Annotated[Codec, doc("The line.")]
    version: Annotated[int, Meta(ge=1, le=10**9), doc("The version to go back to.")]


class EnrolRecording(Parameters, kw_only=True):
    """Enrol the voice in a recording: a new profile, or a further voiceprint of one."""

    domain_id: DomainId
    consent: Annotated[
        _Printable256,
        doc("Where the consent of the voice's owner is recorded; kept encrypted with the voiceprint."),
    ]
    channel: _InChannel = None
    profile_id: Annotated[
        Identifier | None, doc("The profile that gets a further voiceprint; a new one is made without it.")
    ] = None
    subject: _Subject = None
    client_request_token: _Once = None


class SearchRecording(Parameters, kw_only=True):
    """Who of a domain speaks in a recording, if anyone; written to the audit trail."""

    domain_id: DomainId
    channel: _InChannel = None
    subject: _Subject = None


class CreateJob(Parameters, kw_only=True):
    """Begin a job: search or enrol many recordings, which are sent one by one, or a stream's kept media; or make
    voiceprints of other encoders again."""

    domain_id: DomainId
    kind: Annotated[JobKind, doc("What is done with each recording; `reembed` takes the kept speech of enrolments.")]
    job_id: Annotated[
        Identifier | None,
        doc("Names the job. A job of this id that asks for the same is answered as it is; one is made otherwise."),
    ] = None
    items: Annotated[
        Annotated[int, Meta(ge=1, le=JOB_ITEMS_MAX)] | None, doc("How many recordings are going to be sent.")
    ] = None
    stream: Annotated[_IdOrArn | None, doc("In place of recordings: the ARN or name of a stream.")] = None
    start_at: Annotated[_Moment | None, doc("Of the stream: what came from this time on.")] = None
    end_at: Annotated[_Moment | None, doc("Of the stream: what came until this time.")] = None
    channel: Annotated[_Channel | None, doc("Of the stream: the channel, where it has several; from 0.")] = None
    consent: Annotated[
        _Printable256 | None, doc("Of the stream, to enrol: where the consent of the voice's owner is recorded.")
    ] = None
    profile_id: Annotated[
        Identifier | None, doc("Of the stream, to enrol: the profile that it is for; one is made without it.")
    ] = None
    subject: _Subject = None


class CreateExport(Parameters, kw_only=True):
    """Begin to export a domain: its profiles, voiceprints, consents, labels and tags, encrypted for a recipient. One
    that does the same, or has done it and was not deleted, is answered."""

    domain_id: DomainId
    recipient: Annotated[_Printable2048 | None, doc("The public key of age that the export is for: age1…")] = None
    encryption: Annotated[
        Literal["age", "none"], doc("`none`: whoever gets the archive can read it; give no recipient then.")
    ] = "age"
    audio: Annotated[Literal["none", "kept"], doc("`kept`: with the speech that is kept of enrolments.")] = "none"


class FetchArchive(Parameters, kw_only=True):
    """The archive of an export that is complete; written to the audit trail."""

    job_id: _JobId


class DeleteArchive(Parameters, kw_only=True):
    """Delete what an export has made, when it was fetched; else it is deleted after a day. Its job stays."""

    job_id: _JobId


class ListJobs(Parameters):
    """Jobs, newest first; kept for seven days after their end."""

    limit: Limit = 50
    next_token: PageToken = None


class GetJob(Parameters, kw_only=True):
    """One job, how far it is, and which recordings have not come."""

    job_id: _JobId


class ListJobItems(Parameters, kw_only=True):
    """What came of each recording of a job, in the order of their numbers."""

    job_id: _JobId
    state: Annotated[ItemState | None, doc("Only those that are there.")] = None
    limit: Limit = 50
    next_token: PageToken = None


class PutJobItem(Parameters, kw_only=True):
    """Send one recording of a job. What came before under this number stays; it is not listened to twice."""

    job_id: _JobId
    number: Annotated[Annotated[int, Meta(ge=1, le=JOB_ITEMS_MAX)], doc("Which one, from 1.")]
    name: Annotated[_Printable1024, doc("What the client calls the recording; kept encrypted.")]
    channel: _InChannel = None
    consent: Annotated[
        _Printable256 | None, doc("To enrol: where the consent of the voice's owner is recorded; kept encrypted.")
    ] = None
    profile_id: Annotated[Identifier | None, doc("To enrol: the profile that gets a further voiceprint.")] = None
    subject: _Subject = None
    speaker: Annotated[
        _Printable256 | None,
        doc("To enrol without profileId: recordings of a job that name the same speaker make one profile together."),
    ] = None


class CancelJob(Parameters, kw_only=True):
    """End a job: recordings that wait are deleted, results so far are kept."""

    job_id: _JobId


class GetDoor(Parameters, kw_only=True):
    """Which phone systems may send calls to a Voice Connector; which secrets are set, never what they are."""

    connector_id: _ConnectorId


class PutDoor(Parameters, kw_only=True):
    """Say which phone systems may send calls to a Voice Connector; what the body leaves out stays."""

    connector_id: _ConnectorId


class AnnounceCall(Parameters, kw_only=True):
    """Let a call of this id come within ten minutes, once, where a protocol has no other proof."""

    connector_id: _ConnectorId
    call_id: Annotated[
        Annotated[str, Meta(pattern=_GUID, min_length=36, max_length=36)] | None,
        doc("The call's id, a random UUID; one is made without it."),
    ] = None


class ListCalls(Parameters):
    """Calls of Voice Connectors with their legs, newest first; kept for seven days after their end."""

    limit: Limit = 50
    next_token: PageToken = None


class ChangedDoor(Struct, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What changes of a Voice Connector's door. What is left out stays."""

    disabled: Annotated[bool, doc("Take no calls.")] | UnsetType = UNSET
    allowed_networks: (
        Annotated[list[str], doc("Addresses and networks that calls may come from; empty: this machine alone.")]
        | UnsetType
    ) = UNSET
    caller_label: (
        Annotated[
            str,
            Meta(max_length=LABEL_CHARACTERS_MAX),
            doc("The label of the caller's leg; empty: by the protocol's rule."),
        ]
        | UnsetType
    ) = UNSET
    secrets: Annotated[dict[str, str | None], doc("Secrets by name; null forgets one.")] | UnsetType = UNSET


# Reading parameters.

Schema: TypeAlias = dict[str, Any]
"""A JSON Schema. `Any`: its keywords have values of every kind."""

_ParametersT = TypeVar("_ParametersT", bound=Struct)

_WHOLE_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)

_PATTERNS = {
    "^[A-Za-z0-9_-]+$": "letters, digits, - and _",
    "^[A-Za-z0-9_:/.-]+$": "an id or an ARN",
    _GUID: "a UUID",
    "^[a-z0-9-]+$": "small letters, digits and -",
    "^[-_a-zA-Z0-9]+$": "letters, digits, - and _",
}
"""What a pattern means, for people."""


def read_parameters(
    kind: type[_ParametersT], *, path: Mapping[str, str], query: Sequence[tuple[str, str]]
) -> _ParametersT:
    """Return the parameters of an operation.

    Raise BadRequest, which names the first that is unknown, repeated, missing or no such value.
    """
    known = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    given = dict(path)
    for name, text in query:
        if name not in known:
            raise BadRequest("the query has a parameter that is not known here; /earwitness/v1/openapi.json lists them")
        if name in given:
            raise BadRequest(f"the parameter {name} comes twice; give it once")
        given[name] = text
    missing = next((name for name, field in known.items() if field.required and name not in given), None)
    if missing is not None:
        raise BadRequest(f"the parameter {missing} is missing; add it to the query")
    return kind(**{known[name].name: _value(name, text, known[name].type) for name, text in given.items()})


def _value(name: str, text: str, kind: Any) -> Any:  # `Any`: a type, or one with constraints; and what it makes
    kinds = _kinds(kind)
    takes_numbers = any(schema.get("type") == "integer" for schema in kinds)
    value = int(text) if takes_numbers and _WHOLE_NUMBER.fullmatch(text) else text
    if text.isprintable() and not text.isspace():
        with suppress(msgspec.ValidationError):
            return msgspec.convert(value, kind)
    raise BadRequest(f"the parameter {name} has to be {', or '.join(_in_words(schema) for schema in kinds)}")


@cache
def _kinds(kind: Any) -> list[Schema]:  # `Any`: as above
    """Return the schemas of what a parameter may be."""
    (schema,), components = msgspec.json.schema_components([kind], ref_template="{name}")
    found = [components.get(one.get("$ref", ""), one) for one in schema.get("anyOf", [schema])]
    return [one for one in found if one != {"type": "null"}]


def _in_words(schema: Schema) -> str:
    if "enum" in schema:
        return " or ".join(schema["enum"])
    if schema["type"] == "integer":
        return f"a whole number from {schema['minimum']} to {schema['maximum']}"
    if schema.get("format") == "date-time":
        return "a time with its zone, as in 2026-01-31T08:00:00Z"
    if "pattern" in schema:
        return f"{_PATTERNS[schema['pattern']]}, 1 to {schema['maxLength']} characters"
    return f"1 to {schema['maxLength']} printable characters"
