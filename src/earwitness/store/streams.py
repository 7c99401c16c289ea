"""Kinesis video streams, as records; their audio lies elsewhere, sealed under the key that is kept here."""

from sqlalchemy import delete, select, update

from earwitness.errors import AlreadyExists, VersionMismatch
from earwitness.store.columns import from_microseconds, to_microseconds
from earwitness.store.owners import stream_owner
from earwitness.store.page import read_page
from earwitness.store.records import KinesisStream, Page, PageKey, Scope
from earwitness.store.schema import kinesis_streams as table
from earwitness.store.session import Row, Session, Writing, count_where, in_scope, require_room
from earwitness.store.tags import TagWriter

_ALL = select(
    table.c.name,
    table.c.arn,
    table.c.version,
    table.c.device_name,
    table.c.media_type,
    table.c.kms_key_id,
    table.c.retention_hours,
    table.c.status,
    table.c.wrapped_key,
    table.c.created_at,
)
_LAST_CHARACTER = "\U0010ffff"


class StreamReader:
    """What can be read of streams."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, scope: Scope, name_or_arn: str) -> KinesisStream | None:
        """The stream of this name or ARN, or None."""
        column = table.c.arn if name_or_arn.startswith("arn:") else table.c.name
        row = self._session.row(_ALL.where(in_scope(table, scope), column == name_or_arn))
        return None if row is None else _record(row)

    def list(
        self, scope: Scope, *, name_prefix: str = "", after: PageKey | None = None, limit: int
    ) -> Page[KinesisStream]:
        """By name, those that begin with the prefix."""
        statement = _ALL.where(in_scope(table, scope))
        if name_prefix:
            statement = statement.where(table.c.name >= name_prefix, table.c.name < name_prefix + _LAST_CHARACTER)
        return read_page(self._session, statement, record=_record, order=(table.c.name,), after=after, limit=limit)

    def list_everywhere(self, *, after: PageKey | None = None, limit: int) -> Page[tuple[str, KinesisStream]]:
        """The streams of all accounts, each with its account, for whoever looks after their media."""
        statement = _ALL.add_columns(table.c.account_id)
        order = (table.c.account_id, table.c.region, table.c.name)
        return read_page(self._session, statement, record=_with_account, order=order, after=after, limit=limit)

    def count(self, scope: Scope) -> int:
        """How many there are."""
        return count_where(self._session, table, in_scope(table, scope))


class StreamWriter(StreamReader):
    """What can be changed of streams."""

    def __init__(self, writing: Writing) -> None:
        super().__init__(writing.session)
        self._writing = writing

    def create(
        self,
        scope: Scope,
        *,
        name: str,
        arn: str,
        version: str,
        retention_hours: int,
        status: str,
        device_name: str | None = None,
        media_type: str | None = None,
        kms_key_id: str | None = None,
        limit: int | None = None,
    ) -> KinesisStream:
        """A new one with a key of its own; AlreadyExists when the name is taken, LimitExceeded at `limit` streams.

        The ARN ends in the time of creation, which is the unit's.
        """
        holder = f"{scope.account_id} {scope.region}"
        require_room(self._writing.session, lambda: self.count(scope), limit=limit, what="streams", holder=holder)
        values = {
            "account_id": scope.account_id,
            "region": scope.region,
            "name": name,
            "arn": arn,
            "version": version,
            "device_name": device_name,
            "media_type": media_type,
            "kms_key_id": kms_key_id,
            "retention_hours": retention_hours,
            "status": status,
            "wrapped_key": self._writing.vault.new_wrapped_key(owner=stream_owner(scope, arn)),
            "created_at": to_microseconds(self._writing.now),
        }
        if not self._writing.session.insert_new(table, values):
            raise AlreadyExists("a stream of this name exists; choose another name, or delete that one")
        return _record([values[column.name] for column in _ALL.selected_columns])

    def update(
        self,
        scope: Scope,
        name_or_arn: str,
        *,
        expected_version: str,
        new_version: str,
        device_name: str | None = None,
        media_type: str | None = None,
        retention_hours: int | None = None,
        status: str | None = None,
    ) -> KinesisStream | None:
        """Change what is given; None when there is no such stream, VersionMismatch when it changed meanwhile."""
        given = {
            "device_name": device_name,
            "media_type": media_type,
            "retention_hours": retention_hours,
            "status": status,
        }
        values = {column: value for column, value in given.items() if value is not None}
        present = self._locked(scope, name_or_arn, expected_version=expected_version)
        if present is None:
            return None
        statement = update(table).where(in_scope(table, scope), table.c.name == present.name)
        self._writing.session.change(statement.values(**values, version=new_version))
        return self.get(scope, present.name)

    def delete(self, scope: Scope, name_or_arn: str, *, expected_version: str | None = None) -> bool:
        """Remove it, its key and tags; False when there is no such stream, VersionMismatch when it changed meanwhile.

        Its audio cannot be read by anybody afterwards.
        """
        present = self._locked(scope, name_or_arn, expected_version=expected_version)
        if present is None:
            return False
        TagWriter(self._writing).clear(scope, present.arn)
        self._writing.session.change(delete(table).where(in_scope(table, scope), table.c.name == present.name))
        self._writing.destroy_key(present.wrapped_key, owner=stream_owner(scope, present.arn))
        return True

    def _locked(self, scope: Scope, name_or_arn: str, *, expected_version: str | None) -> KinesisStream | None:
        column = table.c.arn if name_or_arn.startswith("arn:") else table.c.name
        row = self._session.row(_ALL.where(in_scope(table, scope), column == name_or_arn).with_for_update())
        if row is None:
            return None
        present = _record(row)
        if expected_version is not None and present.version != expected_version:
            raise VersionMismatch("the stream changed since its version was read; describe it and try again")
        return present


def _record(row: Row) -> KinesisStream:
    name, arn, version, device_name, media_type, kms_key_id, retention_hours, status, wrapped_key, created_at = row
    return KinesisStream(
        name=name,
        arn=arn,
        version=version,
        device_name=device_name,
        media_type=media_type,
        kms_key_id=kms_key_id,
        retention_hours=retention_hours,
        status=status,
        wrapped_key=wrapped_key,
        created_at=from_microseconds(created_at),
    )


def _with_account(row: Row) -> tuple[str, KinesisStream]:
    return row[-1], _record(row[:-1])
