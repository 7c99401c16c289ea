"""Backups that somebody cut, changed or put together anew: each is refused with what to do, and nothing is restored."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from restored_examples import backup_of, order_for, restored
from store_examples import MINE, Clock, add_domain, opened

from earwitness.backup.checking import list_backups, verify_backup
from earwitness.backup.documents import BackupManifest
from earwitness.backup.places import FolderPlace
from earwitness.errors import BackupInvalid
from earwitness.progress import not_shown
from earwitness.store.store import Store
from earwitness.vault.age import new_identity

SECRET, PUBLIC = new_identity()


def _verify(place: Path, *, identity: str | None = None) -> BackupManifest:
    return verify_backup(FolderPlace(place), None, identity=identity, key=None, show=not_shown).manifest


def _truncate(backup: Path, _: Path) -> None:
    part = backup / "records-000001.tar-part"
    part.write_bytes(part.read_bytes()[:-1])


def _flip(backup: Path, _: Path) -> None:
    part = backup / "records-000001.tar-part"
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)


def _lose(backup: Path, _: Path) -> None:
    (backup / "records-000001.tar-part").unlink()


def _swap(backup: Path, other: Path) -> None:
    shutil.copy(other / "records-000001.tar-part", backup / "records-000001.tar-part")


def _foreign_manifest(backup: Path, other: Path) -> None:
    shutil.copy(other / "manifest.json", backup / "manifest.json")


def _change_the_manifest(backup: Path, _: Path) -> None:
    path = backup / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "recipient": None, "withMasterKey": True}))


def _climb(backup: Path, _: Path) -> None:
    path = backup / "manifest.json"
    manifest = json.loads(path.read_bytes())
    manifest["parts"][0]["name"] = "../../../etc/passwd"
    path.write_text(json.dumps(manifest))


def _no_json(backup: Path, _: Path) -> None:
    (backup / "manifest.json").write_bytes(b"[" * 100_000)


@pytest.mark.parametrize(
    "break_it",
    [_truncate, _flip, _lose, _swap, _foreign_manifest, _change_the_manifest, _climb, _no_json],
    ids=lambda one: one.__name__.strip("_"),
)
def test_what_was_done_to_a_backup_is_noticed(
    store: Store, url: str, place: Path, clock: Clock, tmp_path: Path, break_it: Callable[[Path, Path], None]
) -> None:
    other = tmp_path / "other"
    elsewhere = f"sqlite:///{tmp_path / 'elsewhere' / 'records.db'}"
    others = opened(elsewhere, clock=clock)
    foreign = backup_of(others, elsewhere, other, clock)
    others.close()
    manifest = backup_of(store, url, place, clock)
    assert _verify(place) == manifest
    break_it(place / "backups" / manifest.backup_id, other / "backups" / foreign.backup_id)
    with pytest.raises(BackupInvalid):
        verify_backup(FolderPlace(place), manifest.backup_id, identity=None, key=None, show=not_shown)
    target = f"sqlite:///{tmp_path / 'new' / 'records.db'}"
    with pytest.raises(BackupInvalid):
        restored(place, order_for(target, tmp_path / "new"), clock, backup_id=manifest.backup_id)
    assert not (tmp_path / "new").exists() or list((tmp_path / "new").iterdir()) == []


def test_a_backup_without_a_manifest_is_none(store: Store, url: str, place: Path, clock: Clock) -> None:
    first = backup_of(store, url, place, clock)
    second = backup_of(store, url, place, clock)
    (place / "backups" / second.backup_id / "manifest.json").unlink()
    listed = {one.backup_id: one.damage for one in list_backups(FolderPlace(place))}
    assert listed == {first.backup_id: "", second.backup_id: "cut short, or being made"}
    assert _verify(place) == first  # the newest that is whole


def test_an_encrypted_backup_opens_with_its_key_alone(
    store: Store, url: str, place: Path, clock: Clock, tmp_path: Path
) -> None:
    store.write(lambda unit: add_domain(unit, domain_id="vpd-of-somebody"))
    manifest = backup_of(store, url, place, clock, recipient=PUBLIC)
    assert all(b"vpd-of-somebody" not in path.read_bytes() for path in place.rglob("*") if path.is_file())
    assert _verify(place) == _verify(place, identity=SECRET) == manifest
    with pytest.raises(BackupInvalid, match="does not open with this key"):
        _verify(place, identity=new_identity()[0])
    target = f"sqlite:///{tmp_path / 'new' / 'records.db'}"
    with pytest.raises(BackupInvalid, match="--key"):
        restored(place, order_for(target, tmp_path / "new"), clock)
    restored(place, order_for(target, tmp_path / "new", identity=SECRET), clock)
    again = opened(target, clock=clock)
    assert again.domains.get(MINE, "vpd-of-somebody") is not None
    again.close()
