"""The withdrawal of all consents of a subject: everything that was made for it goes in one transaction.

From then on the subject is refused, by its digest; no voiceprint is kept to know anybody by. Results of other calls
that name the subject's profiles, and media, are looked for afterwards, in small steps that a kill only delays
(`tasks/withdrawing.py`). What is still sought is sealed under a key of its own, which is destroyed at the end.

Subjects are locked before domains, domains in the order of their ids.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, select

from earwitness.store.columns import from_json, to_json
from earwitness.store.connector_calls import ConnectorCallWriter
from earwitness.store.consent_schema import consents, withdrawn_subjects
from earwitness.store.consents import ConsentReader, ConsentWriter, subject_digest
from earwitness.store.domains import DomainWriter
from earwitness.store.exports import ExportWriter
from earwitness.store.hot_reads import StoredRow
from earwitness.store.job_schema import job_items, job_parts, jobs
from earwitness.store.jobs import JobWriter
from earwitness.store.label_schema import task_labels
from earwitness.store.node_records import NoteKind
from earwitness.store.node_schema import stream_extents
from earwitness.store.nodes import NodeWriter
from earwitness.store.outbox import EventReader
from earwitness.store.pages import all_records
from earwitness.store.pipelines import PipelineWriter
from earwitness.store.profiles import ProfileWriter
from earwitness.store.records import Page, PageKey, Pipeline, Scope, SpeakerSearchTask
from earwitness.store.repeat_schema import task_repeats
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
from earwitness.store.schema import (
    domains,
    events,
    kinesis_streams,
    line_votes,
    pipelines,
    task_voiceprints,
    tasks,
)
from earwitness.store.subjects import SubjectReader
from earwitness.store.tasks import TaskReader
from earwitness.store.withdrawal_records import MediaErasure, Sought, Withdrawal
from earwitness.store.withdrawal_schema import media_erasures, withdrawals
from earwitness.vault.data_key import DataKey
from earwitness.voice.deletion import DeletionKind
from earwitness.voice.job import JobKind, JobState
from earwitness.voice.task_status import StopReason, TaskMove, is_active, next_status
from earwitness.voice.withdrawal import WithdrawalState, holds_any, json_text

RESTORE = "earwitness restore"
"""Who withdraws for a subject that came back."""

_BEFORE = timedelta(seconds=30)
"""How much of a stream is erased that came before its pipeline was made: a call may have begun, and waited for it."""

_AFTER = timedelta(seconds=10)
"""The same after its end: fragments that were still arriving."""

_OPEN: ColumnElement[bool] = withdrawals.c.ended_at.is_(None)
_DUE: ColumnElement[bool] = media_erasures.c.done_at.is_(None)


@dataclass(frozen=True, kw_only=True)
class _Stretch:
    """A part of a stream, without an end as long as its pipeline has none."""

    from_at: datetime
    until_at: datetime | None
    pipeline_id: str | None

    def with_other(self, other: "_Stretch") -> "_Stretch":
        """Return what covers both."""
        endless = self if self.until_at is None else other if other.until_at is None else None
        until = max(self.until_at, other.until_at) if self.until_at and other.until_at else None
        pipeline_id = None if endless is None else endless.pipeline_id
        return _Stretch(from_at=min(self.from_at, other.from_at), until_at=until, pipeline_id=pipeline_id)


class WithdrawalReader(Reader):
    """What can be read of withdrawals."""

    def get(self, scope: Scope, withdrawal_id: str) -> Withdrawal | None:
        """Return the withdrawal of this id, or None."""
        return self._one(_withdrawal, select_in_scope(withdrawals, scope, withdrawal_id=withdrawal_id))

    def open(self, *, limit: int) -> tuple[Withdrawal, ...]:
        """Return withdrawals of all accounts that are not done."""
        order = withdrawals.c.created_at, withdrawals.c.withdrawal_id
        return tuple(
            _withdrawal(row)
            for row in self._session.rows(select(withdrawals).where(_OPEN).order_by(*order).limit(limit))
        )

    def sought(self, withdrawal: Withdrawal) -> Sought | None:
        """Return what is still looked for; None when the withdrawal is done."""
        scope, withdrawal_id = withdrawal.scope, withdrawal.withdrawal_id
        row = self._session.row(select_in_scope(withdrawals, scope, withdrawal_id=withdrawal_id))
        if row is None or row["wrapped_key"] is None:
            return None
        key = self._vault.key(row["wrapped_key"], owner=key_owner(withdrawals, scope, withdrawal_id))
        document = from_json(RowSeal(key, withdrawals, scope, withdrawal_id).open(row, "sought_ciphertext").decode())
        return Sought(
            subject=document["subject"],
            profile_ids=tuple(document["profile_ids"]),
            task_ids=tuple(document["task_ids"]),
            domain_ids=tuple(document["domain_ids"]),
        )

    def erasures(self, withdrawal: Withdrawal) -> tuple[MediaErasure, ...]:
        """Return the stretches of media of a withdrawal, erased or not."""
        theirs = select_in_scope(media_erasures, withdrawal.scope, withdrawal_id=withdrawal.withdrawal_id)
        order = media_erasures.c.stream_arn, media_erasures.c.node_id
        return tuple(_erasure(row) for row in self._session.rows(theirs.order_by(*order)))

    def due_erasures(self, node_id: str, *, limit: int) -> tuple[MediaErasure, ...]:
        """Return stretches that are to be erased on this node, or where there is one process."""
        mine = select(media_erasures).where(_DUE, media_erasures.c.node_id.in_(("", node_id)))
        return tuple(_erasure(row) for row in self._session.rows(mine.limit(limit)))

    def results(
        self, scope: Scope, domain_ids: Collection[str], *, after: PageKey | None, limit: int
    ) -> Page[SpeakerSearchTask]:
        """Return tasks of these domains that have a result."""
        reader = TaskReader(self._session, self._vault)
        chosen = (
            in_scope(tasks, scope),
            tasks.c.domain_id.in_(domain_ids),
            tasks.c.identification_ciphertext.is_not(None),
        )
        keys = self._page(
            lambda row: str(row["task_id"]),
            select(tasks.c.task_id).where(*chosen),
            order=(tasks.c.task_id,),
            after=after,
            limit=limit,
        )
        of_page = in_scope(tasks, scope), tasks.c.task_id.in_(keys.items)
        return Page(items=tuple(reader.chosen(of_page[0] & of_page[1], limit=limit)), next_key=keys.next_key)

    def item_results(
        self, scope: Scope, domain_ids: Collection[str], *, after: PageKey | None, limit: int
    ) -> Page[tuple[str, int, str, dict[str, Any]]]:  # `Any`: a result as it is kept
        """Return job id, number, domain and result of items of jobs on these domains that have one."""
        joined = job_items.join(jobs, same(jobs, job_items, "job_id")).join(domains, same(domains, jobs, "domain_id"))
        columns = (
            job_items.c.account_id,
            job_items.c.region,
            job_items.c.job_id,
            job_items.c.number,
            job_items.c.result_ciphertext,
            domains.c.domain_id,
            domains.c.wrapped_key,
        )
        chosen = (
            in_scope(job_items, scope),
            jobs.c.domain_id.in_(domain_ids),
            job_items.c.result_ciphertext.is_not(None),
        )
        return self._page(
            self._item_result,
            select(*columns).select_from(joined).where(*chosen),
            order=(job_items.c.job_id, job_items.c.number),
            after=after,
            limit=limit,
        )

    def _item_result(self, row: StoredRow) -> tuple[str, int, str, dict[str, Any]]:
        scope = scope_of(row)
        key = self._vault.key(row["wrapped_key"], owner=key_owner(domains, scope, row["domain_id"]))
        seal = RowSeal(key, job_items, scope, row["job_id"], str(row["number"]))
        result = from_json(seal.open(row, "result_ciphertext").decode())
        return row["job_id"], row["number"], row["domain_id"], result


class WithdrawalWriter(Writer, WithdrawalReader):
    """What can be changed of withdrawals."""

    def begin(
        self,
        scope: Scope,
        subject: str,
        *,
        withdrawal_id: str,
        key_id: str,
        forget_metadata: Callable[[Pipeline], Mapping[str, object]],
    ) -> Withdrawal:
        """Delete everything that was made for a subject, refuse the subject from now on, and note what is to be looked
        for. `forget_metadata` returns what may stay of the metadata of a pipeline. The unit says why it deletes."""
        digest = subject_digest(self._writing.digest_key, scope, subject)
        begun = self._begin(scope, digest, subject, withdrawal_id, key_id, forget_metadata)
        self._refuse(scope, digest, withdrawal_id, self._now)
        return begun

    def begin_again(self, withdrawn_at: datetime, scope: Scope, digest: str) -> None:
        """Withdraw for a subject of which something came back with a backup, as of the time at which it withdrew; who
        it is, nobody knows here."""
        withdrawal_id = f"withdrawal-{uuid4()}"
        self._begin(scope, bytes.fromhex(digest), None, withdrawal_id, RESTORE, lambda _pipeline: {})
        self._refuse(scope, bytes.fromhex(digest), withdrawal_id, withdrawn_at)

    def _begin(
        self,
        scope: Scope,
        digest: bytes,
        subject: str | None,
        withdrawal_id: str,
        key_id: str,
        forget_metadata: Callable[[Pipeline], Mapping[str, object]],
    ) -> Withdrawal:
        ConsentWriter(self._writing).lock_digest(digest)
        self._writing.session.use_reserve()
        held = SubjectReader(self._session, self._vault)
        domain_ids = held.domains(scope, digest)
        for domain_id in domain_ids:
            DomainWriter(self._writing).lock(scope, domain_id)
        found, theirs = held.tasks(scope, digest), held.profiles(scope, digest)
        task_ids, profile_ids = [task.task_id for task in found], [one.profile_id for one in theirs]
        counts: Counter[str] = Counter()
        # Who it is, a restore does not know: all events of the pipelines go, as all of their metadata does.
        needles = None if subject is None else (*task_ids, *profile_ids, json_text(subject))
        counts["events"] = self._forget_events(scope, {task.pipeline_id for task in found}, needles)
        counts["votes"] = self._delete(line_votes, held.votes(scope, digest, task_ids, profile_ids))
        counts["calls"] = self._forget_calls(scope, held.calls(scope, task_ids))
        erasures = self._erasures(scope, found)
        for profile_id in profile_ids:
            counts["profiles"] += ProfileWriter(self._writing).delete(scope, profile_id)
        counts["tasks"] = self._forget_tasks(scope, found)
        counts["pipelines"] = self._forget_metadata(scope, found, forget_metadata)
        counts["items"] = self._forget_items(scope, held.item_keys(scope, digest))
        counts["exports"] = self._forget_exports(scope, domain_ids)
        counts["consents"] = self._delete(consents, in_scope(consents, scope, subject_digest=digest))
        self._writing.note_deleted(scope, DeletionKind.SUBJECT, digest.hex())
        self._writing.session.scrub()
        sought = Sought(
            subject=subject or "",
            profile_ids=tuple(profile_ids),
            task_ids=tuple(task_ids),
            domain_ids=tuple(domain_ids),
        )
        kept = self._keep(scope, withdrawal_id, key_id, sought, counts)
        self._writing.session.insert_all(media_erasures, [{"withdrawal_id": withdrawal_id, **row} for row in erasures])
        return kept

    def add(self, withdrawal: Withdrawal, *, is_searched: bool = False, **counts: int) -> Withdrawal | None:
        """Count what was deleted since, in the unit that deletes it; None when the withdrawal is gone."""
        chosen = in_scope(withdrawals, withdrawal.scope, withdrawal_id=withdrawal.withdrawal_id)
        row = self._session.row(select(withdrawals).where(chosen).with_for_update())
        if row is None:
            return None
        now: dict[str, Any] = {"is_searched": max(row["is_searched"], int(is_searched)), "updated_at": self._now}
        before: dict[str, int] = row["counts"]
        self._update(withdrawals, chosen, counts=dict(Counter(before) + Counter(counts)), **now)
        return self.get(withdrawal.scope, withdrawal.withdrawal_id)

    def put_result(self, task: SpeakerSearchTask, left: dict[str, Any] | None) -> None:
        """Replace the result of a task by what is left of it; None removes it with the voiceprint, which is of the
        same voice, and with where in the call there was speech.

        Nothing happens to a task whose result is another by now, or whose domain is gone.
        """
        DomainWriter(self._writing).lock(task.scope, task.domain_id)
        present = TaskReader(self._session, self._vault).get(task.scope, task.task_id)
        if present is None or present.identification != task.identification:
            return
        sealed = {"identification_ciphertext": None} | ({} if left is not None else {"checkpoint_ciphertext": None})
        if left is not None:
            key = self._require_domain_key(task.scope, task.domain_id)
            sealed = RowSeal(key, tasks, task.scope, task.task_id).seal(
                identification_ciphertext=to_json(left).encode()
            )
        else:
            for table in (task_labels, task_repeats, task_voiceprints):  # fingerprints go with their voiceprints
                self._delete(table, in_scope(table, task.scope, task_id=task.task_id))
            self._writing.note_deleted(task.scope, DeletionKind.RESULT, task.task_id)
        self._update(tasks, in_scope(tasks, task.scope, task_id=task.task_id), **sealed)
        self._writing.session.scrub()

    def delete_events(self, scope: Scope, event_ids: Sequence[str]) -> int:
        """Delete events whatever has become of them, waiting and parked ones too; return how many there were."""
        count = self._delete(events, in_scope(events, scope) & events.c.event_id.in_(event_ids))
        if count:
            self._writing.session.scrub()
        return count

    def erased(self, erasure: MediaErasure, *, fragments: int, is_done: bool) -> None:
        """Note that fragments of a stretch were erased on a node, and whether nothing more will come."""
        chosen = in_scope(
            media_erasures,
            erasure.scope,
            withdrawal_id=erasure.withdrawal_id,
            stream_arn=erasure.stream_arn,
            node_id=erasure.node_id,
        )
        done_at = self._now if is_done else None
        self._update(media_erasures, chosen, _DUE, fragments=media_erasures.c.fragments + fragments, done_at=done_at)

    def finish(self, withdrawal: Withdrawal) -> bool:
        """End a withdrawal that has nothing left to look for, and destroy what it looked for; False when it has."""
        scope, withdrawal_id = withdrawal.scope, withdrawal.withdrawal_id
        chosen = in_scope(withdrawals, scope, withdrawal_id=withdrawal_id)
        row = self._session.row(select(withdrawals).where(chosen, _OPEN).with_for_update())
        if row is None or not row["is_searched"]:
            return False
        theirs = in_scope(media_erasures, scope, withdrawal_id=withdrawal_id)
        if self._count(media_erasures, theirs, _DUE):
            return False
        self._writing.destroy_key(row["wrapped_key"], owner=key_owner(withdrawals, scope, withdrawal_id))
        done = {"state": WithdrawalState.DONE, "ended_at": self._now, "updated_at": self._now}
        self._update(withdrawals, chosen, wrapped_key=None, sought_ciphertext=None, **done)
        return True

    # The parts of `begin`.

    def _keep(
        self, scope: Scope, withdrawal_id: str, key_id: str, sought: Sought, counts: Mapping[str, int]
    ) -> Withdrawal:
        owner = key_owner(withdrawals, scope, withdrawal_id)
        wrapped_key = self._new_wrapped_key(owner=owner)
        key: DataKey = self._vault.key(wrapped_key, owner=owner)
        sealed = RowSeal(key, withdrawals, scope, withdrawal_id).seal(
            sought_ciphertext=to_json(asdict(sought)).encode()
        )
        kept = Withdrawal(
            scope=scope,
            withdrawal_id=withdrawal_id,
            state=WithdrawalState.OPEN,
            key_id=key_id,
            counts={name: count for name, count in counts.items() if count},
            is_searched=False,
            created_at=self._now,
            updated_at=self._now,
            ended_at=None,
        )
        self._insert(withdrawals, kept, **asdict(scope), is_searched=0, wrapped_key=wrapped_key, **sealed)
        return kept

    def _refuse(self, scope: Scope, digest: bytes, withdrawal_id: str, withdrawn_at: datetime) -> None:
        """Refuse a subject that has withdrawn at this time. What was noted of a later time, by another clock, stays."""
        noted = ConsentReader(self._session, self._vault).withdrawn_at(scope, digest) or withdrawn_at
        self._delete(withdrawn_subjects, in_scope(withdrawn_subjects, scope, subject_digest=digest))
        row = {
            "subject_digest": digest,
            "withdrawal_id": withdrawal_id,
            "withdrawn_at": max(noted, withdrawn_at),
        }
        self._writing.session.insert_new(withdrawn_subjects, {**asdict(scope), **row})

    def _forget_events(self, scope: Scope, pipeline_ids: Collection[str], needles: Collection[str] | None) -> int:
        """Delete the events of these pipelines that hold one of these texts, or all, before anybody delivers them."""
        reader, found = EventReader(self._session, self._vault), list[str]()
        for pipeline_id in pipeline_ids:
            pages = all_records(partial(reader.list, scope, pipeline_id))
            found += [one.event_id for one in pages if needles is None or holds_any(one.body, needles)]
        return self.delete_events(scope, found)

    def _forget_calls(self, scope: Scope, transactions: Sequence[str]) -> int:
        """Delete ended calls with who called whom; of those in progress, who called whom."""
        writer, count = ConnectorCallWriter(self._writing), 0
        for transaction_id in transactions:
            call = writer.get(scope, transaction_id)
            if call is None:
                continue
            count += 1
            if call.ended_at is None:
                writer.set_numbers(call, from_number="", to_number="")
            else:
                writer.delete(call)
        return count

    def _forget_tasks(self, scope: Scope, found: Sequence[SpeakerSearchTask]) -> int:
        """Delete tasks that are over. Those that run lose what they have, and fail at once."""
        ids = [task.task_id for task in found]
        for table in (task_labels, task_repeats, task_voiceprints):  # fingerprints go with their voiceprints
            self._delete(table, in_scope(table, scope), table.c.task_id.in_(ids))
        nodes = NodeWriter(self._writing)
        for task in found:
            mine = in_scope(tasks, scope, task_id=task.task_id)
            if not is_active(task.status):
                self._delete(tasks, mine)
                self._writing.note_deleted(scope, DeletionKind.TASK, task.task_id)
                continue
            stopped = {
                "status": next_status(task.status, TaskMove.REQUEST_STOP),
                "stop_reason": StopReason.CONSENT_WITHDRAWN,
                "updated_at": self._now,
            }
            emptied = {"checkpoint_ciphertext": None, "identification_ciphertext": None, "profile_id": None}
            self._update(tasks, mine, subject_digest=None, **emptied, **stopped)
            nodes.note(task.node_id, NoteKind.TASK, scope, task.task_id)
        return len(found)

    def _forget_metadata(
        self, scope: Scope, found: Sequence[SpeakerSearchTask], kept: Callable[[Pipeline], Mapping[str, object]]
    ) -> int:
        writer, count = PipelineWriter(self._writing), 0
        for pipeline_id in sorted({task.pipeline_id for task in found}):
            pipeline = writer.get(scope, pipeline_id)
            if pipeline is not None and pipeline.runtime_metadata:
                writer.put_metadata(scope, pipeline_id, dict(kept(pipeline)))
                count += 1
        return count

    def _forget_items(self, scope: Scope, keys: Sequence[StoredRow]) -> int:
        writer = JobWriter(self._writing)
        for row in keys:
            writer.forget_item(scope, row["job_id"], row["number"])
        return len(keys)

    def _forget_exports(self, scope: Scope, domain_ids: Sequence[str]) -> int:
        """Delete exports of these domains, complete or not: the subject may be in them."""
        theirs = in_scope(jobs, scope, kind=JobKind.EXPORT), jobs.c.domain_id.in_(domain_ids)
        open_ones = self._session.rows(select(jobs.c.job_id).where(*theirs, jobs.c.ended_at.is_(None)))
        for row in open_ones:
            JobWriter(self._writing).cancel(scope, row["job_id"])
        has_parts = select(job_parts.c.job_id).where(in_scope(job_parts, scope)).distinct()
        made = self._session.rows(select(jobs.c.job_id).where(*theirs, jobs.c.job_id.in_(has_parts)))
        for row in made:
            while ExportWriter(self._writing).delete_parts(scope, row["job_id"]):
                pass
        self._update(jobs, *theirs, jobs.c.job_id.in_([row["job_id"] for row in made]), state=JobState.CANCELLED)
        return len({row["job_id"] for row in (*open_ones, *made)})

    def _erasures(self, scope: Scope, found: Sequence[SpeakerSearchTask]) -> list[dict[str, object]]:
        """Return which stretches of which streams are to be erased, on each node that may have a part of them."""
        stretches: dict[str, _Stretch] = {}
        for task in found:
            row = self._session.row(select_in_scope(pipelines, scope, pipeline_id=task.pipeline_id))
            ended = self._now if row is None else row["ended_at"]
            mine = _Stretch(
                from_at=(task.created_at if row is None else row["created_at"]) - _BEFORE,
                until_at=None if ended is None else ended + _AFTER,
                pipeline_id=task.pipeline_id if ended is None else None,
            )
            before = stretches.get(task.stream_arn)
            stretches[task.stream_arn] = mine if before is None else before.with_other(mine)
        return [
            {
                **asdict(scope),
                "stream_arn": stream_arn,
                "node_id": node_id,
                "fragments": 0,
                **asdict(stretch),
            }
            for stream_arn, stretch in stretches.items()
            for node_id in self._nodes_of(scope, stream_arn)
        ]

    def _nodes_of(self, scope: Scope, stream_arn: str) -> list[str]:
        """Return the nodes that may have a part of a stream of ours; "" for the only process; nothing for others'."""
        stream = self._session.row(select_in_scope(kinesis_streams, scope, arn=stream_arn))
        if stream is None:
            return []
        extents = select(stream_extents.c.node_id).where(in_scope(stream_extents, scope, stream_arn=stream_arn))
        named = {row["node_id"] for row in self._session.rows(extents)} | {stream["home_node"]}
        return sorted(node_id for node_id in named if node_id is not None) or [""]


def _withdrawal(row: StoredRow) -> Withdrawal:
    return record(Withdrawal, row, scope=scope_of(row), is_searched=bool(row["is_searched"]))


def _erasure(row: StoredRow) -> MediaErasure:
    return record(MediaErasure, row, scope=scope_of(row))
