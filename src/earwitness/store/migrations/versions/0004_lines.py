"""What domains learn of their lines, voiceprints found by what made them, and notes of what changed in galleries."""

from alembic import op

revision = "0004"
down_revision = "0003"

_WORDS = {
    "sqlite": {"text": "TEXT", "bytes": "BLOB", "double": "DOUBLE"},
    "postgresql": {"text": 'VARCHAR COLLATE "C"', "bytes": "BYTEA", "double": "DOUBLE PRECISION"},
}
"""How each database writes the names in braces."""

_SQL = """
CREATE INDEX profile_voiceprints_by_encoder ON profile_voiceprints (account_id, region, domain_id, encoder_id);

CREATE TABLE voiceprint_changes (
    account_id {text} NOT NULL,
    region {text} NOT NULL,
    domain_id {text} NOT NULL,
    version BIGINT NOT NULL,
    profile_id_ciphertext {bytes} NOT NULL,
    created_at BIGINT NOT NULL,
    CONSTRAINT voiceprint_changes_pk PRIMARY KEY (account_id, region, domain_id, version),
    CONSTRAINT voiceprint_changes_voice_profile_domains_fk FOREIGN KEY(account_id, region, domain_id)
        REFERENCES voice_profile_domains (account_id, region, domain_id) ON DELETE CASCADE
);
CREATE INDEX voiceprint_changes_by_time ON voiceprint_changes (created_at);

CREATE TABLE line_switches (
    account_id {text} NOT NULL,
    region {text} NOT NULL,
    domain_id {text} NOT NULL,
    learning {text} NOT NULL,
    updated_at BIGINT NOT NULL,
    CONSTRAINT line_switches_pk PRIMARY KEY (account_id, region, domain_id),
    CONSTRAINT line_switches_voice_profile_domains_fk FOREIGN KEY(account_id, region, domain_id)
        REFERENCES voice_profile_domains (account_id, region, domain_id) ON DELETE CASCADE
);

CREATE TABLE line_votes (
    account_id {text} NOT NULL,
    region {text} NOT NULL,
    domain_id {text} NOT NULL,
    codec {text} NOT NULL,
    number BIGINT NOT NULL,
    encoder_id {text} NOT NULL,
    net_speech_seconds {double} NOT NULL,
    profile_id {text},
    task_id {text},
    created_at BIGINT NOT NULL,
    vector_ciphertext {bytes} NOT NULL,
    CONSTRAINT line_votes_pk PRIMARY KEY (account_id, region, domain_id, codec, number),
    CONSTRAINT line_votes_voice_profile_domains_fk FOREIGN KEY(account_id, region, domain_id)
        REFERENCES voice_profile_domains (account_id, region, domain_id) ON DELETE CASCADE
);
CREATE INDEX line_votes_by_time ON line_votes (created_at);

CREATE TABLE line_versions (
    account_id {text} NOT NULL,
    region {text} NOT NULL,
    domain_id {text} NOT NULL,
    codec {text} NOT NULL,
    number BIGINT NOT NULL,
    why {text} NOT NULL,
    voices BIGINT NOT NULL,
    encoder_id {text},
    reverted_to BIGINT,
    key_id {text},
    created_at BIGINT NOT NULL,
    mean_ciphertext {bytes},
    CONSTRAINT line_versions_pk PRIMARY KEY (account_id, region, domain_id, codec, number),
    CONSTRAINT line_versions_voice_profile_domains_fk FOREIGN KEY(account_id, region, domain_id)
        REFERENCES voice_profile_domains (account_id, region, domain_id) ON DELETE CASCADE
);

CREATE TABLE line_monitors (
    account_id {text} NOT NULL,
    region {text} NOT NULL,
    domain_id {text} NOT NULL,
    codec {text} NOT NULL,
    searches BIGINT NOT NULL,
    voiceprints_mean {double},
    voiceprints_spread {double},
    callers_mean {double},
    health {text} NOT NULL,
    updated_at BIGINT NOT NULL,
    CONSTRAINT line_monitors_pk PRIMARY KEY (account_id, region, domain_id, codec),
    CONSTRAINT line_monitors_voice_profile_domains_fk FOREIGN KEY(account_id, region, domain_id)
        REFERENCES voice_profile_domains (account_id, region, domain_id) ON DELETE CASCADE
);
"""


def upgrade() -> None:
    """Make the tables and the index."""
    connection = op.get_bind()
    for statement in _SQL.format(**_WORDS[connection.dialect.name]).split(";"):
        if statement.strip():
            connection.exec_driver_sql(statement)
