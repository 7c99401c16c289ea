"""Jobs and their items, a queue that any process may work on. It is polled: nobody has to hear a notification.

An item is claimed for a lease by the database's clock, and each claim has a holder of its own. Whoever is not the
holder any more is refused, so a worker that was thought dead changes nothing. The result of an item, all that it makes
in the records, and the item's state are one transaction: whatever is killed or tried again, there is one result.

All that change a job lock in one order: the domain, the job, the item. A claim skips what others have locked.

What ends a job or an item changes a few rows. Recordings and items that nobody needs any more are deleted after that,
in small transactions, so that neither calls nor a full disk feel the end of a large job.
"""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Table, cast, exists, func, literal_column, or_, select, tuple_

from earwitness.errors import AttemptSuperseded, BadRequest, CiphertextRefused, Conflict
from earwitness.store.columns import JsonObject, from_json, to_json
from earwitness.store.consents import subject_digest
from earwitness.store.hot_reads import Query, StoredRow
from earwitness.store.job_records import ClaimedItem, ItemInput, Job, JobItem
from earwitness.store.job_schema import job_items, job_recordings, jobs
from earwitness.store.records import Page, PageKey, Scope
from earwitness.store.repository import (
    Reader,
    RowSeal,
    Writer,
    holder_of,
    in_scope,
    key_owner,
    record,
    same,
    scope_of,
    select_in_scope,
)
from earwitness.store.schema import domains
from earwitness.vault.data_key import DataKey
from earwitness.vault.vault import Vault
from earwitness.voice.deletion import DeletionKind
from earwitness.voice.job import ItemState, JobKind, JobState
from earwitness.voice.withdrawal import ITEM_WITHDRAWN

LEASE_SECONDS = 60.0
"""How long an item is its holder's unless that renews it: three renewals, so that a pause of a few seconds costs
nothing, and no longer, because it is what an item waits after a kill."""

_PIECE_BYTES = 2**20
_PIECES_AT_ONCE = 8
"""Deleted in one transaction: half of what SQLite keeps for deletions on a full disk."""

_CLAIM_TRIES = 3
"""Jobs that one claim looks at, where others claim from them at the same time."""

# Written out, not bound: a database proves by the text that the index of what waits holds all that is asked for.
_LEASE_MAX = 3_600_000_000
"""Microseconds; longer than any lease. An item that is somebody's for longer was claimed before the clock was set back.
"""

_WAITING: ColumnElement[bool] = job_items.c.state == literal_column(f"'{ItemState.WAITING.value}'")
_JOB_KEY = (jobs.c.account_id, jobs.c.region, jobs.c.job_id)
_WITH_KEY = select(jobs, domains.c.wrapped_key).select_from(jobs.outerjoin(domains, same(jobs, domains, "domain_id")))


