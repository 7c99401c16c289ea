"""The table of the calibrations that domains have had: what is installed while the service runs.

A calibration says how strangers score, and its free text may name whose recordings it was fitted on: the document is
sealed under the key of the domain, and goes with it.
"""

from sqlalchemy import PrimaryKeyConstraint, Table

from earwitness.store.columns import scope, sealed, text, time, whole
from earwitness.store.tables import COUNT, ID, belongs_to, metadata

calibration_versions = Table(
    "calibration_versions",
    metadata,
    *scope(),
    text("domain_id", ID),
    whole("number", COUNT),
    text("calibration_id", "a hash of the calibration; null for the service's own", nullable=True),
    text("encoder_id", "the voice model that it was fitted for; null for the service's own", nullable=True),
    text("key_id", "the id of the key that installed it, or went back"),
    time("created_at"),
    sealed("document_ciphertext", "the calibration; null for the service's own", nullable=True),
    PrimaryKeyConstraint("account_id", "region", "domain_id", "number"),
    belongs_to("voice_profile_domains", "domain_id"),
)
