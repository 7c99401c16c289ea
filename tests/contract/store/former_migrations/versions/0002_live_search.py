"""The live search: tasks, their voiceprints, the voiceprints of profiles, the outbox."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_TEXT = sa.Text().with_variant(sa.String(collation="C"), "postgresql")
"""Text by code point, as schema.py says; written out, because a migration never changes."""

_SECONDS: sa.Double[float] = sa.Double()
_NOT_ENDED = sa.text("ended_at IS NULL")
_PENDING = sa.text("state = 'pending'")


def upgrade() -> None:
    """Make the new tables, and an index for the pipelines that run."""
    _pipelines()
    _speaker_search_tasks()
    _task_voiceprints()
    _profile_voiceprints()
    _outbox_events()
    _outbox_deliveries()


def _pipelines() -> None:
    op.create_index(
        "pipelines_running",
        "pipelines",
        ["account_id", "region", "pipeline_id"],
        unique=False,
        sqlite_where=_NOT_ENDED,
        postgresql_where=_NOT_ENDED,
    )


def _speaker_search_tasks() -> None:
    op.create_table(
        "speaker_search_tasks",
        sa.Column("account_id", _TEXT, nullable=False),
        sa.Column("region", _TEXT, nullable=False),
        sa.Column("task_id", _TEXT, nullable=False),
        sa.Column("pipeline_id", _TEXT, nullable=False),
        sa.Column("stream_arn", _TEXT, nullable=False),
        sa.Column("channel_id", sa.BigInteger(), nullable=False),
        sa.Column("domain_id", _TEXT, nullable=False),
        sa.Column("domain_arn", _TEXT, nullable=False),
        sa.Column("start_fragment_number", _TEXT, nullable=True),
        sa.Column("status", _TEXT, nullable=False),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.Column("stop_reason", _TEXT, nullable=True),
        sa.Column("status_message", _TEXT, nullable=True),
        sa.Column("voiceprint_status", _TEXT, nullable=True),
        sa.Column("profile_id", _TEXT, nullable=True),
        sa.Column("checkpoint_ciphertext", sa.LargeBinary(), nullable=True),
        sa.Column("identification_ciphertext", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id", "region", "pipeline_id"],
            ["pipelines.account_id", "pipelines.region", "pipelines.pipeline_id"],
            name="speaker_search_tasks_pipelines_fk",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account_id", "region", "task_id", name="speaker_search_tasks_pk"),
    )
    op.create_index(
        "speaker_search_tasks_by_domain",
        "speaker_search_tasks",
        ["account_id", "region", "domain_id", "profile_id"],
        unique=False,
    )
    op.create_index("speaker_search_tasks_by_end", "speaker_search_tasks", ["ended_at"], unique=False)
    op.create_index(
        "speaker_search_tasks_by_time",
        "speaker_search_tasks",
        ["account_id", "region", "pipeline_id", "created_at", "task_id"],
        unique=False,
    )
    op.create_index(
        "speaker_search_tasks_one_active",
        "speaker_search_tasks",
        ["account_id", "region", "stream_arn", "channel_id", "domain_id"],
        unique=True,
        sqlite_where=_NOT_ENDED,
        postgresql_where=_NOT_ENDED,
    )
    op.create_index(
        "speaker_search_tasks_running",
        "speaker_search_tasks",
        ["account_id", "region", "task_id"],
        unique=False,
        sqlite_where=_NOT_ENDED,
        postgresql_where=_NOT_ENDED,
    )


def _task_voiceprints() -> None:
    op.create_table(
        "task_voiceprints",
        sa.Column("account_id", _TEXT, nullable=False),
        sa.Column("region", _TEXT, nullable=False),
        sa.Column("task_id", _TEXT, nullable=False),
        sa.Column("domain_id", _TEXT, nullable=False),
        sa.Column("encoder_id", _TEXT, nullable=False),
        sa.Column("net_speech_seconds", _SECONDS, nullable=False),
        sa.Column("quality", _TEXT, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("keep_until", sa.BigInteger(), nullable=False),
        sa.Column("vector_ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("audio_ciphertext", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id", "region", "task_id"],
            ["speaker_search_tasks.account_id", "speaker_search_tasks.region", "speaker_search_tasks.task_id"],
            name="task_voiceprints_speaker_search_tasks_fk",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account_id", "region", "task_id", name="task_voiceprints_pk"),
    )
    op.create_index(
        "task_voiceprints_by_domain", "task_voiceprints", ["account_id", "region", "domain_id"], unique=False
    )
    op.create_index("task_voiceprints_by_time", "task_voiceprints", ["keep_until"], unique=False)


def _profile_voiceprints() -> None:
    op.create_table(
        "profile_voiceprints",
        sa.Column("account_id", _TEXT, nullable=False),
        sa.Column("region", _TEXT, nullable=False),
        sa.Column("domain_id", _TEXT, nullable=False),
        sa.Column("profile_id", _TEXT, nullable=False),
        sa.Column("voiceprint_id", _TEXT, nullable=False),
        sa.Column("encoder_id", _TEXT, nullable=False),
        sa.Column("net_speech_seconds", _SECONDS, nullable=False),
        sa.Column("quality", _TEXT, nullable=False),
        sa.Column("source_task_id", _TEXT, nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("consent_ciphertext", sa.LargeBinary(), nullable=True),
        sa.Column("vector_ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("audio_ciphertext", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id", "region", "profile_id"],
            ["voice_profiles.account_id", "voice_profiles.region", "voice_profiles.profile_id"],
            name="profile_voiceprints_voice_profiles_fk",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "account_id", "region", "domain_id", "profile_id", "voiceprint_id", name="profile_voiceprints_pk"
        ),
    )
    op.create_index("profile_voiceprints_by_expiry", "profile_voiceprints", ["expires_at"], unique=False)
    op.create_index(
        "profile_voiceprints_by_profile", "profile_voiceprints", ["account_id", "region", "profile_id"], unique=False
    )


def _outbox_events() -> None:
    op.create_table(
        "outbox_events",
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("account_id", _TEXT, nullable=False),
        sa.Column("region", _TEXT, nullable=False),
        sa.Column("event_id", _TEXT, nullable=False),
        sa.Column("pipeline_id", _TEXT, nullable=False),
        sa.Column("kind", _TEXT, nullable=False),
        sa.Column("body_ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id", "region", "pipeline_id"],
            ["pipelines.account_id", "pipelines.region", "pipelines.pipeline_id"],
            name="outbox_events_pipelines_fk",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("sequence", name="outbox_events_pk"),
        sa.UniqueConstraint("account_id", "region", "event_id", name="outbox_events_account_id_region_event_id_unique"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "outbox_events_by_pipeline", "outbox_events", ["account_id", "region", "pipeline_id", "sequence"], unique=False
    )
    op.create_index("outbox_events_by_time", "outbox_events", ["created_at"], unique=False)


def _outbox_deliveries() -> None:
    op.create_table(
        "outbox_deliveries",
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("target", _TEXT, nullable=False),
        sa.Column("account_id", _TEXT, nullable=False),
        sa.Column("region", _TEXT, nullable=False),
        sa.Column("pipeline_id", _TEXT, nullable=False),
        sa.Column("state", _TEXT, nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("next_attempt_at", sa.BigInteger(), nullable=False),
        sa.Column("last_error", _TEXT, nullable=True),
        sa.Column("delivered_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["sequence"], ["outbox_events.sequence"], name="outbox_deliveries_outbox_events_fk", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("sequence", "target", name="outbox_deliveries_pk"),
    )
    op.create_index(
        "outbox_deliveries_due",
        "outbox_deliveries",
        ["next_attempt_at", "sequence"],
        unique=False,
        sqlite_where=_PENDING,
        postgresql_where=_PENDING,
    )
    op.create_index(
        "outbox_deliveries_queue",
        "outbox_deliveries",
        ["account_id", "region", "pipeline_id", "target", "sequence"],
        unique=False,
        sqlite_where=_PENDING,
        postgresql_where=_PENDING,
    )
