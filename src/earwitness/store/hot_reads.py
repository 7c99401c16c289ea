"""Point reads of the request path, compiled once: SQLAlchemy's execution costs more than such a read itself.

Only access keys, domains, pipelines and tasks are read so, because a server asks for the same ones with every request.
On PostgreSQL, where the way to the server costs far more, they run through SQLAlchemy as all reads do.
"""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

from sqlalchemy import Column, Select, bindparam
from sqlalchemy.dialects import sqlite

from earwitness.store.driver_errors import convert

# `Any`: statements differ in their columns, and SQLAlchemy's mappings may be keyed by columns as well as by names.
StoredRow: TypeAlias = Mapping[Any, Any]
"""One row's values by the names of their columns."""

Query: TypeAlias = Select[*tuple[Any, ...]]

_RecordT = TypeVar("_RecordT")


class HotRead:
    """A point read that is compiled once: the row whose columns `equal` have the values that a read gives."""

    def __init__(self, statement: Query, *equal: Column[Any]) -> None:
        dialect = sqlite.dialect()
        self._names = [column.name for column in equal]
        self.statement = statement.where(*(column == bindparam(column.name) for column in equal))
        self._sql = str(self.statement.compile(dialect=dialect))
        # What SQLAlchemy does to a column's values, kept beside its name.
        self._columns = [(column.key, _decoder(column.type, dialect)) for column in statement.selected_columns]

    def named(self, parameters: Sequence[str]) -> dict[str, str]:
        """Return the parameters as SQLAlchemy takes them."""
        return dict(zip(self._names, parameters, strict=True))

    def run_on_sqlite(
        self, driver: sqlite3.Connection, make: Callable[[StoredRow], _RecordT], parameters: Sequence[str]
    ) -> _RecordT | None:
        """Return what `make` makes of the row, read without SQLAlchemy; None without a row."""
        row = driver.execute(self._sql, parameters).fetchone()
        return None if row is None else convert(make, convert(self._decoded, row))

    def _decoded(self, row: Sequence[Any]) -> StoredRow:
        return {name: decode(value) for (name, decode), value in zip(self._columns, row, strict=True)}


def _decoder(kind: Any, dialect: Any) -> Callable[[Any], Any]:
    return kind.result_processor(dialect, None) or (lambda value: value)
