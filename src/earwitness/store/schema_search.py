"""The tables of the live search: tasks, the voiceprints they make, the voiceprints of profiles, the outbox.

What is sealed of tasks and voiceprints is sealed under the domain's key, so that nothing of it outlives the domain;
bodies of events are sealed under the pipeline's key, because they repeat its metadata. What belongs to a pipeline or a
profile goes with it. A task does not go with its domain: somebody may still ask what became of it.
"""

from sqlalchemy import (
    ForeignKeyConstraint,
    Index,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
)

from earwitness.store.schema_base import binary, metadata, numbered, scope, seconds, text, time, where, whole

tasks = Table(
    "speaker_search_tasks",
    metadata,
    *scope(),
    text("task_id"),
    text("pipeline_id"),
    text("stream_arn"),
    whole("channel_id"),
    text("domain_id"),
    text("domain_arn"),
    text("start_fragment_number", nullable=True),
    text("status"),
    whole("attempt"),
    text("stop_reason", nullable=True),
    text("status_message", nullable=True),
    text("voiceprint_status", nullable=True),
    text("profile_id", nullable=True),
    binary("checkpoint_ciphertext", nullable=True),
    binary("identification_ciphertext", nullable=True),
    time("created_at"),
    time("updated_at"),
    time("started_at", nullable=True),
    time("ended_at", nullable=True),
    PrimaryKeyConstraint("account_id", "region", "task_id"),
    ForeignKeyConstraint(
        ["account_id", "region", "pipeline_id"],
        ["pipelines.account_id", "pipelines.region", "pipelines.pipeline_id"],
        ondelete="CASCADE",
    ),
    # One active task per stream, channel and domain; both databases refuse a second.
    Index(
        "speaker_search_tasks_one_active",
        "account_id",
        "region",
        "stream_arn",
        "channel_id",
        "domain_id",
        unique=True,
        **where("ended_at IS NULL"),
    ),
    Index("speaker_search_tasks_running", "account_id", "region", "task_id", **where("ended_at IS NULL")),
    Index("speaker_search_tasks_by_time", "account_id", "region", "pipeline_id", "created_at", "task_id"),
    Index("speaker_search_tasks_by_domain", "account_id", "region", "domain_id", "profile_id"),
    Index("speaker_search_tasks_by_end", "ended_at"),
)

task_voiceprints = Table(
    "task_voiceprints",
    metadata,
    *scope(),
    text("task_id"),
    text("domain_id"),
    text("encoder_id"),
    seconds("net_speech_seconds"),
    text("quality"),
    time("created_at"),
    time("keep_until"),
    binary("vector_ciphertext"),
    binary("audio_ciphertext", nullable=True),
    PrimaryKeyConstraint("account_id", "region", "task_id"),
    ForeignKeyConstraint(
        ["account_id", "region", "task_id"],
        ["speaker_search_tasks.account_id", "speaker_search_tasks.region", "speaker_search_tasks.task_id"],
        ondelete="CASCADE",
    ),
    Index("task_voiceprints_by_domain", "account_id", "region", "domain_id"),
    Index("task_voiceprints_by_time", "keep_until"),
)

profile_voiceprints = Table(
    "profile_voiceprints",
    metadata,
    *scope(),
    text("domain_id"),
    text("profile_id"),
    text("voiceprint_id"),
    text("encoder_id"),
    seconds("net_speech_seconds"),
    text("quality"),
    text("source_task_id", nullable=True),
    time("created_at"),
    time("expires_at"),
    binary("consent_ciphertext", nullable=True),
    binary("vector_ciphertext"),
    binary("audio_ciphertext", nullable=True),
    # In the order in which a gallery is loaded.
    PrimaryKeyConstraint("account_id", "region", "domain_id", "profile_id", "voiceprint_id"),
    ForeignKeyConstraint(
        ["account_id", "region", "profile_id"],
        ["voice_profiles.account_id", "voice_profiles.region", "voice_profiles.profile_id"],
        ondelete="CASCADE",
    ),
    Index("profile_voiceprints_by_profile", "account_id", "region", "profile_id"),
    Index("profile_voiceprints_by_expiry", "expires_at"),
)

events = Table(
    "outbox_events",
    metadata,
    numbered("sequence"),
    *scope(),
    text("event_id"),
    text("pipeline_id"),
    text("kind"),
    binary("body_ciphertext"),
    time("created_at"),
    UniqueConstraint("account_id", "region", "event_id"),
    ForeignKeyConstraint(
        ["account_id", "region", "pipeline_id"],
        ["pipelines.account_id", "pipelines.region", "pipelines.pipeline_id"],
        ondelete="CASCADE",
    ),
    Index("outbox_events_by_pipeline", "account_id", "region", "pipeline_id", "sequence"),
    Index("outbox_events_by_time", "created_at"),
    sqlite_autoincrement=True,  # the number of a purged event is never given to another
)

deliveries = Table(
    "outbox_deliveries",
    metadata,
    whole("sequence"),
    text("target"),
    *scope(),
    text("pipeline_id"),
    text("state"),
    whole("attempts"),
    time("next_attempt_at"),
    text("last_error", nullable=True),
    time("delivered_at", nullable=True),
    PrimaryKeyConstraint("sequence", "target"),
    ForeignKeyConstraint(["sequence"], ["outbox_events.sequence"], ondelete="CASCADE"),
    # Both hold only what waits, so that looking for it costs the same beside any number of delivered rows.
    Index("outbox_deliveries_due", "next_attempt_at", "sequence", **where("state = 'pending'")),
    Index(
        "outbox_deliveries_queue",
        "account_id",
        "region",
        "pipeline_id",
        "target",
        "sequence",
        **where("state = 'pending'"),
    ),
)
