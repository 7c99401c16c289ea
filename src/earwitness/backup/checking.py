"""Which backups there are at a place, and whether one is whole, without the service and without restoring it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from earwitness.backup.contents import BackedFile, files_in
from earwitness.backup.documents import MANIFEST, BackupManifest, BackupPart, read_manifest
from earwitness.backup.ledger import ReadLedger, read_ledger
from earwitness.backup.making import BACKUPS, KINDS
from earwitness.backup.parts import checked_part, read_parts
from earwitness.backup.places import Place
from earwitness.errors import BackupInvalid
from earwitness.progress import Progress
from earwitness.vault.signing import PublicKey


@dataclass(frozen=True, kw_only=True)
class ListedBackup:
    """A backup at a place, as it says of itself."""

    backup_id: str
    #: None for one that was cut short, or is being made.
    manifest: BackupManifest | None
    #: Why it cannot be used; empty when it can.
    damage: str


@dataclass(frozen=True, kw_only=True)
class CheckedBackup:
    """A backup whose parts are all there and whole."""

    manifest: BackupManifest
    #: Files in it; None when it is encrypted and no key was given, so that only its outside was looked at.
    files: int | None
    #: The ledger of deletions beside it; None where there is none.
    ledger: ReadLedger | None
    #: Entries behind the backup.
    deletions_since: int


def list_backups(place: Place) -> list[ListedBackup]:
    """Return all backups at a place, oldest first. Raise BackupPlaceUnavailable."""
    names = place.names(f"{BACKUPS}/")
    ids = sorted({name.split("/")[1] for name in names if name.count("/") == 2})
    with_manifest = {name.split("/")[1] for name in names if name.endswith(f"/{MANIFEST}")}
    return [_listed(place, one, has_manifest=one in with_manifest) for one in ids]


def find_backup(place: Place, backup_id: str | None, *, key: PublicKey | None = None) -> BackupManifest:
    """Return the manifest of the backup of this id, or of the newest that is whole. Raise BackupInvalid."""
    if backup_id is None:
        whole = [one.manifest for one in list_backups(place) if one.manifest is not None]
        if not whole:
            raise BackupInvalid(f"there is no whole backup at {place.address}; look at the address")
        backup_id = max(whole, key=lambda one: one.created_at).backup_id
    if f"{BACKUPS}/{backup_id}/{MANIFEST}" not in place.names(f"{BACKUPS}/{backup_id}/"):
        raise BackupInvalid(
            f"the backup {backup_id} is not at {place.address}, or was cut short; `backup list` shows all"
        )
    manifest = read_manifest(place.get(f"{BACKUPS}/{backup_id}/{MANIFEST}"), key=key)
    if manifest.backup_id != backup_id:
        raise BackupInvalid("the manifest is another backup's; take another backup")
    return manifest


def verify_backup(
    place: Place, backup_id: str | None, *, identity: str | None, key: PublicKey | None, show: Progress
) -> CheckedBackup:
    """Read all of a backup and its ledger; with the recipient's secret key, also what is inside.

    `key` is the public key of the records, to prove that the backup is theirs. Raise BackupInvalid for anything that is
    not as it should be.
    """
    manifest = find_backup(place, backup_id, key=key)
    prefix = f"{BACKUPS}/{manifest.backup_id}"
    read = ReadSoFar(show, total=sum(part.plain_bytes for part in manifest.parts))
    files: int | None = None
    if manifest.recipient is None or identity is not None:
        files = sum(1 for kind in KINDS for _ in files_of(place, manifest, kind, identity=identity, read=read))
    else:
        for part in manifest.parts:
            checked_part(place, prefix, part)
            read(part.plain_bytes)
    ledger = read_ledger(place, manifest.ledger, key=PublicKey.from_text(manifest.public_key))
    since = 0 if ledger is None else sum(1 for _ in ledger.entries(behind=manifest.ledger_position))
    return CheckedBackup(manifest=manifest, files=files, ledger=ledger, deletions_since=since)


def files_of(
    place: Place, manifest: BackupManifest, kind: str, *, identity: str | None, read: Callable[[int], None]
) -> Iterator[BackedFile]:
    """Yield the files of a kind in a backup, as they are read. Raise BackupInvalid."""
    parts = parts_of(manifest, kind)
    if parts:
        prefix = f"{BACKUPS}/{manifest.backup_id}"
        yield from files_in(read_parts(place, prefix, parts, identity=identity, read=read))


def parts_of(manifest: BackupManifest, kind: str) -> list[BackupPart]:
    """Return the parts of a kind, in their order; raise BackupInvalid when their names are those of another order."""
    parts = [part for part in manifest.parts if part.kind == kind]
    for number, part in enumerate(parts, start=1):
        if part.name.removesuffix(".age") != f"{kind}-{number:06}.tar-part":
            raise BackupInvalid("the manifest names its parts in another order than ours; take another backup")
    return parts


def _listed(place: Place, backup_id: str, *, has_manifest: bool) -> ListedBackup:
    if not has_manifest:
        return ListedBackup(backup_id=backup_id, manifest=None, damage="cut short, or being made")
    try:
        manifest = read_manifest(place.get(f"{BACKUPS}/{backup_id}/{MANIFEST}"), key=None)
    except BackupInvalid as error:
        return ListedBackup(backup_id=backup_id, manifest=None, damage=str(error))
    if manifest.backup_id != backup_id:
        return ListedBackup(backup_id=backup_id, manifest=None, damage="the manifest is another backup's")
    return ListedBackup(backup_id=backup_id, manifest=manifest, damage="")


class ReadSoFar:
    """Tells how much was read."""

    def __init__(self, show: Progress, *, total: int) -> None:
        self._show, self._total, self._done = show, total, 0

    def __call__(self, size: int) -> None:
        self._done += size
        self._show("reading", self._done, self._total)
