"""What is answered of jobs. What belongs here and what must never: as in `models`."""

from datetime import datetime
from typing import Annotated, TypeAlias

from msgspec import Meta

from earwitness.rest.models import Answer, DecisionAnswer, TaskDomainAnswer
from earwitness.rest.parameters import doc
from earwitness.voice.job import ItemState, JobKind, JobState, PartKind

_Whole: TypeAlias = Annotated[int, Meta(ge=0)]
_Seconds: TypeAlias = Annotated[float, Meta(ge=0, description="Seconds.")]
_Time: TypeAlias = Annotated[datetime, Meta(tz=True)]


class JobSourceAnswer(Answer):
    """The kept media that a job is on."""

    stream_arn: str
    start_at: _Time
    end_at: _Time
    channel: _Whole | None


class NumbersAnswer(Answer):
    """A range of numbers, both included."""

    first: _Whole
    last: _Whole


class VoiceprintItemAnswer(Answer):
    """The voiceprint that an item of a re-embedding is about."""

    profile_id: str
    voiceprint_id: str
    former_encoder_id: Annotated[str | None, doc("What had made it; null unless the item is done.")]
    encoder_id: Annotated[str | None, doc("What has made it now; null unless the item is done.")]


class ExportAnswer(Answer):
    """Whom an export is for, and how long it can be fetched."""

    recipient: Annotated[str | None, doc("The public key of age that it is encrypted for; null when it is not.")]
    with_audio: Annotated[bool, doc("Whether it has the kept speech of enrolments.")]
    available_until: Annotated[_Time | None, doc("Null when it is not complete, or not there any more.")]


class PartItemAnswer(Answer):
    """The part of an export that an item is; null where it is not made."""

    kind: PartKind
    bytes: _Whole | None
    sha256: str | None
    lines: _Whole | None
    recordings: _Whole | None


class JobAnswer(Answer):
    """A job, and how far it is."""

    job_id: str
    kind: JobKind
    state: JobState
    domain: TaskDomainAnswer
    source: Annotated[JobSourceAnswer | None, doc("Null unless it is on kept media, and when the domain is deleted.")]
    encoder_id: Annotated[str | None, doc("Of a re-embedding: the encoder that its voiceprints are made again for.")]
    export: Annotated[ExportAnswer | None, doc("Of an export.")]
    items: Annotated[_Whole, doc("How many recordings, voiceprints or parts it is about.")]
    done: Annotated[_Whole, doc("How many have a result.")]
    failed: Annotated[_Whole, doc("How many have none, and a reason.")]
    missing: Annotated[
        list[NumbersAnswer], doc("Recordings that have not come, at most a hundred ranges; empty once it has ended.")
    ]
    created_at: _Time
    updated_at: Annotated[_Time, doc("When a recording came, or got its result.")]
    ended_at: _Time | None


class JobsAnswer(Answer):
    """A part of a list of jobs."""

    jobs: list[JobAnswer]
    next_token: Annotated[str | None, doc("Where the list goes on; null at its end.")]


class EnrolledItemAnswer(Answer):
    """What a recording of a job was enrolled as."""

    profile_id: str
    voiceprint_id: str
    net_speech_seconds: _Seconds
    same_voice_as: Annotated[list[str], doc("Other profiles of the domain that the voice sounds like.")]


class JobItemAnswer(Answer):
    """One recording, voiceprint or part of a job, and what came of it."""

    number: _Whole
    state: ItemState
    name: Annotated[str | None, doc("Null for a voiceprint or part, and when what is kept of it is damaged.")]
    channel: _Whole | None
    attempt: Annotated[_Whole, doc("How often it was begun.")]
    decision: Annotated[DecisionAnswer | None, doc("Of a search that is done.")]
    enrolled: Annotated[EnrolledItemAnswer | None, doc("Of an enrolment that is done.")]
    part: Annotated[PartItemAnswer | None, doc("Of an export.")]
    voiceprint: Annotated[VoiceprintItemAnswer | None, doc("Of a re-embedding.")]
    reason: Annotated[str | None, doc("Why there is no result, when it failed.")]
    created_at: _Time
    updated_at: _Time


class JobItemsAnswer(Answer):
    """A part of the items of a job."""

    items: list[JobItemAnswer]
    next_token: Annotated[str | None, doc("Where the list goes on; null at its end.")]