class JobReader(Reader):
    """What can be read of jobs."""

    def get(self, scope: Scope, job_id: str) -> Job | None:
        """Return the job of this id, or None."""
        return self._one(self._job, _WITH_KEY.where(in_scope(jobs, scope, job_id=job_id)))

    def open_of(self, scope: Scope, domain_id: str, kind: JobKind) -> Job | None:
        """Return the oldest job of a kind on a domain that has not ended, or None."""
        theirs = in_scope(jobs, scope, domain_id=domain_id, kind=kind)
        return self._one(self._job, _WITH_KEY.where(theirs, jobs.c.ended_at.is_(None)).order_by(jobs.c.created_at))

    def is_any_open(self) -> bool:
        """Return whether a job of any account has not ended; where none is open, a look costs a read and no change."""
        return self._session.row(select(jobs.c.job_id).where(jobs.c.ended_at.is_(None)).limit(1)) is not None

    def list(self, scope: Scope, *, after: PageKey | None = None, limit: int) -> Page[Job]:
        """Return the newest first."""
        return self._page(
            self._job,
            _WITH_KEY.where(in_scope(jobs, scope)),
            order=(jobs.c.created_at, jobs.c.job_id),
            after=after,
            limit=limit,
            newest_first=True,
        )

    def items(
        self, job: Job, *, state: ItemState | None = None, after: PageKey | None = None, limit: int
    ) -> Page[JobItem]:
        """Return the items of a job that are there, in the order of their numbers; none without its domain.

        Of one that has ended, those that had an end.
        """
        row = self._session.row(_WITH_KEY.where(in_scope(jobs, job.scope, job_id=job.job_id)))
        if row is None or row["wrapped_key"] is None:
            return Page(items=(), next_key=None)
        key = self._key(row)
        equal = {"job_id": job.job_id} | ({} if state is None else {"state": state})
        chosen = select_in_scope(job_items, job.scope, **equal)
        return self._page(
            lambda item: _item(key, job.scope, item),
            chosen if row["ended_at"] is None else chosen.where(~_WAITING),
            order=(job_items.c.number,),
            after=after,
            limit=limit,
        )

    def item(self, job: Job, number: int) -> JobItem | None:
        """Return one item, or None when it has not come, or the domain is gone."""
        page = self.items(job, after=(number - 1,), limit=1)
        return page.items[0] if page.items and page.items[0].number == number else None

    def missing(self, job: Job, *, limit: int) -> tuple[tuple[int, int], ...]:
        """Return at most `limit` ranges of numbers, first and last, of items that have not come."""
        chosen = in_scope(job_items, job.scope, job_id=job.job_id)
        if self._count(job_items, chosen) == job.items:
            return ()
        rows = self._session.rows(select(job_items.c.number).where(chosen).order_by(job_items.c.number))
        found: list[tuple[int, int]] = []
        before = 0
        for number in (*(row["number"] for row in rows), job.items + 1):
            if number > before + 1 and len(found) < limit:
                found.append((before + 1, number - 1))
            before = number
        return tuple(found)

    def recording(self, claimed: ClaimedItem) -> bytes | None:
        """Return the recording of an item; None when it went. Raise CiphertextRefused, NotFound without the domain."""
        key = self._require_domain_key(claimed.scope, claimed.domain_id)
        chosen = select_in_scope(job_recordings, claimed.scope, job_id=claimed.job_id, number=claimed.number)
        rows = self._session.rows(chosen.order_by(job_recordings.c.piece))
        pieces = [
            _piece_seal(key, claimed.scope, claimed.job_id, claimed.number, row["piece"]).open(row, "piece_ciphertext")
            for row in rows
        ]
        return b"".join(pieces) if pieces else None

    def waiting_bytes(self, scope: Scope) -> int:
        """Return how many bytes the recordings of open jobs have that wait."""
        # PostgreSQL adds whole numbers up to a decimal one.
        kept = func.coalesce(cast(func.sum(job_items.c.bytes), BigInteger), 0).label("kept")
        is_open = exists().where(same(job_items, jobs, "job_id"), jobs.c.ended_at.is_(None))
        row = self._session.row(select(kept).where(in_scope(job_items, scope), _WAITING, is_open))
        return 0 if row is None else int(row["kept"])

    def count_open(self, scope: Scope) -> int:
        """Return how many jobs have not ended."""
        return self._count(jobs, in_scope(jobs, scope), jobs.c.ended_at.is_(None))

    def _job(self, row: StoredRow) -> Job:
        source = None
        if row["source_ciphertext"] is not None and row["wrapped_key"] is not None:
            source = from_json(_job_seal(self._key(row), scope_of(row), row).open(row, "source_ciphertext").decode())
        return record(Job, row, scope=scope_of(row), source=source)

    def _key(self, row: StoredRow) -> DataKey:
        return _domain_key(self._vault, row)


