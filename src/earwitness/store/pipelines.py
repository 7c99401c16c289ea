"""Media insights pipelines and the configurations they are created from.

Which status of a pipeline may follow which is not known here; only that nobody changes it unseen.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import datetime
from functools import partial

from sqlalchemy import ColumnElement, select

from earwitness.errors import AlreadyExists, ChangedMeanwhile
from earwitness.store.columns import JsonObject, from_json, to_json
from earwitness.store.hot_reads import HotRead, Query, StoredRow
from earwitness.store.records import Configuration, Page, PageKey, Pipeline, Scope, ScopedPipeline
from earwitness.store.repository import (
    Reader,
    RowSeal,
    Writer,
    holder_of,
    in_scope,
    key_owner,
    record,
    scope_of,
    select_in_scope,
)
from earwitness.store.schema import configurations, events, pipelines, tasks
from earwitness.store.tags import TagWriter
from earwitness.voice.deletion import DeletionKind
from earwitness.voice.pipeline_status import PipelineStatus

_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

_BY_ID = HotRead(select(pipelines), pipelines.c.account_id, pipelines.c.region, pipelines.c.pipeline_id)
_BY_ARN = HotRead(select(pipelines), pipelines.c.account_id, pipelines.c.region, pipelines.c.arn)
_configuration = partial(record, Configuration)


class ConfigurationReader(Reader):
    """What can be read of configurations."""

    def get(self, scope: Scope, identifier: str) -> Configuration | None:
        """Return the configuration of this name, ARN or GUID. Of a name that looks like another's GUID, the name."""
        column = "arn" if identifier.startswith("arn:") else "name"
        found = self._find(scope, **{column: identifier})
        if found is not None or not _GUID.fullmatch(identifier):
            return found
        return self.get_by_id(scope, identifier.lower())

    def get_by_id(self, scope: Scope, configuration_id: str) -> Configuration | None:
        """Return the configuration of this GUID, or None."""
        return self._find(scope, configuration_id=configuration_id)

    def list(self, scope: Scope, *, after: PageKey | None = None, limit: int) -> Page[Configuration]:
        """Return them by name."""
        return self._page(
            _configuration,
            select_in_scope(configurations, scope),
            order=(configurations.c.name,),
            after=after,
            limit=limit,
        )

    def count(self, scope: Scope) -> int:
        """Return how many there are."""
        return self._count(configurations, in_scope(configurations, scope))

    def _find(self, scope: Scope, **equal: str) -> Configuration | None:
        return self._one(_configuration, select_in_scope(configurations, scope, **equal))


class ConfigurationWriter(Writer, ConfigurationReader):
    """What can be changed of configurations."""

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
        """Return a new one; raise AlreadyExists when the name is taken, LimitExceeded when there are `limit`."""
        self._require_room(lambda: self.count(scope), limit=limit, what="configurations", holder=holder_of(scope))
        created = Configuration(
            configuration_id=configuration_id,
            name=name,
            arn=arn,
            body=body,
            created_at=self._now,
            updated_at=self._now,
        )
        if not self._insert(configurations, created, **asdict(scope)):
            raise AlreadyExists("a configuration of this name exists; choose another name, or update that one")
        TagWriter(self._writing).clear(scope, arn)  # an ARN is made of the name, which may have been used before
        return created

    def update(self, scope: Scope, identifier: str, *, body: JsonObject) -> Configuration | None:
        """Replace the body; None when there is no such configuration."""
        present = self.get(scope, identifier)
        if present is None:
            return None
        chosen = in_scope(configurations, scope, configuration_id=present.configuration_id)
        self._update(configurations, chosen, body=body, updated_at=self._now)
        return self.get_by_id(scope, present.configuration_id)

    def delete(self, scope: Scope, identifier: str) -> bool:
        """Remove it and its tags; False when there is no such configuration."""
        present = self.get(scope, identifier)
        if present is None:
            return False
        TagWriter(self._writing).clear(scope, present.arn)
        chosen = in_scope(configurations, scope, configuration_id=present.configuration_id)
        return self._delete(configurations, chosen) == 1


