"""A signed file of entries shows by itself what was done to it, and which entry it begins at."""

import json
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_examples import MINE, OTHERS, opened

from earwitness.audit.checkpoints import AuditCheckpoint, ReadCheckpoint
from earwitness.audit.entry_files import read_file
from earwitness.audit.export import export_entries
from earwitness.audit.folder import AuditFolder, chain_name
from earwitness.audit.verify import verify_files
from earwitness.errors import AuditPlaceUnavailable
from earwitness.progress import not_shown
from earwitness.store.audit_records import AuditFilter
from earwitness.store.store import Store, Unit
from earwitness.vault.data_key import DataKey
from earwitness.vault.signing import Signer

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
ENTRIES = 30


def _fill(store: Store, key_id: str = "AKIA") -> None:
    for number in range(ENTRIES):

        def append(unit: Unit, number: int = number) -> None:
            unit.audit.append(
                MINE if number % 3 else OTHERS[0],
                key_id=key_id,
                operation=f"Operation{number}",
                resource_arn="",
                outcome="done",
                request_id="",
            )

        store.write(append)


class Exported:
    """A file of all entries, and one of some."""

    def __init__(self, folder: Path) -> None:
        with closing(opened(f"sqlite:///{folder / 'records.db'}")) as store:
            _fill(store)
            self.key = store.signer().public
            paths = folder / "whole.jsonl", folder / "some.jsonl"
            export_entries(store, paths[0], AuditFilter(), now=NOW, progress=not_shown)
            some = AuditFilter(account_id=MINE.account_id, region=MINE.region)
            export_entries(store, paths[1], some, now=NOW, progress=not_shown)
            head = store.audit.head("")
            assert head is not None
            self.head = AuditCheckpoint(node="", number=head[0], digest=head[1], time=NOW)
        self.whole, self.some = (path.read_bytes().splitlines(keepends=True) for path in paths)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return Exported(tmp_path_factory.mktemp("exported"))


def _read(lines: list[bytes], exported: Exported, tmp_path: Path):
    path = tmp_path / "file.jsonl"
    path.write_bytes(b"".join(lines))
    return read_file(path, exported.key)


