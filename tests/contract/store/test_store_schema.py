"""The migrations and the tables in schema.py are the same thing."""

import threading
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from former_schemas import lend_columns, take_columns_back
from search_examples import add_task
from sqlalchemy import Connection, inspect, text
from store_examples import MINE, add_domain, add_pipeline, opened

from earwitness.errors import StoreError
from earwitness.store import migrate
from earwitness.store.columns import EVERYWHERE, Binary, Form, from_microseconds, secrecy
from earwitness.store.schema import HEAD, metadata
from earwitness.store.sqlite import Sqlite
from earwitness.store.store import Store, Unit, migrate_store


def test_the_newest_migration_is_the_schema_we_name() -> None:
    config = Config()
    config.set_main_option("script_location", str(migrate._FOLDER))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


def _described(connection: Connection) -> dict[str, object]:
    found = inspect(connection)

    def in_order(things):
        return sorted(things, key=str)

    def columns(table: str):
        return [(c["name"], str(c["type"]), c["nullable"], c["default"]) for c in found.get_columns(table)]

    def indexes(table: str):
        for index in found.get_indexes(table):
            options = {name: str(value) for name, value in index.get("dialect_options", {}).items()}
            yield {**index, "dialect_options": options}

    return {
        table: {
            "columns": columns(table),
            "key": found.get_pk_constraint(table),
            "unique": in_order(found.get_unique_constraints(table)),
            "foreign": in_order(found.get_foreign_keys(table)),
            "indexes": in_order(indexes(table)),
        }
        for table in metadata.tables
    }


def test_migrations_make_exactly_the_tables(empty_url: str, kind: str) -> None:
    migrate_store(empty_url)
    with closing(opened(empty_url)) as store:
        engine = store._database.engine
        with engine.connect() as connection:
            assert compare_metadata(MigrationContext.configure(connection), metadata) == []
            migrated = _described(connection)
            assert set(inspect(connection).get_table_names()) == {*metadata.tables, "alembic_version"}
            if kind == "postgresql":
                assert _collations(connection) == ["C"]
        _make_anew(store)  # as a new database is made
        with engine.connect() as connection:
            assert _described(connection) == migrated
            assert migrate.current_revision(connection) == HEAD
            if kind == "postgresql":
                assert _collations(connection) == ["C"]


def _collations(connection: Connection) -> list[str]:
    statement = (
        "SELECT DISTINCT collation_name FROM information_schema.columns WHERE table_schema = 'public' "
        "AND data_type = 'character varying' AND table_name <> 'alembic_version'"
    )
    return list(connection.execute(text(statement)).scalars())


def test_several_first_starts_at_once_make_one_schema(empty_url: str) -> None:
    failures: list[BaseException] = []

    def start() -> None:
        try:
            store = opened(empty_url)
            store.write(add_domain)
            store.close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    store = opened(empty_url)
    assert store.domains.count(MINE) == 4
    store.close()


def test_a_migration_of_a_current_database_changes_nothing(url: str) -> None:
    store = opened(url)
    domain = store.write(add_domain)
    store.close()
    migrate_store(url)
    store = opened(url)
    assert store.domains.get(MINE, domain.domain_id) == domain
    store.require_ready()
    store.close()


