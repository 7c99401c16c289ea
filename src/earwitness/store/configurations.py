"""Media insights pipeline configurations."""

import re

from sqlalchemy import delete, select, update

from earwitness.errors import AlreadyExists
from earwitness.store.columns import JsonObject, from_json, from_microseconds, to_json, to_microseconds
from earwitness.store.page import read_page
from earwitness.store.records import Configuration, Page, PageKey, Scope
from earwitness.store.schema import configurations as table
from earwitness.store.session import Row, Session, Writing, count_where, in_scope, require_room
from earwitness.store.tags import TagWriter

_ALL = select(
    table.c.configuration_id,
    table.c.name,
    table.c.arn,
    table.c.body,
    table.c.created_at,
    table.c.updated_at,
)
_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class ConfigurationReader:
    """What can be read of configurations."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, scope: Scope, identifier: str) -> Configuration | None:
        """The configuration of this name, ARN or GUID, or None. Of a name that looks like another's GUID, the name."""
        column = table.c.arn if identifier.startswith("arn:") else table.c.name
        row = self._session.row(_ALL.where(in_scope(table, scope), column == identifier))
        if row is not None:
            return _record(row)
        return self.get_by_id(scope, identifier.lower()) if _GUID.fullmatch(identifier) else None

    def get_by_id(self, scope: Scope, configuration_id: str) -> Configuration | None:
        """The configuration of this GUID, or None."""
        row = self._session.row(_ALL.where(in_scope(table, scope), table.c.configuration_id == configuration_id))
        return None if row is None else _record(row)

    def list(self, scope: Scope, *, after: PageKey | None = None, limit: int) -> Page[Configuration]:
        """By name."""
        return read_page(
            self._session,
            _ALL.where(in_scope(table, scope)),
            record=_record,
            order=(table.c.name,),
            after=after,
            limit=limit,
        )

    def count(self, scope: Scope) -> int:
        """How many there are."""
        return count_where(self._session, table, in_scope(table, scope))


class ConfigurationWriter(ConfigurationReader):
    """What can be changed of configurations."""

    def __init__(self, writing: Writing) -> None:
        super().__init__(writing.session)
        self._writing = writing

    def create(
        self,
        scope: Scope,
        *,
        configuration_id: str,
        name: str,
        arn: str,
        body: JsonObject,
        limit: int | None = None,
    ) -> Configuration:
        """A new one; AlreadyExists when the name is taken, LimitExceeded when there are `limit` already."""
        holder = f"{scope.account_id} {scope.region}"
        require_room(
            self._writing.session, lambda: self.count(scope), limit=limit, what="configurations", holder=holder
        )
        now = to_microseconds(self._writing.now)
        values = {
            "account_id": scope.account_id,
            "region": scope.region,
            "configuration_id": configuration_id,
            "name": name,
            "arn": arn,
            "body": to_json(body),
            "created_at": now,
            "updated_at": now,
        }
        if not self._writing.session.insert_new(table, values):
            raise AlreadyExists("a configuration of this name exists; choose another name, or update that one")
        TagWriter(self._writing).clear(scope, arn)  # an ARN is made of the name, which may have been used before
        return Configuration(
            configuration_id=configuration_id,
            name=name,
            arn=arn,
            body=body,
            created_at=self._writing.now,
            updated_at=self._writing.now,
        )

    def update(self, scope: Scope, identifier: str, *, body: JsonObject) -> Configuration | None:
        """Replace the body; None when there is no such configuration."""
        present = self.get(scope, identifier)
        if present is None:
            return None
        statement = update(table).where(in_scope(table, scope), table.c.configuration_id == present.configuration_id)
        values = {"body": to_json(body), "updated_at": to_microseconds(self._writing.now)}
        self._writing.session.change(statement.values(**values))
        return self.get_by_id(scope, present.configuration_id)

    def delete(self, scope: Scope, identifier: str) -> bool:
        """Remove it and its tags; False when there is no such configuration."""
        present = self.get(scope, identifier)
        if present is None:
            return False
        TagWriter(self._writing).clear(scope, present.arn)
        statement = delete(table).where(in_scope(table, scope), table.c.configuration_id == present.configuration_id)
        return self._writing.session.change(statement) == 1


def _record(row: Row) -> Configuration:
    configuration_id, name, arn, body, created_at, updated_at = row
    return Configuration(
        configuration_id=configuration_id,
        name=name,
        arn=arn,
        body=from_json(body),
        created_at=from_microseconds(created_at),
        updated_at=from_microseconds(updated_at),
    )
