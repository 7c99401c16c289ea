"""What is answered of consents."""

from datetime import datetime
from typing import Annotated, TypeAlias

from msgspec import Meta

from earwitness.rest.models import Answer
from earwitness.rest.parameters import doc
from earwitness.voice.job import ItemState
from earwitness.voice.label import Spoke
from earwitness.voice.task_status import TaskStatus
from earwitness.voice.withdrawal import WithdrawalState

_Time: TypeAlias = Annotated[datetime, Meta(tz=True)]
_Whole: TypeAlias = Annotated[int, Meta(ge=0)]


class ConsentAnswer(Answer):
    """A recorded consent; or the evidence reference of an enrolment, which has no more."""

    consent_id: str
    domain_id: str
    profile_id: Annotated[str | None, doc("The profile that it was given for; null for one recorded by itself.")]
    subject: str | None
    text_version: str | None
    given_at: _Time | None
    medium: str | None
    evidence: str | None
    purpose: str | None
    created_at: _Time


class CountAnswer(Answer):
    """How many of one kind."""

    what: str
    count: _Whole


class ErasedMediaAnswer(Answer):
    """A stretch of a stream on one node."""

    stream_arn: str
    node_id: Annotated[str | None, doc("Where it lies; null where there is one process.")]
    from_at: _Time
    until_at: Annotated[_Time | None, doc("Null until the pipeline of the call has ended.")]
    fragments: Annotated[_Whole, doc("Fragments that were erased, with all their channels.")]
    is_done: Annotated[bool, doc("Whether nothing more comes that is to be erased.")]


class WithdrawalAnswer(Answer):
    """A withdrawal: what was deleted, and what is left to do."""

    withdrawal_id: Annotated[str, doc("Deletions are written down under it.")]
    state: WithdrawalState
    deleted: Annotated[list[CountAnswer], doc("What was deleted so far.")]
    media: list[ErasedMediaAnswer]
    deletion_ids: Annotated[list[str], doc("The records of its deletions.")]
    remains: Annotated[list[str], doc("What it does not reach, in words.")]
    created_at: _Time
    ended_at: _Time | None


class HeldVoiceprintAnswer(Answer):
    """A voiceprint."""

    voiceprint_id: str
    net_speech_seconds: float
    has_audio: Annotated[bool, doc("Whether the speech behind it is kept.")]
    task_id: str | None
    created_at: _Time
    expires_at: _Time


class HeldProfileAnswer(Answer):
    """A profile."""

    profile_id: str
    domain_id: str
    created_at: _Time
    updated_at: _Time
    expires_at: _Time
    voiceprints: list[HeldVoiceprintAnswer]


class HeldTaskAnswer(Answer):
    """A task that listened to the person, or whose result names one of its profiles."""

    task_id: str
    pipeline_id: str
    domain_id: str
    stream_arn: Annotated[str, doc("The media, as long as its retention lasts.")]
    channel_id: int
    status: TaskStatus
    has_result: bool
    has_voiceprint: bool
    has_fingerprint: Annotated[bool, doc("Whether there is what tells the call when it is played again.")]
    is_repeat: Annotated[bool, doc("Whether it was told to be a recording of an earlier call.")]
    created_at: _Time
    ended_at: _Time | None


class HeldItemAnswer(Answer):
    """An item of a job."""

    job_id: str
    number: int
    domain_id: str
    state: ItemState
    name: str | None
    has_result: bool
    created_at: _Time


class HeldLabelAnswer(Answer):
    """What somebody said of a call of the person, or of one of its profiles."""

    task_id: str
    domain_id: str
    spoke: Annotated[Spoke, doc("Who spoke, by somebody's word.")]
    profile_id: Annotated[str | None, doc("Whom it names.")]
    created_at: _Time
    updated_at: _Time


class HeldAnswer(Answer):
    """Everything that is held of a person."""

    subject: str
    withdrawn_at: Annotated[_Time | None, doc("When the person withdrew last; refused since, without a new consent.")]
    consents: list[ConsentAnswer]
    profiles: list[HeldProfileAnswer]
    tasks: Annotated[list[HeldTaskAnswer], doc("Those that were started for the person.")]
    named_in: Annotated[list[HeldTaskAnswer], doc("Other tasks whose results name one of its profiles.")]
    items: list[HeldItemAnswer]
    calls: Annotated[list[str], doc("Calls of Voice Connectors, by transaction.")]
    votes: Annotated[_Whole, doc("Voices that lines are learnt from, for a day at most.")]
    labels: list[HeldLabelAnswer]
