"""Puts a backup back, into an empty place only, and deletes again what was deleted since it was made.

Everything is written beside its place first, opened with the master key, and proved: the pages of the database, the
signature of the manifest by the key in these very records, the ledger of deletions. Only then it gets its names, the
records last: without them, nothing is there. What is killed before is begun anew by the same command.
"""

import base64
import errno
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from earwitness.backup.checking import ReadSoFar, files_of, find_backup
from earwitness.backup.contents import BackedFile
from earwitness.backup.documents import BackupManifest, LedgerEntry, time_of
from earwitness.backup.ledger import ReadLedger, read_ledger, schedule_of
from earwitness.backup.making import MASTER_KEY_FILE, SALT_FILE
from earwitness.backup.places import Place
from earwitness.errors import BackupInvalid, EarwitnessError, MasterKeyInvalid, RestoreRefused
from earwitness.fragments.interface import StreamIdentity
from earwitness.progress import Progress
from earwitness.store.deletion_records import DeletedItem, Deletion
from earwitness.store.pages import all_records
from earwitness.store.records import Scope
from earwitness.store.redoing import kinds_in_order
from earwitness.store.rotation import INSTALLATION
from earwitness.store.snapshots import SQLITE_FILE, finish_postgres, is_restoring, load_postgres, require_empty
from earwitness.store.store import Store, Unit, migrate_store, open_store
from earwitness.tasks.expire import expire
from earwitness.vault.signing import PublicKey
from earwitness.vault.vault import Vault
from earwitness.voice.deletion import DeletionKind, DeletionReason

PARTIAL = "restore.partial"
"""The folder beside the records where all is written first."""

COMMAND = "earwitness restore"
"""Who did it, in the audit trail."""

_MEDIA = "media"
_MOVING = "moving.json"
_ENTRIES_AT_ONCE = 500


@dataclass(frozen=True, kw_only=True)
class RestoreOrder:
    """Where a backup is put back, and what opens it."""

    data_dir: Path
    store_url: str
    wait_seconds_max: float
    media_folder: Path
    #: Where the master key lies that the records are opened with.
    master_key_file: Path
    #: Where the salt of a passphrase lies.
    salt_file: Path
    #: Makes a vault of the master key that the operator has; None when there is none, for one that the backup has.
    vault: Callable[[], Vault | None]
    #: Makes a vault of a master key in base64.
    vault_of: Callable[[str], Vault]
    #: The recipient's secret key of age; None for a backup that is not encrypted.
    identity: str | None
    #: Where ledgers of deletions may be, apart from the backup's own place.
    ledgers: tuple[Place, ...]
    #: Whether to go on without a ledger that is newer than the backup.
    accept_resurrection: bool


@dataclass(frozen=True, kw_only=True)
class Restored:
    """What a restore has done."""

    manifest: BackupManifest
    #: Deletions of the ledger that the backup did not know.
    deletions: int
    #: Things that had come back and were deleted again.
    deleted_again: int
    #: Domains whose retention schedule was told after the backup, and is told again.
    schedules: int
    #: Up to when all deletions are known; None without a ledger.
    told_at: datetime | None


def restore(
    place: Place, backup_id: str | None, order: RestoreOrder, *, clock: Callable[[], datetime], show: Progress
) -> Restored:
    """Put a backup back. Raise RestoreRefused, BackupInvalid, BackupPlaceUnavailable, MasterKeyInvalid, StoreError.

    The caller has looked that there are no records, no media and no service where it goes.
    """
    manifest = find_backup(place, backup_id)
    if _is_sqlite(order) != (manifest.database == "sqlite"):
        raise RestoreRefused(
            f"the backup is of records in {manifest.database}, and the settings name another database; restore it into "
            "one of its own kind (`earwitness records move` moves records from SQLite to PostgreSQL)"
        )
    ledger = _newest_ledger(place, manifest, order)
    partial = order.data_dir / PARTIAL
    partial.mkdir(parents=True, mode=0o700)
    try:
        restored = _staged(place, manifest, ledger, order, partial, clock=clock, show=show)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    _put_in_place(order, partial)
    return restored


