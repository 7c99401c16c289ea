"""What lies beside a backup in clear, and is signed: its manifest, and the head of a ledger. Ids and numbers only.

A document is one JSON object of texts, whole numbers and lists, signed by the key of the records (`vault/signing.py`).
Whoever reads one distrusts it: it is bounded, typed, and counts for nothing before its signature fits.
"""

from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from earwitness.errors import BackupInvalid, SignatureInvalid
from earwitness.vault.signing import PublicKey, Signer, verified

FORMAT, VERSION = "earwitness-backup", 1
MANIFEST = "manifest.json"
MANIFEST_BYTES_MAX = 64 * 2**20

_BACKUP, _HEAD = "earwitness backup 1", "earwitness ledger head 1"
_StructT = TypeVar("_StructT", bound=msgspec.Struct)


class BackupPart(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """A part as the manifest lists it."""

    name: str
    #: `records`, `media`, `salt` or `master-key`: parts of one kind are one tar, in the order of the list.
    kind: str
    #: As it lies at the place.
    bytes: int
    sha256: str
    #: Before it was encrypted.
    plain_bytes: int


class BackupManifest(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """What a backup holds. It is written last: a backup without one was cut short."""

    format: str
    version: int
    backup_id: str
    #: RFC 3339, UTC.
    created_at: str
    expires_at: str
    #: Of earwitness, that wrote it.
    writer: str
    #: `sqlite` or `postgresql`.
    database: str
    #: The revision of the records' schema.
    schema: str
    #: Rows of some tables.
    counts: dict[str, int]
    #: The public key of age that all parts are encrypted for; None when they are not.
    recipient: str | None
    with_media: bool
    with_master_key: bool
    #: The name of the ledger of these records, and the last deletion in it that the backup has by itself.
    ledger: str
    ledger_position: int
    parts: tuple[BackupPart, ...]
    #: What signatures of these records are checked with.
    public_key: str


class LedgerSchedule(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """How long a domain keeps what it holds, as it was told last. None stands for the service's own time."""

    #: The identity digest of the domain, which says whose it is too, as deletions name it, in hexadecimal digits.
    domain: str
    #: RFC 3339, UTC.
    updated_at: str
    voiceprint_hours: int | None
    results_hours: int | None
    profile_days: int | None
    audio_days: int | None
    last_contact_days: int | None
    look_back: bool
    #: Whether it is published by a name; the name itself is in the records alone. Heads of before do not say.
    is_published: bool = True


class LedgerHead(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """How far a ledger goes, written again and again: a ledger where nothing was deleted has a head that is new."""

    position: int
    #: Of the last entry; empty without one.
    digest: str
    #: RFC 3339, UTC: every deletion that was written down before it has its place up to the position.
    told_at: str
    public_key: str
    #: All schedules at that time; none in heads of former versions.
    schedules: tuple[LedgerSchedule, ...] = ()


def time_text(time: datetime) -> str:
    """Return a time as documents have it, to the microsecond."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def time_of(text: str) -> datetime:
    """Return the time of such a text; raise BackupInvalid for any other."""
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    except ValueError:
        raise BackupInvalid("a document beside the backup holds a time that is none") from None


def signed_manifest(manifest: BackupManifest, signer: Signer) -> bytes:
    """Return a manifest as it is written."""
    return _signed(manifest, signer, _BACKUP)


def signed_head(head: LedgerHead, signer: Signer) -> bytes:
    """Return a ledger's head as it is written."""
    return _signed(head, signer, _HEAD)


def read_manifest(content: bytes, *, key: PublicKey | None) -> BackupManifest:
    """Return a manifest whose signature fits this key, or the one that it names itself. Raise BackupInvalid."""
    if len(content) > MANIFEST_BYTES_MAX:
        raise BackupInvalid("the manifest is larger than any of ours; take another backup")
    manifest = _read(content, BackupManifest, key, _BACKUP, "the manifest")
    if manifest.format != FORMAT:
        raise BackupInvalid("this is no backup of earwitness")
    if manifest.version != VERSION:
        raise BackupInvalid(f"the backup has format {manifest.version}, and this version reads {VERSION}; upgrade it")
    return manifest


def read_head(content: bytes, *, key: PublicKey | None) -> LedgerHead:
    """Return a ledger's head whose signature fits this key, or the one that it names itself. Raise BackupInvalid."""
    return _read(content, LedgerHead, key, _HEAD, "the head of the ledger")


def encode(value: object) -> bytes:
    """Return a value as one line of JSON."""
    return msgspec.json.encode(value)


def decode(content: bytes, kind: type[_StructT]) -> _StructT:
    """Return what a JSON text says; raise BackupInvalid when that is anything else."""
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise BackupInvalid("a document beside the backup is damaged, or none of ours") from error


def _signed(document: msgspec.Struct, signer: Signer, purpose: str) -> bytes:
    plain: dict[str, Any] = msgspec.to_builtins(document)  # `Any`: a JSON object
    return msgspec.json.format(msgspec.json.encode(signer.signed(plain, purpose=purpose)), indent=1) + b"\n"


def _read(content: bytes, kind: type[_StructT], key: PublicKey | None, purpose: str, what: str) -> _StructT:
    named = decode(content, _Named).public_key
    try:
        own = PublicKey.from_text(named)
        if key is not None and own.key_id != key.key_id:
            raise BackupInvalid(f"{what} was signed by other records than these (key {own.key_id}); give their own")
        document = verified(content, purpose=purpose, key=own)
    except SignatureInvalid as error:
        raise BackupInvalid(f"{what} was changed, or is damaged: {error}") from error
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        raise BackupInvalid(f"{what} does not say what a version of ours would; take another backup") from error


class _Named(msgspec.Struct, rename="camel"):
    public_key: str


class LedgerItem(msgspec.Struct, rename="camel", frozen=True, kw_only=True, omit_defaults=True):
    """One thing that was deleted."""

    kind: str
    #: Its identity digest, in hexadecimal digits.
    digest: str
    destroyed_key_id: str | None = None
    voiceprints: int = 0


class LedgerEntry(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """A deletion as the ledger has it: a line of JSON."""

    position: int
    account_id: str
    #: Empty for access keys and bearer tokens.
    region: str
    deletion_id: str
    request_id: str
    who: str
    why: str
    created_at: str
    items: tuple[LedgerItem, ...]
    #: The digest of the entry before; empty for the first.
    before: str
    #: SHA-256 of all the other members, as they are written; in hexadecimal digits.
    digest: str = ""


def entry_with(entry: LedgerEntry, *, digest: str) -> LedgerEntry:
    """Return the entry with this digest."""
    return msgspec.structs.replace(entry, digest=digest)
