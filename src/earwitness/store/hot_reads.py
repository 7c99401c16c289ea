"""Point reads of the request path, compiled once: SQLAlchemy's execution costs more than such a read itself.

Only access keys, domains, pipelines and tasks are read so, because a server asks for the same ones with every request.
"""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeAlias, TypeVar

from sqlalchemy import Column, Dialect, Select, bindparam
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import psycopg

from earwitness.store.driver_errors import convert

# `Any`: statements differ in their columns, and SQLAlchemy's mappings may be keyed by columns as well as by names.
StoredRow: TypeAlias = Mapping[Any, Any]
"""One row's values by the names of their columns."""

Query: TypeAlias = Select[*tuple[Any, ...]]

_RecordT = TypeVar("_RecordT")


class HotRead:
    """A point read that is compiled once: the row whose columns `equal` have the values that a read gives."""

    def __init__(self, statement: Query, *equal: Column[Any]) -> None:
        self._names = [column.name for column in equal]
        self.statement = statement.where(*(column == bindparam(column.name) for column in equal))

    @cached_property
    def _on_sqlite(self) -> "_Compiled":
        return _Compiled(self.statement, sqlite.dialect())

    @cached_property
    def _on_postgres(self) -> "_Compiled":
        return _Compiled(self.statement, psycopg.dialect())

    def named(self, parameters: Sequence[str]) -> dict[str, str]:
        """Return the parameters as SQLAlchemy takes them."""
        return dict(zip(self._names, parameters, strict=True))

    def run_on_sqlite(
        self, driver: sqlite3.Connection, make: Callable[[StoredRow], _RecordT], parameters: Sequence[str]
    ) -> _RecordT | None:
        """Return what `make` makes of the row, read without SQLAlchemy; None without a row."""
        return self._on_sqlite.made(driver.execute(self._on_sqlite.sql, parameters).fetchone(), make)

    # `Any`: psycopg is not there where the records are in SQLite.
    def run_on_postgres(
        self, driver: Any, make: Callable[[StoredRow], _RecordT], parameters: Sequence[str]
    ) -> _RecordT | None:
        """Return the same of a connection of psycopg's."""
        return self.made_on_postgres(self.ask_postgres(driver, parameters).fetchone(), make)

    def ask_postgres(self, driver: Any, parameters: Sequence[str]) -> Any:
        """Return psycopg's cursor; in a pipeline the row can be fetched after that has ended."""
        return driver.execute(self._on_postgres.sql, self.named(parameters))

    def made_on_postgres(self, row: Sequence[Any] | None, make: Callable[[StoredRow], _RecordT]) -> _RecordT | None:
        """Return what `make` makes of a row that psycopg has read; None without a row."""
        return self._on_postgres.made(row, make)


class _Compiled:
    """The SQL of one database, and what SQLAlchemy does to each column's values there."""

    def __init__(self, statement: Query, dialect: Dialect) -> None:
        self.sql = str(statement.compile(dialect=dialect))
        self._columns = [(column.key, _decoder(column.type, dialect)) for column in statement.selected_columns]

    def made(self, row: Sequence[Any] | None, make: Callable[[StoredRow], _RecordT]) -> _RecordT | None:
        return None if row is None else convert(make, convert(self._decoded, row))

    def _decoded(self, row: Sequence[Any]) -> StoredRow:
        return {name: decode(value) for (name, decode), value in zip(self._columns, row, strict=True)}


def _decoder(kind: Any, dialect: Dialect) -> Callable[[Any], Any]:
    return kind.result_processor(dialect, None) or (lambda value: value)
