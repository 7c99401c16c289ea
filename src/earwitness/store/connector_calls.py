"""Calls of Voice Connectors: begun with the streams of their legs, ended, and forgotten after a while."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta

from sqlalchemy import BigInteger, ColumnElement, exists, select, type_coerce

from earwitness.errors import AlreadyExists, CiphertextRefused, Conflict, NotFound
from earwitness.store.columns import from_json, to_json, to_microseconds
from earwitness.store.connector_records import ActiveCall, ConnectorCall, KeptLeg
from earwitness.store.connector_schema import (
    connector_call_legs,
    connector_call_streams,
    connector_call_tasks,
    connector_calls,
    voice_connectors,
)
from earwitness.store.hot_reads import StoredRow
from earwitness.store.node_schema import nodes
from earwitness.store.records import Page, PageKey, Scope
from earwitness.store.repository import (
    Reader,
    RowSeal,
    Writer,
    in_scope,
    key_owner,
    record,
    same,
    scope_of,
    select_in_scope,
)
from earwitness.store.schema import events, kinesis_streams, tasks
from earwitness.voice.call import Leg
from earwitness.voice.connector import CallLeg, CallStatus
from earwitness.voice.deletion import DeletionKind

STREAM_KEPT_MIN = timedelta(hours=1)
"""How long the stream of a leg stays after its call, whatever its retention: tasks may hear the end of it late."""

_HOUR_US = 3_600_000_000

_log = logging.getLogger("earwitness.store")


_OF_DEAD_NODE: ColumnElement[bool] = connector_calls.c.node_id.is_not(None) & ~exists().where(
    nodes.c.node_id == connector_calls.c.node_id, nodes.c.dead_at.is_(None)
)


class ConnectorCallReader(Reader):
    """What can be read of calls."""

    def get(self, scope: Scope, transaction_id: str) -> ConnectorCall | None:
        """Return the call of this UUID, or None; ended ones too, as long as they are kept."""
        return self._one(self._record, select_in_scope(connector_calls, scope, transaction_id=transaction_id))

    def list(self, scope: Scope, *, after: PageKey | None = None, limit: int) -> Page[ConnectorCall]:
        """Return the newest first, ended ones too."""
        return self._page(
            self._record,
            select_in_scope(connector_calls, scope),
            order=(connector_calls.c.started_at, connector_calls.c.transaction_id),
            after=after,
            limit=limit,
            newest_first=True,
        )

    def list_active_everywhere(self, *, after: PageKey | None = None, limit: int) -> Page[ActiveCall]:
        """Return the calls of all accounts that are in progress as the records say, damaged ones too."""
        return self._active(after=after, limit=limit)

    def _active(self, *conditions: ColumnElement[bool], after: PageKey | None, limit: int) -> Page[ActiveCall]:
        columns = connector_calls.c
        known = select(columns.account_id, columns.region, columns.transaction_id, columns.started_at, columns.node_id)
        return self._page(
            lambda row: record(ActiveCall, row, scope=scope_of(row)),
            known.where(columns.ended_at.is_(None), *conditions),
            order=(columns.account_id, columns.region, columns.transaction_id),
            after=after,
            limit=limit,
        )

    def list_of_dead_nodes(self, *, after: PageKey | None = None, limit: int) -> Page[ActiveCall]:
        """Return the calls in progress, as the records say, that came to nodes which are dead, or forgotten since."""
        return self._active(_OF_DEAD_NODE, after=after, limit=limit)

    def find_active(self, scope: Scope, connector_id: str, call_id: str, *, of_dead_node: bool) -> ActiveCall | None:
        """Return the call in progress of this name, with `of_dead_node` only if its node is dead; None without one."""
        named = in_scope(connector_calls, scope, connector_id=connector_id, call_id=call_id)
        found = self._active(named, *([_OF_DEAD_NODE] if of_dead_node else []), after=None, limit=1)
        return next(iter(found.items), None)

    def count_active(self, scope: Scope) -> int:
        """Return how many are in progress."""
        return self._count(connector_calls, in_scope(connector_calls, scope, ended_at=None))

    def count_active_tasks(self, call: ConnectorCall) -> int:
        """Return how many tasks that were started by a call have not ended."""
        theirs = in_scope(connector_call_tasks, call.scope, transaction_id=call.transaction_id)
        active = tasks.c.ended_at.is_(None) & same(connector_call_tasks, tasks, "task_id")
        return self._count(connector_call_tasks, theirs, exists().where(active))

    def task_leg(self, scope: Scope, task_id: str) -> tuple[str, CallLeg] | None:
        """Return the transaction and the leg that a task was started by; None for a task of a pipeline's channel."""
        row = self._session.row(select_in_scope(connector_call_tasks, scope, task_id=task_id))
        return None if row is None else (row["transaction_id"], row["call_leg"])

    def list_old_streams(self, *, now: datetime, limit: int) -> Sequence[tuple[Scope, str]]:
        """Return the ARNs of streams, of all accounts, whose retention has passed since the end of their call."""
        ended_us = type_coerce(connector_call_streams.c.ended_at, BigInteger)
        kept_us = type_coerce(kinesis_streams.c.retention_hours, BigInteger) * _HOUR_US
        old = (
            select(connector_call_streams)
            .join(
                kinesis_streams,
                same(connector_call_streams, kinesis_streams)
                & (connector_call_streams.c.stream_arn == kinesis_streams.c.arn),
            )
            .where(
                connector_call_streams.c.ended_at <= now - STREAM_KEPT_MIN,
                ended_us + kept_us <= to_microseconds(now),
            )
            .limit(limit)
        )
        return [(scope_of(row), row["stream_arn"]) for row in self._session.rows(old)]

    def _record(self, row: StoredRow) -> ConnectorCall:
        legs = self._session.rows(
            select_in_scope(connector_call_legs, scope_of(row), transaction_id=row["transaction_id"]).order_by(
                connector_call_legs.c.channel_id
            )
        )
        numbers = self._numbers(row)
        return record(
            ConnectorCall,
            row,
            scope=scope_of(row),
            from_number=numbers.get("from", ""),
            to_number=numbers.get("to", ""),
            legs=tuple(record(KeptLeg, leg, is_caller=bool(leg["is_caller"])) for leg in legs),
        )

    def _numbers(self, row: StoredRow) -> dict[str, str]:
        """Return who called whom; nothing when that cannot be opened, so that the call can be ended all the same."""
        try:
            seal = self._seal(scope_of(row), row["transaction_id"], row["wrapped_key"])
            return from_json(seal.open(row, "numbers_ciphertext").decode())
        except CiphertextRefused:
            _log.error("numbers of a call cannot be opened", extra={"transaction_id": row["transaction_id"]})
            return {}

    def _seal(self, scope: Scope, transaction_id: str, wrapped_key: bytes) -> RowSeal:
        key = self._vault.key(wrapped_key, owner=key_owner(connector_calls, scope, transaction_id))
        return RowSeal(key, connector_calls, scope, transaction_id)


