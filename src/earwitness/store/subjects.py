"""What is held of a subject: everything that was made for one, found by the digest of its reference.

Who lives in results of others, because a search named them, is looked for in the results themselves
(`tasks/withdrawing.py`); nothing but a profile's id leads there.
"""

from sqlalchemy import ColumnElement, Table, select

from earwitness.store.connector_schema import connector_call_tasks
from earwitness.store.consent_schema import consents
from earwitness.store.consents import ConsentReader
from earwitness.store.hot_reads import StoredRow
from earwitness.store.job_schema import job_items, jobs
from earwitness.store.jobs import JobReader
from earwitness.store.labels import LabelReader
from earwitness.store.profile_voiceprints import ProfileVoiceprintReader
from earwitness.store.records import Scope, SpeakerSearchTask, VoiceProfile
from earwitness.store.repeat_schema import task_fingerprints, task_repeats
from earwitness.store.repository import Reader, in_scope, record, same, select_in_scope
from earwitness.store.schema import line_votes, profile_voiceprints, profiles, task_voiceprints, tasks
from earwitness.store.tasks import TaskReader
from earwitness.store.withdrawal_records import HeldItem, HeldOfCalls, HeldOfProfile, HeldOfSubject


class SubjectReader(Reader):
    """What can be read of a subject."""

    def held(self, scope: Scope, digest: bytes) -> HeldOfSubject:
        """Return everything that was made for a subject."""
        voiceprints = ProfileVoiceprintReader(self._session, self._vault)
        found = self.tasks(scope, digest)
        task_ids = [task.task_id for task in found]
        theirs = self.profiles(scope, digest)
        profile_ids = [one.profile_id for one in theirs]
        return HeldOfSubject(
            consents=ConsentReader(self._session, self._vault).of_subject(scope, digest),
            profiles=tuple(
                HeldOfProfile(profile=one, voiceprints=voiceprints.list(scope, one.profile_id)) for one in theirs
            ),
            tasks=found,
            of_calls=self.of_calls(scope, task_ids),
            items=self._items(scope, digest),
            calls=self.calls(scope, task_ids),
            votes=self._count(line_votes, self.votes(scope, digest, task_ids, profile_ids)),
            labels=LabelReader(self._session, self._vault).about(scope, task_ids, profile_ids),
        )

    def profiles(self, scope: Scope, digest: bytes) -> tuple[VoiceProfile, ...]:
        """Return the profiles of a subject, oldest first."""
        chosen = select_in_scope(profiles, scope, subject_digest=digest)
        order = profiles.c.created_at, profiles.c.profile_id
        return tuple(record(VoiceProfile, row) for row in self._session.rows(chosen.order_by(*order)))

    def tasks(self, scope: Scope, digest: bytes) -> tuple[SpeakerSearchTask, ...]:
        """Return the tasks that were started for a subject."""
        chosen = in_scope(tasks, scope, subject_digest=digest)
        count = self._count(tasks, chosen)
        return tuple(TaskReader(self._session, self._vault).chosen(chosen, limit=count)) if count else ()

    def item_keys(self, scope: Scope, digest: bytes) -> list[StoredRow]:
        """Return job id, number, state and domain of the items of jobs that name a subject."""
        joined = job_items.join(jobs, same(jobs, job_items, "job_id"))
        columns = (job_items.c.job_id, job_items.c.number, job_items.c.state, jobs.c.domain_id)
        chosen = select(*columns).select_from(joined).where(in_scope(job_items, scope, subject_digest=digest))
        return list(self._session.rows(chosen.order_by(job_items.c.job_id, job_items.c.number)))

    def of_calls(self, scope: Scope, task_ids: list[str]) -> HeldOfCalls:
        """Return which of these tasks have what is made of the voice in a call, beside a result."""

        def having(table: Table) -> frozenset[str]:
            chosen = in_scope(table, scope), table.c.task_id.in_(task_ids)
            return frozenset(row["task_id"] for row in self._session.rows(select(table.c.task_id).where(*chosen)))

        return HeldOfCalls(
            voiceprints=having(task_voiceprints),
            fingerprints=having(task_fingerprints),
            repeats=having(task_repeats),
        )

    def calls(self, scope: Scope, task_ids: list[str]) -> tuple[str, ...]:
        """Return the transactions of Voice Connectors whose calls these tasks listened to."""
        transaction = connector_call_tasks.c.transaction_id
        chosen = in_scope(connector_call_tasks, scope), connector_call_tasks.c.task_id.in_(task_ids)
        return tuple(row["transaction_id"] for row in self._session.rows(select(transaction).where(*chosen).distinct()))

    def domains(self, scope: Scope, digest: bytes) -> list[str]:
        """Return the domains that hold something of a subject, in order."""
        of_tables = [
            self._session.rows(
                select(table.c.domain_id).where(in_scope(table, scope, subject_digest=digest)).distinct()
            )
            for table in (consents, profiles, tasks, line_votes)
        ]
        named = {row["domain_id"] for rows in of_tables for row in rows}
        return sorted(named | {row["domain_id"] for row in self.item_keys(scope, digest)})

    def votes(self, scope: Scope, digest: bytes, task_ids: list[str], profile_ids: list[str]) -> ColumnElement[bool]:
        """Return the condition of the votes of a subject's voice."""
        columns = line_votes.c
        made_from = select(profile_voiceprints.c.source_task_id).where(
            in_scope(profile_voiceprints, scope),
            profile_voiceprints.c.profile_id.in_(profile_ids),
            profile_voiceprints.c.source_task_id.is_not(None),
        )
        theirs = (
            (columns.subject_digest == digest)
            | columns.task_id.in_(task_ids)
            | columns.profile_id.in_(profile_ids)
            | columns.task_id.in_(made_from)
        )
        return in_scope(line_votes, scope) & theirs

    def _items(self, scope: Scope, digest: bytes) -> tuple[HeldItem, ...]:
        reader = JobReader(self._session, self._vault)
        found: list[HeldItem] = []
        for row in self.item_keys(scope, digest):
            job = reader.get(scope, row["job_id"])
            item = None if job is None else reader.item(job, row["number"])
            if item is not None:
                found.append(HeldItem(job_id=row["job_id"], domain_id=row["domain_id"], item=item))
        return tuple(found)
