"""Media insights pipelines. Which status may follow which is not known here; only that nobody changes it unseen."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import bindparam, delete, select, update

from earwitness.errors import AlreadyExists, Conflict
from earwitness.store.columns import (
    JsonObject,
    from_json,
    from_kept_json,
    from_microseconds,
    from_optional_microseconds,
    to_json,
    to_microseconds,
    to_optional_microseconds,
)
from earwitness.store.owners import pipeline_metadata_place, pipeline_owner
from earwitness.store.page import read_page
from earwitness.store.records import Page, PageKey, Pipeline, Scope
from earwitness.store.schema import pipelines as table
from earwitness.store.search_records import ScopedPipeline
from earwitness.store.session import HotRead, Query, Row, Session, Writing, count_where, in_scope, require_room
from earwitness.store.tags import TagWriter
from earwitness.vault.vault import Vault

_ALL = select(
    table.c.pipeline_id,
    table.c.arn,
    table.c.configuration_arn,
    table.c.configuration,
    table.c.status,
    table.c.element_statuses,
    table.c.source,
    table.c.runtime_metadata_ciphertext,
    table.c.wrapped_key,
    table.c.created_at,
    table.c.paused_at,
    table.c.ended_at,
)
_MINE = _ALL.where(table.c.account_id == bindparam("account_id"), table.c.region == bindparam("region"))
_BY_ID = HotRead(_MINE.where(table.c.pipeline_id == bindparam("pipeline_id")), "account_id", "region", "pipeline_id")
_BY_ARN = HotRead(_MINE.where(table.c.arn == bindparam("arn")), "account_id", "region", "arn")


class PipelineReader:
    """What can be read of pipelines."""

    def __init__(self, session: Session, vault: Vault) -> None:
        self._session = session
        self._vault = vault

    def get(self, scope: Scope, id_or_arn: str) -> Pipeline | None:
        """The pipeline of this GUID or ARN, or None; ended ones too, as long as they are kept."""
        read = _BY_ARN if id_or_arn.startswith("arn:") else _BY_ID
        return self._session.hot(read, lambda row: self._record(scope, row), scope.account_id, scope.region, id_or_arn)

    def list(self, scope: Scope, *, after: PageKey | None = None, limit: int) -> Page[Pipeline]:
        """The newest first, ended ones too."""
        return read_page(
            self._session,
            _ALL.where(in_scope(table, scope)),
            record=lambda row: self._record(scope, row),
            order=(table.c.created_at, table.c.pipeline_id),
            after=after,
            limit=limit,
            newest_first=True,
        )

    def list_active_everywhere(self, *, after: PageKey | None = None, limit: int) -> Page[ScopedPipeline]:
        """The pipelines of all accounts that have not ended, for whoever stops them in time."""
        return read_page(
            self._session,
            _ALL.add_columns(table.c.account_id, table.c.region).where(table.c.ended_at.is_(None)),
            record=self._scoped_record,
            order=(table.c.account_id, table.c.region, table.c.pipeline_id),
            after=after,
            limit=limit,
        )

    def count_active(self, scope: Scope, *, configuration_arn: str | None = None) -> int:
        """How many have not ended, of all or of those from one configuration."""
        conditions = [in_scope(table, scope), table.c.ended_at.is_(None)]
        if configuration_arn is not None:
            conditions.append(table.c.configuration_arn == configuration_arn)
        return count_where(self._session, table, *conditions)

    def _scoped_record(self, row: Row) -> ScopedPipeline:
        *columns, account_id, region = row
        scope = Scope(account_id=account_id, region=region)
        return ScopedPipeline(scope=scope, pipeline=self._record(scope, columns))

    def _record(self, scope: Scope, row: Row) -> Pipeline:
        pipeline_id, arn, configuration_arn, configuration, status, elements, source, sealed, wrapped, *times = row
        created_at, paused_at, ended_at = times
        return Pipeline(
            pipeline_id=pipeline_id,
            arn=arn,
            configuration_arn=configuration_arn,
            configuration=from_kept_json(configuration),
            status=status,
            element_statuses=tuple(from_kept_json(elements)),
            source=from_kept_json(source),
            runtime_metadata=None if sealed is None else self._opened(scope, pipeline_id, sealed, wrapped),
            created_at=from_microseconds(created_at),
            paused_at=from_optional_microseconds(paused_at),
            ended_at=from_optional_microseconds(ended_at),
        )

    def _opened(self, scope: Scope, pipeline_id: str, ciphertext: bytes, wrapped_key: bytes) -> JsonObject:
        key = self._vault.key(wrapped_key, owner=pipeline_owner(scope, pipeline_id))
        return from_json(key.open(ciphertext, pipeline_metadata_place(scope, pipeline_id)).decode())


class PipelineWriter(PipelineReader):
    """What can be changed of pipelines."""

    def __init__(self, writing: Writing) -> None:
        super().__init__(writing.session, writing.vault)
        self._writing = writing

    def create(
        self,
        scope: Scope,
        *,
        pipeline_id: str,
        arn: str,
        configuration_arn: str,
        configuration: JsonObject,
        status: str,
        element_statuses: Sequence[JsonObject],
        source: JsonObject,
        runtime_metadata: JsonObject | None,
        active_limit: int | None = None,
    ) -> Pipeline:
        """A new one, its metadata sealed; LimitExceeded when `active_limit` are active already."""
        holder = f"{scope.account_id} {scope.region}"
        require_room(
            self._writing.session,
            lambda: self.count_active(scope),
            limit=active_limit,
            what="active pipelines",
            holder=holder,
        )
        created = Pipeline(
            pipeline_id=pipeline_id,
            arn=arn,
            configuration_arn=configuration_arn,
            configuration=configuration,
            status=status,
            element_statuses=tuple(element_statuses),
            source=source,
            runtime_metadata=runtime_metadata,
            created_at=self._writing.now,
            paused_at=None,
            ended_at=None,
        )
        if not self._writing.session.insert_new(table, self._values(scope, created)):
            raise AlreadyExists("a pipeline of this id exists; choose another id")
        return created

    def change_status(
        self,
        scope: Scope,
        pipeline_id: str,
        *,
        expected: Collection[str],
        status: str,
        element_statuses: Sequence[JsonObject],
        paused_at: datetime | None = None,
        ended_at: datetime | None = None,
    ) -> Pipeline | None:
        """Move it on from one of the expected statuses; the two times replace the present ones.

        None when there is no such pipeline; Conflict when it has another status by now.
        """
        statement = update(table).where(
            in_scope(table, scope), table.c.pipeline_id == pipeline_id, table.c.status.in_(sorted(expected))
        )
        values = {
            "status": status,
            "element_statuses": to_json(element_statuses),
            "paused_at": to_optional_microseconds(paused_at),
            "ended_at": to_optional_microseconds(ended_at),
        }
        changed = self._writing.session.change(statement.values(**values)) == 1
        present = self.get(scope, pipeline_id)
        if present is not None and not changed:
            raise Conflict(f"the pipeline is {present.status} by now; look at it again")
        return present

    def delete(self, scope: Scope, pipeline_id: str) -> bool:
        """Remove it, its metadata, tags, tasks, results and events; False when there is no such pipeline."""
        chosen = select(table.c.account_id, table.c.region, table.c.pipeline_id, table.c.arn, table.c.wrapped_key)
        return self._delete(chosen.where(in_scope(table, scope), table.c.pipeline_id == pipeline_id)) == 1

    def purge(self, *, ended_before: datetime, limit: int) -> int:
        """Remove at most `limit` pipelines of all accounts that ended before this time, and all that belongs to them.

        How many were removed.
        """
        chosen = select(table.c.account_id, table.c.region, table.c.pipeline_id, table.c.arn, table.c.wrapped_key)
        old = chosen.where(table.c.ended_at < to_microseconds(ended_before)).order_by(table.c.ended_at).limit(limit)
        return self._delete(old)

    def _delete(self, chosen: Query) -> int:
        rows = self._session.rows(chosen.with_for_update(skip_locked=True))
        for account_id, region, pipeline_id, arn, wrapped_key in rows:
            scope = Scope(account_id=account_id, region=region)
            TagWriter(self._writing).clear(scope, arn)
            statement = delete(table).where(in_scope(table, scope), table.c.pipeline_id == pipeline_id)
            self._writing.session.change(statement)
            self._writing.destroy_key(wrapped_key, owner=pipeline_owner(scope, pipeline_id))
        return len(rows)

    def _values(self, scope: Scope, pipeline: Pipeline) -> dict[str, object]:
        owner = pipeline_owner(scope, pipeline.pipeline_id)
        wrapped_key = self._vault.new_wrapped_key(owner=owner)
        ciphertext = None
        if pipeline.runtime_metadata is not None:
            place = pipeline_metadata_place(scope, pipeline.pipeline_id)
            plaintext = to_json(pipeline.runtime_metadata).encode()
            ciphertext = self._vault.key(wrapped_key, owner=owner).seal(plaintext, place)
        return {
            "account_id": scope.account_id,
            "region": scope.region,
            "pipeline_id": pipeline.pipeline_id,
            "arn": pipeline.arn,
            "configuration_arn": pipeline.configuration_arn,
            "configuration": to_json(pipeline.configuration),
            "status": pipeline.status,
            "element_statuses": to_json(pipeline.element_statuses),
            "source": to_json(pipeline.source),
            "runtime_metadata_ciphertext": ciphertext,
            "wrapped_key": wrapped_key,
            "created_at": to_microseconds(pipeline.created_at),
            "paused_at": None,
            "ended_at": None,
        }
