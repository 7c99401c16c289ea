"""The outbox: events, written in the transaction of what they report, and their deliveries.

An event keeps one id and one body for ever. At each target the events of a pipeline come in their order: one is not due
before those ahead of it are delivered or parked. Whoever delivers claims first, and renews the claim as long as the
delivery takes; a claim runs out, so that a deliverer that dies holds nothing up, and a delivery may happen twice but is
never forgotten.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from functools import reduce

from sqlalchemy import ColumnElement, and_, exists, func, insert, literal_column, or_, select, true

from earwitness.errors import AlreadyExists, CiphertextRefused, NotFound
from earwitness.store.hot_reads import Query, StoredRow
from earwitness.store.records import (
    ClaimedDelivery,
    DeliveryState,
    EventDelivery,
    OutboxEvent,
    Page,
    PageKey,
    Scope,
)
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
from earwitness.store.schema import EVENT_OWNERS, deliveries, events
from earwitness.vault.data_key import DataKey
from earwitness.vault.vault import Vault

DAMAGED = "the event cannot be opened: it is damaged, or its key was destroyed; restore the records from a backup"
"""Why an event is parked without an attempt."""

DAMAGED_PARKED_MAX = 100
"""Times that one claim looks for others behind events that it had to park, so that it stays short."""

WAIT_MAX = timedelta(minutes=6)
"""Longer than anybody lets a delivery wait. One that has to wait longer was written before the clock was set back."""

_log = logging.getLogger("earwitness.store")

_OWNERS = [
    (table, table.c.wrapped_key.label(f"{table.name}_key"), same(events, table) & (row_id == events.c.pipeline_id))
    for table, row_id in EVENT_OWNERS.items()
]
"""What an event may belong to, the name of its key beside the event, and how it is found."""

_WITH_KEY = select(events, *(key for _, key, _ in _OWNERS)).select_from(
    reduce(lambda found, owner: found.outerjoin(owner[0], owner[2]), _OWNERS, events)
)

_ahead = deliveries.alias("ahead")
# Written out, not bound: a database proves by the text that the indexes of what waits hold all that is asked for.
_LITERAL: ColumnElement[str] = literal_column(f"'{DeliveryState.PENDING.value}'")
PENDING = deliveries.c.state == _LITERAL
"""Of deliveries: they wait."""

_HAS_ONE_AHEAD = exists().where(
    same(_ahead, deliveries, "pipeline_id", "target"),
    _ahead.c.sequence < deliveries.c.sequence,
    _ahead.c.state == _LITERAL,
)


class EventReader(Reader):
    """What can be read of the outbox."""

    def get(self, scope: Scope, event_id: str) -> OutboxEvent | None:
        """Return the event of this id with its deliveries, or None."""
        found = self._one(self._record, _WITH_KEY.where(in_scope(events, scope, event_id=event_id)))
        return None if found is None else self._with_deliveries([found])[0]

    def list(self, scope: Scope, pipeline_id: str, *, after: PageKey | None = None, limit: int) -> Page[OutboxEvent]:
        """Return the events of a pipeline with their deliveries, newest first."""
        page = self._page(
            self._record,
            _WITH_KEY.where(in_scope(events, scope, pipeline_id=pipeline_id)),
            order=(events.c.sequence,),
            after=after,
            limit=limit,
            newest_first=True,
        )
        return Page(items=self._with_deliveries(page.items), next_key=page.next_key)

    def newest(
        self, scope: Scope, *, state: DeliveryState | None = None, after: PageKey | None = None, limit: int
    ) -> Page[OutboxEvent]:
        """Return the events of all pipelines with their deliveries, newest first; those that have one in a state."""
        chosen = in_scope(events, scope)
        if state is not None:
            chosen &= exists().where(deliveries.c.sequence == events.c.sequence, deliveries.c.state == state)
        page = self._page(
            self._record,
            _WITH_KEY.where(chosen),
            order=(events.c.sequence,),
            after=after,
            limit=limit,
            newest_first=True,
        )
        return Page(items=self._with_deliveries(page.items), next_key=page.next_key)

    def delivery_counts(self, scope: Scope) -> Mapping[DeliveryState, int]:
        """Return how many deliveries wait and how many are parked."""
        unfinished = in_scope(deliveries, scope), deliveries.c.state != DeliveryState.DELIVERED
        counted = select(deliveries.c.state, func.count().label("rows")).where(*unfinished).group_by(deliveries.c.state)
        found = {DeliveryState(row["state"]): int(row["rows"]) for row in self._session.rows(counted)}
        return {state: found.get(state, 0) for state in (DeliveryState.PENDING, DeliveryState.PARKED)}

    def following(
        self, scope: Scope, *, sequence: int, limit: int, pipeline_id: str | None = None
    ) -> tuple[OutboxEvent, ...]:
        """Return at most `limit` events behind a number with their deliveries, oldest first, of all pipelines or one.

        Whoever asks again behind the last one misses none: events become visible in the order of their numbers.
        """
        later = _WITH_KEY.where(_of_pipeline(scope, pipeline_id), events.c.sequence > sequence)
        rows = self._session.rows(later.order_by(events.c.sequence).limit(limit))
        return self._with_deliveries([self._record(row) for row in rows])

    def last_sequence(self, scope: Scope, *, pipeline_id: str | None = None) -> int:
        """Return the number of the newest event, of all pipelines or of one; 0 when there is none."""
        newest = select(func.max(events.c.sequence).label("newest")).where(_of_pipeline(scope, pipeline_id))
        row = self._session.row(newest)
        return 0 if row is None or row["newest"] is None else int(row["newest"])

    def is_any_due(self, now: datetime) -> bool:
        """Return whether a delivery may be due; where none is, a look costs a read and no change."""
        due = select(deliveries.c.sequence).where(PENDING, _its_time_has_come(now))
        return self._session.row(due.limit(1)) is not None

    def _record(self, row: StoredRow) -> OutboxEvent:
        return record(OutboxEvent, row, body=_body(self._vault, row), deliveries=())

    def _with_deliveries(self, found: Sequence[OutboxEvent]) -> tuple[OutboxEvent, ...]:
        theirs = deliveries.c.sequence.in_([event.sequence for event in found])
        rows = self._session.rows(select(deliveries).where(theirs).order_by(deliveries.c.target))
        return tuple(
            replace(
                event,
                deliveries=tuple(record(EventDelivery, row) for row in rows if row["sequence"] == event.sequence),
            )
            for event in found
        )


class EventWriter(Writer, EventReader):
    """What can be changed of the outbox."""

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
        in which they become visible, and whoever follows them by number misses none. `pipeline_id` may be that of a
        call. Raise NotFound without such a pipeline or call, AlreadyExists when the id is taken.
        """
        session = self._writing.session
        session.lock(f"events of {scope.account_id} {scope.region}")
        key = self._owner_key(scope, pipeline_id)
        values = {
            **asdict(scope),
            **RowSeal(key, events, scope, event_id).seal(body_ciphertext=body),
            "event_id": event_id,
            "pipeline_id": pipeline_id,
            "kind": kind,
            "created_at": self._now,
        }
        if not session.insert_new(events, values):
            raise AlreadyExists("an event of this id exists; choose another id")
        self._enqueue(scope, event_id, pipeline_id, targets)

    def purge(self, *, created_before: datetime, limit: int) -> int:
        """Remove at most `limit` events of all accounts that are older than this and delivered everywhere.

        What waits or is parked stays, until its pipeline goes. Return how many were removed.
        """
        unfinished = deliveries.c.sequence == events.c.sequence, deliveries.c.state != DeliveryState.DELIVERED
        old = (
            select(events.c.sequence)
            .where(events.c.created_at < created_before, ~exists().where(*unfinished))
            .order_by(events.c.created_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        sequences = [row["sequence"] for row in self._session.rows(old)]
        if sequences:
            self._writing.session.scrub()
            self._delete(events, events.c.sequence.in_(sequences))
        return len(sequences)

    def _owner_key(self, scope: Scope, owner_id: str) -> DataKey:
        for table, row_id in EVENT_OWNERS.items():
            row = self._session.row(select(table.c.wrapped_key).where(in_scope(table, scope), row_id == owner_id))
            if row is not None:
                return self._vault.key(row["wrapped_key"], owner=key_owner(table, scope, owner_id))
        raise NotFound("the media insights pipeline, or the call, does not exist; look at its id")

    def _enqueue(self, scope: Scope, event_id: str, pipeline_id: str, targets: Collection[str]) -> None:
        sequence = select(events.c.sequence).where(in_scope(events, scope, event_id=event_id)).scalar_subquery()
        for target in sorted(set(targets)):
            delivery = insert(deliveries).values(
                **asdict(scope),
                sequence=sequence,
                target=target,
                pipeline_id=pipeline_id,
                state=DeliveryState.PENDING,
                attempts=0,
                next_attempt_at=self._now,
            )
            self._writing.session.change(delivery)


class DeliveryWriter(Writer):
    """What can be changed of deliveries; those of one event are read with it."""

    def claim(
        self, *, until: datetime, limit: int, never: Collection[str] = (), once: Collection[str] = ()
    ) -> tuple[ClaimedDelivery, ...]:
        """Return at most `limit` deliveries of all accounts that are due, for the caller alone until then.

        Of each pipeline and target only the first that waits; nothing for the targets in `never`, and at most one for
        each of those in `once`. Record each as delivered, failed or parked; one that
        was neither recorded nor renewed by then is due again. Events that cannot be opened are parked, and do not
        come back.
        """
        for _ in range(DAMAGED_PARKED_MAX):
            rows = self._session.rows(_due(self._now, deliveries.c.target.not_in(never), limit=limit))
            claimed = self._claimed(rows, until=until, once=once)
            if claimed or not rows:
                return claimed
        return ()

    def renew(self, claimed: Collection[ClaimedDelivery], *, until: datetime) -> tuple[ClaimedDelivery, ...]:
        """Return claims that go on until then, as they are now, without those that ran out or ended meanwhile."""
        renewed: list[ClaimedDelivery] = []
        for delivery in claimed:
            still = deliveries.c.attempts == delivery.attempt, deliveries.c.next_attempt_at == delivery.until
            if self._update(deliveries, _waiting(delivery), *still, next_attempt_at=until):
                renewed.append(replace(delivery, until=until))
        return tuple(renewed)

    def release(self, *, claimed_until: datetime) -> int:
        """Let what would be due by then be due now: claims that a former process left behind.

        For the only process on these records, before it claims anything, with the latest time to which its
        predecessor may have claimed. A retry that would come by then comes so much sooner. Return how many there were.
        """
        later = deliveries.c.next_attempt_at > self._now, deliveries.c.next_attempt_at <= claimed_until
        return self._update(deliveries, PENDING, *later, next_attempt_at=self._now)

    def record_delivered(self, claimed: ClaimedDelivery) -> None:
        """Note that the target took it; after the claim ran out as well."""
        done = {"state": DeliveryState.DELIVERED, "delivered_at": self._now, "last_error": None}
        self._update(deliveries, _waiting(claimed), **done)

    def record_failed(self, claimed: ClaimedDelivery, *, error: str, retry_at: datetime | None) -> bool:
        """Note that the target did not take it, and why, in constant words; try again at `retry_at`, or None to park.

        What waits behind it waits as long. False, and nothing changes, when the claim ran out and it was claimed
        again, delivered or parked since.
        """
        change = {"state": DeliveryState.PARKED} if retry_at is None else {"next_attempt_at": retry_at}
        same_claim = deliveries.c.attempts == claimed.attempt
        if self._update(deliveries, _waiting(claimed), same_claim, last_error=error, **change) == 0:
            return False
        if retry_at is not None:
            self._put_off(claimed, until=retry_at)
        return True

    def put_off(self, target: str, *, until: datetime) -> None:
        """Let nothing that waits for a target be due before then."""
        self._update(
            deliveries,
            deliveries.c.target == target,
            PENDING,
            deliveries.c.next_attempt_at < until,
            next_attempt_at=until,
        )

    def replay_parked(self, scope: Scope, *, target: str | None = None) -> int:
        """Deliver all events again that are parked, to one target or all. Return how many deliveries wait again."""
        return self._again(in_scope(deliveries, scope), deliveries.c.state == DeliveryState.PARKED, _to(target))

    def replay(self, scope: Scope, event_id: str, *, target: str | None = None) -> int | None:
        """Deliver an event again that was delivered or parked, to one target or all: the same id and body.

        Return how many deliveries wait again; None when there is no such event. Later events of its pipeline wait.
        """
        row = self._session.row(select_in_scope(events, scope, event_id=event_id))
        if row is None:
            return None
        return self._again(deliveries.c.sequence == row["sequence"], ~PENDING, _to(target))

    def _again(self, *chosen: ColumnElement[bool]) -> int:
        return self._update(
            deliveries,
            *chosen,
            state=DeliveryState.PENDING,
            attempts=0,
            next_attempt_at=self._now,
            last_error=None,
            delivered_at=None,
        )

    def _claimed(
        self, rows: Sequence[StoredRow], *, until: datetime, once: Collection[str]
    ) -> tuple[ClaimedDelivery, ...]:
        sequences = [row["sequence"] for row in rows]
        found = self._session.rows(_WITH_KEY.where(events.c.sequence.in_(sequences)))
        by_sequence = {event["sequence"]: event for event in found}
        claimed: list[ClaimedDelivery] = []
        for row in rows:
            if row["target"] in once and any(row["target"] == one.target for one in claimed):
                continue
            event = by_sequence[row["sequence"]]
            chosen = (deliveries.c.sequence == row["sequence"]) & (deliveries.c.target == row["target"])
            body = _body(self._vault, event)
            if body is None:
                self._update(deliveries, chosen, state=DeliveryState.PARKED, last_error=DAMAGED)
                _log.error("an event cannot be opened and is parked", extra={"event_id": event["event_id"]})
                continue
            now = {"target": row["target"], "attempt": row["attempts"] + 1, "until": until}
            self._update(deliveries, chosen, attempts=now["attempt"], next_attempt_at=until)
            claimed.append(record(ClaimedDelivery, event, scope=scope_of(event), body=body, **now))
        return tuple(claimed)

    def _put_off(self, claimed: ClaimedDelivery, *, until: datetime) -> None:
        """Let what waits behind a failed delivery not be looked at before it is tried again."""
        queue = in_scope(deliveries, claimed.scope, pipeline_id=claimed.pipeline_id, target=claimed.target)
        behind = deliveries.c.sequence > claimed.sequence
        self._update(deliveries, queue, behind, PENDING, next_attempt_at=until)


def _body(vault: Vault, row: StoredRow) -> bytes | None:
    """Return None for one that cannot be opened, so that a single damaged event does not hide those around it."""
    scope = scope_of(row)
    for table, wrapped_key, _ in _OWNERS:
        if row[wrapped_key.name] is None:
            continue
        try:
            key = vault.key(row[wrapped_key.name], owner=key_owner(table, scope, row["pipeline_id"]))
            return RowSeal(key, events, scope, row["event_id"]).open(row, "body_ciphertext")
        except CiphertextRefused:
            return None
    return None


def _to(target: str | None) -> ColumnElement[bool]:
    return true() if target is None else deliveries.c.target == target


def _its_time_has_come(now: datetime) -> ColumnElement[bool]:
    return or_(deliveries.c.next_attempt_at <= now, deliveries.c.next_attempt_at > now + WAIT_MAX)


def _due(now: datetime, *chosen: ColumnElement[bool], limit: int) -> Query:
    """Return what may be delivered now and waits for nothing, but for what another deliverer looks at."""
    return (
        select(deliveries.c.sequence, deliveries.c.target, deliveries.c.attempts)
        .where(PENDING, _its_time_has_come(now), *chosen, ~_HAS_ONE_AHEAD)
        .order_by(deliveries.c.next_attempt_at, deliveries.c.sequence)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )


def _waiting(claimed: ClaimedDelivery) -> ColumnElement[bool]:
    return and_(deliveries.c.sequence == claimed.sequence, deliveries.c.target == claimed.target, PENDING)


def _of_pipeline(scope: Scope, pipeline_id: str | None) -> ColumnElement[bool]:
    return in_scope(events, scope, **({} if pipeline_id is None else {"pipeline_id": pipeline_id}))
