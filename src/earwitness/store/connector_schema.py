"""The tables of Voice Connectors and of the calls that come in by them.

Secrets of a connector are sealed under its own key, telephone numbers of a call under the call's. Calls stay when their
connector goes, as tasks stay when their domain does.
"""

from sqlalchemy import ForeignKeyConstraint, Index, PrimaryKeyConstraint, Table, UniqueConstraint

from earwitness.store.columns import digest, document, scope, sealed, text, time, where, whole, word, wrapped_key
from earwitness.store.tables import ADDRESSES, ARN, COUNT, ID, SHOWN, STATE, belongs_to, metadata
from earwitness.voice.call import AudioCoding
from earwitness.voice.connector import CallLeg, CallStatus

voice_connectors = Table(
    "voice_connectors",
    metadata,
    *scope(),
    text("connector_id", "random, unique over all accounts; a phone system names it, and its account is found by it"),
    text("arn", ARN),
    text("name", SHOWN),
    document("body", f"what AWS has of a connector beside its name: {ADDRESSES}"),
    document("streaming", f"its streaming configuration: {ADDRESSES}", nullable=True),
    document("door", f"what phone systems may send calls, which secrets they prove it by: {ADDRESSES}"),
    sealed("secrets_ciphertext", "the secrets that phone systems share with it", nullable=True),
    wrapped_key(),
    time("created_at"),
    time("updated_at"),
    PrimaryKeyConstraint("account_id", "region", "connector_id"),
    UniqueConstraint("connector_id"),
    UniqueConstraint("account_id", "region", "arn"),
    Index("voice_connectors_by_time", "account_id", "region", "created_at", "connector_id"),
)

announced_calls = Table(
    "announced_calls",
    metadata,
    digest("call_digest", "SHA-256 of the announced call's id, which is random"),
    *scope(),
    text("connector_id", ID),
    time("expires_at"),
    PrimaryKeyConstraint("call_digest"),
    belongs_to("voice_connectors", "connector_id"),
    Index("announced_calls_by_time", "expires_at"),
)
"""Calls that may come where a protocol has no other proof than their id; each once."""

connector_calls = Table(
    "connector_calls",
    metadata,
    *scope(),
    text("transaction_id", ID),
    text("connector_id", ID),
    text("call_id", "what the phone system calls it; two calls of one name at once are told by it"),
    text("door", "the protocol that it came by"),
    text("direction", STATE),
    text("pipeline_id", ID, nullable=True),
    word(CallStatus, "status", STATE),
    text("reason", "a sentence of the service's own, on why it ended", nullable=True),
    sealed("numbers_ciphertext", "who called whom"),
    wrapped_key(),
    time("started_at"),
    time("ended_at", nullable=True),
    text("node_id", "the id of the node that it came to", nullable=True),
    PrimaryKeyConstraint("account_id", "region", "transaction_id"),
    # One call in progress by this name; both databases refuse a second.
    Index(
        "connector_calls_one_active",
        "account_id",
        "region",
        "connector_id",
        "call_id",
        unique=True,
        **where("ended_at IS NULL"),
    ),
    Index("connector_calls_running", "account_id", "region", "transaction_id", **where("ended_at IS NULL")),
    Index("connector_calls_by_time", "account_id", "region", "started_at", "transaction_id"),
    Index("connector_calls_by_end", "ended_at"),
)

connector_call_legs = Table(
    "connector_call_legs",
    metadata,
    *scope(),
    text("transaction_id", ID),
    text("label", "what the protocol calls the leg"),
    whole("is_caller", "1 for the leg of who called, 0 for another"),
    word(AudioCoding, "coding", "how its audio came"),
    whole("rate", "samples a second"),
    text("stream_arn", "the ARN of the stream, which holds its name"),
    whole("channel_id", COUNT),
    text("start_fragment_number", "a number of a fragment"),
    time("started_at"),
    PrimaryKeyConstraint("account_id", "region", "transaction_id", "label"),
    belongs_to("connector_calls", "transaction_id"),
)

connector_call_streams = Table(
    "connector_call_streams",
    metadata,
    *scope(),
    text("stream_arn", "the ARN of the stream, which holds its name"),
    time("ended_at", nullable=True),
    PrimaryKeyConstraint("account_id", "region", "stream_arn"),
    ForeignKeyConstraint(
        ["account_id", "region", "stream_arn"],
        ["kinesis_streams.account_id", "kinesis_streams.region", "kinesis_streams.arn"],
        ondelete="CASCADE",
    ),
    Index("connector_call_streams_ended", "ended_at", **where("ended_at IS NOT NULL")),
)
"""Streams that were made for a leg of a call, and are deleted when their retention has passed since its end."""

connector_call_tasks = Table(
    "connector_call_tasks",
    metadata,
    *scope(),
    text("task_id", ID),
    text("transaction_id", ID),
    word(CallLeg, "call_leg", STATE),
    PrimaryKeyConstraint("account_id", "region", "task_id"),
    belongs_to("speaker_search_tasks", "task_id"),
    Index("connector_call_tasks_by_transaction", "account_id", "region", "transaction_id"),
)
"""Tasks that were started by a connector's transaction and a leg, not by a pipeline and a channel."""

post_call_summaries = Table(
    "post_call_summaries",
    metadata,
    *scope(),
    text("pipeline_id", ID),
    time("due_at"),
    PrimaryKeyConstraint("account_id", "region", "pipeline_id"),
    belongs_to("pipelines", "pipeline_id"),
    Index("post_call_summaries_by_time", "due_at"),
)
"""Pipelines that have ended and whose summary is still to be told."""
