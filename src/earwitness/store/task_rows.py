"""Rows of tasks: read as records, held for the length of a transaction, written back."""

import logging
from collections.abc import Mapping

from sqlalchemy import and_, bindparam, select, update

from earwitness.errors import CiphertextRefused
from earwitness.store.columns import (
    JsonObject,
    from_json,
    from_microseconds,
    from_optional_microseconds,
    to_json,
    to_microseconds,
    to_optional_microseconds,
)
from earwitness.store.domain_keys import require_domain_key
from earwitness.store.owners import domain_owner, task_place
from earwitness.store.page import read_page
from earwitness.store.records import Page, PageKey, Scope
from earwitness.store.schema import pipelines
from earwitness.store.schema import voice_profile_domains as domains
from earwitness.store.schema_search import tasks as table
from earwitness.store.search_records import SpeakerSearchTask, SpeakerSearchTaskState
from earwitness.store.session import HotRead, Row, Session, Writing, count_where, in_scope
from earwitness.vault.vault import Vault
from earwitness.voice.task_status import StopReason, TaskStatus, VoiceprintStatus

_PLAIN = (
    table.c.account_id,
    table.c.region,
    table.c.task_id,
    table.c.pipeline_id,
    table.c.stream_arn,
    table.c.channel_id,
    table.c.domain_id,
    table.c.domain_arn,
    table.c.start_fragment_number,
    table.c.attempt,
    table.c.status_message,
    table.c.profile_id,
)
_WORDS = (table.c.status, table.c.stop_reason, table.c.voiceprint_status)
_SEALED = (table.c.checkpoint_ciphertext, table.c.identification_ciphertext)
_TIMES = (table.c.created_at, table.c.updated_at, table.c.started_at, table.c.ended_at)
_DOMAIN = and_(
    domains.c.account_id == table.c.account_id,
    domains.c.region == table.c.region,
    domains.c.domain_id == table.c.domain_id,
)
_ALL = select(*_PLAIN, *_WORDS, *_SEALED, domains.c.wrapped_key, *_TIMES).select_from(
    table.outerjoin(domains, _DOMAIN)  # the domain may be gone
)
_BY_ID = HotRead(
    _ALL.where(
        table.c.account_id == bindparam("account_id"),
        table.c.region == bindparam("region"),
        table.c.task_id == bindparam("task_id"),
    ),
    "account_id",
    "region",
    "task_id",
)

_OF_PIPELINE = and_(
    pipelines.c.account_id == table.c.account_id,
    pipelines.c.region == table.c.region,
    pipelines.c.pipeline_id == table.c.pipeline_id,
)
_STATE = (
    select(table.c.task_id, table.c.status, table.c.created_at, table.c.updated_at)
    .select_from(table.join(pipelines, _OF_PIPELINE))
    .where(
        table.c.account_id == bindparam("account_id"),
        table.c.region == bindparam("region"),
        table.c.task_id == bindparam("task_id"),
    )
)
_SCOPED = "account_id", "region", "task_id"
_STATE_BY_PIPELINE_ID = HotRead(_STATE.where(pipelines.c.pipeline_id == bindparam("pipeline")), *_SCOPED, "pipeline")
_STATE_BY_PIPELINE_ARN = HotRead(_STATE.where(pipelines.c.arn == bindparam("pipeline")), *_SCOPED, "pipeline")

_log = logging.getLogger("earwitness.store")