@pytest.mark.parametrize("former", ["0001", "0002", "0003"])
def test_the_rows_of_a_former_database_are_kept(empty_url: str, former: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that the migrations before 0.2.0 made, at any head they had."""
    monkeypatch.setattr("earwitness.store.migrate.HEAD", former)
    monkeypatch.setattr("earwitness.store.migrate.make_once", lambda connection: _migrate_as_then(connection, former))
    store = opened(empty_url)
    domain, pipeline = store.write(add_domain), store.write(lambda unit: add_pipeline(unit, metadata={"a": "b"}))
    _insert_as_then(store, "voice_profiles", _profile_as_then(domain.domain_id))
    store.write(lambda unit: unit.tags.set(MINE, domain.arn, {"k": "v"}, limit=5))
    if former != "0001":
        _add_task_as_then(store, pipeline.pipeline_id, domain.domain_id)
    domain_then = store.domains.get(MINE, domain.domain_id)
    with store._database.engine.begin() as connection:
        take_columns_back(connection)
    store.close()
    monkeypatch.undo()
    if former != HEAD:
        with pytest.raises(StoreError, match="earwitness migrate"):
            opened(empty_url)
    migrate_store(empty_url)
    with closing(opened(empty_url)) as store:
        assert store.domains.get(MINE, domain.domain_id) == domain_then
        assert store.pipelines.get(MINE, pipeline.pipeline_id) == pipeline
        kept = store.profiles.get(MINE, "vp-1")
        assert kept is not None
        assert (kept.domain_id, kept.arn, kept.expires_at) == (domain.domain_id, "arn:profile", from_microseconds(3))
        assert store.tags.list(MINE, domain.arn) == {"k": "v"}
        tasks = store.tasks.list(MINE, None, limit=9).items
        assert [(task.task_id, task.status) for task in tasks] == [("t-1", "NotStarted")] * (former != "0001")
        task = store.write(lambda unit: add_task(unit, domain.domain_id, pipeline.pipeline_id))
        assert store.tasks.get(MINE, task.task_id) == task
        with store._database.engine.connect() as connection:
            assert compare_metadata(MigrationContext.configure(connection), metadata) == []
            migrated = _described(connection)
        _make_anew(store)
        with store._database.engine.connect() as connection:
            assert _described(connection) == migrated


def test_events_of_a_former_database_are_kept_and_counted_on(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both tables of the outbox are written anew on SQLite."""
    monkeypatch.setattr("earwitness.store.migrate.HEAD", "0004")
    monkeypatch.setattr("earwitness.store.migrate.make_once", lambda connection: _migrate_to(connection, "0004"))
    with closing(opened(empty_url)) as store:
        pipeline = store.write(add_pipeline)
        for number in range(4):
            store.write(lambda unit, number=number: _append(unit, pipeline.pipeline_id, f"e-{number}"))
        # The last two are gone, and their numbers with them.
        with store._database.engine.begin() as connection:
            connection.execute(text("DELETE FROM outbox_events WHERE event_id IN ('e-2', 'e-3')"))
            connection.execute(text("UPDATE outbox_deliveries SET state = 'delivered' WHERE sequence = 1"))
            take_columns_back(connection)
    monkeypatch.undo()
    migrate_store(empty_url)
    with closing(opened(empty_url)) as store:
        kept = store.events.list(MINE, pipeline.pipeline_id, limit=9).items
        assert [(event.event_id, event.body, event.sequence) for event in kept] == [
            ("e-1", b"{}", 2),
            ("e-0", b"{}", 1),
        ]
        assert [event.deliveries[0].state.value for event in kept] == ["pending", "delivered"]
        store.write(lambda unit: _append(unit, pipeline.pipeline_id, "e-4"))
        assert store.events.last_sequence(MINE) == 5
        with store._database.engine.connect() as connection:
            assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def _add_task_as_then(store: Store, pipeline_id: str, domain_id: str) -> None:
    """Before tasks knew of nodes."""
    values = {
        "account_id": MINE.account_id,
        "region": MINE.region,
        "task_id": "t-1",
        "pipeline_id": pipeline_id,
        "stream_arn": "arn:stream",
        "channel_id": 1,
        "domain_id": domain_id,
        "domain_arn": "arn:domain",
        "status": "NotStarted",
        "attempt": 0,
        "created_at": 1,
        "updated_at": 1,
    }
    _insert_as_then(store, "speaker_search_tasks", values)


def _profile_as_then(domain_id: str) -> dict[str, object]:
    """Before profiles knew of subjects."""
    return {
        "account_id": MINE.account_id,
        "region": MINE.region,
        "profile_id": "vp-1",
        "domain_id": domain_id,
        "arn": "arn:profile",
        "created_at": 1,
        "updated_at": 2,
        "expires_at": 3,
    }


def _insert_as_then(store: Store, table: str, values: dict[str, object]) -> None:
    names = ", ".join(values)
    places = ", ".join(f":{name}" for name in values)
    with store._database.engine.begin() as connection:
        connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({places})"), values)  # noqa: S608


def _append(unit: Unit, pipeline_id: str, event_id: str) -> None:
    unit.events.append(
        MINE, event_id=event_id, pipeline_id=pipeline_id, kind="k", body=b"{}", targets=["file:///tmp/e"]
    )


def _migrate_to(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(migrate._FOLDER))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
    lend_columns(connection)


def _migrate_as_then(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "former_migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
    lend_columns(connection)


def _make_anew(store: Store) -> None:
    with store._database.engine.begin() as connection:
        metadata.drop_all(connection)
        metadata.create_all(connection)


def test_a_sqlite_database_is_opened_as_promised(tmp_path) -> None:
    database = Sqlite(tmp_path / "new" / "x.db", wait_seconds_max=1)
    with database.engine.connect() as connection:
        wanted = {"synchronous": 2, "foreign_keys": 1, "secure_delete": 1, "temp_store": 2, "journal_mode": "wal"}
        assert {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in wanted} == wanted
    database.close()


def test_every_column_says_how_it_lies() -> None:
    """And docs/records.md prints it; `write_docs.py --check` holds the page to it."""
    for table in metadata.tables.values():
        for column in table.columns:
            lies, place = secrecy(column), (table.name, column.name)
            assert lies.says, place
            assert isinstance(column.type, Binary) == (lies.form is not Form.CLEAR), place
            assert column.name.endswith("_ciphertext") == (lies.form is Form.SEALED), place
            if column.name in EVERYWHERE:
                assert lies.says == EVERYWHERE[column.name], place
