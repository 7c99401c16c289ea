"""What travels: the parameters of every operation and the documents that answer them.

One class makes the check, the type that handlers work with, and the schema in the OpenAPI document. What belongs here:
names, types, limits, a sentence for each. What must never: what a handler does.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cache
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Struct

from earwitness.errors import BadRequest
from earwitness.voice.band import Band
from earwitness.voice.decision import Outcome
from earwitness.voice.task_status import StopReason, TaskStatus, VoiceprintStatus

WAIT_SECONDS_MAX = 20
"""Below the 30 s and more after which proxies and clients give up."""

SEQUENCE_MAX = 10**18 - 1


def doc(text: str) -> Meta:
    """Return the sentence that the OpenAPI document has for a field."""
    return Meta(description=text)


_Whole: TypeAlias = Annotated[int, Meta(ge=0)]
_Seconds: TypeAlias = Annotated[float, Meta(ge=0, description="Seconds.")]
_Share: TypeAlias = Annotated[float, Meta(ge=0, le=1)]

# Parameters of paths and queries. Patterns are ECMA-262's and Python's alike, and hold for the whole text.

_Identifier: TypeAlias = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]+$", min_length=1, max_length=128)]
_IdOrArn: TypeAlias = Annotated[str, Meta(pattern="^[A-Za-z0-9_:/.-]+$", min_length=1, max_length=1_024)]
_RegionName: TypeAlias = Annotated[str, Meta(pattern="^[a-z0-9-]+$", min_length=1, max_length=32)]
_RequestToken: TypeAlias = Annotated[str, Meta(pattern="^[-_a-zA-Z0-9]+$", min_length=1, max_length=64)]
_Printable256: TypeAlias = Annotated[str, Meta(min_length=1, max_length=256)]
_Printable1024: TypeAlias = Annotated[str, Meta(min_length=1, max_length=1_024)]
_Printable2048: TypeAlias = Annotated[str, Meta(min_length=1, max_length=2_048)]
_Channel: TypeAlias = Annotated[int, Meta(ge=0, le=63)]

_DomainId: TypeAlias = Annotated[_Identifier, doc("The voice profile domain's id.")]
_EventId: TypeAlias = Annotated[_Identifier, doc("The event's id.")]
_OfPipeline: TypeAlias = Annotated[_IdOrArn | None, doc("Only of this media insights pipeline (its id or ARN).")]
_Limit: TypeAlias = Annotated[int, Meta(ge=1, le=100), doc("Items at most.")]
_PageToken: TypeAlias = Annotated[_Printable2048 | None, doc("Where to go on, as the page before said.")]
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


class ListTasks(Parameters):
    """Speaker search tasks with their results in full, newest first."""

    pipeline_id: _OfPipeline = None
    limit: _Limit = 50
    next_token: _PageToken = None


class GetTask(Parameters, kw_only=True):
    """One speaker search task with its result in full."""

    task_id: Annotated[_Identifier, doc("The task's GUID.")]


class ListEvents(Parameters):
    """Events in the order of their numbers, with what became of them at each target; waits if asked to."""

    pipeline_id: _OfPipeline = None
    after: Annotated[
        Annotated[int, Meta(ge=0, le=SEQUENCE_MAX)] | Literal["latest"],
        doc("Only events behind this number, or `latest`: from now on."),
    ] = 0
    limit: _Limit = 50
    wait: Annotated[
        int, Meta(ge=0, le=WAIT_SECONDS_MAX), doc("Seconds to wait at most when there is no event yet.")
    ] = 0


class GetEvent(Parameters, kw_only=True):
    """One event."""

    event_id: _EventId


class ReplayEvent(Parameters, kw_only=True):
    """Deliver an event again that was delivered or parked; same id, same body."""

    event_id: _EventId
    target: Annotated[_Printable2048 | None, doc("Only to this target.")] = None


class ListDomains(Parameters):
    """Voice profile domains, oldest first."""

    limit: _Limit = 50
    next_token: _PageToken = None


class CreateDomain(Parameters, kw_only=True):
    """Make a voice profile domain with an encryption key of its own."""

    name: Annotated[_Printable256, doc("What to call it, for people.")]
    description: Annotated[_Printable1024 | None, doc("What it is for.")] = None
    band: Annotated[Band, doc("What its calls are: telephone calls, or microphones on both sides.")] = Band.TELEPHONE
    client_request_token: _Once = None


class DeleteDomain(Parameters, kw_only=True):
    """Delete a domain with every voice in it, for good; answers what it was."""

    domain_id: _DomainId


class ListDomainProfiles(Parameters, kw_only=True):
    """Who is enrolled in a domain, by what voiceprints; written to the audit trail."""

    domain_id: _DomainId
    limit: _Limit = 50
    next_token: _PageToken = None


class EnrolRecording(Parameters, kw_only=True):
    """Enrol the voice in a recording: a new profile, or a further voiceprint of one."""

    domain_id: _DomainId
    consent: Annotated[
        _Printable256,
        doc("Where the consent of the voice's owner is recorded; kept encrypted with the voiceprint."),
    ]
    channel: _InChannel = None
    profile_id: Annotated[
        _Identifier | None, doc("The profile that gets a further voiceprint; a new one is made without it.")
    ] = None
    client_request_token: _Once = None


class SearchRecording(Parameters, kw_only=True):
    """Who of a domain speaks in a recording, if anyone; written to the audit trail."""

    domain_id: _DomainId
    channel: _InChannel = None


# Reading parameters.

Schema: TypeAlias = dict[str, Any]
"""A JSON Schema. `Any`: its keywords have values of every kind."""

_ParametersT = TypeVar("_ParametersT", bound=Struct)

_WHOLE_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)

_PATTERNS = {
    "^[A-Za-z0-9_-]+$": "letters, digits, - and _",
    "^[A-Za-z0-9_:/.-]+$": "an id or an ARN",
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
    if "pattern" in schema:
        return f"{_PATTERNS[schema['pattern']]}, 1 to {schema['maxLength']} characters"
    return f"1 to {schema['maxLength']} printable characters"


# Answers. Times travel as RFC 3339 in UTC, with microseconds.

_Time: TypeAlias = Annotated[datetime, Meta(tz=True)]
_PAIRS = "Share of pairs of different speakers that score at least this high."


class Answer(Struct, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A document that answers."""


