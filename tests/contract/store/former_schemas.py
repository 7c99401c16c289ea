"""A database of a former schema that today's code can write rows into: it is lent the columns that came since."""

from sqlalchemy import Connection, inspect, text
from sqlalchemy.schema import CreateColumn

from earwitness.store.master_key_schema import vault_checks
from earwitness.store.schema import domains, pipelines, profiles

_USED = (vault_checks, domains, profiles, pipelines)


def lend_columns(connection: Connection) -> None:
    for table in _USED:
        there = {column["name"] for column in inspect(connection).get_columns(table.name)}
        for column in table.columns:
            if column.name not in there:
                made = CreateColumn(column).compile(dialect=connection.dialect)
                connection.execute(text(f"ALTER TABLE {table.name} ADD COLUMN {made}"))
                _lent.append((table.name, column.name))


def take_columns_back(connection: Connection) -> None:
    while _lent:
        table, column = _lent.pop()
        connection.execute(text(f"ALTER TABLE {table} DROP COLUMN {column}"))


_lent: list[tuple[str, str]] = []
