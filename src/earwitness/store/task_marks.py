"""Marks of tasks: values that differ once something that the records know of a task is another than before.

Pages that show a task look at its mark again and again, of all tasks that are shown in one read, and read the task
itself, its events and who it names only when that has changed.
"""

from collections.abc import Collection, Hashable
from dataclasses import dataclass

from sqlalchemy import and_, case, func, select, type_coerce
from sqlalchemy.types import NULLTYPE

from earwitness.store.calibration_schema import calibration_versions
from earwitness.store.hot_reads import StoredRow
from earwitness.store.label_schema import task_labels
from earwitness.store.records import DeliveryState, Scope
from earwitness.store.repository import Reader, in_scope, same
from earwitness.store.schema import deliveries, domains, events, task_voiceprints, tasks


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskMark:
    """To be compared with an earlier one, and for nothing else."""

    #: Of its checkpoint alone, which changes most often and says nothing to whoever knows its progress.
    checkpoint: Hashable
    #: Of everything else.
    rest: tuple[Hashable, ...]


_CALIBRATION = (
    select(func.max(calibration_versions.c.number))
    .where(same(calibration_versions, tasks, "domain_id"))
    .correlate(tasks)
    .scalar_subquery()
    .label("calibration")
)
# What is sealed differs with each writing of it. The version of a domain moves with whoever is enrolled in it or not.
_OF_TASKS = (
    tasks.c.status,
    tasks.c.attempt,
    tasks.c.stop_reason,
    tasks.c.status_message,
    tasks.c.updated_at,
    tasks.c.profile_id,
    tasks.c.node_id,
    tasks.c.identification_ciphertext,
    domains.c.version,
    task_labels.c.updated_at.label("labelled_at"),
    task_voiceprints.c.keep_until,
)
# As they lie in the database: what is damaged there is for whoever reads the task, and keeps no other mark back.
_TASK = select(
    tasks.c.task_id,
    tasks.c.pipeline_id,
    type_coerce(tasks.c.checkpoint_ciphertext, NULLTYPE).label("checkpoint"),
    _CALIBRATION,
    *(type_coerce(column, NULLTYPE).label(column.name) for column in _OF_TASKS),
).select_from(
    tasks.outerjoin(domains, same(tasks, domains, "domain_id"))
    .outerjoin(task_labels, same(tasks, task_labels, "task_id"))
    .outerjoin(task_voiceprints, same(tasks, task_voiceprints, "task_id"))
)
_EVENTS = select(
    events.c.pipeline_id,
    func.max(events.c.sequence).label("newest"),
    func.count().label("rows"),
    type_coerce(func.sum(deliveries.c.attempts), NULLTYPE).label("attempts"),  # of another kind in each database
    *(
        func.sum(case((deliveries.c.state == state, 1), else_=0)).label(state.value)
        for state in (DeliveryState.DELIVERED, DeliveryState.PARKED)
    ),
).select_from(events.outerjoin(deliveries, deliveries.c.sequence == events.c.sequence))


class TaskMarkReader(Reader):
    """What can be read of marks."""

    def of_tasks(self, scope: Scope, task_ids: Collection[str]) -> dict[str, TaskMark]:
        """Return the marks of these tasks, by task; nothing for tasks that are gone.

        A mark differs with the task itself, its result, its checkpoint, the label of its call, until when its
        voiceprint is kept, who is enrolled in its domain, the domain's calibration, the events of its pipeline and
        how far their deliveries are.
        """
        rows = self._session.rows(_TASK.where(in_scope(tasks, scope), tasks.c.task_id.in_(sorted(task_ids))))
        pipelines = sorted({row["pipeline_id"] for row in rows})
        theirs = and_(in_scope(events, scope), events.c.pipeline_id.in_(pipelines))
        found = self._session.rows(_EVENTS.where(theirs).group_by(events.c.pipeline_id)) if rows else ()
        by_pipeline = {row["pipeline_id"]: tuple(row.values()) for row in found}
        return {row["task_id"]: _mark(row, by_pipeline.get(row["pipeline_id"])) for row in rows}


def _mark(row: StoredRow, of_events: Hashable) -> TaskMark:
    known = (row[column.name] for column in _OF_TASKS)
    return TaskMark(checkpoint=row["checkpoint"], rest=(*known, row["calibration"], of_events))
