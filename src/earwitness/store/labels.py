"""Labels of tasks: who spoke, by somebody's word. One for each task; who said what before is in the audit trail.

A label goes with its task, its profile and its domain.
"""

import logging
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, select

from earwitness.errors import CiphertextRefused, NotFound
from earwitness.store.columns import from_json, to_json
from earwitness.store.domains import DomainWriter
from earwitness.store.driver_errors import convert
from earwitness.store.hot_reads import StoredRow
from earwitness.store.label_schema import task_labels
from earwitness.store.records import Page, PageKey, Scope, SpeakerSearchTask
from earwitness.store.repository import Reader, RowSeal, Writer, in_scope, record, scope_of, select_in_scope
from earwitness.store.schema import profiles, tasks
from earwitness.store.tasks import TaskReader, TaskRows
from earwitness.vault.data_key import DataKey
from earwitness.voice.label import Picked, Spoke

_log = logging.getLogger("earwitness.store")


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskLabel:
    """Who spoke in the call of a task, by somebody's word."""

    task_id: str
    domain_id: str
    #: UNSURE where its ciphertext is damaged.
    spoke: Spoke
    #: Whom it names.
    profile_id: str | None
    picked: Picked
    #: The key that labelled last.
    key_id: str
    #: When the call was labelled first, and last.
    created_at: datetime
    updated_at: datetime


class LabelReader(Reader):
    """What can be read of labels."""

    def get(self, scope: Scope, task_id: str) -> TaskLabel | None:
        """Return the label of a task, or None."""
        row = self._session.row(select_in_scope(task_labels, scope, task_id=task_id))
        if row is None:
            return None
        return convert(lambda row: _label(self._require_domain_key(scope, row["domain_id"]), row), row)

    def about(self, scope: Scope, task_ids: Collection[str], profile_ids: Collection[str]) -> tuple[TaskLabel, ...]:
        """Return the labels of these tasks, and those that name one of these profiles; in the order of tasks' ids."""
        theirs = task_labels.c.task_id.in_(sorted(task_ids)) | task_labels.c.profile_id.in_(sorted(profile_ids))
        chosen = select(task_labels).where(in_scope(task_labels, scope), theirs).order_by(task_labels.c.task_id)
        return tuple(
            convert(lambda row: _label(self._require_domain_key(scope, row["domain_id"]), row), row)
            for row in self._session.rows(chosen)
        )

    def list(
        self, scope: Scope, domain_id: str, *, after: PageKey | None = None, limit: int
    ) -> Page[tuple[TaskLabel, SpeakerSearchTask]]:
        """Return the labels of a domain with their tasks, in the order of the tasks' ids.

        Raise NotFound without such a domain.
        """
        key = self._require_domain_key(scope, domain_id)
        page = self._page(
            lambda row: _label(key, row),
            select_in_scope(task_labels, scope, domain_id=domain_id),
            order=(task_labels.c.task_id,),
            after=after,
            limit=limit,
        )
        theirs = in_scope(tasks, scope), tasks.c.task_id.in_([label.task_id for label in page.items])
        found = {task.task_id: task for task in self._tasks().chosen(and_(*theirs), limit=limit)}
        # A task that was deleted between the two reads took its label along.
        pairs = tuple((label, found[label.task_id]) for label in page.items if label.task_id in found)
        return Page(items=pairs, next_key=page.next_key)

    def of_tasks(self, scope: Scope, domain_id: str, task_ids: Collection[str]) -> dict[str, TaskLabel]:
        """Return the labels of these tasks of a domain, by task. Raise NotFound without such a domain."""
        key = self._require_domain_key(scope, domain_id)
        theirs = in_scope(task_labels, scope, domain_id=domain_id), task_labels.c.task_id.in_(sorted(task_ids))
        rows = self._session.rows(select(task_labels).where(*theirs))
        return {row["task_id"]: convert(lambda row: _label(key, row), row) for row in rows}

    def count_searched(self, scope: Scope, domain_id: str) -> int:
        """Return how many tasks of a domain have a result."""
        return self._count(tasks, _searched(scope, domain_id))

    def searched(self, scope: Scope, domain_id: str, *, beyond: str, limit: int) -> Sequence[SpeakerSearchTask]:
        """Return tasks of a domain that have a result, in the order of their ids, which are random, from an id on;
        those before it come behind the last."""
        found = list[SpeakerSearchTask]()
        for part in (tasks.c.task_id >= beyond, tasks.c.task_id < beyond):
            if len(found) < limit:
                chosen = and_(_searched(scope, domain_id), part)
                found += self._tasks().chosen(chosen, limit=limit - len(found))
        return found

    def _tasks(self) -> TaskReader:
        return TaskReader(self._session, self._vault)