class TaskReader:
    """What can be read of tasks."""

    def __init__(self, session: Session, vault: Vault) -> None:
        self._session = session
        self._vault = vault

    def get(self, scope: Scope, task_id: str) -> SpeakerSearchTask | None:
        """The task of this GUID, or None; ended ones too, as long as they are kept."""
        return self._session.hot(_BY_ID, self._record, scope.account_id, scope.region, task_id)

    def get_state(self, scope: Scope, task_id: str, *, pipeline: str) -> SpeakerSearchTaskState | None:
        """What the status of a task is, found by the id or ARN of its pipeline; None without such a task or pipeline.

        Whoever waits for a task asks for this again and again, so it opens nothing that is sealed.
        """
        read = _STATE_BY_PIPELINE_ARN if pipeline.startswith("arn:") else _STATE_BY_PIPELINE_ID
        return self._session.hot(read, _state, scope.account_id, scope.region, task_id, pipeline)

    def list(
        self, scope: Scope, pipeline_id: str | None, *, after: PageKey | None = None, limit: int
    ) -> Page[SpeakerSearchTask]:
        """The tasks of a pipeline, or of all with None, newest first, ended ones too."""
        statement = _ALL.where(in_scope(table, scope))
        return read_page(
            self._session,
            statement if pipeline_id is None else statement.where(table.c.pipeline_id == pipeline_id),
            record=self._record,
            order=(table.c.created_at, table.c.task_id),
            after=after,
            limit=limit,
            newest_first=True,
        )

    def list_active_everywhere(self, *, after: PageKey | None = None, limit: int) -> Page[SpeakerSearchTask]:
        """The active tasks of all accounts, for workers that look after them."""
        return read_page(
            self._session,
            _ALL.where(table.c.ended_at.is_(None)),
            record=self._record,
            order=(table.c.account_id, table.c.region, table.c.task_id),
            after=after,
            limit=limit,
        )

    def count_active(self, scope: Scope, *, pipeline_id: str | None = None) -> int:
        """How many have not ended, of all or of those of one pipeline."""
        conditions = [in_scope(table, scope), table.c.ended_at.is_(None)]
        if pipeline_id is not None:
            conditions.append(table.c.pipeline_id == pipeline_id)
        return count_where(self._session, table, *conditions)

    def _record(self, row: Row) -> SpeakerSearchTask:
        plain, words, sealed, wrapped_key, times = row[:12], row[12:15], row[15:17], row[17], row[18:22]
        account_id, region, task_id, pipeline_id, stream_arn, channel_id, domain_id, domain_arn, *rest = plain
        start_fragment_number, attempt, status_message, profile_id = rest
        status, stop_reason, voiceprint_status = words
        scope = Scope(account_id=account_id, region=region)
        opened = (
            self._opened(scope, task_id, domain_id, wrapped_key, column.name, ciphertext)
            for column, ciphertext in zip(_SEALED, sealed, strict=True)
        )
        checkpoint, identification = opened
        created_at, updated_at, started_at, ended_at = times
        return SpeakerSearchTask(
            scope=scope,
            task_id=task_id,
            pipeline_id=pipeline_id,
            stream_arn=stream_arn,
            channel_id=channel_id,
            domain_id=domain_id,
            domain_arn=domain_arn,
            start_fragment_number=start_fragment_number,
            status=TaskStatus(status),
            attempt=attempt,
            stop_reason=None if stop_reason is None else StopReason(stop_reason),
            status_message=status_message,
            checkpoint=checkpoint,
            identification=identification,
            voiceprint_status=None if voiceprint_status is None else VoiceprintStatus(voiceprint_status),
            profile_id=profile_id,
            created_at=from_microseconds(created_at),
            updated_at=from_microseconds(updated_at),
            started_at=from_optional_microseconds(started_at),
            ended_at=from_optional_microseconds(ended_at),
        )

    def _opened(
        self,
        scope: Scope,
        task_id: str,
        domain_id: str,
        wrapped_key: bytes | None,
        column: str,
        ciphertext: bytes | None,
    ) -> JsonObject | None:
        """None also for what cannot be opened, so that a single damaged task does not hide those around it, and goes
        on as if that had not been written."""
        if ciphertext is None or wrapped_key is None:
            return None
        try:
            key = self._vault.key(bytes(wrapped_key), owner=domain_owner(scope, domain_id))
            return from_json(key.open(ciphertext, task_place(scope, task_id, column)).decode())
        except CiphertextRefused:
            _log.error("a part of a task's record cannot be opened", extra={"task_id": task_id, "column": column})
            return None


def _state(row: Row) -> SpeakerSearchTaskState:
    task_id, status, created_at, updated_at = row
    return SpeakerSearchTaskState(
        task_id=task_id,
        status=TaskStatus(status),
        created_at=from_microseconds(created_at),
        updated_at=from_microseconds(updated_at),
    )


class TaskRows(TaskReader):
    """What all who change tasks do: hold the row, write it back."""

    def __init__(self, writing: Writing) -> None:
        super().__init__(writing.session, writing.vault)
        self._writing = writing

    def hold(self, scope: Scope, task_id: str) -> SpeakerSearchTask | None:
        """The task, which nobody else changes before this transaction ends."""
        statement = _ALL.where(in_scope(table, scope), table.c.task_id == task_id).with_for_update(of=table)
        row = self._session.row(statement)
        return None if row is None else self._record(row)

    def save(self, changed: SpeakerSearchTask, *sealed: str) -> SpeakerSearchTask:
        """Write back what may change, and those of `checkpoint` and `identification` that are named; NotFound when
        they cannot be sealed because the domain was deleted.
        """
        values: dict[str, object] = {
            "status": changed.status.value,
            "attempt": changed.attempt,
            "stop_reason": None if changed.stop_reason is None else changed.stop_reason.value,
            "status_message": changed.status_message,
            "voiceprint_status": None if changed.voiceprint_status is None else changed.voiceprint_status.value,
            "profile_id": changed.profile_id,
            "updated_at": to_microseconds(changed.updated_at),
            "started_at": to_optional_microseconds(changed.started_at),
            "ended_at": to_optional_microseconds(changed.ended_at),
        }
        documents: Mapping[str, JsonObject | None] = {
            "checkpoint": changed.checkpoint,
            "identification": changed.identification,
        }
        for name in sealed:
            column = f"{name}_ciphertext"
            values[column] = self._sealed(changed, documents[name], column)
        mine = in_scope(table, changed.scope), table.c.task_id == changed.task_id
        self._writing.session.change(update(table).where(*mine).values(**values))
        return changed

    def _sealed(self, task: SpeakerSearchTask, document: JsonObject | None, column: str) -> bytes | None:
        if document is None:
            return None
        key = require_domain_key(self._session, self._vault, task.scope, task.domain_id)
        return key.seal(to_json(document).encode(), task_place(task.scope, task.task_id, column))
