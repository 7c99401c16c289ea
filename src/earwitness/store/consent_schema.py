"""The tables of consents: who agreed to what, what a domain requires, and who has withdrawn.

What a person agreed to is sealed under the domain's key. The person is found by a keyed digest of the reference alone;
of whoever has withdrawn nothing but that digest is kept.
"""

from sqlalchemy import Index, PrimaryKeyConstraint, Table

from earwitness.store.columns import digest, scope, sealed, text, time, where, word
from earwitness.store.tables import ID, STATE, belongs_to, metadata
from earwitness.voice.consent import ConsentRequirement

SUBJECT = "of the reference of a person, keyed; what is held of the person is found by it"

consents = Table(
    "consents",
    metadata,
    *scope(),
    text("domain_id", ID),
    text("consent_id", ID),
    text("profile_id", "the profile that it was given for; null for one that was recorded by itself", nullable=True),
    digest("subject_digest", SUBJECT, nullable=True),
    sealed("terms_ciphertext", "who agreed to which text, by what medium, for what, and where that can be seen"),
    time("given_at", nullable=True),
    time("created_at"),
    PrimaryKeyConstraint("account_id", "region", "domain_id", "consent_id"),
    belongs_to("voice_profile_domains", "domain_id"),
    belongs_to("voice_profiles", "profile_id"),
    Index(
        "consents_by_subject",
        "account_id",
        "region",
        "subject_digest",
        "domain_id",
        **where("subject_digest IS NOT NULL"),
    ),
    Index("consents_by_profile", "account_id", "region", "profile_id", **where("profile_id IS NOT NULL")),
)
"""A row without a time is the evidence reference of an enrolment and no more; it fulfils no requirement."""

consent_rules = Table(
    "consent_rules",
    metadata,
    *scope(),
    text("domain_id", ID),
    word(ConsentRequirement, "required", STATE),
    time("updated_at"),
    PrimaryKeyConstraint("account_id", "region", "domain_id"),
    belongs_to("voice_profile_domains", "domain_id"),
)
"""Domains that were told what needs a consent; in all others nothing does."""

withdrawn_subjects = Table(
    "withdrawn_subjects",
    metadata,
    *scope(),
    digest("subject_digest", SUBJECT),
    text("withdrawal_id", ID),
    time("withdrawn_at", says="a time; consents that were given before count no more"),
    PrimaryKeyConstraint("account_id", "region", "subject_digest"),
)
"""Who may not be searched for or enrolled without a newer consent."""

CONSENT_TABLES = (consents, consent_rules, withdrawn_subjects)
