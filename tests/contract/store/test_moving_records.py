"""Records move from SQLite to PostgreSQL whole or not at all, and every row is the same there."""

import random
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from postgres_server import create_database, drop_database, url_of
from sqlalchemy import Column, Connection, Table, insert, select, text, update
from store_examples import MINE, START, add_domain, add_pipeline, opened

from earwitness.errors import (
    AnotherProcessServes,
    ConfigurationError,
    InstallationIncomplete,
    StoreDamaged,
    StoreError,
    StoreUnavailable,
)
from earwitness.progress import not_shown
from earwitness.store import moving
from earwitness.store.audit_schema import audit_entries
from earwitness.store.columns import Binary, Document, PlainText, Real, Time, Word
from earwitness.store.leading import Leader
from earwitness.store.master_key_schema import vault_checks
from earwitness.store.moving import MovedRecords, move_records
from earwitness.store.schema import domains, events, service_leaders, tags
from earwitness.store.store import Store
from earwitness.store.tables import metadata

NUMBERED = (events.c.sequence, audit_entries.c.entry_id)
ME = Leader(holder="me", host="here", process=1)


@pytest.fixture
def source(sqlite_template: Path, tmp_path: Path) -> Path:
    path = tmp_path / "records.db"
    path.write_bytes(sqlite_template.read_bytes())
    return path


@pytest.fixture
def target(postgres_server: str) -> Iterator[str]:
    name = create_database(postgres_server)
    yield url_of(postgres_server, name)
    drop_database(postgres_server, name)


def at(source: Path) -> Store:
    return opened(f"sqlite:///{source}")


def move(source: Path, target: str, progress: Callable[[str, int, int], None] = not_shown) -> MovedRecords:
    return move_records(source, target, me=ME, wait_seconds_max=20.0, progress=progress)


def change(url: str, work: Callable[[Connection], object]) -> None:
    with closing(opened(url)) as store, store._database.engine.begin() as connection:
        work(connection)


def rows_of(url: str) -> dict[str, list[dict[str, Any]]]:
    with closing(opened(url)) as store, store._database.engine.connect() as connection:
        return {
            table.name: [dict(row) for row in connection.execute(select(table).order_by(*table.primary_key)).mappings()]
            for table in metadata.sorted_tables
        }


def value_of(column: Column[Any]) -> object:
    """A value of a column's kind, the same wherever the name is; a column that hangs on another has that one's."""
    column = next((key.column for key in column.foreign_keys), column)
    match column.type:
        case Word(words=words):
            return next(iter(words))
        case Document():
            return {column.name: ["ä", 1, 0.1, None, {"\ud7ff": True}]}
        case PlainText():
            return f"{column.name} \U0001f4de"
        case Time():
            return START
        case Real():
            return 0.1
        case Binary():
            return b"\0\xff" + column.name.encode()
        case _:
            return 7


def fill(connection: Connection) -> None:
    """Add a row to every table."""
    connection.execute(text("PRAGMA foreign_keys = ON"))
    for table in metadata.sorted_tables:
        if table is not vault_checks:
            connection.execute(insert(table), {column.name: value_of(column) for column in table.columns})


def test_every_row_of_every_table_arrives_as_it_was(source: Path, target: str) -> None:
    change(f"sqlite:///{source}", fill)
    before = rows_of(f"sqlite:///{source}")
    assert all(len(rows) == 1 for rows in before.values())
    told: list[tuple[int, int]] = []
    moved = move(source, target, lambda _, done, total: told.append((done, total)))
    assert rows_of(target) == {**before, service_leaders.name: []}
    assert moved.rows == {name: 1 for name in before if name != service_leaders.name}
    assert told[-1] == (2 * len(moved.rows) - 1, 2 * len(moved.rows) - 1)  # the first row says whose they are
    assert moved.former == source.with_name("records.db.moved")
    left = {file.name for file in source.parent.glob("records.db*")}
    assert left == {"records.db.lock", "records.db.moved"}


def test_the_moved_records_are_of_use(source: Path, target: str) -> None:
    with closing(at(source)) as store:
        domain, pipeline = store.write(lambda unit: (add_domain(unit), add_pipeline(unit, metadata={"a": "b"})))
        identity, signs_with = store.identity, store.signer().public.text
    move(source, target)
    with closing(opened(target)) as store:
        assert store.domains.get(MINE, domain.domain_id) == domain
        assert store.pipelines.get(MINE, pipeline.pipeline_id) == pipeline
        assert (store.identity, store.signer().public.text) == (identity, signs_with)


