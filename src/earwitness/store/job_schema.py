"""The tables of jobs: what is to be done with many recordings, and what came of each.

Everything that came with a recording or came of it is sealed under the key of the job's domain, so that nobody can read
it when the domain is gone. The job stays, because somebody may still ask what became of it.
"""

from sqlalchemy import ForeignKeyConstraint, Index, PrimaryKeyConstraint, Table

from earwitness.store.columns import digest, scope, sealed, text, time, where, whole, word
from earwitness.store.consent_schema import SUBJECT
from earwitness.store.tables import ARN, COUNT, ID, STATE, belongs_to, metadata
from earwitness.voice.job import ItemState, JobKind, JobState

jobs = Table(
    "jobs",
    metadata,
    *scope(),
    text("job_id", "an identifier that the service made, or that the client chose; found and joined by it"),
    word(JobKind, "kind", STATE),
    word(JobState, "state", STATE),
    text("domain_id", ID),
    text("domain_arn", ARN),
    sealed(
        "source_ciphertext",
        "which kept media the job is on, or which encoder it is for",
        nullable=True,
    ),
    whole("items", COUNT),
    whole("done", COUNT),
    whole("failed", COUNT),
    text("key_id", "the id of the key that asked"),
    time("created_at"),
    time("updated_at"),
    time("ended_at", nullable=True),
    PrimaryKeyConstraint("account_id", "region", "job_id"),
    Index("jobs_by_time", "account_id", "region", "created_at", "job_id"),
    Index("jobs_by_domain", "account_id", "region", "domain_id"),
    Index("jobs_open", "account_id", "region", "job_id", **where("ended_at IS NULL")),
    Index("jobs_by_end", "ended_at"),
)

job_items = Table(
    "job_items",
    metadata,
    *scope(),
    text("job_id", ID),
    whole("number", COUNT),
    word(ItemState, "state", STATE),
    whole("attempt", COUNT),
    text("holder", "random, another for each attempt; whoever works on it is known by it", nullable=True),
    whole("leased_until", "until when it is that holder's alone: microseconds since 1970 by the database's clock"),
    text("reason", "a sentence of the service's own, on why there is no result", nullable=True),
    whole("bytes", "how large the recording is; what waits is added up by it"),
    sealed(
        "input_ciphertext",
        "the recording's name and channel, the profile and the consent; or a voiceprint",
    ),
    sealed("result_ciphertext", "who was found, and how sure; or which profile was enrolled", nullable=True),
    time("created_at"),
    time("updated_at"),
    digest("subject_digest", SUBJECT, nullable=True),
    PrimaryKeyConstraint("account_id", "region", "job_id", "number"),
    belongs_to("jobs", "job_id"),
    # Holds only what waits, so that looking for it costs the same beside any number of items that are done.
    Index("job_items_waiting", "account_id", "region", "job_id", "number", "bytes", **where("state = 'waiting'")),
    Index("job_items_by_subject", "account_id", "region", "subject_digest", **where("subject_digest IS NOT NULL")),
)

_ITEM = ["account_id", "region", "job_id", "number"]

job_recordings = Table(
    "job_recordings",
    metadata,
    *scope(),
    text("job_id", ID),
    whole("number", COUNT),
    whole("piece", COUNT),
    sealed("piece_ciphertext", "a part of the recording as it was sent, until its item has a result or fails"),
    PrimaryKeyConstraint(*_ITEM, "piece"),
    ForeignKeyConstraint(_ITEM, [f"job_items.{name}" for name in _ITEM], ondelete="CASCADE"),
)
"""Apart from the items, because SQLite writes a whole row anew when one of its columns changes; in pieces, because a
deletion there writes as much as it deletes, and has to find room for that on a full disk."""

job_parts = Table(
    "job_parts",
    metadata,
    *scope(),
    text("job_id", ID),
    whole("number", COUNT),
    whole("piece", COUNT),
    sealed("piece_ciphertext", "a part of an export, until it is fetched, or a day is over"),
    PrimaryKeyConstraint(*_ITEM, "piece"),
    ForeignKeyConstraint(_ITEM, [f"job_items.{name}" for name in _ITEM], ondelete="CASCADE"),
)
