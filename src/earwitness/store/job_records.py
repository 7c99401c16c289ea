"""What the store keeps of jobs, as plain frozen records.

Names, consents and results do not show when a record is printed.
"""

from dataclasses import dataclass, field
from datetime import datetime

from earwitness.store.columns import JsonObject
from earwitness.store.records import Scope
from earwitness.voice.job import ItemState, JobKind, JobState, PartKind


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What is to be done with many recordings."""

    scope: Scope
    job_id: str
    kind: JobKind
    state: JobState
    #: The domain that is searched, or enrolled in; it may be gone by now.
    domain_id: str
    domain_arn: str
    #: The stream, times and channel of a job on kept media, the encoder that voiceprints are made again for, or whom an
    #: export is for; None for recordings that are sent, and without the domain.
    source: JsonObject | None = field(repr=False)
    #: How many recordings it is about; some may not have come yet.
    items: int
    #: How many have a result.
    done: int
    #: How many have none, and a reason.
    failed: int
    #: The key that asked.
    key_id: str
    created_at: datetime
    #: When a recording came, or was done or failed.
    updated_at: datetime
    #: None as long as it is open.
    ended_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemInput:
    """What a job is to do with one recording, one voiceprint, or one part of an export."""

    #: What the client calls the recording; empty where there is none.
    name: str = field(repr=False)
    #: None where there is but one.
    channel: int | None = None
    #: Whom to enrol, or whose voiceprint; None in a search.
    profile_id: str | None = None
    #: Whether that profile is made when it is not there.
    makes_profile: bool = False
    consent_reference: str | None = field(default=None, repr=False)
    #: Whose voice it is, as consents call the person; None where that is not said.
    subject: str | None = field(default=None, repr=False)
    #: The fragments of the job's stream that are the recording; None for one that was sent.
    first_number: str | None = None
    last_number: str | None = None
    #: The voiceprint that is made again.
    voiceprint_id: str | None = None
    #: What a part of an export holds, and of it which keys.
    part: PartKind | None = None
    first: list[str] | None = None
    last: list[str] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class JobItem:
    """One recording of a job, and what came of it."""

    #: From 1.
    number: int
    state: ItemState
    #: How often it was begun.
    attempt: int
    #: None when its ciphertext is damaged.
    input: ItemInput | None
    #: None as long as it waits, and when it failed.
    result: JsonObject | None = field(repr=False)
    #: Why it failed, in words without personal data.
    reason: str | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimedItem:
    """One recording to be worked on now, by its holder and nobody else until the lease runs out."""

    scope: Scope
    job_id: str
    number: int
    kind: JobKind
    #: The key that asked for the job.
    key_id: str
    domain_id: str
    domain_arn: str
    #: The job's.
    source: JsonObject | None = field(repr=False)
    #: None when its ciphertext is damaged; fail it.
    input: ItemInput | None
    #: This attempt's number, from 1.
    attempt: int
    #: Another for each attempt.
    holder: str
