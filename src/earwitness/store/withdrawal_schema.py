"""The tables of withdrawals: how far each is, and which media are still to be erased where."""

from sqlalchemy import ForeignKeyConstraint, Index, PrimaryKeyConstraint, Table

from earwitness.store.columns import document, scope, sealed, text, time, where, whole, word, wrapped_key
from earwitness.store.node_schema import NODE
from earwitness.store.tables import COUNT, ID, STATE, metadata
from earwitness.voice.withdrawal import WithdrawalState

withdrawals = Table(
    "withdrawals",
    metadata,
    *scope(),
    text("withdrawal_id", ID),
    word(WithdrawalState, "state", STATE),
    text("key_id", "the id of the key that asked"),
    sealed("sought_ciphertext", "who is still looked for; null at the end", nullable=True),
    wrapped_key(nullable=True),
    whole("is_searched", "1 when results, events and items of jobs have been looked through"),
    document("counts", "how many of each were deleted"),
    time("created_at"),
    time("updated_at"),
    time("ended_at", nullable=True),
    PrimaryKeyConstraint("account_id", "region", "withdrawal_id"),
    Index("withdrawals_open", "account_id", "region", "withdrawal_id", **where("ended_at IS NULL")),
)

media_erasures = Table(
    "media_erasures",
    metadata,
    *scope(),
    text("withdrawal_id", ID),
    text("stream_arn", "the ARN of the stream, which holds its name"),
    text("node_id", f"{NODE}; empty where there is one process"),
    text("pipeline_id", "the pipeline of the call; what comes is erased until it has ended", nullable=True),
    time("from_at", says="a time; what came before stays"),
    time("until_at", says="a time; what came after stays", nullable=True),
    whole("fragments", COUNT),
    time("done_at", says="a time", nullable=True),
    PrimaryKeyConstraint("account_id", "region", "withdrawal_id", "stream_arn", "node_id"),
    ForeignKeyConstraint(
        ["account_id", "region", "withdrawal_id"],
        ["withdrawals.account_id", "withdrawals.region", "withdrawals.withdrawal_id"],
        ondelete="CASCADE",
    ),
    Index("media_erasures_due", "node_id", **where("done_at IS NULL")),
)
