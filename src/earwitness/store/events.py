"""The outbox: events, written in the transaction of what they report. An event keeps one id and one body for ever."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import and_, delete, exists, func, insert, select

from earwitness.errors import AlreadyExists, CiphertextRefused, NotFound
from earwitness.store.columns import from_microseconds, from_optional_microseconds, to_microseconds
from earwitness.store.owners import event_body_place, pipeline_owner
from earwitness.store.page import read_page
from earwitness.store.records import Page, PageKey, Scope
from earwitness.store.schema import pipelines
from earwitness.store.schema_search import deliveries
from earwitness.store.schema_search import events as table
from earwitness.store.search_records import Delivery, DeliveryState, Event
from earwitness.store.session import Row, Session, Writing, in_scope
from earwitness.vault.vault import Vault

_PIPELINE = and_(
    pipelines.c.account_id == table.c.account_id,
    pipelines.c.region == table.c.region,
    pipelines.c.pipeline_id == table.c.pipeline_id,
)
_ALL = select(
    table.c.account_id,
    table.c.region,
    table.c.sequence,
    table.c.event_id,
    table.c.pipeline_id,
    table.c.kind,
    table.c.body_ciphertext,
    table.c.created_at,
    pipelines.c.wrapped_key,
).select_from(table.join(pipelines, _PIPELINE))

_DELIVERIES = select(
    deliveries.c.sequence,
    deliveries.c.target,
    deliveries.c.state,
    deliveries.c.attempts,
    deliveries.c.next_attempt_at,
    deliveries.c.last_error,
    deliveries.c.delivered_at,
)


class EventReader:
    """What can be read of the outbox."""

    def __init__(self, session: Session, vault: Vault) -> None:
        self._session = session
        self._vault = vault

    def get(self, scope: Scope, event_id: str) -> Event | None:
        """The event of this id with its deliveries, or None."""
        row = self._session.row(_ALL.where(in_scope(table, scope), table.c.event_id == event_id))
        return None if row is None else self._with_deliveries([self._record(row)])[0]

    def list(self, scope: Scope, pipeline_id: str, *, after: PageKey | None = None, limit: int) -> Page[Event]:
        """The events of a pipeline with their deliveries, newest first."""
        page = read_page(
            self._session,
            _ALL.where(in_scope(table, scope), table.c.pipeline_id == pipeline_id),
            record=self._record,
            order=(table.c.sequence,),
            after=after,
            limit=limit,
            newest_first=True,
        )
        return Page(items=self._with_deliveries(page.items), next_key=page.next_key)

    def following(
        self, scope: Scope, *, sequence: int, limit: int, pipeline_id: str | None = None
    ) -> tuple[Event, ...]:
        """At most `limit` events behind a number with their deliveries, oldest first, of all pipelines or of one.

        Whoever asks again behind the last one misses none: events become visible in the order of their numbers.
        """
        statement = _ALL.where(in_scope(table, scope), table.c.sequence > sequence)
        if pipeline_id is not None:
            statement = statement.where(table.c.pipeline_id == pipeline_id)
        rows = self._session.rows(statement.order_by(table.c.sequence).limit(limit))
        return self._with_deliveries([self._record(row) for row in rows])

    def last_sequence(self, scope: Scope, *, pipeline_id: str | None = None) -> int:
        """The number of the newest event, of all pipelines or of one; 0 when there is none."""
        statement = select(func.max(table.c.sequence)).where(in_scope(table, scope))
        if pipeline_id is not None:
            statement = statement.where(table.c.pipeline_id == pipeline_id)
        row = self._session.row(statement)
        return 0 if row is None or row[0] is None else int(row[0])

    def by_sequence(self, sequences: Collection[int]) -> dict[int, tuple[Scope, Event]]:
        """The events of these numbers and whose they are, without their deliveries."""
        rows = self._session.rows(_ALL.where(table.c.sequence.in_(sorted(sequences))))
        return {row[2]: (Scope(account_id=row[0], region=row[1]), self._record(row)) for row in rows}

    def _record(self, row: Row) -> Event:
        account_id, region, sequence, event_id, pipeline_id, kind, ciphertext, created_at, wrapped_key = row
        scope = Scope(account_id=account_id, region=region)
        return Event(
            sequence=sequence,
            event_id=event_id,
            pipeline_id=pipeline_id,
            kind=kind,
            body=self._body(scope, event_id, pipeline_id, bytes(wrapped_key), ciphertext),
            created_at=from_microseconds(created_at),
            deliveries=(),
        )

    def _body(
        self, scope: Scope, event_id: str, pipeline_id: str, wrapped_key: bytes, ciphertext: bytes
    ) -> bytes | None:
        """None for one that cannot be opened, so that a single damaged event does not hide those around it."""
        try:
            key = self._vault.key(wrapped_key, owner=pipeline_owner(scope, pipeline_id))
            return key.open(ciphertext, event_body_place(scope, event_id))
        except CiphertextRefused:
            return None

    def _with_deliveries(self, events: Sequence[Event]) -> tuple[Event, ...]:
        sequences = [event.sequence for event in events]
        ordered = _DELIVERIES.where(deliveries.c.sequence.in_(sequences)).order_by(deliveries.c.target)
        rows = self._session.rows(ordered)
        return tuple(
            replace(event, deliveries=tuple(_delivery(row) for row in rows if row[0] == event.sequence))
            for event in events
        )


class EventWriter(EventReader):
    """What can be changed of the outbox."""

    def __init__(self, writing: Writing) -> None:
        super().__init__(writing.session, writing.vault)
        self._writing = writing

    def append(
        self,
        scope: Scope,
        *,
        event_id: str,
        pipeline_id: str,
        kind: str,
        body: bytes,
        targets: Collection[str],
    ) -> None:
        """Write an event, to be delivered to each target; call it last in the unit that changes what it reports.

        Units that append in one account and Region wait for each other, so that its events are numbered in the order
        in which they become visible, and whoever follows them by number misses none. NotFound without such a pipeline;
        AlreadyExists when the id is taken.
        """
        session = self._writing.session
        session.hold(f"events of {scope.account_id} {scope.region}")
        mine = in_scope(pipelines, scope), pipelines.c.pipeline_id == pipeline_id
        row = session.row(select(pipelines.c.wrapped_key).where(*mine))
        if row is None:
            raise NotFound("the media insights pipeline does not exist; look at its id")
        key = self._vault.key(bytes(row[0]), owner=pipeline_owner(scope, pipeline_id))
        values = {
            "account_id": scope.account_id,
            "region": scope.region,
            "event_id": event_id,
            "pipeline_id": pipeline_id,
            "kind": kind,
            "body_ciphertext": key.seal(body, event_body_place(scope, event_id)),
            "created_at": to_microseconds(self._writing.now),
        }
        if not session.insert_new(table, values):
            raise AlreadyExists("an event of this id exists; choose another id")
        self._enqueue(scope, event_id, pipeline_id, targets)

    def purge(self, *, created_before: datetime, limit: int) -> int:
        """Remove at most `limit` events of all accounts that are older than this and delivered everywhere.

        What waits or is parked stays, until its pipeline goes. How many were removed.
        """
        session = self._writing.session
        unfinished = deliveries.c.sequence == table.c.sequence, deliveries.c.state != DeliveryState.DELIVERED.value
        old = (
            select(table.c.sequence)
            .where(table.c.created_at < to_microseconds(created_before), ~exists().where(*unfinished))
            .order_by(table.c.created_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        sequences = [row[0] for row in session.rows(old)]
        if sequences:
            session.scrub()
            session.change(delete(table).where(table.c.sequence.in_(sequences)))
        return len(sequences)

    def _enqueue(self, scope: Scope, event_id: str, pipeline_id: str, targets: Collection[str]) -> None:
        session = self._writing.session
        chosen = select(table.c.sequence).where(in_scope(table, scope), table.c.event_id == event_id)
        sequence = session.rows(chosen)[0][0]
        for target in sorted(set(targets)):
            values = {
                "sequence": sequence,
                "target": target,
                "account_id": scope.account_id,
                "region": scope.region,
                "pipeline_id": pipeline_id,
                "state": DeliveryState.PENDING.value,
                "attempts": 0,
                "next_attempt_at": to_microseconds(self._writing.now),
            }
            session.change(insert(deliveries).values(**values))


def _delivery(row: Row) -> Delivery:
    _, target, state, attempts, next_attempt_at, last_error, delivered_at = row
    return Delivery(
        target=target,
        state=DeliveryState(state),
        attempts=attempts,
        next_attempt_at=from_microseconds(next_attempt_at),
        last_error=last_error,
        delivered_at=from_optional_microseconds(delivered_at),
    )
