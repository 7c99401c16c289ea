"""What the store keeps of withdrawals, and what it finds of a subject, as plain frozen records."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from earwitness.store.consents import Consent
from earwitness.store.job_records import JobItem
from earwitness.store.labels import TaskLabel
from earwitness.store.records import ProfileVoiceprint, Scope, SpeakerSearchTask, VoiceProfile
from earwitness.voice.withdrawal import WithdrawalState


@dataclass(frozen=True, kw_only=True, slots=True)
class Withdrawal:
    """The withdrawal of all consents of a subject."""

    scope: Scope
    withdrawal_id: str
    state: WithdrawalState
    #: The key that asked.
    key_id: str
    #: How many of each were deleted, by name.
    counts: Mapping[str, int]
    #: Whether results, events and items of jobs have been looked through.
    is_searched: bool
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Sought:
    """What is looked for until a withdrawal is done. It is sealed, and its key is destroyed at the end."""

    subject: str = field(repr=False)
    profile_ids: tuple[str, ...] = field(repr=False)
    task_ids: tuple[str, ...] = field(repr=False)
    domain_ids: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class MediaErasure:
    """A stretch of a stream that is to be erased where it lies."""

    scope: Scope
    withdrawal_id: str
    stream_arn: str
    #: Empty where there is one process.
    node_id: str
    #: Until this pipeline has ended; None for a stretch that has an end already.
    pipeline_id: str | None
    from_at: datetime
    until_at: datetime | None
    fragments: int
    done_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldOfProfile:
    """A profile with its voiceprints."""

    profile: VoiceProfile
    voiceprints: tuple[ProfileVoiceprint, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldOfCalls:
    """Which tasks have what is made of the voice in a call, by their ids."""

    voiceprints: frozenset[str]
    #: What tells the call when it is played again.
    fingerprints: frozenset[str]
    #: Those that were told to be a recording of an earlier call.
    repeats: frozenset[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldItem:
    """An item of a job."""

    job_id: str
    domain_id: str
    item: JobItem


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldOfSubject:
    """Everything that is held of a subject, as far as it can be told from the subject."""

    consents: tuple[Consent, ...]
    profiles: tuple[HeldOfProfile, ...]
    tasks: tuple[SpeakerSearchTask, ...]
    of_calls: HeldOfCalls
    items: tuple[HeldItem, ...]
    #: Calls of Voice Connectors in which the subject was listened to, by transaction.
    calls: tuple[str, ...]
    #: Voices that lines are learnt from.
    votes: int
    #: Of these tasks, and those of other tasks that name one of these profiles.
    labels: tuple[TaskLabel, ...]
