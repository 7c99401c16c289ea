"""Makes a backup of records and media that are in use.

The manifest is written last: what has none was cut short, and counts as nothing. The records are told of a backup
before it begins, so that a deletion certificate counts one that may exist as one that does.
"""

import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from earwitness import __version__
from earwitness.backup.contents import BackedFile, tar_of
from earwitness.backup.documents import (
    FORMAT,
    MANIFEST,
    VERSION,
    BackupManifest,
    BackupPart,
    signed_manifest,
    time_text,
)
from earwitness.backup.keeping import LedgerKeeper
from earwitness.backup.parts import PartWriter
from earwitness.backup.places import FolderPlace, Place
from earwitness.errors import BackupPlaceUnavailable
from earwitness.progress import Progress
from earwitness.store.deletion_records import BackupRecord
from earwitness.store.rotation import INSTALLATION
from earwitness.store.snapshots import RecordsSnapshot, snapshot_of
from earwitness.store.store import Store, Unit

BACKUPS = "backups"
MASTER_KEY_FILE, SALT_FILE = "master.key", "salt"
KINDS = ("records", "media", "salt", "master-key")
"""Of parts, in their order."""

COMMAND = "earwitness backup"
"""Who did it, in the audit trail."""

_STREAM = re.compile("[0-9a-f]{64}")
_MEDIA = re.compile(r"\d{20}\.(segment|index)|sequence|lost")
_BESIDE_STREAMS = ("records", "node")
_BLOCK_BYTES = 2**20
_HEADERS = 1_024


@dataclass(frozen=True, kw_only=True)
class BackupOrder:
    """What is to be backed up, and for whom."""

    store_url: str
    wait_seconds_max: float
    #: None for a backup without media.
    media_folder: Path | None
    #: The public key of age that it is for; None not to encrypt it.
    recipient: str | None
    #: In base64; None for a backup without it.
    master_key: str | None
    #: With what the master key is made of a passphrase, where it is; it is no secret, and without it nothing opens.
    salt_file: Path
    days_max: float


def make_backup(
    store: Store,
    place: Place,
    order: BackupOrder,
    *,
    keeper: LedgerKeeper,
    clock: Callable[[], datetime],
    show: Progress,
) -> BackupManifest:
    """Make a backup and return its manifest; whatever ends it before leaves nothing that counts as one.

    Raise BackupPlaceUnavailable, StoreUnavailable and StoreError.
    """
    signer = store.signer()  # is in the records from now on, and so in the backup
    ledger = keeper.add_place(place.address)
    keeper.tell(place.address)
    now = clock()
    backup = BackupRecord(
        backup_id=f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}",
        place=place.address,
        created_at=now,
        expires_at=now + timedelta(days=order.days_max),
        with_media=order.media_folder is not None,
        position=store.deletions.head()[0],
        deleted_at=None,
    )
    store.write(lambda unit: _begin(unit, backup))
    try:
        with snapshot_of(order.store_url, wait_seconds_max=order.wait_seconds_max) as snapshot:
            parts = _write(place, backup.backup_id, order, snapshot, show)
        manifest = _manifest(backup, order, snapshot, parts, ledger=ledger, public_key=signer.public.text)
        place.put(f"{BACKUPS}/{backup.backup_id}/{MANIFEST}", signed_manifest(manifest, signer))
    except BaseException:
        _clear(store, place, backup.backup_id)
        raise
    keeper.tell(place.address)  # a ledger that is newer than the backup
    return manifest


def _begin(unit: Unit, backup: BackupRecord) -> None:
    """Keep that a backup is being made, and in the audit trail who took the records out: also when it fails later."""
    unit.backups.add(backup)
    unit.audit.append(
        INSTALLATION,
        key_id=COMMAND,
        operation="BeginBackup",
        resource_arn=f"backup/{backup.backup_id}",
        outcome="done",
        request_id="",
    )


def delete_backup(store: Store, place: Place, backup_id: str) -> None:
    """Delete a backup: its manifest first, so that half of one counts for nothing. Raise BackupPlaceUnavailable."""
    prefix = f"{BACKUPS}/{backup_id}/"
    names = place.names(prefix)
    for name in sorted(names, key=lambda one: one != prefix + MANIFEST):
        place.delete(name)
    store.write(lambda unit: unit.backups.set_deleted(backup_id))


