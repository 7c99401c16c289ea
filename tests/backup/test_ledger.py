"""The ledger of deletions: told within a look, told that there was nothing, and altered by nobody unnoticed."""

import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from restored_examples import keeper_of
from store_examples import MINE, Clock, add_domain

from earwitness.backup.documents import BackupManifest
from earwitness.backup.ledger import read_ledger
from earwitness.backup.places import FolderPlace, Place
from earwitness.errors import BackupInvalid, BackupPlaceUnavailable
from earwitness.store.store import Store

pytestmark = pytest.mark.usefixtures("manifest")


def _delete(store: Store, count: int = 1) -> None:
    for _ in range(count):
        domain = store.write(add_domain)
        store.write(lambda unit, domain=domain: unit.domains.delete(MINE, domain.domain_id))


def _positions(place: Path, name: str) -> list[int]:
    ledger = read_ledger(FolderPlace(place), name, key=None)
    assert ledger is not None
    return [entry.position for entry in ledger.entries(behind=0)]


def _behind(store: Store) -> int:
    counted = store.counts.ledgers()
    assert counted is not None
    return counted.behind


def _files(place: Path) -> list[Path]:
    return sorted(place.glob("ledger/*/*.jsonl"))


def test_a_deletion_is_in_the_ledger_after_the_next_look(
    store: Store, place: Path, clock: Clock, manifest: BackupManifest
) -> None:
    keeper = keeper_of(store, clock)
    _delete(store, 3)
    keeper.look()
    assert _positions(place, manifest.ledger) == [1, 2, 3]
    _delete(store)
    keeper.look()
    assert _positions(place, manifest.ledger) == [1, 2, 3, 4]
    assert _behind(store) == 0


def test_a_ledger_is_told_every_minute_that_nothing_was_deleted(
    store: Store, place: Path, clock: Clock, manifest: BackupManifest
) -> None:
    keeper = keeper_of(store, clock)
    heads = set()
    for _ in range(3):
        clock.advance(timedelta(seconds=61))
        keeper.look()
        heads.add((place / "ledger" / manifest.ledger / "head.json").read_bytes())
        keeper.look()
        heads.add((place / "ledger" / manifest.ledger / "head.json").read_bytes())
    assert len(heads) == 3
    assert _files(place) == []


class _Away:
    """A place that cannot be reached while it is away."""

    def __init__(self, folder: Path) -> None:
        self._place, self.is_away = FolderPlace(folder), False
        self.address = self._place.address

    def _require(self) -> Place:
        if self.is_away:
            raise BackupPlaceUnavailable("the place is away; try again")
        return self._place

    def put(self, name: str, content: bytes) -> None:
        self._require().put(name, content)

    def put_soon(self, name: str, content: memoryview) -> None:
        self._require().put_soon(name, content)

    def settle(self, names: Sequence[str]) -> None:
        self._require().settle(names)

    def get(self, name: str) -> bytes:
        return self._require().get(name)

    def names(self, prefix: str) -> list[str]:
        return self._require().names(prefix)

    def delete(self, name: str) -> None:
        self._require().delete(name)


def test_a_place_that_was_away_gets_everything_later(
    store: Store, place: Path, clock: Clock, manifest: BackupManifest
) -> None:
    away = _Away(place)
    keeper = keeper_of(store, clock, place_of=lambda _: away)
    away.is_away = True
    _delete(store, 2)
    keeper.look()
    (noted,) = store.backups.places()
    assert noted.last_error == "the place is away; try again"
    assert _behind(store) == 2
    away.is_away = False
    keeper.look()
    assert _positions(place, manifest.ledger) == []  # not before it is time to try again
    clock.advance(timedelta(seconds=31))
    keeper.look()
    assert _positions(place, manifest.ledger) == [1, 2]
    assert store.backups.places()[0].last_error is None


