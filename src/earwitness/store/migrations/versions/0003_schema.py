"""The schema of earwitness 0.2.0: one frozen text for both databases.

From 0.2.0 on a migration is never rewritten: what changes the schema is a new file after this one. This one stands for
the revisions 0001 to 0003 of before. It makes what is missing, because a database of 0001 or 0002 has a part of it.
"""

from alembic import op

revision = "0003"
down_revision = None

_WORDS = {
    "sqlite": {
        "text": "TEXT",
        "bytes": "BLOB",
        "double": "DOUBLE",
        "number": "INTEGER",
        # With AUTOINCREMENT the number of a purged event is never given to another.
        "event_number": "INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT",
    },
    "postgresql": {
        "text": 'VARCHAR COLLATE "C"',
        "bytes": "BYTEA",
        "double": "DOUBLE PRECISION",
        "number": "BIGSERIAL",
        "event_number": "BIGSERIAL NOT NULL CONSTRAINT outbox_events_pk PRIMARY KEY",
    },
}
"""How each database writes the names in braces."""

_SQL = """
CREATE TABLE IF NOT EXISTS access_keys (
    key_id {text} NOT NULL,
    account_id {text} NOT NULL,
    role {text} NOT NULL,
    name {text} NOT NULL,
    state {text} NOT NULL,
    secret_ciphertext {bytes} NOT NULL,
    wrapped_key {bytes} NOT NULL,
    created_at BIGINT NOT NULL,
    CONSTRAINT access_keys_pk PRIMARY KEY (key_id)
);
CREATE INDEX IF NOT EXISTS access_keys_by_time ON access_keys (account_id, created_at, key_id);

CREATE TABLE IF NOT EXISTS audit_entries (
    entry_id {number} NOT NULL CONSTRAINT audit_entries_pk PRIMARY KEY,
    account_id {text} NOT NULL,
    region {text} NOT NULL,
    key_id {text} NOT NULL,
    operation {text} NOT NULL,
    resource_arn {text} NOT NULL,
    outcome {text} NOT NULL,
    request_id {text} NOT NULL,
    time BIGINT NOT NULL
);
CREATE INDEX IF NOT EXISTS audit_entries_by_account ON audit_entries (account_id, region, entry_id);
CREATE INDEX IF NOT EXISTS audit_entries_by_time ON audit_entries (time);

CREATE TABLE IF NOT EXISTS bearer_tokens (
    token_sha256 {bytes} NOT NULL,
    token_id {text} NOT NULL,
    account_id {text} NOT NULL,
    role {text} NOT NULL,
    name {text} NOT NULL,
    state {text} NOT NULL,
    created_at BIGINT NOT NULL,
    CONSTRAINT bearer_tokens_pk PRIMARY KEY (token_sha256),
    CONSTRAINT bearer_tokens_account_id_token_id_unique UNIQUE (account_id, token_id)
);
CREATE INDEX IF NOT EXISTS bearer_tokens_by_time ON bearer_tokens (account_id, created_at, token_id);

CREATE TABLE IF NOT EXISTS configurations (
    account_id {text} NOT NULL,
    region {text} NOT NULL,
    configuration_id {text} NOT NULL,
    name {text} NOT NULL,
    arn {text} NOT NULL,
    body {text} NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    CONSTRAINT configurations_pk PRIMARY KEY (account_id, region, configuration_id),
    CONSTRAINT configurations_account_id_region_name_unique UNIQUE (account_id, region, name),
    CONSTRAINT configurations_account_id_region_arn_unique UNIQUE (account_id, region, arn)
);

CREATE TABLE IF NOT EXISTS idempotency_tokens (
    account_id {text} NOT NULL,
    region {text} NOT NULL,
    operation {text} NOT NULL,
    token_digest {bytes} NOT NULL,
    request_digest {bytes} NOT NULL,
    reference {text} NOT NULL,
    created_at BIGINT NOT NULL,
    CONSTRAINT idempotency_tokens_pk PRIMARY KEY (account_id, region, operation, token_digest)
);
CREATE INDEX IF NOT EXISTS idempotency_tokens_by_time ON idempotency_tokens (created_at);

CREATE TABLE IF NOT EXISTS kinesis_streams (
    account_id {text} NOT NULL,
    region {text} NOT NULL,
    name {text} NOT NULL,
    arn {text} NOT NULL,
    version {text} NOT NULL,
    device_name {text},
    media_type {text},
    kms_key_id {text},
    retention_hours BIGINT NOT NULL,
    status {text} NOT NULL,
    wrapped_key {bytes} NOT NULL,
    created_at BIGINT NOT NULL,
    CONSTRAINT kinesis_streams_pk PRIMARY KEY (account_id, region, name),
    CONSTRAINT kinesis_streams_account_id_region_arn_unique UNIQUE (account_id, region, arn)
);

CREATE TABLE IF NOT EXISTS pipelines (
    account_id {text} NOT NULL,
    region {text} NOT NULL,
    pipeline_id {text} NOT NULL,
    arn {text} NOT NULL,
    configuration_arn {text} NOT NULL,
    configuration {text} NOT NULL,
    status {text} NOT NULL,
    element_statuses {text} NOT NULL,
    source {text} NOT NULL,
    runtime_metadata_ciphertext {bytes},
    wrapped_key {bytes} NOT NULL,
    created_at BIGINT NOT NULL,
    paused_at BIGINT,
    ended_at BIGINT,
    CONSTRAINT pipelines_pk PRIMARY KEY (account_id, region, pipeline_id),
    CONSTRAINT pipelines_account_id_region_arn_unique UNIQUE (account_id, region, arn)
);
CREATE INDEX IF NOT EXISTS pipelines_active ON pipelines (account_id, region, ended_at, configuration_arn);
CREATE INDEX IF NOT EXISTS pipelines_by_end ON pipelines (ended_at);
CREATE INDEX IF NOT EXISTS pipelines_by_time ON pipelines (account_id, region, created_at, pipeline_id);
CREATE INDEX IF NOT EXISTS pipelines_running ON pipelines (account_id, region, pipeline_id) WHERE ended_at IS NULL;

CREATE TABLE IF NOT EXISTS service_leaders (
    name {text} NOT NULL,
    holder {text} NOT NULL,
    host {text} NOT NULL,
    process BIGINT NOT NULL,
    since BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    CONSTRAINT service_leaders_pk PRIMARY KEY (name),
    CONSTRAINT service_leaders_holder_unique UNIQUE (holder)
);

CREATE TABLE IF NOT EXISTS tags (
    account_id {text} NOT NULL,
    region {text} NOT NULL,
    resource_arn {text} NOT NULL,
    tag_key {text} NOT NULL,
    tag_value {text} NOT NULL,
    CONSTRAINT tags_pk PRIMARY KEY (account_id, region, resource_arn, tag_key)
);

CREATE TABLE IF NOT EXISTS vault_checks (
    name {text} NOT NULL,
    wrapped_key {bytes} NOT NULL,
    CONSTRAINT vault_checks_pk PRIMARY KEY (name)
);

CREATE TABLE IF NOT EXISTS voice_profile_domains (
    account_id {text} NOT NULL,
    region {text} NOT NULL,
    domain_id {text} NOT NULL,
    arn {text} NOT NULL,
    name {text} NOT NULL,
    description {text} NOT NULL,
    kms_key_arn {text} NOT NULL,
    band {text} NOT NULL,
    wrapped_key {bytes} NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    CONSTRAINT voice_profile_domains_pk PRIMARY KEY (account_id, region, domain_id),
    CONSTRAINT voice_profile_domains_account_id_region_arn_unique UNIQUE (account_id, region, arn)
);
CREATE INDEX IF NOT EXISTS voice_profile_domains_by_time
    ON voice_profile_domains (account_id, region, created_at, domain_id);

CREATE TABLE IF NOT EXISTS outbox_events (
    sequence {event_number},
    account_id {text} NOT NULL,
    region {text} NOT NULL,
    event_id {text} NOT NULL,
    pipeline_id {text} NOT NULL,
    kind {text} NOT NULL,
    body_ciphertext {bytes} NOT NULL,
    created_at BIGINT NOT NULL,
    CONSTRAINT outbox_events_account_id_region_event_id_unique UNIQUE (account_id, region, event_id),
    CONSTRAINT outbox_events_pipelines_fk FOREIGN KEY(account_id, region, pipeline_id)
        REFERENCES pipelines (account_id, region, pipeline_id) ON DELETE CASCADE
);
CREATE INDEX IF NOT EXISTS outbox_events_by_pipeline ON outbox_events (account_id, region, pipeline_id, sequence);
CREATE INDEX IF NOT EXISTS outbox_events_by_time ON outbox_events (created_at);

CREATE TABLE IF NOT EXISTS speaker_search_tasks (
    account_id {text} NOT NULL,
    region {text} NOT NULL,
    task_id {text} NOT NULL,
    pipeline_id {text} NOT NULL,
    stream_arn {text} NOT NULL,
    channel_id BIGINT NOT NULL,
    domain_id {text} NOT NULL,
    domain_arn {text} NOT NULL,
    start_fragment_number {text},
    status {text} NOT NULL,
    attempt BIGINT NOT NULL,
    stop_reason {text},
    status_message {text},
    voiceprint_status {text},
    profile_id {text},
    checkpoint_ciphertext {bytes},
    identification_ciphertext {bytes},
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    started_at BIGINT,
    ended_at BIGINT,
    CONSTRAINT speaker_search_tasks_pk PRIMARY KEY (account_id, region, task_id),
    CONSTRAINT speaker_search_tasks_pipelines_fk FOREIGN KEY(account_id, region, pipeline_id)
        REFERENCES pipelines (account_id, region, pipeline_id) ON DELETE CASCADE
);
CREATE INDEX IF NOT EXISTS speaker_search_tasks_by_domain
    ON speaker_search_tasks (account_id, region, domain_id, profile_id);
CREATE INDEX IF NOT EXISTS speaker_search_tasks_by_end ON speaker_search_tasks (ended_at);
CREATE INDEX IF NOT EXISTS speaker_search_tasks_by_time
    ON speaker_search_tasks (account_id, region, pipeline_id, created_at, task_id);
CREATE UNIQUE INDEX IF NOT EXISTS speaker_search_tasks_one_active
    ON speaker_search_tasks (account_id, region, stream_arn, channel_id, domain_id) WHERE ended_at IS NULL;
CREATE INDEX IF NOT EXISTS speaker_search_tasks_running
    ON speaker_search_tasks (account_id, region, task_id) WHERE ended_at IS NULL;

CREATE TABLE IF NOT EXISTS voice_profiles (
    account_id {text} NOT NULL,
    region {text} NOT NULL,
    profile_id {text} NOT NULL,
    domain_id {text} NOT NULL,
    arn {text} NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    CONSTRAINT voice_profiles_pk PRIMARY KEY (account_id, region, profile_id),
    CONSTRAINT voice_profiles_account_id_region_arn_unique UNIQUE (account_id, region, arn),
    CONSTRAINT voice_profiles_voice_profile_domains_fk FOREIGN KEY(account_id, region, domain_id)
        REFERENCES voice_profile_domains (account_id, region, domain_id) ON DELETE CASCADE
);
CREATE INDEX IF NOT EXISTS voice_profiles_by_time
    ON voice_profiles (account_id, region, domain_id, created_at, profile_id);

CREATE TABLE IF NOT EXISTS outbox_deliveries (
    sequence BIGINT NOT NULL,
    target {text} NOT NULL,
    account_id {text} NOT NULL,
    region {text} NOT NULL,
    pipeline_id {text} NOT NULL,
    state {text} NOT NULL,
    attempts BIGINT NOT NULL,
    next_attempt_at BIGINT NOT NULL,
    last_error {text},
    delivered_at BIGINT,
    CONSTRAINT outbox_deliveries_pk PRIMARY KEY (sequence, target),
    CONSTRAINT outbox_deliveries_outbox_events_fk FOREIGN KEY(sequence) REFERENCES outbox_events (sequence)
        ON DELETE CASCADE
);
CREATE INDEX IF NOT EXISTS outbox_deliveries_due
    ON outbox_deliveries (next_attempt_at, sequence) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS outbox_deliveries_queue
    ON outbox_deliveries (account_id, region, pipeline_id, target, sequence) WHERE state = 'pending';

CREATE TABLE IF NOT EXISTS profile_voiceprints (
    account_id {text} NOT NULL,
    region {text} NOT NULL,
    domain_id {text} NOT NULL,
    profile_id {text} NOT NULL,
    voiceprint_id {text} NOT NULL,
    encoder_id {text} NOT NULL,
    net_speech_seconds {double} NOT NULL,
    quality {text} NOT NULL,
    source_task_id {text},
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    consent_ciphertext {bytes},
    vector_ciphertext {bytes} NOT NULL,
    audio_ciphertext {bytes},
    CONSTRAINT profile_voiceprints_pk PRIMARY KEY (account_id, region, domain_id, profile_id, voiceprint_id),
    CONSTRAINT profile_voiceprints_voice_profiles_fk FOREIGN KEY(account_id, region, profile_id)
        REFERENCES voice_profiles (account_id, region, profile_id) ON DELETE CASCADE
);
CREATE INDEX IF NOT EXISTS profile_voiceprints_by_expiry ON profile_voiceprints (expires_at);
CREATE INDEX IF NOT EXISTS profile_voiceprints_by_profile ON profile_voiceprints (account_id, region, profile_id);

CREATE TABLE IF NOT EXISTS task_voiceprints (
    account_id {text} NOT NULL,
    region {text} NOT NULL,
    task_id {text} NOT NULL,
    domain_id {text} NOT NULL,
    encoder_id {text} NOT NULL,
    net_speech_seconds {double} NOT NULL,
    quality {text} NOT NULL,
    created_at BIGINT NOT NULL,
    keep_until BIGINT NOT NULL,
    vector_ciphertext {bytes} NOT NULL,
    audio_ciphertext {bytes},
    CONSTRAINT task_voiceprints_pk PRIMARY KEY (account_id, region, task_id),
    CONSTRAINT task_voiceprints_speaker_search_tasks_fk FOREIGN KEY(account_id, region, task_id)
        REFERENCES speaker_search_tasks (account_id, region, task_id) ON DELETE CASCADE
);
CREATE INDEX IF NOT EXISTS task_voiceprints_by_domain ON task_voiceprints (account_id, region, domain_id);
CREATE INDEX IF NOT EXISTS task_voiceprints_by_time ON task_voiceprints (keep_until);
"""


def upgrade() -> None:
    """Make the tables and indexes that are not there yet."""
    connection = op.get_bind()
    for statement in _SQL.format(**_WORDS[connection.dialect.name]).split(";"):
        if statement.strip():
            connection.exec_driver_sql(statement)