def _clear(store: Store, place: Place, backup_id: str) -> None:
    """Delete what there is of a backup that failed; `backup prune` does it where this cannot."""
    try:
        delete_backup(store, place, backup_id)
    except BackupPlaceUnavailable:
        return


def _write(
    place: Place, backup_id: str, order: BackupOrder, snapshot: RecordsSnapshot, show: Progress
) -> list[BackupPart]:
    folder = order.media_folder
    media = 0 if folder is None else sum(file.stat().st_size for file in _media_files(folder) if file.exists())
    total = snapshot.size + media
    _require_room(place, total)
    done = 0

    def written(size: int) -> None:
        nonlocal done
        done += size
        show("backing up", min(done, total), total)

    with PartWriter(place, f"{BACKUPS}/{backup_id}", recipient=order.recipient, written=written) as writer:
        files = (BackedFile(name=one.name, size=one.size, blocks=one.blocks) for one in snapshot.files)
        writer.write("records", tar_of(files))
        if folder is not None:
            writer.write("media", tar_of(_media(folder)))
        if order.salt_file.is_file():
            writer.write("salt", tar_of([_small(SALT_FILE, order.salt_file.read_bytes())]))
        if order.master_key is not None:
            content = order.master_key.strip().encode() + b"\n"
            writer.write("master-key", tar_of([_small(MASTER_KEY_FILE, content)]))
        writer.settle()
    return writer.parts


def _small(name: str, content: bytes) -> BackedFile:
    return BackedFile(name=name, size=len(content), blocks=iter([content]))


def _manifest(
    backup: BackupRecord,
    order: BackupOrder,
    snapshot: RecordsSnapshot,
    parts: list[BackupPart],
    *,
    ledger: str,
    public_key: str,
) -> BackupManifest:
    return BackupManifest(
        format=FORMAT,
        version=VERSION,
        backup_id=backup.backup_id,
        created_at=time_text(backup.created_at),
        expires_at=time_text(backup.expires_at),
        writer=__version__,
        database=snapshot.kind,
        schema=snapshot.schema,
        counts=snapshot.counts,
        recipient=order.recipient,
        with_media=backup.with_media,
        with_master_key=order.master_key is not None,
        ledger=ledger,
        ledger_position=backup.position,
        parts=tuple(parts),
        public_key=public_key,
    )


def _media(folder: Path) -> Iterator[BackedFile]:
    """Yield the files of media as long as they are now; one that goes meanwhile is left out, as it has expired."""
    for path in _media_files(folder):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue
        try:
            size = os.fstat(descriptor).st_size
            name = path.relative_to(folder).as_posix()
            yield BackedFile(name=name, size=size, blocks=_blocks(descriptor, size))
        finally:
            os.close(descriptor)


def _media_files(folder: Path) -> Iterator[Path]:
    yield from (folder / name for name in _BESIDE_STREAMS if (folder / name).is_file())
    if not folder.is_dir():
        return
    for stream in sorted(one for one in folder.iterdir() if _STREAM.fullmatch(one.name)):
        try:
            # An index is read before its segment, so that it tells of nothing that is not there.
            names = sorted(one.name for one in stream.iterdir() if _MEDIA.fullmatch(one.name))
        except FileNotFoundError:
            continue
        yield from (stream / name for name in names)


def _blocks(descriptor: int, size: int) -> Iterator[bytes]:
    while size > 0 and (block := os.read(descriptor, min(_BLOCK_BYTES, size))):
        size -= len(block)
        yield block


def _require_room(place: Place, size: int) -> None:
    """Raise BackupPlaceUnavailable when a folder's disk has no room for so many bytes; a bucket has."""
    if isinstance(place, FolderPlace):
        free = shutil.disk_usage(place.address).free
        if free < size + _HEADERS:
            raise BackupPlaceUnavailable(
                f"{place.address} has room for {free:,} bytes, and the backup needs {size:,}; make room, or name "
                "another place"
            )
