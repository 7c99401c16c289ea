"""Move records from SQLite to PostgreSQL, in one transaction: all rows arrive, compared one by one, or none does.

Nobody changes the records meanwhile: the file is locked against its service and against commands. What is killed in the
middle has written nothing. What is killed between the commit and the end finds the rows there when it is run again,
compares them, and ends.

What belongs here: copying and comparing. What must never: opening what is sealed; rows move as they lie.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from sqlalchemy import BigInteger, Connection, Table, func, insert, select, text
from sqlalchemy.dialects import postgresql as dialect

from earwitness.errors import AnotherProcessServes, ConfigurationError, InstallationIncomplete, StoreError
from earwitness.progress import Progress
from earwitness.store import migrate
from earwitness.store.driver_errors import convert
from earwitness.store.hot_reads import StoredRow
from earwitness.store.leading import Leader
from earwitness.store.master_key_schema import vault_checks
from earwitness.store.postgres import Postgres
from earwitness.store.schema import service_leaders
from earwitness.store.sqlite import Sqlite, is_empty
from earwitness.store.store import parse_url
from earwitness.store.tables import metadata

_ROWS_AT_ONCE = 500
_NO_ROW: StoredRow = {}

_TABLES = [table for table in metadata.sorted_tables if table not in (vault_checks, service_leaders)]
"""All but the row that says whose records these are, and the row that says who serves a database."""


@dataclass(frozen=True, kw_only=True)
class MovedRecords:
    """What was moved."""

    #: Of each table, by its name.
    rows: dict[str, int]
    #: The former database under its new name.
    former: Path


def move_records(source: Path, target: str, *, me: Leader, wait_seconds_max: float, progress: Progress) -> MovedRecords:
    """Move the records in the file `source` to `postgresql://…`, and rename the file, so that nobody uses it any more.

    Raise InstallationIncomplete when there are none or the database holds others, AnotherProcessServes,
    StoreError (older schema: migrate first), StoreUnavailable and ConfigurationError.
    """
    former = source.with_name(f"{source.name}.moved")
    if is_empty(source):
        raise InstallationIncomplete(f"there are no records in {source}; name the file with --from")
    if former.exists():
        raise InstallationIncomplete(f"{former} is there, of another move; put it elsewhere, and run this again")
    address = parse_url(target)
    if address.get_backend_name() != "postgresql":
        raise ConfigurationError(
            "records move to PostgreSQL; give its address as EARWITNESS_STORE_URL=postgresql://…, as for `serve`"
        )
    with closing(Postgres(address, wait_seconds_max=wait_seconds_max, connections_max=1)) as theirs:
        ours = Sqlite(source, wait_seconds_max=wait_seconds_max)
        try:
            with closing(ours):
                if ours.leading.claim(me) is not None:
                    raise AnotherProcessServes(f"a service uses the records in {source}; stop it, and run this again")
                with ours.migrating() as old, theirs.migrating() as new:  # the second commits first
                    rows = _moved(old, new, progress)
            _put_away(source, former)
        finally:
            ours.leading.release()
    return MovedRecords(rows=rows, former=former)


def _moved(old: Connection, new: Connection, progress: Progress) -> dict[str, int]:
    """Return how many rows of each table are in both; raise what `move_records` raises when they are not the same."""
    migrate.require_current(migrate.current_revision(old))
    migrate.migrate(new)
    to_copy = _TABLES if _takes_over(old, new) else []
    counts = {table.name: _count(old, table) for table in (vault_checks, *_TABLES)}
    shown = _Shown(progress, total=sum(counts.values()) + sum(counts[table.name] for table in to_copy))
    for table in to_copy:
        for rows in _batches(old, table):
            new.execute(insert(table), [dict(row) for row in rows])
            shown.add("copying", len(rows))
    if to_copy:
        _count_on(old, new)
    for table in (vault_checks, *_TABLES):
        _require_same(old, new, table, shown)
    return counts


def _takes_over(old: Connection, new: Connection) -> bool:
    """Return whether the database was empty, and say in it whose records it holds; False when they are these already.

    Raise InstallationIncomplete when it holds any others. Nobody else begins records in it before our transaction ends.
    """
    is_check = vault_checks.c.name == "check"
    check = dict(old.execute(select(vault_checks).where(is_check)).mappings().one())
    first = dialect.insert(vault_checks).values(check).on_conflict_do_nothing()
    if new.execute(first, execution_options={"preserve_rowcount": True}).rowcount == 1:
        if _count(new, vault_checks) > 1 or any(_count(new, table) for table in _TABLES):
            raise InstallationIncomplete("the database in PostgreSQL holds rows of nobody's; name a new, empty one")
        others = old.execute(select(vault_checks).where(~is_check)).mappings().all()
        if others:
            new.execute(insert(vault_checks), [dict(row) for row in others])
        return True
    if dict(new.execute(select(vault_checks).where(is_check)).mappings().one()) != check:
        raise InstallationIncomplete("the database in PostgreSQL holds other records; name a new, empty one")
    return False


def _require_same(old: Connection, new: Connection, table: Table, shown: "_Shown") -> None:
    for ours, theirs in zip_longest(_rows(old, table), _rows(new, table), fillvalue=_NO_ROW):
        if dict(ours) != dict(theirs):
            raise StoreError(
                f"the table {table.name} differs in PostgreSQL and in the file, and nothing was written: where these "
                "records were moved before and are served from PostgreSQL, put the file away; else name a new, empty "
                "database"
            )
        shown.add("comparing", 1)


def _count_on(old: Connection, new: Connection) -> None:
    """Have PostgreSQL number new rows behind all that there ever were: no event's number is given twice."""
    numbered = [column for table in _TABLES for column in table.primary_key if type(column.type) is BigInteger]
    for column in numbered:
        table = column.table.name
        highest = old.execute(select(func.coalesce(func.max(column), 0))).scalar_one()
        given = old.execute(text("SELECT seq FROM sqlite_sequence WHERE name = :table"), {"table": table}).scalar()
        last = max(highest, given or 0)
        new.execute(
            text("SELECT setval(pg_get_serial_sequence(:table, :column), :number, :is_used)"),
            {"table": table, "column": column.name, "number": max(last, 1), "is_used": last > 0},
        )


