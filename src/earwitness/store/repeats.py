"""Repeats: what a call said, as far as voiceprints are kept, and which calls said it again."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass

from sqlalchemy import exists, select

from earwitness.store.records import Scope, SpeakerSearchTask
from earwitness.store.repeat_schema import task_fingerprints, task_repeats
from earwitness.store.repository import Reader, RowSeal, Writer, in_scope, record, same, select_in_scope
from earwitness.store.schema import task_voiceprints, tasks

CALLS_COMPARED_MAX = 2_000
"""The latest of a domain. Comparing with so many takes about a second of a core at the worst."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """A task that heard what an earlier one had heard: the same recording."""

    of_task_id: str
    #: Correlation of the two over time; 1 for the same recording.
    likeness: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HeardAgain:
    """What tells a call when it is played again, and whether it is one itself."""

    fingerprint: bytes
    repeat: Repeat | None


class RepeatReader(Reader):
    """What can be read of repeats."""

    def get(self, scope: Scope, task_id: str) -> Repeat | None:
        """Return what a task repeats; None when it is not known to repeat anything."""
        row = self._session.row(select_in_scope(task_repeats, scope, task_id=task_id))
        return None if row is None else record(Repeat, row)

    def of_tasks(self, scope: Scope, task_ids: Collection[str]) -> Mapping[str, str]:
        """Return the earlier tasks that these repeat, by task; nothing for tasks that repeat none."""
        if not task_ids:
            return {}
        columns = task_repeats.c
        theirs = in_scope(task_repeats, scope), columns.task_id.in_(sorted(task_ids))
        rows = self._session.rows(select(columns.task_id, columns.of_task_id).where(*theirs))
        return {row["task_id"]: row["of_task_id"] for row in rows}

    def earlier(self, task: SpeakerSearchTask, *, encoder_id: str) -> Mapping[str, bytes]:
        """Return the vectors of the latest voiceprints of a task's domain that have fingerprints, by task.

        Those of its own call are left out: both sides of it may have one voice. Raise NotFound when the domain was
        deleted.
        """
        columns = task_voiceprints.c
        has_one = exists().where(same(task_voiceprints, task_fingerprints, "task_id")).correlate(task_voiceprints)
        call = same(task_voiceprints, tasks, "task_id"), tasks.c.pipeline_id == task.pipeline_id
        same_call = exists().where(*call).correlate(task_voiceprints)
        theirs = in_scope(task_voiceprints, task.scope, domain_id=task.domain_id, encoder_id=encoder_id)
        latest = (
            select(columns.task_id, columns.vector_ciphertext)
            .where(theirs, has_one, ~same_call)
            .order_by(columns.created_at.desc())
            .limit(CALLS_COMPARED_MAX)
        )
        key = self._require_domain_key(task.scope, task.domain_id)
        return {
            row["task_id"]: RowSeal(key, task_voiceprints, task.scope, row["task_id"]).open(row, "vector_ciphertext")
            for row in self._session.rows(latest)
        }

    def fingerprints(self, task: SpeakerSearchTask, of: Collection[str]) -> Mapping[str, bytes]:
        """Return the fingerprints of these tasks of the same domain that have one, by task."""
        key = self._require_domain_key(task.scope, task.domain_id)
        theirs = select_in_scope(task_fingerprints, task.scope, domain_id=task.domain_id)
        rows = self._session.rows(theirs.where(task_fingerprints.c.task_id.in_(sorted(of))))
        return {
            row["task_id"]: RowSeal(key, task_fingerprints, task.scope, row["task_id"]).open(
                row, "fingerprint_ciphertext"
            )
            for row in rows
        }


class RepeatWriter(Writer, RepeatReader):
    """What can be changed of repeats."""

    def keep(self, task: SpeakerSearchTask, fingerprint: bytes, repeat: Repeat | None) -> None:
        """Keep what a task said beside its voiceprint, which is there, and what it repeats."""
        key = self._require_domain_key(task.scope, task.domain_id)
        seal = RowSeal(key, task_fingerprints, task.scope, task.task_id)
        row = {**asdict(task.scope), "task_id": task.task_id}
        sealed = seal.seal(fingerprint_ciphertext=fingerprint)
        self._writing.session.insert_new(task_fingerprints, {**row, "domain_id": task.domain_id, **sealed})
        if repeat is not None:
            self._writing.session.insert_new(task_repeats, {**row, "created_at": self._now, **asdict(repeat)})
