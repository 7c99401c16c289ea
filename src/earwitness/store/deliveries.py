"""Deliveries of the outbox's events: who makes one now, what became of it, when it is tried again.

At each target the events of a pipeline come in their order: one is not due before those ahead of it are delivered or
parked. Whoever delivers claims first, and renews the claim as long as the delivery takes; a claim runs out, so that a
deliverer that dies holds nothing up, and a delivery may happen twice but is never forgotten.
"""

import logging
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, func, literal_column, select, update

from earwitness.store.columns import from_optional_microseconds, to_microseconds
from earwitness.store.events import EventReader
from earwitness.store.records import Scope
from earwitness.store.schema_search import deliveries as table
from earwitness.store.schema_search import events
from earwitness.store.search_records import ClaimedDelivery, DeliveryState
from earwitness.store.session import Query, Row, Session, Writing, in_scope

DAMAGED = "the event cannot be opened: it is damaged, or its key was destroyed; restore the records from a backup"
"""Why an event is parked without an attempt."""

DAMAGED_PARKED_MAX = 100
"""Times that one claim looks for others behind events that it had to park, so that it stays short."""

_log = logging.getLogger("earwitness.store")

_ahead = table.alias("ahead")
# Written out, not bound: a database proves by the text that the indexes of what waits hold all that is asked for.
_LITERAL: ColumnElement[str] = literal_column(f"'{DeliveryState.PENDING.value}'")
_PENDING = table.c.state == _LITERAL
_HAS_ONE_AHEAD = exists().where(
    _ahead.c.account_id == table.c.account_id,
    _ahead.c.region == table.c.region,
    _ahead.c.pipeline_id == table.c.pipeline_id,
    _ahead.c.target == table.c.target,
    _ahead.c.sequence < table.c.sequence,
    _ahead.c.state == _LITERAL,
)