def _rows(connection: Connection, table: Table) -> Iterator[StoredRow]:
    for batch in _batches(connection, table):
        yield from batch


def _batches(connection: Connection, table: Table) -> Iterator[Sequence[StoredRow]]:
    """Return all rows in the order of their key; raise StoreUnavailable for a value that nobody can have written."""
    statement = select(table).order_by(*table.primary_key)
    found = connection.execute(statement, execution_options={"yield_per": _ROWS_AT_ONCE}).mappings()
    while rows := convert(lambda result: result.fetchmany(_ROWS_AT_ONCE), found):
        yield rows


def _count(connection: Connection, table: Table) -> int:
    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def _put_away(source: Path, former: Path) -> None:
    """Rename the database with what SQLite may have left beside it; the reserve is of no use any more."""
    for ending in ("-wal", "-shm", ""):
        if (file := source.with_name(source.name + ending)).exists():
            file.rename(former.with_name(former.name + ending))
    source.with_name(f"{source.name}.reserve").unlink(missing_ok=True)


class _Shown:
    """Tells how far it is after every few hundred rows."""

    def __init__(self, progress: Progress, *, total: int) -> None:
        self._progress, self._total, self._done, self._told = progress, total, 0, 0

    def add(self, doing: str, rows: int) -> None:
        self._done += rows
        if self._done - self._told >= _ROWS_AT_ONCE or self._done == self._total:
            self._told = self._done
            self._progress(doing, self._done, self._total)
