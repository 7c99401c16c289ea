"""Consents: who agreed to what, what domains require, who has withdrawn; and whose what is held is."""

from alembic import op

revision = "0011"
down_revision = "0010"

_WORDS = {
    "sqlite": {"text": "TEXT", "bytes": "BLOB"},
    "postgresql": {"text": 'VARCHAR COLLATE "C"', "bytes": "BYTEA"},
}
"""How each database writes the names in braces."""

_SQL = """
CREATE TABLE consents (
    account_id {text} NOT NULL,
    region {text} NOT NULL,
    domain_id {text} NOT NULL,
    consent_id {text} NOT NULL,
    profile_id {text},
    subject_digest {bytes},
    terms_ciphertext {bytes} NOT NULL,
    given_at BIGINT,
    created_at BIGINT NOT NULL,
    CONSTRAINT consents_pk PRIMARY KEY (account_id, region, domain_id, consent_id),
    CONSTRAINT consents_voice_profile_domains_fk FOREIGN KEY(account_id, region, domain_id)
        REFERENCES voice_profile_domains (account_id, region, domain_id) ON DELETE CASCADE,
    CONSTRAINT consents_voice_profiles_fk FOREIGN KEY(account_id, region, profile_id)
        REFERENCES voice_profiles (account_id, region, profile_id) ON DELETE CASCADE
);
CREATE INDEX consents_by_subject ON consents (account_id, region, subject_digest, domain_id)
    WHERE subject_digest IS NOT NULL;
CREATE INDEX consents_by_profile ON consents (account_id, region, profile_id) WHERE profile_id IS NOT NULL;

CREATE TABLE consent_rules (
    account_id {text} NOT NULL,
    region {text} NOT NULL,
    domain_id {text} NOT NULL,
    required {text} NOT NULL,
    updated_at BIGINT NOT NULL,
    CONSTRAINT consent_rules_pk PRIMARY KEY (account_id, region, domain_id),
    CONSTRAINT consent_rules_voice_profile_domains_fk FOREIGN KEY(account_id, region, domain_id)
        REFERENCES voice_profile_domains (account_id, region, domain_id) ON DELETE CASCADE
);

CREATE TABLE withdrawn_subjects (
    account_id {text} NOT NULL,
    region {text} NOT NULL,
    subject_digest {bytes} NOT NULL,
    withdrawal_id {text} NOT NULL,
    withdrawn_at BIGINT NOT NULL,
    CONSTRAINT withdrawn_subjects_pk PRIMARY KEY (account_id, region, subject_digest)
);

ALTER TABLE speaker_search_tasks ADD COLUMN subject_digest {bytes};
CREATE INDEX speaker_search_tasks_by_subject ON speaker_search_tasks (account_id, region, subject_digest)
    WHERE subject_digest IS NOT NULL;

ALTER TABLE voice_profiles ADD COLUMN subject_digest {bytes};
CREATE INDEX voice_profiles_by_subject ON voice_profiles (account_id, region, subject_digest)
    WHERE subject_digest IS NOT NULL;

ALTER TABLE profile_voiceprints ADD COLUMN consent_id {text};

ALTER TABLE job_items ADD COLUMN subject_digest {bytes};
CREATE INDEX job_items_by_subject ON job_items (account_id, region, subject_digest)
    WHERE subject_digest IS NOT NULL;

ALTER TABLE line_votes ADD COLUMN subject_digest {bytes};
"""


def upgrade() -> None:
    """Make the tables and columns."""
    connection = op.get_bind()
    for statement in _SQL.format(**_WORDS[connection.dialect.name]).split(";"):
        if statement.strip():
            connection.exec_driver_sql(statement)