def test_what_a_kill_left_unnoted_is_written_once_more_the_same(
    store: Store, place: Path, clock: Clock, manifest: BackupManifest
) -> None:
    _delete(store, 2)
    keeper_of(store, clock).look()
    store.write(lambda unit: unit.backups.told(str(place), position=0))  # as if it had not come to the note
    _delete(store)
    keeper_of(store, clock).look()
    assert [path.name[:25] for path in _files(place)] == ["000000000001-000000000002", "000000000001-000000000003"]
    assert _positions(place, manifest.ledger) == [1, 2, 3]


def _drop_a_line(lines: list[bytes]) -> list[bytes]:
    return lines[:2] + lines[3:]


def _double_a_line(lines: list[bytes]) -> list[bytes]:
    return [*lines[:3], lines[2], *lines[3:]]


def _swap_lines(lines: list[bytes]) -> list[bytes]:
    return [lines[1], lines[0], *lines[2:]]


def _cut_the_end(lines: list[bytes]) -> list[bytes]:
    return lines[:-10]


def _change_a_word(lines: list[bytes]) -> list[bytes]:
    return [lines[0].replace(b"expired", b"requested"), *lines[1:]]


def _replace_by_its_own_hash(lines: list[bytes]) -> list[bytes]:
    """An entry that was changed, with the hash that it would have now: the next one does not follow."""
    from earwitness.backup.documents import LedgerEntry, decode, encode, entry_with
    from earwitness.backup.ledger import _digest_of

    entry = decode(lines[4].replace(b'"domain"', b'"stream"'), LedgerEntry)
    return [*lines[:4], encode(entry_with(entry, digest=_digest_of(entry))), *lines[5:]]


@pytest.mark.parametrize(
    "alter",
    [_drop_a_line, _double_a_line, _swap_lines, _cut_the_end, _change_a_word, _replace_by_its_own_hash],
    ids=lambda alter: alter.__name__.strip("_"),
)
def test_an_altered_ledger_is_noticed(
    store: Store,
    place: Path,
    clock: Clock,
    manifest: BackupManifest,
    alter: Callable[[list[bytes]], list[bytes]],
) -> None:
    _delete(store, 12)
    keeper_of(store, clock).look()
    (file,) = _files(place)
    file.write_bytes(b"\n".join(alter(file.read_bytes().splitlines())) + b"\n")
    with pytest.raises(BackupInvalid, match="altered or cut"):
        _positions(place, manifest.ledger)


def test_an_end_that_is_missing_as_whole_files_is_noticed(
    store: Store, place: Path, clock: Clock, manifest: BackupManifest
) -> None:
    keeper = keeper_of(store, clock)
    for _ in range(3):
        _delete(store, 2)
        keeper.look()
    first, middle, last = _files(place)
    kept = last.read_bytes()
    last.unlink()
    with pytest.raises(BackupInvalid, match="ends at entry 4, and its head says 6"):
        _positions(place, manifest.ledger)
    last.write_bytes(kept)
    middle.unlink()
    with pytest.raises(BackupInvalid, match="entries 3 to 4 are missing"):
        _positions(place, manifest.ledger)
    assert first.exists()


def test_a_head_that_was_changed_is_noticed(store: Store, place: Path, clock: Clock, manifest: BackupManifest) -> None:
    _delete(store)
    keeper_of(store, clock).look()
    path = place / "ledger" / manifest.ledger / "head.json"
    head = json.loads(path.read_bytes())
    for name, value in {"position": 0, "toldAt": "2027-01-01T00:00:00.000000Z", "digest": "00" * 32}.items():
        path.write_text(json.dumps({**head, name: value}), encoding="utf-8")
        with pytest.raises(BackupInvalid, match="was changed"):
            _positions(place, manifest.ledger)


def test_a_ledger_names_nobody(store: Store, place: Path, clock: Clock) -> None:
    domain = store.write(add_domain)
    store.write(lambda unit: unit.domains.delete(MINE, domain.domain_id))
    keeper_of(store, clock).look()
    written = b"".join(path.read_bytes() for path in place.rglob("ledger/*/*"))
    assert domain.domain_id.encode() not in written
    assert domain.name.encode() not in written