class ErrorDetailAnswer(Answer):
    """What went wrong."""

    type: Annotated[str, doc("The class of the error, for programs.")]
    message: Annotated[str, doc("What happened and what to do next, for people.")]
    request_id: Annotated[str, doc("The request, as the service's logs name it.")]


class ErrorAnswer(Answer):
    """A request that was refused, or that failed."""

    error: ErrorDetailAnswer


class CandidateAnswer(Answer):
    """A profile and how well the speech fits it."""

    profile_id: str
    voiceprint_id: Annotated[str, doc("The profile's voiceprint that came closest.")]
    score: Annotated[float, doc("Cosine, -1 to 1; what the threshold is compared with.")]
    probability: Annotated[_Share, doc("That it is this profile, given all the others and nobody.")]
    false_match_rate: Annotated[_Share, doc(_PAIRS)]


class ThresholdAnswer(Answer):
    """What a score has to reach."""

    score: Annotated[float, doc("The lowest score that is given a name.")]
    gallery_size: Annotated[_Whole, doc("Voiceprints that were searched; the threshold rises with their number.")]
    strangers_named_percent: Annotated[
        float, doc("At most this share of strangers is named by a search of this gallery.")
    ]
    pair_false_match_rate: Annotated[_Share, doc(_PAIRS)]
    extrapolated: Annotated[bool, doc("True when that rate lies beyond the pairs that the curve was measured on.")]
    persons: Annotated[
        _Whole | None, doc("Persons whom the calibration was measured on; null in answers of earlier versions.")
    ]
    person_pairs: Annotated[
        _Whole | None,
        doc("Pairs of persons that its curve counts; null when it counts pairs of recordings, as former ones do."),
    ]
    persons_needed: Annotated[
        _Whole | None, doc("Persons it would take to measure that rate; null when it was measured.")
    ]
    line_margin: Annotated[float, doc("How much of the score is there only because the line is not known.")]


class DecisionAnswer(Answer):
    """Who speaks, if anyone who is enrolled."""

    outcome: Outcome
    candidates: Annotated[list[CandidateAnswer], doc("At most ten, best first, named or not.")]
    nobody_probability: Annotated[
        _Share | None, doc("That it is none of the enrolled; null when the search was not made.")
    ]
    others_probability: Annotated[
        _Share | None,
        doc("That it is somebody who is enrolled and not listed here. All probabilities of an answer add up to 1."),
    ]
    margin: Annotated[float | None, doc("Score of the first candidate minus that of the second.")]
    ambiguous: Annotated[bool, doc("True for a match whose runner-up fits nearly as well.")]
    threshold: Annotated[ThresholdAnswer | None, doc("Null when the search was not made.")]
    net_speech_seconds: Annotated[_Seconds, doc("Seconds of speech that were searched with.")]
    weak: Annotated[bool, doc("True for a match with a probability under a half: look before anything rests on it.")]
    voices: Annotated[list["DecisionAnswer"], doc("With several voices, the answer for each; else empty.")]
    leakage_seconds: Annotated[
        _Seconds, doc("Seconds of speech left out: at least 20 dB quieter than the rest, another party's.")
    ]


class TaskStreamAnswer(Answer):
    """The stream that a task listens to."""

    arn: str
    channel_id: _Whole


class TaskDomainAnswer(Answer):
    """The domain that a task searches."""

    id: str
    arn: str


class TaskVoiceprintAnswer(Answer):
    """What became of the voiceprint of a task."""

    status: VoiceprintStatus
    can_be_enrolled_until: Annotated[
        _Time | None, doc("Until then a profile can be created from it; null when it is gone.")
    ]