class JobWriter(Writer, JobReader):
    """What can be changed of jobs."""

    def create(
        self,
        scope: Scope,
        *,
        job_id: str,
        kind: JobKind,
        domain_id: str,
        domain_arn: str,
        items: int,
        key_id: str,
        source: JsonObject | None = None,
        limit: int | None = None,
    ) -> tuple[Job, bool]:
        """Return a job, and whether it is new: one of this id that asks for the same is there once.

        Raise Conflict when it asks for something else, NotFound without the domain, LimitExceeded when there are
        `limit` open ones.
        """
        key = self._require_domain_key(scope, domain_id, lock=True)
        there = self.get(scope, job_id)
        if there is None:
            self._require_room(lambda: self.count_open(scope), limit=limit, what="open jobs", holder=holder_of(scope))
        created = Job(
            scope=scope,
            job_id=job_id,
            kind=kind,
            state=JobState.OPEN if items else JobState.DONE,
            domain_id=domain_id,
            domain_arn=domain_arn,
            source=source,
            items=items,
            done=0,
            failed=0,
            key_id=key_id,
            created_at=self._now,
            updated_at=self._now,
            ended_at=None if items else self._now,
        )
        seal = RowSeal(key, jobs, scope, job_id)
        sealed = seal.seal(source_ciphertext=None if source is None else to_json(source).encode())
        if there is None and self._insert(jobs, created, **asdict(scope), **sealed):
            return created, True
        there = self.get(scope, job_id) or created
        if _asks_for(there) != _asks_for(created):
            raise Conflict("a job of this id asks for something else; choose another id")
        return there, False

    def put(self, job: Job, number: int, *, input_: ItemInput, recording: bytes | None, size: int) -> bool:
        """Add an item with its recording, and return whether it is new. One that is there stays as it is.

        Raise Conflict when the job has ended, BadRequest when it has no such number, NotFound without its domain.
        """
        if not 1 <= number <= job.items:
            raise BadRequest(f"the job has the items 1 to {job.items}; give one of these numbers")
        key = self._require_domain_key(job.scope, job.domain_id, lock=True)
        names = {**asdict(job.scope), "job_id": job.job_id, "number": number}
        if self._update(jobs, _open(job.scope, job.job_id), updated_at=self._now) == 0:
            if self._count(job_items, in_scope(job_items, job.scope, job_id=job.job_id, number=number)):
                return False
            raise Conflict("the job has ended; begin another one")
        if not self._writing.session.insert_new(job_items, self._new_item(key, job, number, input_, size=size)):
            return False
        for piece, start in enumerate(range(0, max(1, size), _PIECE_BYTES) if recording is not None else ()):
            content = (recording or b"")[start : start + _PIECE_BYTES]
            sealed = _piece_seal(key, job.scope, job.job_id, number, piece).seal(piece_ciphertext=content)
            self._writing.session.insert_new(job_recordings, {**names, "piece": piece, **sealed})
        return True

    def put_all(self, job: Job, inputs: Sequence[ItemInput]) -> None:
        """Give a job that is made in this unit all its items; none has a recording of its own."""
        key = self._require_domain_key(job.scope, job.domain_id)
        items = [self._new_item(key, job, number, one, size=0) for number, one in enumerate(inputs, start=1)]
        self._writing.session.insert_all(job_items, items)

    def claim(self, *, holder: str, after: PageKey | None, lease_seconds: float = LEASE_SECONDS) -> ClaimedItem | None:
        """Return an item for this holder alone until the lease runs out; None when there is nothing to do.

        `after` is what `turn_of` says of the item that was claimed before: jobs get turns, however long they are.
        """
        for _ in range(_CLAIM_TRIES):
            job = self._next_job(after) or (self._next_job(None) if after is not None else None)
            if job is None:
                return None
            row = self._session.row(self._free_item(job))
            if row is not None:
                return self._claimed(job, row, holder=holder, lease_seconds=lease_seconds)
            after = tuple(job[column.name] for column in _JOB_KEY)
        return None

    def renew(self, claimed: ClaimedItem, *, lease_seconds: float = LEASE_SECONDS) -> bool:
        """Keep an item for another lease; False when it is somebody else's now, or its job has ended."""
        until = self._clock() + round(lease_seconds * 1e6)
        is_open = exists().where(_open(claimed.scope, claimed.job_id))
        return self._update(job_items, _held(claimed), is_open, leased_until=until) == 1

    def release(self, claimed: ClaimedItem) -> None:
        """Give an item back that nothing was wrong with, as if it had never been claimed."""
        self._update(job_items, _held(claimed), holder=None, leased_until=0, attempt=claimed.attempt - 1)

    def release_all(self) -> int:
        """Give back what a former process had, for the only one on these records; return how many items these are."""
        return self._update(job_items, _WAITING, job_items.c.leased_until > 0, holder=None, leased_until=0)

    def retry(self, claimed: ClaimedItem, *, seconds: float) -> None:
        """Let an item be claimed again after some seconds; this attempt counts."""
        self._update(job_items, _held(claimed), holder=None, leased_until=self._clock() + round(seconds * 1e6))

    def finish(self, claimed: ClaimedItem, result: JsonObject) -> Job:
        """Keep the result of an item, in the unit that makes it, which locks nothing but the domain before.

        Raise AttemptSuperseded when it is somebody else's now, was cancelled, or is gone with the domain.
        """
        key = self._require_domain_key(claimed.scope, claimed.domain_id, lock=True)
        seal = _item_seal(key, claimed.scope, claimed.job_id, claimed.number)
        return self._ended(
            claimed, "done", state=ItemState.DONE, **seal.seal(result_ciphertext=to_json(result).encode())
        )

    def fail(self, claimed: ClaimedItem, *, reason: str) -> Job:
        """End an item without a result, and say why in words without personal data. Raise as `finish` does."""
        self._require_domain_key(claimed.scope, claimed.domain_id, lock=True)
        return self._ended(claimed, "failed", state=ItemState.FAILED, reason=reason)

    def forget_item(self, scope: Scope, job_id: str, number: int) -> None:
        """Delete what an item has of a person: name, consent, recording, result. The domain is locked.

        One that waits fails; whoever works on it is refused when it is done.
        """
        job = self.get(scope, job_id)
        mine = in_scope(job_items, scope, job_id=job_id, number=number)
        if job is None or not self._count(job_items, mine):
            return
        seal = _item_seal(self._require_domain_key(scope, job.domain_id), scope, job_id, number)
        empty = seal.seal(input_ciphertext=to_json(asdict(ItemInput(name=""))).encode())
        self._delete(job_recordings, in_scope(job_recordings, scope, job_id=job_id, number=number))
        gone = {"result_ciphertext": None, "subject_digest": None, "reason": ITEM_WITHDRAWN, "updated_at": self._now}
        freed = {"state": ItemState.FAILED, "holder": None, "leased_until": 0}
        waited = self._update(job_items, mine, _WAITING, **freed, **gone, **empty)
        if waited:
            self._update(jobs, _open(scope, job_id), failed=jobs.c.failed + 1, updated_at=self._now)
            self._end_if_all_ended(scope, job_id)
        else:
            self._update(job_items, mine, **gone, **empty)
        self._writing.session.scrub()

    def forget_result(self, scope: Scope, job_id: str, number: int, left: JsonObject | None) -> None:
        """Replace the result of an item by what is left of it; None removes it, and says why. The domain is locked."""
        job = self.get(scope, job_id)
        if job is None:
            return
        seal = _item_seal(self._require_domain_key(scope, job.domain_id), scope, job_id, number)
        sealed = seal.seal(result_ciphertext=None if left is None else to_json(left).encode())
        why = {} if left is not None else {"reason": ITEM_WITHDRAWN}
        self._update(job_items, in_scope(job_items, scope, job_id=job_id, number=number), **sealed, **why)
        self._writing.session.scrub()

    def cancel(self, scope: Scope, job_id: str) -> Job | None:
        """End a job and return it; one that has ended stays as it is. What waits is not worked on any more.

        None when there is no such job. Whoever works on an item is refused when it is done.
        """
        ended = {"state": JobState.CANCELLED, "updated_at": self._now, "ended_at": self._now}
        if self._update(jobs, _open(scope, job_id), **ended):
            self._writing.session.use_reserve()
        return self.get(scope, job_id)

    def end_those_of(self, scope: Scope, domain_id: str) -> None:
        """End the jobs of a domain that is deleted, which is locked; nobody can open what they have of it."""
        theirs = in_scope(jobs, scope, domain_id=domain_id)
        self._update(jobs, theirs, jobs.c.ended_at.is_(None), ended_at=self._now)
        ended = {"state": JobState.DOMAIN_DELETED, "source_ciphertext": None, "updated_at": self._now}
        self._update(jobs, theirs, **ended)

    def clear(self, claimed: ClaimedItem) -> bool:
        """Delete a part of the recording of an item that has ended; False when nothing is left of it."""
        mine = in_scope(job_recordings, claimed.scope, job_id=claimed.job_id, number=claimed.number)
        return self._drop(job_recordings, mine, limit=_PIECES_AT_ONCE) > 0

    def purge_recordings(self) -> int:
        """Delete some pieces of recordings that nobody needs any more, of all accounts; return how many."""
        ended = exists().where(same(job_recordings, jobs, "job_id"), jobs.c.ended_at.is_not(None))
        done = exists().where(same(job_recordings, job_items, "job_id", "number"), ~_WAITING)
        return self._drop(job_recordings, ended | done, limit=_PIECES_AT_ONCE)

    def purge_items(self, *, ended_before: datetime, limit: int) -> int:
        """Delete at most `limit` items of all accounts: of jobs that may be deleted, of domains that are, and what
        waits in jobs that have ended. Their recordings go before. Return how many were deleted."""
        gone = (jobs.c.state == JobState.DOMAIN_DELETED) | _is_old(ended_before)
        useless = gone | (jobs.c.ended_at.is_not(None) & _WAITING)
        chosen = exists().where(same(job_items, jobs, "job_id"), useless)
        recorded = exists().where(same(job_items, job_recordings, "job_id", "number"))
        return self._drop(job_items, chosen & ~recorded, limit=limit)

    def purge(self, *, ended_before: datetime, limit: int) -> int:
        """Delete at most `limit` jobs of all accounts that ended by then, or that nothing came for since and that have
        nothing to do. Their items go before. Return how many were deleted."""
        has_items = exists().where(same(job_items, jobs, "job_id"))
        old = self._session.rows(select(*_JOB_KEY).where(_is_old(ended_before) & ~has_items).limit(limit))
        for row in old:
            self._writing.note_deleted(scope_of(row), DeletionKind.JOB, row["job_id"])
        return self._drop(jobs, tuple_(*_JOB_KEY).in_([tuple(row.values()) for row in old]), limit=limit) if old else 0

    def _new_item(self, key: DataKey, job: Job, number: int, input_: ItemInput, *, size: int) -> dict[str, object]:
        """Return the row of an item that waits."""
        sealed = _item_seal(key, job.scope, job.job_id, number).seal(input_ciphertext=to_json(asdict(input_)).encode())
        times = {"created_at": self._now, "updated_at": self._now}
        waiting = {"state": ItemState.WAITING, "attempt": 0, "leased_until": 0, "bytes": size}
        subject = input_.subject
        digest = None if subject is None else subject_digest(self._writing.digest_key, job.scope, subject)
        named = {"job_id": job.job_id, "number": number, "subject_digest": digest}
        return {**asdict(job.scope), **named, **waiting, **times, **sealed}

    def _drop(self, table: Table, condition: ColumnElement[bool], *, limit: int) -> int:
        """Delete at most `limit` rows, from the files as well, and return how many."""
        key = list(table.primary_key.columns)
        found = [tuple(row.values()) for row in self._session.rows(select(*key).where(condition).limit(limit))]
        if found:
            self._writing.session.scrub()
            self._delete(table, tuple_(*key).in_(found))
        return len(found)

    def _clock(self) -> ColumnElement[int]:
        return self._writing.session.clock(self._now)

    def _is_nobodys(self) -> ColumnElement[bool]:
        now, until = self._clock(), job_items.c.leased_until
        return or_(until <= now, until > now + _LEASE_MAX)

    def _next_job(self, after: PageKey | None) -> StoredRow | None:
        """Return the first job behind `after` that has an item which is nobody's."""
        free = exists().where(same(job_items, jobs, "job_id"), _WAITING, self._is_nobodys())
        found = _WITH_KEY.where(jobs.c.ended_at.is_(None), domains.c.wrapped_key.is_not(None), free)
        if after is not None:
            found = found.where(tuple_(*_JOB_KEY) > tuple_(*after))
        return self._session.row(found.order_by(*_JOB_KEY).limit(1))

    def _free_item(self, job: StoredRow) -> Query:
        chosen = in_scope(job_items, scope_of(job), job_id=job["job_id"])
        free = select(job_items).where(chosen, _WAITING, self._is_nobodys())
        return free.order_by(job_items.c.number).limit(1).with_for_update(skip_locked=True)

    def _claimed(self, job: StoredRow, row: StoredRow, *, holder: str, lease_seconds: float) -> ClaimedItem:
        scope, attempt = scope_of(row), row["attempt"] + 1
        until = self._clock() + round(lease_seconds * 1e6)
        chosen = in_scope(job_items, scope, job_id=row["job_id"], number=row["number"])
        self._update(job_items, chosen, holder=holder, leased_until=until, attempt=attempt)
        item = _item(self._key(job), scope, row)
        source = self._job(job).source
        return record(
            ClaimedItem, job, scope=scope, number=item.number, source=source, input=item.input, attempt=attempt,
            holder=holder,
        )  # fmt: skip

    def _ended(self, claimed: ClaimedItem, counter: str, **item: object) -> Job:
        """Count an item that has ended, and end its job with the last one."""
        job = _open(claimed.scope, claimed.job_id)
        counted = self._update(jobs, job, updated_at=self._now, **{counter: jobs.c[counter] + 1})
        freed = {"holder": None, "leased_until": 0, "updated_at": self._now}
        if not counted or not self._update(job_items, _held(claimed), **freed, **item):
            raise AttemptSuperseded("the item is somebody else's now, or its job has ended; drop the work on it")
        self._writing.session.use_reserve()
        self._end_if_all_ended(claimed.scope, claimed.job_id)
        found = self.get(claimed.scope, claimed.job_id)
        if found is None:
            raise AttemptSuperseded("the job is gone; drop the work on it")
        return found

    def _end_if_all_ended(self, scope: Scope, job_id: str) -> None:
        all_ended = jobs.c.done + jobs.c.failed >= jobs.c["items"]
        self._update(jobs, _open(scope, job_id), all_ended, state=JobState.DONE, ended_at=self._now)


