"""What the store keeps of deletions and backups, as plain frozen records."""

from dataclasses import dataclass
from datetime import datetime

from earwitness.store.records import Scope
from earwitness.voice.deletion import DeletionKind, DeletionReason

BY_EXPIRY = "expiry"
"""Who deleted what was old."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeletedItem:
    """One thing that was deleted."""

    kind: DeletionKind
    #: 32 bytes; `Store.digest_of` makes them of what identifies the thing.
    identity_digest: bytes
    #: `DataKey.key_id` of the key that was destroyed with it; None when it had none of its own.
    destroyed_key_id: str | None
    #: How many voiceprints went with it; 0 where it is one, or has none.
    voiceprints: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Deletion:
    """What one transaction deleted of an account and Region. It has no names, and nothing that leads to a person."""

    #: Without a Region for access keys and bearer tokens.
    scope: Scope
    deletion_id: str
    #: The same for all that one request deleted, in however many transactions.
    request_id: str
    #: The id of the key that asked, the command that did it, or `expiry`.
    who: str
    why: DeletionReason
    created_at: datetime
    #: Where it stands in the ledger; None until it has a place there.
    position: int | None
    #: Keyed, of the ledger up to it.
    entry_digest: bytes | None
    items: tuple[DeletedItem, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerPlace:
    """Where a ledger of deletions is kept."""

    #: A folder, or `s3://BUCKET/PREFIX`.
    place: str
    #: Its name there: that of the records, until they are restored without it.
    ledger: str
    #: The last deletion that the ledger there has; 0 for none.
    position: int
    created_at: datetime
    #: When something was last written there; None before the first time.
    told_at: datetime | None
    #: Why nothing could be written there when it was last tried; None when it could.
    last_error: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class BackupRecord:
    """A backup that was made of these records."""

    backup_id: str
    place: str
    created_at: datetime
    #: When it is to be deleted.
    expires_at: datetime
    with_media: bool
    #: The last deletion in the ledger that the backup has by itself; those after it are done again at a restore.
    position: int
    #: None as long as it is there.
    deleted_at: datetime | None