def _staged(
    place: Place,
    manifest: BackupManifest,
    ledger: ReadLedger | None,
    order: RestoreOrder,
    partial: Path,
    *,
    clock: Callable[[], datetime],
    show: Progress,
) -> Restored:
    """Write all beside its place, prove it, and delete what was deleted."""
    read = ReadSoFar(show, total=sum(part.plain_bytes for part in manifest.parts))
    vault = _vault(place, manifest, order, partial, read)
    _write_records(place, manifest, order, partial, read)
    if manifest.with_media:
        _write_files(partial / _MEDIA, files_of(place, manifest, "media", identity=order.identity, read=read))
    url = f"sqlite:///{partial / SQLITE_FILE}" if _is_sqlite(order) else order.store_url
    store = open_store(url, vault=vault, clock=clock, wait_seconds_max=order.wait_seconds_max, is_restoring=True)
    with closing(store):
        _require_own(store, manifest)
        restored = _without_what_was_deleted(store, manifest, ledger, clock=clock, show=show)
        _drop_media(store, partial / _MEDIA)
        store.write(lambda unit: _audit(unit, manifest))
    return restored


def _audit(unit: Unit, manifest: BackupManifest) -> None:
    """Say in the audit trail where these records come from; nobody reads it before they are in their place."""
    unit.audit.append(
        INSTALLATION,
        key_id=COMMAND,
        operation="RestoreBackup",
        resource_arn=f"backup/{manifest.backup_id}",
        outcome="done",
        request_id="",
    )


def clear_cut_short(order: RestoreOrder) -> None:
    """Remove what a restore left that was killed: what it had written beside, and what it had put in place already."""
    partial = order.data_dir / PARTIAL
    if not partial.is_dir():
        return
    try:
        moved: list[str] = json.loads((partial / _MOVING).read_text("ascii"))
    except (OSError, ValueError):
        moved = []
    if _is_sqlite(order):
        may_undo = not Path(order.store_url.removeprefix("sqlite:///")).exists()
    else:
        may_undo = is_restoring(order.store_url, wait_seconds_max=order.wait_seconds_max)
    if may_undo:
        if _MEDIA in moved and not (partial / _MEDIA).exists():
            shutil.rmtree(order.media_folder, ignore_errors=True)
        if MASTER_KEY_FILE in moved and not (partial / MASTER_KEY_FILE).exists():
            order.master_key_file.unlink(missing_ok=True)
    shutil.rmtree(partial)


def _is_sqlite(order: RestoreOrder) -> bool:
    return order.store_url.startswith("sqlite")


def _newest_ledger(place: Place, manifest: BackupManifest, order: RestoreOrder) -> ReadLedger | None:
    """Return the ledger that knows most, proved by the manifest's key. Raise RestoreRefused when none is newer than the
    backup, unless that is accepted."""
    key = PublicKey.from_text(manifest.public_key)
    found: list[ReadLedger] = []
    trouble = ""
    for each in (place, *order.ledgers):
        try:
            ledger = read_ledger(each, manifest.ledger, key=key)
            if ledger is not None:
                for _ in ledger.entries(behind=manifest.ledger_position):
                    pass
                found.append(ledger)
        except EarwitnessError as error:
            trouble = f" ({error})"
    newest = max(found, key=lambda one: one.told_at, default=None)
    if newest is not None and newest.told_at >= time_of(manifest.created_at):
        return newest
    if order.accept_resurrection:
        return newest
    raise RestoreRefused(
        f"no ledger of deletions is newer than the backup, so what was deleted since would come back{trouble}: name "
        "the place of another one with --ledger, or accept that with --accept-resurrection"
    )


def _vault(place: Place, manifest: BackupManifest, order: RestoreOrder, partial: Path, read: ReadSoFar) -> Vault:
    """Return what opens the records: by the operator's master key or, without one, by that in the backup."""
    if not order.salt_file.exists():
        _write_files(partial, files_of(place, manifest, "salt", identity=order.identity, read=read))
        if (salt := partial / SALT_FILE).exists():  # no secret, and of use whatever comes of this
            _move(salt, order.salt_file)
    vault = order.vault()
    if vault is not None:
        return vault
    if not manifest.with_master_key:
        raise MasterKeyInvalid(
            f"the backup has no master key, and there is none in {order.master_key_file} or EARWITNESS_MASTER_KEY; "
            "give the one that the records were written under"
        )
    _write_files(partial, files_of(place, manifest, "master-key", identity=order.identity, read=read))
    try:
        text = (partial / MASTER_KEY_FILE).read_text("ascii").strip()
        base64.b64decode(text, validate=True)
    except (OSError, ValueError) as error:
        raise BackupInvalid("the master key in the backup is none; take another backup") from error
    return order.vault_of(text)


