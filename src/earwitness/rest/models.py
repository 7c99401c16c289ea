"""What is answered: the documents of every operation.

One class makes the check of an answer and the schema in the OpenAPI document. What belongs here: names, types, a
sentence for each. What must never: what a handler does. The parameters are in `parameters`.
"""

from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta, Struct

from earwitness.rest.parameters import doc
from earwitness.voice.band import Band
from earwitness.voice.call import AudioCoding
from earwitness.voice.connector import CallStatus, DoorSecret
from earwitness.voice.consent import ConsentRequirement
from earwitness.voice.decision import Outcome
from earwitness.voice.finding import FindingKind
from earwitness.voice.line import Codec, LineChange, LineHealth, LineLearning, LineState
from earwitness.voice.task_status import StopReason, TaskStatus, VoiceprintStatus

_Whole: TypeAlias = Annotated[int, Meta(ge=0)]
_Seconds: TypeAlias = Annotated[float, Meta(ge=0, description="Seconds.")]
_Share: TypeAlias = Annotated[float, Meta(ge=0, le=1)]

# Answers. Times travel as RFC 3339 in UTC, with microseconds.

Moment: TypeAlias = Annotated[datetime, Meta(tz=True)]
_Time = Moment
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
    persons: Annotated[_Whole | None, doc("On whom the calibration was measured; null in former answers.")]
    person_pairs: Annotated[_Whole | None, doc("Pairs of persons that its curve counts; null: it counts recordings.")]
    persons_needed: Annotated[_Whole | None, doc("It would take so many to measure that rate; null: it was measured.")]
    line_margin: Annotated[float, doc("How much of the score is there only because the line is not known.")]


class LineInUseAnswer(Answer):
    """What was known of the line when the answer was given."""

    state: LineState
    voices: Annotated[_Whole, doc("Different voices that it was learnt from.")]
    version: Annotated[_Whole, doc("Of what was learnt of it; 0 before the first version.")]


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
    line: Annotated[LineInUseAnswer | None, doc("Null in answers of former versions.")]
    calibration: Annotated[str | None, doc("Changes with what scores mean; null as `line` is.")]
    gallery_version: Annotated[_Whole | None, doc("Changes with the voiceprints of the domain; null as `line` is.")]


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


class SpeechStretchAnswer(Answer):
    """A stretch of speech, in seconds since the first audio that was heard."""

    start_seconds: _Seconds
    end_seconds: _Seconds


class HeardAnswer(Answer):
    """What a task that is not over has heard."""

    net_speech_seconds: Annotated[_Seconds, doc("Of 10 that a search needs, and 20 that a voiceprint needs.")]
    is_of_now: Annotated[
        bool,
        doc("True where the task runs in this process; else it was written up to 10 s of audio ago, or a little more."),
    ]
    audio_seconds: Annotated[_Seconds | None, doc("Speech and silence, by this attempt; null unless it is of now.")]
    levels_start_seconds: Annotated[_Seconds, doc("When the first of the levels begins.")]
    levels: Annotated[
        list[int], doc("Peaks of each half second, in dB relative to full scale, the latest last; a minute at most.")
    ]
    speech: Annotated[list[SpeechStretchAnswer], doc("Where speech was found since the first of the levels.")]


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
    repeats_task_id: Annotated[
        str | None, doc("An earlier task that heard the same recording: this call may be played back.")
    ]
    lag_seconds: Annotated[
        _Seconds | None, doc("How far it is behind its stream; null when it does not run in this process.")
    ]
    heard: Annotated[HeardAnswer | None, doc("Null before the first audio, and when the task is over.")]


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


class DoorAddressAnswer(Answer):
    """Where a door listens."""

    transport: Annotated[str, doc("TCP, UDP or TLS.")]
    host: str
    port: _Whole


class DoorRefusalAnswer(Answer):
    """Calls for the account's connectors, or for nobody's, that a door did not take."""

    reason: Annotated[str, doc("Why, and what to do next.")]
    count: Annotated[_Whole, doc("How often since the start of the process, by anybody.")]


class OpenDoorAnswer(Answer):
    """Where calls come in by one protocol."""

    name: Annotated[str, doc("The protocol.")]
    addresses: Annotated[
        list[DoorAddressAnswer], doc("Where it listens; empty when it is at the service's own address.")
    ]
    calls: Annotated[_Whole, doc("Calls in progress, of the caller's account.")]
    refused: Annotated[list[DoorRefusalAnswer], doc("What it did not take; the most frequent first.")]


class DoorsAnswer(Answer):
    """The doors of this process."""

    doors: list[OpenDoorAnswer]


class DeliveryAnswer(Answer):
    """What became of an event at one target."""

    target: Annotated[str, doc("The ARN it goes to; `webhook` or `file` where the settings name the address.")]
    state: Literal["pending", "delivered", "parked"]
    attempts: _Whole
    next_attempt_at: _Time | None
    last_error: str | None
    delivered_at: _Time | None


class EventAnswer(Answer):
    """An event, and what became of it at each target."""

    sequence: Annotated[_Whole, doc("Its number in the whole store; give the last one back as `after`.")]
    event_id: str
    pipeline_id: Annotated[str, doc("The pipeline it belongs to, or the transaction of a call that has none.")]
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


class ReplaysAnswer(Answer):
    """Events that are delivered again."""

    replayed: Annotated[_Whole, doc("Deliveries that wait again.")]


