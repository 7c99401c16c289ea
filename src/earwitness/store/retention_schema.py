"""The tables of retention: what domains were told, when profiles were last found, and what each expiry did.

Nothing here is sealed: there are ids, times and counts alone.
"""

from sqlalchemy import Index, PrimaryKeyConstraint, Table

from earwitness.store.columns import document, scope, text, time, whole
from earwitness.store.tables import COUNT, ID, belongs_to, metadata

retention_schedules = Table(
    "retention_schedules",
    metadata,
    *scope(),
    text("domain_id", ID),
    whole("voiceprint_hours", "how long voiceprints of calls are kept", nullable=True),
    whole("results_hours", "how long results are kept", nullable=True),
    whole("profile_days", "how long voiceprints of profiles are kept", nullable=True),
    whole("audio_days", "how long speech behind voiceprints is kept", nullable=True),
    whole("last_contact_days", "how long profiles are kept without contact", nullable=True),
    whole("look_back", "1 where voiceprints of calls are kept to look for a voice in earlier calls"),
    text("published_name", "what the published page calls the domain. Write nothing about a person here"),
    text("key_id", "the id of the key that set it"),
    time("updated_at"),
    PrimaryKeyConstraint("account_id", "region", "domain_id"),
    belongs_to("voice_profile_domains", "domain_id"),
)
"""Domains that were told how long to keep what they hold; all others keep it as long as the service does."""

profile_contacts = Table(
    "profile_contacts",
    metadata,
    *scope(),
    text("domain_id", ID),
    text("profile_id", ID),
    time("contacted_at", says="when a search named the profile last; expiry is found by it"),
    PrimaryKeyConstraint("account_id", "region", "profile_id"),
    belongs_to("voice_profiles", "profile_id"),
    Index("profile_contacts_by_domain", "account_id", "region", "domain_id", "contacted_at"),
)

expiry_runs = Table(
    "expiry_runs",
    metadata,
    text("run_id", ID),
    text("node_id", "the id of the node that ran it", nullable=True),
    time("started_at"),
    time("ended_at"),
    document("due", "how much was past its time, by kind"),
    document("deleted", "how much was deleted, by kind"),
    document("overdue", "how much was still there afterwards, by kind"),
    whole("overdue_count", COUNT),
    PrimaryKeyConstraint("run_id"),
    Index("expiry_runs_by_time", "started_at", "run_id"),
)
"""What every run of the expiry found and did, for all accounts."""