class TaskAnswer(Answer):
    """A speaker search task."""

    task_id: str
    pipeline_id: str
    status: TaskStatus
    attempt: Annotated[_Whole, doc("How often it was picked up.")]
    stop_reason: StopReason | None
    status_message: Annotated[
        str | None, doc("What went wrong, what it goes on without, or why the speech is no voiceprint.")
    ]
    stream: TaskStreamAnswer
    domain: TaskDomainAnswer
    created_at: _Time
    updated_at: _Time
    started_at: _Time | None
    ended_at: _Time | None
    identification: Annotated[DecisionAnswer | None, doc("The result of its search.")]
    voiceprint: Annotated[TaskVoiceprintAnswer | None, doc("Null before it is decided.")]
    profile_id: Annotated[str | None, doc("The profile that was created from it.")]
    lag_seconds: Annotated[
        _Seconds | None, doc("How far it is behind its stream; null when it does not run in this process.")
    ]


_NextToken: TypeAlias = Annotated[
    str | None, doc("Give it back as `nextToken` for what follows; null on the last page.")
]


class TasksAnswer(Answer):
    """A page of tasks."""

    tasks: list[TaskAnswer]
    next_token: _NextToken


class UseAnswer(Answer):
    """How much of something an account uses."""

    name: Annotated[str, doc("What is used.")]
    used: Annotated[_Whole, doc("So much of it.")]
    most: Annotated[
        _Whole,
        doc(
            "What one more than this is refused at: a quota, or the account's share of what all accounts have "
            "together, which grows when others use less."
        ),
    ]


class StatusAnswer(Answer):
    """What the process does at this moment."""

    running_tasks: Annotated[_Whole, doc("Tasks that run in this process, of all accounts.")]
    lag_seconds_max: Annotated[
        _Seconds | None, doc("How far the last of them is behind its stream; null when none runs.")
    ]
    log_lines_dropped: Annotated[
        _Whole, doc("Log lines of this process that were dropped because nobody read its log.")
    ]
    media_refusal: Annotated[
        str | None, doc("Why media are refused for want of room on the disk; null when they are taken.")
    ]
    keeps_enrolment_audio: Annotated[bool, doc("Whether the speech behind a voiceprint is kept.")]
    account_id: Annotated[str, doc("The account of the key or token that asks.")]
    use: Annotated[list[UseAnswer], doc("What the account uses of what it may have, some of it in this Region.")]


class DeliveryAnswer(Answer):
    """What became of an event at one target."""

    target: Annotated[str, doc("The ARN, URL or file it goes to.")]
    state: Literal["pending", "delivered", "parked"]
    attempts: _Whole
    next_attempt_at: _Time | None
    last_error: str | None
    delivered_at: _Time | None


class EventAnswer(Answer):
    """An event, and what became of it at each target."""

    sequence: Annotated[_Whole, doc("Its number in the whole store; give the last one back as `after`.")]
    event_id: str
    pipeline_id: str
    kind: str
    created_at: _Time
    # `Any`: whatever JSON can hold.
    body: Annotated[dict[str, Any] | None, doc("What the pipeline's sinks get; null when it is damaged.")]
    deliveries: list[DeliveryAnswer]


class EventsAnswer(Answer):
    """Events behind a number."""

    events: list[EventAnswer]
    next: Annotated[_Whole, doc("Give it back as `after` for what follows.")]


class ReplayAnswer(Answer):
    """An event that is delivered again."""

    event_id: str
    replayed: Annotated[_Whole, doc("Deliveries that wait again.")]


class ProfileVoiceprintAnswer(Answer):
    """A voiceprint of a profile; never the vector itself."""

    voiceprint_id: str
    encoder_id: Annotated[str, doc("What made it; those of different encoders are never compared.")]
    net_speech_seconds: _Seconds
    task_id: Annotated[str | None, doc("The task that made it; null when it was enrolled from a recording.")]
    has_consent_reference: bool
    consent_reference: Annotated[str | None, doc("For admins and operators; null for others.")]
    created_at: _Time
    expires_at: _Time


class ProfileAnswer(Answer):
    """A voice that is enrolled."""

    profile_id: str
    arn: str
    domain_id: str
    created_at: _Time
    updated_at: _Time
    expires_at: _Time
    voiceprints: Annotated[list[ProfileVoiceprintAnswer], doc("None once the profile has expired.")]


class EnrolledProfileAnswer(ProfileAnswer):
    """A voice that was enrolled just now."""

    same_voice_as: Annotated[
        list[str],
        doc(
            "Other profiles of the domain that a search for the new voiceprint would name, closest first: perhaps one "
            "person is enrolled twice."
        ),
    ]


class ProfilesAnswer(Answer):
    """A page of profiles."""

    profiles: list[ProfileAnswer]
    next_token: _NextToken


class DomainAnswer(Answer):
    """A voice profile domain."""

    domain_id: str
    arn: str
    name: str
    description: str
    band: Band
    created_at: _Time
    updated_at: _Time


class DomainsAnswer(Answer):
    """A page of domains."""

    domains: list[DomainAnswer]
    next_token: _NextToken


# `Any`: an OpenAPI document has no class of its own.
OpenApi: TypeAlias = dict[str, Any]