class SpeechQualityAnswer(Answer):
    """What was measured of the speech behind a voiceprint; null where it was not."""

    snr_db: Annotated[float | None, doc("How far the speech is above the noise, in dB.")]
    speech_level_dbfs: Annotated[float | None, doc("How loud the speech is, in dB below full scale.")]
    clipped_percent: Annotated[float | None, doc("Per cent of the samples that are at full scale.")]
    bandwidth_hz: Annotated[float | None, doc("Up to which frequency there is speech, in Hz.")]


class ProfileVoiceprintAnswer(Answer):
    """A voiceprint of a profile; never the vector itself."""

    voiceprint_id: str
    encoder_id: Annotated[str, doc("Model and band; behind them the compensation of a former version, if one made it.")]
    net_speech_seconds: _Seconds
    quality: SpeechQualityAnswer
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


class FindingAnswer(Answer):
    """One thing that is wrong with one voiceprint."""

    kind: FindingKind
    profile_id: str
    voiceprint_id: str
    other_profile_id: Annotated[str | None, doc("The other of twins; the same for its own profile; null without one.")]
    score: Annotated[float | None, doc("How alike the two are; null for poor audio.")]
    advice: Annotated[str, doc("What it is and what to do, for people.")]


class FindingsAnswer(Answer):
    """What is wrong among the voiceprints that one request looked at. Twins are told from each side."""

    findings: list[FindingAnswer]
    looked_at: Annotated[_Whole, doc("Voiceprints that were looked at.")]
    former_voiceprints: Annotated[_Whole, doc("Of these, made by an earlier version: they are not compared.")]
    next_token: _NextToken


class DomainAnswer(Answer):
    """A voice profile domain."""

    domain_id: str
    arn: str
    name: str
    description: str
    band: Band
    line_health: Annotated[LineHealth, doc("`off`: strangers score alike on one of its lines.")]
    consent_required: Annotated[ConsentRequirement, doc("What needs a recorded consent of the person in it.")]
    created_at: _Time
    updated_at: _Time


class DomainsAnswer(Answer):
    """A page of domains."""

    domains: list[DomainAnswer]
    next_token: _NextToken


class LineVersionAnswer(Answer):
    """A line as it was from a time on."""

    number: _Whole
    why: LineChange
    voices: Annotated[_Whole, doc("Voices that its mean is of; 0 for the shipped mean.")]
    reverted_to: Annotated[_Whole | None, doc("The version whose mean it has again.")]
    key_id: Annotated[str | None, doc("The key that asked for it; null when the service learnt it.")]
    created_at: _Time


class LineAnswer(Answer):
    """What a domain has learnt of the line of one codec, and how strangers have scored on it lately."""

    codec: Codec
    state: LineState
    version: Annotated[_Whole, doc("The version that searches use; 0 before the first.")]
    voices: Annotated[_Whole, doc("Voices that its mean is of; 0 for the shipped mean.")]
    waiting_voices: Annotated[_Whole, doc("Voices that are kept, encrypted, to learn from.")]
    health: LineHealth
    searches: Annotated[_Whole, doc("Searches that met voiceprints of 20 profiles or more which did not match.")]
    voiceprints_mean: Annotated[float | None, doc("Mean score of these voiceprints, over about 20 searches; near 0.")]
    voiceprints_spread: Annotated[float | None, doc("Standard deviation of the same scores.")]
    callers_mean: Annotated[float | None, doc("Mean score between the voices of the last 20 searches; near 0.")]
    advice: Annotated[str | None, doc("What to do, for people; null when nothing is.")]
    versions: Annotated[list[LineVersionAnswer], doc("The latest first.")]


class LinesAnswer(Answer):
    """What a domain has learnt of its lines."""

    domain_id: str
    learning: LineLearning
    voiceprints: Annotated[_Whole, doc("Voiceprints of its profiles.")]
    former_voiceprints: Annotated[
        _Whole, doc("Of these, made by an earlier version: they are compared as then, whatever the line.")
    ]
    advice: Annotated[str | None, doc("What to do about former voiceprints, for people; null without any.")]
    lines: Annotated[list[LineAnswer], doc("By codec.")]


class DoorAnswer(Answer):
    """Which phone systems may send calls to a Voice Connector."""

    connector_id: str
    disabled: Annotated[bool, doc("True where it takes no calls: it, or its streaming, is disabled.")]
    require_encryption: bool
    allowed_networks: Annotated[list[str], doc("Empty: this machine alone.")]
    caller_label: str
    secrets: Annotated[list[DoorSecret], doc("Those that are set.")]


class AnnouncedCallAnswer(Answer):
    """A call that may come."""

    call_id: Annotated[str, doc("What the phone system must send: a UUID.")]
    connector_id: str
    expires_at: _Time


class CallLegAnswer(Answer):
    """A leg of a call."""

    label: Annotated[str, doc("What the phone system calls it.")]
    is_caller: bool
    coding: AudioCoding
    rate: Annotated[_Whole, doc("Hz.")]
    stream_arn: str
    channel_id: _Whole
    started_at: _Time


class CallAnswer(Answer):
    """A call of a Voice Connector. Telephone numbers are in its events, not here."""

    transaction_id: str
    connector_id: str
    call_id: Annotated[str, doc("The phone system's name for it.")]
    door: Annotated[str, doc("The protocol it came by.")]
    direction: str
    pipeline_id: Annotated[str | None, doc("Null without a configuration.")]
    status: CallStatus
    reason: Annotated[str | None, doc("Why it ended; null while it is in progress.")]
    started_at: _Time
    ended_at: _Time | None
    legs: list[CallLegAnswer]


class CallsAnswer(Answer):
    """A page of calls."""

    calls: list[CallAnswer]
    next_token: str | None


# `Any`: an OpenAPI document has no class of its own.
OpenApi: TypeAlias = dict[str, Any]