def _write_records(place: Place, manifest: BackupManifest, order: RestoreOrder, partial: Path, read: ReadSoFar) -> None:
    files = files_of(place, manifest, "records", identity=order.identity, read=read)
    if not _is_sqlite(order):
        require_empty(order.store_url, wait_seconds_max=order.wait_seconds_max)
        load_postgres(
            order.store_url,
            schema=manifest.schema,
            files=((one.name, one.blocks) for one in files),
            wait_seconds_max=order.wait_seconds_max,
        )
        return
    _write_files(partial, files)
    path = partial / SQLITE_FILE
    if not path.is_file():
        raise BackupInvalid("the backup has no records; take another backup")
    _require_intact(path)
    migrate_store(f"sqlite:///{path}", wait_seconds_max=order.wait_seconds_max)


def _require_intact(path: Path) -> None:
    """Raise BackupInvalid when the pages of a database do not fit together."""
    try:
        with closing(sqlite3.connect(path)) as connection:
            (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        raise BackupInvalid("the database in the backup is damaged; take another backup") from error
    if said != "ok":
        raise BackupInvalid("the database in the backup is damaged; take another backup")


def _write_files(folder: Path, files: Iterator[BackedFile]) -> None:
    """Write files below a folder, with rights for their owner alone; their names were looked at when they were read."""
    for file in files:
        path = folder / file.name
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as target:
            for block in file.blocks:
                target.write(block)
            target.flush()
            os.fsync(target.fileno())


def _require_own(store: Store, manifest: BackupManifest) -> None:
    """Raise BackupInvalid when the records in the backup have another key than the one that signed its manifest."""
    if store.signer().public.text != manifest.public_key:
        raise BackupInvalid("the manifest was signed by other records than those in the backup; take another backup")


def _without_what_was_deleted(
    store: Store,
    manifest: BackupManifest,
    ledger: ReadLedger | None,
    *,
    clock: Callable[[], datetime],
    show: Progress,
) -> Restored:
    """Delete again what the ledger names and the backup did not know, and what has expired meanwhile."""
    wanted: dict[DeletionKind, dict[bytes, datetime]] = {}
    count = 0
    for entries in _batches(ledger, manifest):
        known = store.deletions.known([(one.account_id, one.region, one.deletion_id) for one in entries])
        for entry in entries:
            if (entry.account_id, entry.region, entry.deletion_id) not in known:
                count += 1
                deleted_at = time_of(entry.created_at)
                for item in entry.items:
                    times, digest = wanted.setdefault(_kind(item.kind), {}), bytes.fromhex(item.digest)
                    times[digest] = max(deleted_at, times.get(digest, deleted_at))
    again = 0
    for kind in kinds_in_order():
        times = wanted.get(kind, {})
        if times:
            for found in list(store.redoing.found(store.token_key, kind, times)):
                store.write(lambda unit, found=found: unit.redoing.delete(found))
                again += 1
                show("deleting again", again, again)
    for entries in _batches(ledger, manifest):
        rows = [_deletion(one) for one in entries]
        store.write(lambda unit, rows=rows: unit.redoing.take_over(rows))
    is_newer = ledger is not None and ledger.told_at >= time_of(manifest.created_at)
    if not is_newer:
        name = f"{store.signer().public.key_id}-{os.urandom(4).hex()}"
        store.write(lambda unit: (unit.redoing.leave_the_ledger(), unit.backups.begin_ledger(name)))
    schedules = _told_again(store, ledger)
    expire(store, now=clock())
    told_at = ledger.told_at if ledger is not None else None
    return Restored(manifest=manifest, deletions=count, deleted_again=again, schedules=schedules, told_at=told_at)


def _told_again(store: Store, ledger: ReadLedger | None) -> int:
    """Tell domains again how long to keep what they hold, where that was told after the backup; return how many."""
    told = {bytes.fromhex(one.domain): one for one in (() if ledger is None else ledger.head.schedules)}
    times = {digest: time_of(one.updated_at) for digest, one in told.items()}
    count = 0
    for found in list(store.redoing.found(store.token_key, DeletionKind.DOMAIN, times)) if times else ():
        (domain_id,) = found.ids
        before = store.retention.get(found.scope, domain_id)
        if before is not None and before.updated_at >= found.noted_at:
            continue
        one = told[store.digest_of(found.scope, DeletionKind.DOMAIN, domain_id)]
        name = before.schedule.published_name if before is not None and one.is_published else ""
        schedule = schedule_of(one, published_name=name)
        store.write(
            lambda unit, scope=found.scope, domain_id=domain_id, schedule=schedule: unit.retention.put(
                scope, domain_id, schedule, key_id=COMMAND
            )
        )
        count += 1
    return count


def _batches(ledger: ReadLedger | None, manifest: BackupManifest) -> Iterator[list[LedgerEntry]]:
    gathered: list[LedgerEntry] = []
    for entry in () if ledger is None else ledger.entries(behind=manifest.ledger_position):
        gathered.append(entry)
        if len(gathered) == _ENTRIES_AT_ONCE:
            yield gathered
            gathered = []
    if gathered:
        yield gathered


def _kind(word: str) -> DeletionKind:
    try:
        return DeletionKind(word)
    except ValueError:
        raise RestoreRefused(
            f"the ledger has deletions of a kind that this version does not know ({word}); restore with the version "
            "that wrote it, or a newer one"
        ) from None


def _deletion(entry: LedgerEntry) -> Deletion:
    return Deletion(
        scope=Scope(account_id=entry.account_id, region=entry.region),
        deletion_id=entry.deletion_id,
        request_id=entry.request_id,
        who=entry.who,
        why=DeletionReason(entry.why),
        created_at=time_of(entry.created_at),
        position=entry.position,
        entry_digest=bytes.fromhex(entry.digest),
        items=tuple(
            DeletedItem(
                kind=_kind(item.kind),
                identity_digest=bytes.fromhex(item.digest),
                destroyed_key_id=item.destroyed_key_id,
                voiceprints=item.voiceprints,
            )
            for item in entry.items
        ),
    )


def _drop_media(store: Store, media: Path) -> None:
    """Delete the media of streams that have no record any more: their key is gone."""
    if not media.is_dir():
        return
    known = {
        StreamIdentity(account_id=account, stream_arn=stream.arn).digest
        for account, stream in all_records(store.streams.list_everywhere)
    }
    for folder in media.iterdir():
        if folder.is_dir() and folder.name not in known:
            shutil.rmtree(folder)


def _put_in_place(order: RestoreOrder, partial: Path) -> None:
    """Give everything its name, the records last. What a kill leaves in the middle, `clear_cut_short` undoes."""
    moving = [name for name in (_MEDIA, MASTER_KEY_FILE) if (partial / name).exists()]
    _write_files(partial, iter([_marker(moving)]))
    if (partial / _MEDIA).is_dir():
        order.media_folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _move(partial / _MEDIA, order.media_folder)
    if (partial / MASTER_KEY_FILE).exists():
        _move(partial / MASTER_KEY_FILE, order.master_key_file)
    if _is_sqlite(order):
        _close_log(partial / SQLITE_FILE)
        target = Path(order.store_url.removeprefix("sqlite:///"))
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _move(partial / SQLITE_FILE, target)
    else:
        finish_postgres(order.store_url, wait_seconds_max=order.wait_seconds_max)
    shutil.rmtree(partial, ignore_errors=True)


def _marker(moving: list[str]) -> BackedFile:
    content = json.dumps(moving).encode()
    return BackedFile(name=_MOVING, size=len(content), blocks=iter([content]))


def _close_log(path: Path) -> None:
    """Have all of a database in its one file."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    log = path.with_name(f"{path.name}-wal")
    if log.exists() and log.stat().st_size:
        raise RestoreRefused(f"{path} is in use by another program; stop that, and run this again")
    for file in (log, path.with_name(f"{path.name}-shm")):
        file.unlink(missing_ok=True)


def _move(source: Path, target: Path) -> None:
    """Rename; onto another file system, copy beside the target and rename there."""
    if target.is_dir() and source.is_dir():
        target.rmdir()  # an empty one; whoever asked for the restore has looked
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise RestoreRefused(f"{target} cannot be written: {error.strerror or error}") from error
        beside = target.with_name(f".{target.name}.restore")
        shutil.rmtree(beside, ignore_errors=True)
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, beside)
        beside.rename(target)
    descriptor = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