class DeliveryReader:
    """What can be read of deliveries; those of one event are in its record."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def next_attempt_at(self) -> datetime | None:
        """When there may next be something to deliver, of all accounts; None when nothing waits."""
        row = self._session.row(select(func.min(table.c.next_attempt_at)).where(_PENDING))
        return None if row is None else from_optional_microseconds(row[0])


class DeliveryWriter(DeliveryReader):
    """What can be changed of deliveries."""

    def __init__(self, writing: Writing) -> None:
        super().__init__(writing.session)
        self._writing = writing
        self._events = EventReader(writing.session, writing.vault)

    def claim(self, *, until: datetime, limit: int) -> tuple[ClaimedDelivery, ...]:
        """At most `limit` deliveries of all accounts that are due, for the caller alone until then.

        Of each pipeline and target only the first that waits. Record each as delivered, failed or parked; one that
        was neither recorded nor renewed by then is due again. Events that cannot be opened are parked, and do not
        come back.
        """
        for _ in range(DAMAGED_PARKED_MAX):
            rows = self._writing.session.rows(_due(self._writing.now, limit=limit))
            claimed = self._claimed(rows, until=until)
            if claimed or not rows:
                return claimed
        return ()

    def renew(self, claimed: Collection[ClaimedDelivery], *, until: datetime) -> tuple[ClaimedDelivery, ...]:
        """Claims that go on until then, as they are now; left out are those that ran out or ended meanwhile."""
        renewed: list[ClaimedDelivery] = []
        for delivery in claimed:
            still = table.c.attempts == delivery.attempt, table.c.next_attempt_at == to_microseconds(delivery.until)
            statement = update(table).where(_waiting(delivery), *still)
            if self._writing.session.change(statement.values(next_attempt_at=to_microseconds(until))):
                renewed.append(replace(delivery, until=until))
        return tuple(renewed)

    def release(self, *, claimed_until: datetime) -> int:
        """Let what would be due by then be due now: claims that a former process left behind.

        For the only process on these records, before it claims anything, with the latest time to which its
        predecessor may have claimed. A retry that would come by then comes so much sooner. How many there were.
        """
        now = to_microseconds(self._writing.now)
        later = table.c.next_attempt_at > now, table.c.next_attempt_at <= to_microseconds(claimed_until)
        return self._writing.session.change(update(table).where(_PENDING, *later).values(next_attempt_at=now))

    def record_delivered(self, claimed: ClaimedDelivery) -> None:
        """The target took it; said after the claim ran out, it holds all the same."""
        values = {
            "state": DeliveryState.DELIVERED.value,
            "delivered_at": to_microseconds(self._writing.now),
            "last_error": None,
        }
        self._writing.session.change(update(table).where(_waiting(claimed)).values(**values))

    def record_failed(self, claimed: ClaimedDelivery, *, error: str, retry_at: datetime | None) -> bool:
        """The target did not take it, and why, in constant words. Try again at `retry_at`, or None to park it.

        What waits behind it waits as long. False, and nothing changes, when the claim ran out and it was claimed
        again, delivered or parked since.
        """
        mine = and_(_waiting(claimed), table.c.attempts == claimed.attempt)
        values: dict[str, object] = {"last_error": error}
        if retry_at is None:
            values["state"] = DeliveryState.PARKED.value
        else:
            values["next_attempt_at"] = to_microseconds(retry_at)
        if self._writing.session.change(update(table).where(mine).values(**values)) == 0:
            return False
        if retry_at is not None:
            self._put_off(claimed, until=retry_at)
        return True

    def replay(self, scope: Scope, event_id: str, *, target: str | None = None) -> int | None:
        """Deliver an event again that was delivered or parked, to one target or all: the same id and body.

        How many deliveries wait again; None when there is no such event. Later events of its pipeline wait for it.
        """
        chosen = select(events.c.sequence).where(in_scope(events, scope), events.c.event_id == event_id)
        row = self._session.row(chosen)
        if row is None:
            return None
        statement = update(table).where(table.c.sequence == row[0], ~_PENDING)
        if target is not None:
            statement = statement.where(table.c.target == target)
        values: dict[str, object] = {
            "state": DeliveryState.PENDING.value,
            "attempts": 0,
            "next_attempt_at": to_microseconds(self._writing.now),
            "last_error": None,
            "delivered_at": None,
        }
        return self._writing.session.change(statement.values(**values))

    def _claimed(self, rows: Sequence[Row], *, until: datetime) -> tuple[ClaimedDelivery, ...]:
        found = self._events.by_sequence({row[0] for row in rows})
        claimed: list[ClaimedDelivery] = []
        for sequence, target, attempts in rows:
            scope, event = found[sequence]
            mine = table.c.sequence == sequence, table.c.target == target
            if event.body is None:
                values: dict[str, object] = {"state": DeliveryState.PARKED.value, "last_error": DAMAGED}
                self._writing.session.change(update(table).where(*mine).values(**values))
                _log.error("an event cannot be opened and is parked", extra={"event_id": event.event_id})
                continue
            values = {"attempts": attempts + 1, "next_attempt_at": to_microseconds(until)}
            self._writing.session.change(update(table).where(*mine).values(**values))
            claimed.append(
                ClaimedDelivery(
                    scope=scope,
                    sequence=sequence,
                    event_id=event.event_id,
                    pipeline_id=event.pipeline_id,
                    kind=event.kind,
                    body=event.body,
                    created_at=event.created_at,
                    target=target,
                    attempt=attempts + 1,
                    until=until,
                )
            )
        return tuple(claimed)

    def _put_off(self, claimed: ClaimedDelivery, *, until: datetime) -> None:
        """Let what waits behind a failed delivery not be looked at before it is tried again."""
        behind = and_(
            in_scope(table, claimed.scope),
            table.c.pipeline_id == claimed.pipeline_id,
            table.c.target == claimed.target,
            table.c.sequence > claimed.sequence,
            _PENDING,
        )
        self._writing.session.change(update(table).where(behind).values(next_attempt_at=to_microseconds(until)))


def _due(now: datetime, *, limit: int) -> Query:
    """What may be delivered now and waits for nothing; those that another deliverer looks at are left to it."""
    return (
        select(table.c.sequence, table.c.target, table.c.attempts)
        .where(_PENDING, table.c.next_attempt_at <= to_microseconds(now), ~_HAS_ONE_AHEAD)
        .order_by(table.c.next_attempt_at, table.c.sequence)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )


def _waiting(claimed: ClaimedDelivery) -> Any:  # `Any`: SQLAlchemy's own word for conditions
    return and_(table.c.sequence == claimed.sequence, table.c.target == claimed.target, _PENDING)