def test_what_was_exported_is_whole(exported: Exported, tmp_path: Path) -> None:
    whole, some = _read(exported.whole, exported, tmp_path), _read(exported.some, exported, tmp_path)
    assert (whole.problems, whole.entries) == ([], ENTRIES)
    assert (some.problems, some.entries) == ([], ENTRIES - ENTRIES // 3)
    assert sum(b'"previous"' in line for line in exported.whole) == 1
    assert json.loads(exported.some[-1])["filter"]["account_id"] == MINE.account_id


def _removed(lines: list[bytes]) -> list[bytes]:
    return lines[:11] + lines[12:]


def _several_removed(lines: list[bytes]) -> list[bytes]:
    return lines[:11] + lines[14:]


def _doubled(lines: list[bytes]) -> list[bytes]:
    return [*lines[:12], lines[11], *lines[12:]]


def _swapped(lines: list[bytes]) -> list[bytes]:
    return [*lines[:11], lines[12], lines[11], *lines[13:]]


def _cut_off(lines: list[bytes]) -> list[bytes]:
    return [*lines[:-11], lines[-1]]


def _cut_off_with_the_signature(lines: list[bytes]) -> list[bytes]:
    return lines[:-11]


def _changed(lines: list[bytes]) -> list[bytes]:
    return [*lines[:11], lines[11].replace(b"AKIA", b"AKIB"), *lines[12:]]


def _one_bit(lines: list[bytes]) -> list[bytes]:
    return [*lines[:-1], lines[-1].replace(b'"entries":30', b'"entries":31')]


@pytest.mark.parametrize(
    ("done", "number", "says"),
    [
        (_removed, 12, "line 12 of the file is missing: entry 12"),
        (_several_removed, 12, "lines 12 to 14 of the file are missing: entry 12 and the next"),
        (_doubled, 12, "entry 12 is there twice"),
        (_swapped, 12, "put in another order"),
        (_cut_off, 21, "10 entries at the end are missing"),
        (_cut_off_with_the_signature, None, "ends without its signature"),
        (_changed, 12, "entry 12 was changed"),
        (_one_bit, None, "cannot be believed"),
    ],
)
def test_what_was_done_to_a_file_is_named(
    exported: Exported, tmp_path: Path, done: Callable[[list[bytes]], list[bytes]], number: int | None, says: str
) -> None:
    read = _read(done(exported.whole), exported, tmp_path)
    assert [problem.number for problem in read.problems] == [number], read.problems
    assert says in read.problems[0].says


@pytest.mark.parametrize("done", [_removed, _doubled, _swapped, _changed, _cut_off_with_the_signature])
def test_it_is_noticed_in_a_selection_too(
    exported: Exported, tmp_path: Path, done: Callable[[list[bytes]], list[bytes]]
) -> None:
    assert _read(done(exported.some), exported, tmp_path).problems


def test_entries_that_follow_from_each_other_are_not_enough(exported: Exported, tmp_path: Path) -> None:
    """A file whose entries were made anew has another hash than the signed one."""
    with closing(opened(f"sqlite:///{tmp_path / 'others.db'}")) as store:
        _fill(store, "AKIB")
        path = tmp_path / "forged.jsonl"
        export_entries(store, path, AuditFilter(), now=NOW, progress=not_shown)
    forged = path.read_bytes().splitlines(keepends=True)
    read = _read([*forged[:-1], exported.whole[-1]], exported, tmp_path)
    assert "not those that were signed" in read.problems[0].says
    assert "cannot be believed" in _read(forged, exported, tmp_path).problems[0].says


def test_a_file_is_held_against_checkpoints(exported: Exported, tmp_path: Path) -> None:
    path = tmp_path / "whole.jsonl"
    path.write_bytes(b"".join(exported.whole))

    def verdict(checkpoint: AuditCheckpoint):
        known = [ReadCheckpoint(where="elsewhere", checkpoint=checkpoint)]
        return verify_files([path], known, exported.key, not_shown)

    assert verdict(exported.head).is_whole
    other = AuditCheckpoint(node="", number=ENTRIES, digest=b"o" * 32, time=NOW)
    assert "made anew" in verdict(other).problems[0].says


def test_a_hundred_problems_of_all_files_are_enough(exported: Exported, tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.jsonl" for number in range(3)]
    for path in paths:
        path.write_bytes(b"no entry\n" * 60)
    verdict = verify_files(paths, [], exported.key, not_shown)
    assert (len(verdict.problems), verdict.files) == (100, 3)


@given(content=st.binary(max_size=300) | st.text(max_size=200).map(str.encode))
@settings(max_examples=60, deadline=None)
def test_any_other_bytes_are_refused_and_nothing_else(content: bytes, exported: Exported, tmp_path_factory) -> None:
    path = tmp_path_factory.mktemp("hostile") / "hostile.jsonl"
    path.write_bytes(content)
    assert read_file(path, exported.key).problems
    path.write_bytes(b"".join(exported.whole) + content)
    assert bool(read_file(path, exported.key).problems) == bool(content)


def test_a_line_without_end_is_not_read_into_memory(exported: Exported, tmp_path: Path) -> None:
    read = _read([b"[" * 10_000_000], exported, tmp_path)
    assert len(read.problems) == 100


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AuditPlaceUnavailable, match="cannot be written"):
        AuditFolder(tmp_path / "file").add_checkpoint("", b"{}", now=NOW)
    with pytest.raises(AuditPlaceUnavailable, match="cannot be read"):
        read_file(tmp_path / "nothing", Signer(DataKey(b"f" * 32)).public)


def test_a_checkpoint_after_a_torn_line_is_on_a_line_of_its_own(tmp_path: Path) -> None:
    folder = AuditFolder(tmp_path)
    folder.add_checkpoint("", b"{1}", now=NOW)
    (path,) = folder.checkpoint_files()
    path.write_bytes(b"{1}\n{2")
    folder.add_checkpoint("", b"{3}", now=NOW)
    assert path.read_bytes() == b"{1}\n{2\n{3}\n"
    assert path.stat().st_mode & 0o077 == 0


def test_days_long_past_keep_their_last_checkpoint(tmp_path: Path) -> None:
    folder = AuditFolder(tmp_path)
    for month in (1, 3, 11):
        for line in (b"{1}", b"{2}"):
            folder.add_checkpoint("n-1", line, now=datetime(2026, month, 20, tzinfo=UTC))
    folder.thin(now=NOW)
    assert [path.read_bytes() for path in folder.checkpoint_files()] == [b"{2}\n", b"{2}\n", b"{1}\n{2}\n"]
    folder.thin(now=datetime(2027, 3, 1, tzinfo=UTC))
    assert [path.name for path in folder.checkpoint_files()] == ["2026-03-20-n-1.jsonl", "2026-11-20-n-1.jsonl"]


@pytest.mark.parametrize("node", ["../../etc", "a/b", "x" * 500, "\0"])
def test_no_name_of_a_node_climbs(node: str) -> None:
    assert "/" not in chain_name(node) and len(chain_name(node)) < 100 and chain_name(node).isprintable()
