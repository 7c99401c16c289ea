"""Retention: schedules of domains, the last contact of profiles, and what each expiry did."""

from alembic import op

revision = "0012"
down_revision = "0011"

_WORDS = {"sqlite": {"text": "TEXT"}, "postgresql": {"text": 'VARCHAR COLLATE "C"'}}
"""How each database writes the names in braces."""

_SQL = """
CREATE TABLE retention_schedules (
    account_id {text} NOT NULL,
    region {text} NOT NULL,
    domain_id {text} NOT NULL,
    voiceprint_hours BIGINT,
    results_hours BIGINT,
    profile_days BIGINT,
    audio_days BIGINT,
    last_contact_days BIGINT,
    look_back BIGINT NOT NULL,
    published_name {text} NOT NULL,
    key_id {text} NOT NULL,
    updated_at BIGINT NOT NULL,
    CONSTRAINT retention_schedules_pk PRIMARY KEY (account_id, region, domain_id),
    CONSTRAINT retention_schedules_voice_profile_domains_fk FOREIGN KEY(account_id, region, domain_id)
        REFERENCES voice_profile_domains (account_id, region, domain_id) ON DELETE CASCADE
);
CREATE TABLE profile_contacts (
    account_id {text} NOT NULL,
    region {text} NOT NULL,
    domain_id {text} NOT NULL,
    profile_id {text} NOT NULL,
    contacted_at BIGINT NOT NULL,
    CONSTRAINT profile_contacts_pk PRIMARY KEY (account_id, region, profile_id),
    CONSTRAINT profile_contacts_voice_profiles_fk FOREIGN KEY(account_id, region, profile_id)
        REFERENCES voice_profiles (account_id, region, profile_id) ON DELETE CASCADE
);
CREATE INDEX profile_contacts_by_domain ON profile_contacts (account_id, region, domain_id, contacted_at);
CREATE TABLE expiry_runs (
    run_id {text} NOT NULL,
    node_id {text},
    started_at BIGINT NOT NULL,
    ended_at BIGINT NOT NULL,
    due {text} NOT NULL,
    deleted {text} NOT NULL,
    overdue {text} NOT NULL,
    overdue_count BIGINT NOT NULL,
    CONSTRAINT expiry_runs_pk PRIMARY KEY (run_id)
);
CREATE INDEX expiry_runs_by_time ON expiry_runs (started_at, run_id);
"""


def upgrade() -> None:
    """Make the tables."""
    connection = op.get_bind()
    for statement in _SQL.format(**_WORDS[connection.dialect.name]).split(";"):
        if statement.strip():
            connection.exec_driver_sql(statement)