class LabelWriter(Writer, LabelReader):
    """What can be changed of labels."""

    def put(
        self, task: SpeakerSearchTask, *, spoke: Spoke, profile_id: str | None, picked: Picked, key_id: str
    ) -> TaskLabel:
        """Label a task, or change its label. Of two who do it at once the second counts, and sees the first.

        Raise NotFound when the task, its domain or the profile that is named is gone.
        """
        scope, domain_id = task.scope, task.domain_id
        # The domain comes first, as in every deletion: no label of a profile is written beside that.
        if DomainWriter(self._writing).lock(scope, domain_id) is None:
            raise NotFound("the voice profile domain of the task was deleted, and its results with it")
        if TaskRows(self._writing).lock(scope, task.task_id) is None:
            raise NotFound("there is no speaker search task of this id; tasks are kept for seven days")
        named = in_scope(profiles, scope, profile_id=profile_id, domain_id=domain_id)
        if profile_id is not None and not self._count(profiles, named):
            raise NotFound("the domain has no voice profile of this id; look at it, or say `enrolled` or `nobody`")
        before = self.get(scope, task.task_id)
        label = TaskLabel(
            task_id=task.task_id,
            domain_id=domain_id,
            spoke=spoke,
            profile_id=profile_id,
            picked=picked,
            key_id=key_id,
            created_at=self._now if before is None else before.created_at,
            updated_at=self._now,
        )
        sealed = {"spoke": spoke.value, "picked": picked.value}
        key = self._require_domain_key(scope, domain_id)
        seal = RowSeal(key, task_labels, scope, task.task_id).seal(label_ciphertext=to_json(sealed).encode())
        if before is not None:
            self._delete(task_labels, in_scope(task_labels, scope, task_id=task.task_id))
        self._insert(task_labels, label, **asdict(scope), **seal)
        return label

    def take_back(self, scope: Scope, task_id: str) -> TaskLabel | None:
        """Delete the label of a task; return what it was, None without one."""
        before = self.get(scope, task_id)
        if before is None or not self._forget(in_scope(task_labels, scope, task_id=task_id)):
            return None
        return before

    def forget_profile(self, scope: Scope, profile_id: str) -> None:
        """Delete the labels that name a profile."""
        self._forget(in_scope(task_labels, scope, profile_id=profile_id))

    def _forget(self, which: ColumnElement[bool]) -> int:
        """Delete labels, from the files as well; return how many."""
        count = self._delete(task_labels, which)
        if count:
            self._writing.session.scrub()
        return count


def _searched(scope: Scope, domain_id: str) -> ColumnElement[bool]:
    return and_(in_scope(tasks, scope, domain_id=domain_id), tasks.c.identification_ciphertext.is_not(None))


def _label(key: DataKey, row: StoredRow) -> TaskLabel:
    scope, task_id = scope_of(row), row["task_id"]
    try:
        said = from_json(RowSeal(key, task_labels, scope, task_id).open(row, "label_ciphertext").decode())
    except CiphertextRefused:
        # A single damaged one does not hide those around it, and counts for nothing.
        _log.error("a label cannot be opened", extra={"task_id": task_id})
        said = {"spoke": Spoke.UNSURE.value, "picked": Picked.CHOSEN.value}
    return record(TaskLabel, row, spoke=Spoke(said["spoke"]), picked=Picked(said["picked"]))