class PipelineReader(Reader):
    """What can be read of pipelines."""

    def get(self, scope: Scope, id_or_arn: str) -> Pipeline | None:
        """Return the pipeline of this GUID or ARN, or None; ended ones too, as long as they are kept."""
        read = _BY_ARN if id_or_arn.startswith("arn:") else _BY_ID
        return self._session.hot(read, self._record, scope.account_id, scope.region, id_or_arn)

    def list(self, scope: Scope, *, after: PageKey | None = None, limit: int) -> Page[Pipeline]:
        """Return the newest first, ended ones too."""
        return self._page(
            self._record,
            select_in_scope(pipelines, scope),
            order=(pipelines.c.created_at, pipelines.c.pipeline_id),
            after=after,
            limit=limit,
            newest_first=True,
        )

    def list_active_everywhere(self, *, after: PageKey | None = None, limit: int) -> Page[ScopedPipeline]:
        """Return the pipelines of all accounts that have not ended, for whoever stops them in time."""
        return self._active(after=after, limit=limit)

    def running(self, node_id: str | None) -> Sequence[tuple[Scope, str]]:
        """Return the ids of the pipelines that have active tasks, of a node, or of all with None, at once.

        They are as many as tasks may run, so a list in pages would cost more than it saves.
        """
        key = tasks.c.account_id, tasks.c.region, tasks.c.pipeline_id
        active = select(*key).where(tasks.c.ended_at.is_(None)).distinct()
        rows = self._session.rows(active if node_id is None else active.where(tasks.c.node_id == node_id))
        return [(scope_of(row), row["pipeline_id"]) for row in rows]

    def list_overdue(
        self, *, created_by: datetime, paused_by: datetime, after: PageKey | None = None, limit: int
    ) -> Page[ScopedPipeline]:
        """Return those of all accounts that have not ended and are as old as this, paused as long, or stopping."""
        overdue = (
            (pipelines.c.created_at <= created_by)
            | (pipelines.c.paused_at <= paused_by)
            | (pipelines.c.status == PipelineStatus.STOPPING)
        )
        return self._active(overdue, after=after, limit=limit)

    def count_active(self, scope: Scope, *, configuration_arn: str | None = None) -> int:
        """Return how many have not ended, of all or of those from one configuration."""
        chosen = {} if configuration_arn is None else {"configuration_arn": configuration_arn}
        return self._count(pipelines, in_scope(pipelines, scope, ended_at=None, **chosen))

    def _active(self, *conditions: ColumnElement[bool], after: PageKey | None, limit: int) -> Page[ScopedPipeline]:
        return self._page(
            lambda row: ScopedPipeline(scope=scope_of(row), pipeline=self._record(row)),
            select(pipelines).where(pipelines.c.ended_at.is_(None), *conditions),
            order=(pipelines.c.account_id, pipelines.c.region, pipelines.c.pipeline_id),
            after=after,
            limit=limit,
        )

    def _record(self, row: StoredRow) -> Pipeline:
        metadata = None
        if row["runtime_metadata_ciphertext"] is not None:
            seal = self._seal(scope_of(row), row["pipeline_id"], row["wrapped_key"])
            metadata = from_json(seal.open(row, "runtime_metadata_ciphertext").decode())
        return record(Pipeline, row, element_statuses=tuple(row["element_statuses"]), runtime_metadata=metadata)

    def _seal(self, scope: Scope, pipeline_id: str, wrapped_key: bytes) -> RowSeal:
        key = self._vault.key(wrapped_key, owner=key_owner(pipelines, scope, pipeline_id))
        return RowSeal(key, pipelines, scope, pipeline_id)


class PipelineWriter(Writer, PipelineReader):
    """What can be changed of pipelines."""

    def put_metadata(self, scope: Scope, pipeline_id: str, metadata: JsonObject) -> None:
        """Replace the runtime metadata of a pipeline; the former ones are gone from the files as well."""
        chosen = in_scope(pipelines, scope, pipeline_id=pipeline_id)
        row = self._session.row(select(pipelines.c.wrapped_key).where(chosen))
        if row is not None:
            plaintext = to_json(metadata).encode() if metadata else None
            seal = self._seal(scope, pipeline_id, row["wrapped_key"])
            self._update(pipelines, chosen, **seal.seal(runtime_metadata_ciphertext=plaintext))
            self._writing.session.scrub()

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
        """Return a new one, its metadata sealed; raise LimitExceeded when `active_limit` are active already."""
        self._require_room(
            lambda: self.count_active(scope), limit=active_limit, what="active pipelines", holder=holder_of(scope)
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
            created_at=self._now,
            paused_at=None,
            ended_at=None,
        )
        wrapped_key = self._new_wrapped_key(owner=key_owner(pipelines, scope, pipeline_id))
        plaintext = None if runtime_metadata is None else to_json(runtime_metadata).encode()
        sealed = self._seal(scope, pipeline_id, wrapped_key).seal(runtime_metadata_ciphertext=plaintext)
        if not self._insert(pipelines, created, **asdict(scope), wrapped_key=wrapped_key, **sealed):
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

        None when there is no such pipeline; raise Conflict when it has another status by now.
        """
        changed = self._update(
            pipelines,
            in_scope(pipelines, scope, pipeline_id=pipeline_id),
            pipelines.c.status.in_(sorted(expected)),
            status=status,
            element_statuses=element_statuses,
            paused_at=paused_at,
            ended_at=ended_at,
        )
        present = self.get(scope, pipeline_id)
        if present is not None and not changed:
            raise ChangedMeanwhile(f"the pipeline is {present.status} by now; look at it again")
        return present

    def set_source(self, scope: Scope, pipeline_id: str, source: JsonObject) -> Pipeline | None:
        """Replace what it listens to: a call has got another leg. None when there is no such pipeline."""
        self._update(pipelines, in_scope(pipelines, scope, pipeline_id=pipeline_id), source=source)
        return self.get(scope, pipeline_id)

    def delete(self, scope: Scope, pipeline_id: str) -> bool:
        """Remove it, its metadata, tags, tasks, results and events; False when there is no such pipeline."""
        return self._delete_chosen(select_in_scope(pipelines, scope, pipeline_id=pipeline_id)) == 1

    def purge(self, *, ended_before: datetime, limit: int) -> int:
        """Remove at most `limit` pipelines of all accounts that ended before this time, and all that belongs to them.

        Return how many were removed.
        """
        old = select(pipelines).where(pipelines.c.ended_at < ended_before)
        return self._delete_chosen(old.order_by(pipelines.c.ended_at).limit(limit))

    def _delete_chosen(self, chosen: Query) -> int:
        rows = self._session.rows(chosen.with_for_update(skip_locked=True))
        for row in rows:
            scope, pipeline_id = scope_of(row), row["pipeline_id"]
            TagWriter(self._writing).clear(scope, row["arn"])
            self._delete(events, in_scope(events, scope, pipeline_id=pipeline_id))
            self._delete(pipelines, in_scope(pipelines, scope, pipeline_id=pipeline_id))
            key_id = self._writing.destroy_key(row["wrapped_key"], owner=key_owner(pipelines, scope, pipeline_id))
            self._writing.note_deleted(scope, DeletionKind.PIPELINE, pipeline_id, key_id=key_id)
        return len(rows)