class ConnectorCallWriter(Writer, ConnectorCallReader):
    """What can be changed of calls."""

    def begin(
        self,
        scope: Scope,
        *,
        transaction_id: str,
        connector_id: str,
        call_id: str,
        door: str,
        direction: str,
        from_number: str,
        to_number: str,
    ) -> ConnectorCall:
        """Return a call in progress, without legs yet.

        Raise NotFound without such a connector, Conflict when a call of this id is in progress on it.
        """
        there = select(voice_connectors.c.connector_id).where(
            in_scope(voice_connectors, scope, connector_id=connector_id)
        )
        if self._session.row(there.with_for_update(read=True, key_share=True)) is None:
            raise NotFound("the Voice Connector does not exist, or was deleted; look at its id")
        begun = ConnectorCall(
            scope=scope,
            transaction_id=transaction_id,
            connector_id=connector_id,
            call_id=call_id,
            door=door,
            direction=direction,
            pipeline_id=None,
            status=CallStatus.IN_PROGRESS,
            reason=None,
            from_number=from_number,
            to_number=to_number,
            started_at=self._now,
            ended_at=None,
            legs=(),
        )
        wrapped_key = self._new_wrapped_key(owner=key_owner(connector_calls, scope, transaction_id))
        sealed = self._sealed_numbers(begun, wrapped_key)
        others = {**asdict(scope), "wrapped_key": wrapped_key, "node_id": self._writing.node_id, **sealed}
        if not self._insert(connector_calls, begun, **others):
            raise Conflict("a call of this id is in progress on this Voice Connector; end it first")
        return begun

    def put_leg(self, call: ConnectorCall, leg: Leg, *, stream_arn: str, start_fragment_number: str) -> ConnectorCall:
        """Return a call with one more leg. A leg of this label that is there keeps its stream and gets this coding."""
        scope, transaction_id = call.scope, call.transaction_id
        if any(kept.label == leg.label for kept in call.legs):
            chosen = in_scope(connector_call_legs, scope, transaction_id=transaction_id, label=leg.label)
            self._update(connector_call_legs, chosen, coding=leg.coding, rate=leg.rate)
            return self._require(scope, transaction_id)
        kept = KeptLeg(
            label=leg.label,
            is_caller=leg.is_caller,
            coding=leg.coding,
            rate=leg.rate,
            stream_arn=stream_arn,
            channel_id=len(call.legs),
            start_fragment_number=start_fragment_number,
            started_at=self._now,
        )
        named = {**asdict(scope), "transaction_id": transaction_id, "is_caller": int(leg.is_caller)}
        self._insert(connector_call_legs, kept, **named)
        stream = {**asdict(scope), "stream_arn": stream_arn, "ended_at": None}
        self._writing.session.insert_new(connector_call_streams, stream)
        return replace(call, legs=(*call.legs, kept))

    def set_pipeline(self, call: ConnectorCall, pipeline_id: str) -> ConnectorCall:
        """Return a call that has a pipeline."""
        self._update(connector_calls, self._chosen(call), pipeline_id=pipeline_id)
        return replace(call, pipeline_id=pipeline_id)

    def set_numbers(self, call: ConnectorCall, *, from_number: str, to_number: str) -> ConnectorCall:
        """Return a call with other numbers than before, as after a transfer."""
        changed = replace(call, from_number=from_number, to_number=to_number)
        row = self._session.row(select(connector_calls.c.wrapped_key).where(self._chosen(call)))
        if row is not None:
            self._update(connector_calls, self._chosen(call), **self._sealed_numbers(changed, row["wrapped_key"]))
        return changed

    def lock_active(self, scope: Scope, transaction_id: str) -> ConnectorCall | None:
        """Return a call in progress, which nobody else changes before this unit ends; None when it has ended."""
        active = select_in_scope(connector_calls, scope, transaction_id=transaction_id, ended_at=None)
        return self._one(self._record, active.with_for_update())

    def end(self, call: ConnectorCall, *, status: CallStatus, reason: str) -> ConnectorCall:
        """Return a locked call as it ended now. From now on the retention of its streams counts."""
        self._writing.session.use_reserve()
        self._update(connector_calls, self._chosen(call), status=status, reason=reason, ended_at=self._now)
        streams = connector_call_streams.c.stream_arn.in_([leg.stream_arn for leg in call.legs])
        self._update(connector_call_streams, in_scope(connector_call_streams, call.scope), streams, ended_at=self._now)
        return replace(call, status=status, reason=reason, ended_at=self._now)

    def end_unread(self, scope: Scope, transaction_id: str, *, status: CallStatus, reason: str) -> bool:
        """End a call in progress, and let the retention of its streams count, without reading its record.

        False when there is none in progress.
        """
        self._writing.session.use_reserve()
        active = in_scope(connector_calls, scope, transaction_id=transaction_id, ended_at=None)
        if not self._update(connector_calls, active, status=status, reason=reason, ended_at=self._now):
            return False
        legs = select(connector_call_legs.c.stream_arn).where(
            in_scope(connector_call_legs, scope, transaction_id=transaction_id)
        )
        streams = connector_call_streams.c.stream_arn.in_(legs)
        self._update(connector_call_streams, in_scope(connector_call_streams, scope), streams, ended_at=self._now)
        return True

    def give_task(self, call: ConnectorCall, task_id: str, leg: CallLeg) -> None:
        """Note that a task was started by this call and a leg of it."""
        row = {**asdict(call.scope), "task_id": task_id, "transaction_id": call.transaction_id, "call_leg": leg}
        if not self._writing.session.insert_new(connector_call_tasks, row):
            raise AlreadyExists("the task was started by a call already; choose another id")

    def purge(self, *, ended_before: datetime, limit: int) -> int:
        """Remove at most `limit` calls of all accounts that ended before this time, their legs and their own events.

        Return how many were removed.
        """
        old = select(connector_calls).where(connector_calls.c.ended_at < ended_before)
        rows = self._session.rows(
            old.order_by(connector_calls.c.ended_at).limit(limit).with_for_update(skip_locked=True)
        )
        for row in rows:
            self._remove(scope_of(row), row["transaction_id"], row["wrapped_key"])
        return len(rows)

    def delete(self, call: ConnectorCall) -> None:
        """Remove a call that has ended, its legs and its own events."""
        row = self._session.row(select(connector_calls.c.wrapped_key).where(self._chosen(call)))
        if row is not None:
            self._remove(call.scope, call.transaction_id, row["wrapped_key"])

    def _remove(self, scope: Scope, transaction_id: str, wrapped_key: bytes) -> None:
        self._delete(events, in_scope(events, scope, pipeline_id=transaction_id))
        self._delete(connector_calls, in_scope(connector_calls, scope, transaction_id=transaction_id))
        owner = key_owner(connector_calls, scope, transaction_id)
        key_id = self._writing.destroy_key(wrapped_key, owner=owner)
        self._writing.note_deleted(scope, DeletionKind.CALL, transaction_id, key_id=key_id)

    def _require(self, scope: Scope, transaction_id: str) -> ConnectorCall:
        call = self.get(scope, transaction_id)
        if call is None:
            raise NotFound("the call does not exist; look at its transaction id")
        return call

    def _chosen(self, call: ConnectorCall) -> ColumnElement[bool]:
        return in_scope(connector_calls, call.scope, transaction_id=call.transaction_id)

    def _sealed_numbers(self, call: ConnectorCall, wrapped_key: bytes) -> dict[str, bytes | None]:
        numbers = to_json({"from": call.from_number, "to": call.to_number}).encode()
        return self._seal(call.scope, call.transaction_id, wrapped_key).seal(numbers_ciphertext=numbers)