def test_numbers_go_on_behind_all_that_were_ever_given(source: Path, target: str) -> None:
    def rows(table: Table, **given: object) -> dict[str, object]:
        return {column.name: value_of(column) for column in table.columns if column not in NUMBERED} | given

    def three_of_which_one_stays(connection: Connection) -> None:
        for number in (1, 2, 3):
            connection.execute(insert(events), rows(events, event_id=f"e{number}"))
        connection.execute(events.delete().where(events.c.sequence > 1))

    def one_more(connection: Connection) -> None:
        connection.execute(insert(events), rows(events, event_id="e4"))
        connection.execute(insert(audit_entries), rows(audit_entries))

    change(f"sqlite:///{source}", three_of_which_one_stays)
    move(source, target)
    change(target, one_more)
    after = rows_of(target)
    assert [row["sequence"] for row in after["outbox_events"]] == [1, 4]
    assert [row["entry_id"] for row in after["audit_entries"]] == [1]


@pytest.mark.parametrize("seed", range(3))
def test_thousands_of_rows_lie_in_one_order_in_both(source: Path, target: str, seed: int) -> None:
    letters = random.Random(seed)
    keys = {
        "".join(chr(letters.choice([*range(1, 0x100), *range(0xE000, 0x10000), 0x1F4DE])) for _ in range(4))
        for _ in range(1_234)
    }
    many = [
        {"account_id": "1", "region": "r", "resource_arn": "a", "tag_key": key, "tag_value": "v"}
        for key in sorted(keys)
    ]
    change(f"sqlite:///{source}", lambda connection: connection.execute(insert(tags), many))
    assert move(source, target).rows["tags"] == len(keys)


def test_what_is_interrupted_leaves_nothing_and_can_be_run_again(source: Path, target: str) -> None:
    change(f"sqlite:///{source}", fill)
    before = rows_of(f"sqlite:///{source}")

    def interrupt(doing: str, _done: int, _total: int) -> None:
        assert doing == "comparing"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        move(source, target, interrupt)
    assert rows_of(f"sqlite:///{source}") == before
    move(source, target)
    assert rows_of(target) == {**before, service_leaders.name: []}


def test_what_is_killed_after_the_commit_ends_when_it_is_run_again(
    source: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(f"sqlite:///{source}", fill)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(moving, "_put_away", killed)
        move(source, target)
    assert source.exists()
    move(source, target)
    assert not source.exists()


def test_records_that_were_served_since_are_not_moved_again(source: Path, target: str) -> None:
    change(f"sqlite:///{source}", fill)
    copy = source.read_bytes()
    moved = move(source, target)
    change(target, lambda connection: connection.execute(update(domains).values(version=8)))
    after = rows_of(target)
    source.write_bytes(copy)
    moved.former.rename(source.with_name("elsewhere"))
    with pytest.raises(StoreError, match="voice_profile_domains differs"):
        move(source, target)
    assert rows_of(target) == after
    assert source.exists()


def test_a_database_of_others_is_refused(source: Path, target: str) -> None:
    with closing(opened(target)) as store:
        store.write(add_domain)
    before = rows_of(target)
    with pytest.raises(InstallationIncomplete, match="holds other records"):
        move(source, target)
    change(target, lambda connection: connection.execute(vault_checks.delete()))
    with pytest.raises(InstallationIncomplete, match="rows of nobody's"):
        move(source, target)
    change(target, lambda connection: connection.execute(vault_checks.delete()))
    assert {**rows_of(target), vault_checks.name: []} == {**before, vault_checks.name: []}


def test_nothing_moves_while_a_service_uses_the_records(source: Path, target: str) -> None:
    with closing(at(source)) as store:
        assert store.leading.claim(ME) is None
        with pytest.raises(AnotherProcessServes, match="stop it"):
            move(source, target)
        store.leading.release()
    move(source, target)


def test_what_cannot_be_moved_is_named(source: Path, target: str, tmp_path: Path) -> None:
    with pytest.raises(InstallationIncomplete, match="no records in"):
        move(tmp_path / "nowhere.db", target)
    with pytest.raises(ConfigurationError, match="postgresql://"):
        move(source, f"sqlite:///{tmp_path / 'other.db'}")
    with pytest.raises(StoreUnavailable, match="no such database"):
        move(source, f"{target}_that_is_not_there")
    former = source.with_name("records.db.moved")
    former.touch()
    with pytest.raises(InstallationIncomplete, match="of another move"):
        move(source, target)
    former.unlink()
    change(
        f"sqlite:///{source}",
        lambda connection: connection.execute(text("UPDATE alembic_version SET version_num = '0004'")),
    )
    with pytest.raises(StoreError, match="earwitness migrate"):
        move(source, target)


def test_a_damaged_record_stays_where_it_is(source: Path, target: str) -> None:
    change(f"sqlite:///{source}", fill)
    change(f"sqlite:///{source}", lambda connection: connection.execute(text("UPDATE configurations SET body = '{'")))
    with pytest.raises(StoreUnavailable, match="damaged"):
        move(source, target)
    (source.parent / "no.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreDamaged):
        move(source.parent / "no.db", target)
    assert source.exists()