def turn_of(claimed: ClaimedItem) -> PageKey:
    """Return where the jobs' turns go on behind an item of one of them."""
    return claimed.scope.account_id, claimed.scope.region, claimed.job_id


def _open(scope: Scope, job_id: str) -> ColumnElement[bool]:
    return in_scope(jobs, scope, job_id=job_id) & jobs.c.ended_at.is_(None)


def _held(claimed: ClaimedItem) -> ColumnElement[bool]:
    chosen = in_scope(job_items, claimed.scope, job_id=claimed.job_id, number=claimed.number)
    return chosen & _WAITING & (job_items.c.holder == claimed.holder)


def _asks_for(job: Job) -> tuple[Any, ...]:  # `Any`: what is compared has several types
    return job.kind, job.domain_id, job.items, job.source


def _domain_key(vault: Vault, row: StoredRow) -> DataKey:
    return vault.key(row["wrapped_key"], owner=key_owner(domains, scope_of(row), row["domain_id"]))


def _job_seal(key: DataKey, scope: Scope, row: StoredRow) -> RowSeal:
    return RowSeal(key, jobs, scope, row["job_id"])


def _item_seal(key: DataKey, scope: Scope, job_id: str, number: int) -> RowSeal:
    return RowSeal(key, job_items, scope, job_id, str(number))


def _piece_seal(key: DataKey, scope: Scope, job_id: str, number: int, piece: int) -> RowSeal:
    return RowSeal(key, job_recordings, scope, job_id, str(number), str(piece))


def _is_old(ended_before: datetime) -> ColumnElement[bool]:
    """Return the condition that a job ended by then, or that nothing came for it since and nothing waits."""
    waits = exists().where(same(job_items, jobs, "job_id"), _WAITING).correlate(jobs)
    forgotten = jobs.c.ended_at.is_(None) & (jobs.c.updated_at <= ended_before) & ~waits
    return (jobs.c.ended_at <= ended_before) | forgotten


def _item(key: DataKey, scope: Scope, row: StoredRow) -> JobItem:
    seal = _item_seal(key, scope, row["job_id"], row["number"])
    try:
        input_ = ItemInput(**from_json(seal.open(row, "input_ciphertext").decode()))
        result = seal.open_optional(row, "result_ciphertext")
    except CiphertextRefused:
        input_, result = None, None
    return record(JobItem, row, input=input_, result=None if result is None else from_json(result.decode()))
