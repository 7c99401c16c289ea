"""Kinesis video streams, as records; their audio lies elsewhere, sealed under the key that is kept here."""

from dataclasses import asdict
from functools import partial

from sqlalchemy import select

from earwitness.errors import AlreadyExists, VersionMismatch
from earwitness.store.connector_schema import connector_call_streams
from earwitness.store.homes import HomeReader
from earwitness.store.hot_reads import HotRead, Query
from earwitness.store.node_records import NoteKind
from earwitness.store.nodes import NodeWriter
from earwitness.store.records import KinesisStream, Page, PageKey, Scope
from earwitness.store.repository import Reader, Writer, holder_of, in_scope, key_owner, record, select_in_scope
from earwitness.store.schema import kinesis_streams as streams
from earwitness.store.tags import TagWriter
from earwitness.voice.deletion import DeletionKind

_KEY = streams.c.account_id, streams.c.region
_BY_ARN = HotRead(select(streams), *_KEY, streams.c.arn)
_BY_NAME = HotRead(select(streams), *_KEY, streams.c.name)
_LAST_CHARACTER = "\U0010ffff"
_record = partial(record, KinesisStream)


def stream_owner(scope: Scope, arn: str) -> str:
    """Return the owner of a stream's data key: by its ARN, because a name is taken again after a deletion."""
    return key_owner(streams, scope, arn)


class StreamReader(Reader):
    """What can be read of streams."""

    def get(self, scope: Scope, name_or_arn: str) -> KinesisStream | None:
        """Return the stream of this name or ARN, or None."""
        read = _BY_ARN if name_or_arn.startswith("arn:") else _BY_NAME
        return self._session.hot(read, _record, scope.account_id, scope.region, name_or_arn)

    def list(
        self, scope: Scope, *, name_prefix: str = "", after: PageKey | None = None, limit: int
    ) -> Page[KinesisStream]:
        """Return those that begin with the prefix, by name."""
        statement = select_in_scope(streams, scope)
        if name_prefix:
            statement = statement.where(streams.c.name >= name_prefix, streams.c.name < name_prefix + _LAST_CHARACTER)
        return self._page(_record, statement, order=(streams.c.name,), after=after, limit=limit)

    def list_everywhere(self, *, after: PageKey | None = None, limit: int) -> Page[tuple[str, KinesisStream]]:
        """Return the streams of all accounts, each with its account, for whoever looks after their media."""
        return self._page(
            lambda row: (row["account_id"], _record(row)),
            select(streams),
            order=(streams.c.account_id, streams.c.region, streams.c.name),
            after=after,
            limit=limit,
        )

    def count(self, scope: Scope) -> int:
        """Return how many there are, but for those of the legs of calls, which nobody asked for."""
        of_calls = self._count(connector_call_streams, in_scope(connector_call_streams, scope))
        return self._count(streams, in_scope(streams, scope)) - of_calls


class StreamWriter(Writer, StreamReader):
    """What can be changed of streams."""

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
        """Return a new one with a key of its own.

        Raise AlreadyExists when the name is taken, LimitExceeded when there are `limit` already. The ARN ends in the
        time of creation, which is the unit's.
        """
        self._require_room(lambda: self.count(scope), limit=limit, what="streams", holder=holder_of(scope))
        created = KinesisStream(
            name=name,
            arn=arn,
            version=version,
            device_name=device_name,
            media_type=media_type,
            kms_key_id=kms_key_id,
            retention_hours=retention_hours,
            status=status,
            wrapped_key=self._new_wrapped_key(owner=stream_owner(scope, arn)),
            created_at=self._now,
        )
        if not self._insert(streams, created, **asdict(scope)):
            raise AlreadyExists("a stream of this name exists; choose another name, or delete that one")
        return created

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
        """Change what is given; None when there is no such stream. Raise VersionMismatch when it changed meanwhile."""
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
        if retention_hours is not None:
            self._tell_homes(scope, present)
        self._update(streams, in_scope(streams, scope, name=present.name), **values, version=new_version)
        return self.get(scope, present.name)

    def delete(self, scope: Scope, name_or_arn: str, *, expected_version: str | None = None) -> bool:
        """Remove it, its key and tags; False when there is no such stream. Raise VersionMismatch as `update` does.

        Its audio cannot be read by anybody afterwards.
        """
        present = self._locked(scope, name_or_arn, expected_version=expected_version)
        if present is None:
            return False
        self._tell_homes(scope, present)
        TagWriter(self._writing).clear(scope, present.arn)
        self._delete(streams, in_scope(streams, scope, name=present.name))
        key_id = self._writing.destroy_key(present.wrapped_key, owner=stream_owner(scope, present.arn))
        self._writing.note_deleted(scope, DeletionKind.STREAM, present.arn, key_id=key_id)
        return True

    def _tell_homes(self, scope: Scope, stream: KinesisStream) -> None:
        """Have all nodes look at a stream that have media of it."""
        if stream.home_node is not None:
            homes = {extent.node_id for extent in HomeReader(self._session, self._vault).extents(scope, stream.arn)}
            NodeWriter(self._writing).note_all(NoteKind.STREAM, scope, stream.arn, among=sorted(homes))

    def _locked(self, scope: Scope, name_or_arn: str, *, expected_version: str | None) -> KinesisStream | None:
        present = self._one(_record, _named(scope, name_or_arn).with_for_update())
        if present is not None and expected_version not in {None, present.version}:
            raise VersionMismatch("the stream changed since its version was read; describe it and try again")
        return present


def _named(scope: Scope, name_or_arn: str) -> Query:
    column = "arn" if name_or_arn.startswith("arn:") else "name"
    return select_in_scope(streams, scope, **{column: name_or_arn})
