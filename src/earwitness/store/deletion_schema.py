"""The tables of deletions and backups: what was deleted, which ledgers know of it, which backups are older.

What was deleted is named by keyed digests, so that a ledger beside a backup tells nobody who was known here, and so
that a restored backup finds by them what it has to delete again.
"""

from sqlalchemy import ForeignKeyConstraint, Index, PrimaryKeyConstraint, Table, UniqueConstraint

from earwitness.store.columns import digest, scope, text, time, where, whole, word
from earwitness.store.tables import COUNT, ID, STATE, metadata
from earwitness.voice.deletion import DeletionKind, DeletionReason

_PLACE = "the folder or the address of a bucket that backups are written to, as the operator gave it"

deletions = Table(
    "deletions",
    metadata,
    *scope(),
    text("deletion_id", ID),
    text("request_id", "an identifier that deletions share which were asked for by one request; found by it"),
    text("who", "the id of the key that asked, the command that did it, or `expiry`"),
    word(DeletionReason, "why", STATE),
    time("created_at"),
    whole("position", "where it stands in the ledger; null until it has a place there", nullable=True),
    digest("entry_digest", "of the ledger up to it, keyed", nullable=True),
    PrimaryKeyConstraint("account_id", "region", "deletion_id"),
    UniqueConstraint("position"),
    Index("deletions_by_request", "account_id", "region", "request_id"),
    Index("deletions_by_time", "created_at"),
    Index("deletions_waiting", "created_at", "deletion_id", **where("position IS NULL")),
)

deletion_items = Table(
    "deletion_items",
    metadata,
    *scope(),
    text("deletion_id", ID),
    whole("number", COUNT),
    word(DeletionKind, "kind", STATE),
    digest("identity_digest", "of what identifies the thing, keyed; found by it"),
    text("destroyed_key_id", "the id of the data key that was destroyed with it; no secret", nullable=True),
    whole("voiceprints", "how many voiceprints went with it"),
    PrimaryKeyConstraint("account_id", "region", "deletion_id", "number"),
    ForeignKeyConstraint(
        ["account_id", "region", "deletion_id"],
        ["deletions.account_id", "deletions.region", "deletions.deletion_id"],
        ondelete="CASCADE",
    ),
    Index("deletion_items_by_identity", "account_id", "region", "identity_digest"),
)

ledger_places = Table(
    "ledger_places",
    metadata,
    text("place", _PLACE),
    text("ledger", "the name of the ledger there"),
    whole("position", "the last deletion that the ledger there has"),
    time("created_at"),
    time("told_at", says="when something was last written there", nullable=True),
    text("last_error", "why nothing could be written there; null when it could", nullable=True),
    PrimaryKeyConstraint("place"),
)
"""Where a ledger of deletions is kept: wherever a backup is, and at a second place if the settings name one."""

backups = Table(
    "backups",
    metadata,
    text("backup_id", ID),
    text("place", _PLACE),
    time("created_at"),
    time("expires_at"),
    whole("with_media", "1 with media, 0 without"),
    whole("position", "the last deletion in the ledger that the backup has by itself"),
    time("deleted_at", says="when it was deleted", nullable=True),
    PrimaryKeyConstraint("backup_id"),
    Index("backups_by_time", "created_at"),
)
