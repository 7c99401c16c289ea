"""What tests of restored records have in common: a place, orders, a second database of the same kind."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from store_examples import MASTER_KEY, Clock, opened, vault

from earwitness.backup.documents import BackupManifest
from earwitness.backup.keeping import LedgerKeeper
from earwitness.backup.making import BackupOrder, make_backup
from earwitness.backup.places import FolderPlace, Place, place_of
from earwitness.backup.restoring import Restored, RestoreOrder, restore
from earwitness.progress import not_shown
from earwitness.store.store import Store


def keeper_of(store: Store, clock: Clock, *, second_place: str = "", place_of: Callable[[str], Place] = place_of):
    return LedgerKeeper(store, place_of=place_of, second_place=second_place, backup_days_max=35, clock=clock)


def backup_of(
    store: Store,
    url: str,
    place: Path,
    clock: Clock,
    *,
    media: Path | None = None,
    recipient: str | None = None,
    meanwhile: Callable[[], object] = lambda: None,
) -> BackupManifest:
    """A backup; `meanwhile` is what happens when it has told the ledger and has not looked at the records yet."""

    def now() -> datetime:
        meanwhile()
        return clock()

    order = BackupOrder(
        store_url=url,
        wait_seconds_max=20.0,
        media_folder=media,
        recipient=recipient,
        master_key=None,
        salt_file=place / "no-salt",
        days_max=35,
    )
    keeper = keeper_of(store, clock)
    return make_backup(store, FolderPlace(place), order, keeper=keeper, clock=now, show=not_shown)


def order_for(url: str, folder: Path, **changes) -> RestoreOrder:
    """Where a backup goes: a database, and a folder for all else."""
    order = RestoreOrder(
        data_dir=folder,
        store_url=url,
        wait_seconds_max=20.0,
        media_folder=folder / "media",
        master_key_file=folder / "master.key",
        salt_file=folder / "no-salt",
        vault=vault,
        vault_of=lambda _: vault(MASTER_KEY),
        identity=None,
        ledgers=(),
        accept_resurrection=False,
    )
    return replace(order, **changes)


def restored(place: Path, order: RestoreOrder, clock: Clock, *, backup_id: str | None = None) -> Restored:
    return restore(FolderPlace(place), backup_id, order, clock=clock, show=not_shown)


@contextmanager
def reopened(url: str, clock: Clock) -> Iterator[Store]:
    store = opened(url, clock=clock)
    try:
        yield store
    finally:
        store.close()


def copied(place: Path, other: Path) -> Path:
    """A place as it is now."""
    shutil.copytree(place, other)
    return other
