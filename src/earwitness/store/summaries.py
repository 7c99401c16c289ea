"""Summaries after calls: which pipelines still owe one, and what profiles were made from their tasks."""

from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta

from sqlalchemy import or_, select

from earwitness.store.connector_schema import post_call_summaries
from earwitness.store.records import ProfileEnrolment, Scope
from earwitness.store.repository import Reader, Writer, in_scope, record, scope_of
from earwitness.store.schema import profile_voiceprints

OWED_MAX = timedelta(minutes=10)
"""Longer than a summary is waited for. One that is due later was noted before the clock was set back."""


class SummaryReader(Reader):
    """What can be read of summaries."""

    def list_due(self, *, now: datetime, limit: int) -> Sequence[tuple[Scope, str]]:
        """Return the pipelines, of all accounts, whose summary is due by now, the longest due first."""
        due_at = post_call_summaries.c.due_at
        due = select(post_call_summaries).where(or_(due_at <= now, due_at > now + OWED_MAX))
        rows = self._session.rows(due.order_by(post_call_summaries.c.due_at).limit(limit))
        return [(scope_of(row), row["pipeline_id"]) for row in rows]

    def enrolments(self, scope: Scope, task_ids: Collection[str]) -> tuple[ProfileEnrolment, ...]:
        """Return the profiles that were made or enrolled again from these tasks, and when, in that order."""
        made = profile_voiceprints.c
        rows = self._session.rows(
            select(made.profile_id, made.source_task_id, made.created_at)
            .where(in_scope(profile_voiceprints, scope), made.source_task_id.in_(sorted(task_ids)))
            .order_by(made.created_at)
        )
        return tuple(record(ProfileEnrolment, row, task_id=row["source_task_id"]) for row in rows)


class SummaryWriter(Writer, SummaryReader):
    """What can be changed of summaries."""

    def owe(self, scope: Scope, pipeline_id: str, *, due_at: datetime) -> None:
        """Note that the summary of a pipeline is to be told then."""
        row = {**asdict(scope), "pipeline_id": pipeline_id, "due_at": due_at}
        self._writing.session.insert_new(post_call_summaries, row)

    def take(self, scope: Scope, pipeline_id: str) -> bool:
        """Return whether a summary is still owed, and owe it no longer."""
        return self._delete(post_call_summaries, in_scope(post_call_summaries, scope, pipeline_id=pipeline_id)) == 1
