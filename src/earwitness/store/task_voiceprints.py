"""The voiceprints that tasks made, kept for a day for whoever creates a profile from them.

What is left of one afterwards is the task's word that there was one: so `Gone` is told from `not yet` and `never`.
"""

from datetime import datetime, timedelta

from sqlalchemy import delete, insert, select, update

from earwitness.errors import Conflict, Gone, NotFound
from earwitness.store.columns import from_json, from_microseconds, to_json, to_microseconds
from earwitness.store.domain_keys import require_domain_key
from earwitness.store.owners import task_voiceprint_place
from earwitness.store.records import Scope
from earwitness.store.schema_search import task_voiceprints as table
from earwitness.store.search_records import NewVoiceprint, SpeakerSearchTask, TaskVoiceprint
from earwitness.store.session import Row, Session, Writing, in_scope
from earwitness.store.task_rows import TaskRows
from earwitness.vault.vault import Vault
from earwitness.voice.task_status import VoiceprintStatus, is_active

VOICEPRINT_KEPT = timedelta(hours=24)
"""From the later of its making and the end of its task: that satisfies both of Amazon's texts (va-data-retention,
va-architecture)."""

_ALL = select(
    table.c.domain_id,
    table.c.encoder_id,
    table.c.net_speech_seconds,
    table.c.quality,
    table.c.created_at,
    table.c.keep_until,
    table.c.vector_ciphertext,
    table.c.audio_ciphertext,
)


class TaskVoiceprintReader:
    """What can be read of the voiceprints of tasks."""

    def __init__(self, session: Session, vault: Vault) -> None:
        self._session = session
        self._vault = vault

    def get(self, scope: Scope, task_id: str) -> TaskVoiceprint | None:
        """The voiceprint of a task; None when it has none, or it is deleted already."""
        row = self._session.row(_ALL.where(in_scope(table, scope), table.c.task_id == task_id))
        return None if row is None else self._record(scope, task_id, row)

    def _record(self, scope: Scope, task_id: str, row: Row) -> TaskVoiceprint:
        domain_id, encoder_id, net_speech_seconds, quality, created_at, keep_until, vector, audio = row
        key = require_domain_key(self._session, self._vault, scope, domain_id)

        def opened(column: str, ciphertext: bytes) -> bytes:
            return key.open(ciphertext, task_voiceprint_place(scope, task_id, column))

        return TaskVoiceprint(
            task_id=task_id,
            domain_id=domain_id,
            voiceprint=NewVoiceprint(
                encoder_id=encoder_id,
                vector=opened("vector_ciphertext", vector),
                net_speech_seconds=net_speech_seconds,
                quality=from_json(quality),
                audio=None if audio is None else opened("audio_ciphertext", audio),
            ),
            created_at=from_microseconds(created_at),
            keep_until=from_microseconds(keep_until),
        )


class TaskVoiceprintWriter(TaskVoiceprintReader):
    """What can be changed of the voiceprints of tasks."""

    def __init__(self, writing: Writing) -> None:
        super().__init__(writing.session, writing.vault)
        self._writing = writing
        self._tasks = TaskRows(writing)

    def require(self, scope: Scope, task_id: str) -> tuple[SpeakerSearchTask, TaskVoiceprint]:
        """The task, held until the unit ends, and its voiceprint.

        Conflict when it has none yet; Gone when it is deleted or past its time; NotFound when it never had one, when
        its domain was deleted, or when there is no such task.
        """
        task = self._tasks.hold(scope, task_id)
        if task is None:
            raise NotFound("the speaker search task does not exist; look at its id")
        require_domain_key(self._session, self._vault, scope, task.domain_id)
        if task.voiceprint_status is None and is_active(task.status):
            raise Conflict("the task has no voiceprint yet; wait for its event, after 20 s of speech")
        if task.voiceprint_status is not VoiceprintStatus.SUCCESS:
            raise NotFound("the task made no voiceprint; start another and let the speaker talk for 20 s")
        found = self.get(scope, task_id)
        if found is None or found.keep_until <= self._writing.now:
            raise Gone("the task's voiceprint is deleted; start another task")
        return task, found

    def put(self, task: SpeakerSearchTask, voiceprint: NewVoiceprint, *, keep_until: datetime) -> None:
        """Keep the voiceprint of a task; NotFound when its domain was deleted."""
        key = require_domain_key(self._session, self._vault, task.scope, task.domain_id)

        def sealed(column: str, plaintext: bytes) -> bytes:
            return key.seal(plaintext, task_voiceprint_place(task.scope, task.task_id, column))

        values = {
            "account_id": task.scope.account_id,
            "region": task.scope.region,
            "task_id": task.task_id,
            "domain_id": task.domain_id,
            "encoder_id": voiceprint.encoder_id,
            "net_speech_seconds": voiceprint.net_speech_seconds,
            "quality": to_json(voiceprint.quality),
            "created_at": to_microseconds(self._writing.now),
            "keep_until": to_microseconds(keep_until),
            "vector_ciphertext": sealed("vector_ciphertext", voiceprint.vector),
            "audio_ciphertext": None if voiceprint.audio is None else sealed("audio_ciphertext", voiceprint.audio),
        }
        self._writing.session.change(insert(table).values(**values))

    def keep(self, scope: Scope, task_id: str, *, until: datetime) -> None:
        """Keep the voiceprint of a task until then, if it has one."""
        mine = in_scope(table, scope), table.c.task_id == task_id
        self._writing.session.change(update(table).where(*mine).values(keep_until=to_microseconds(until)))

    def purge(self, *, kept_until: datetime, limit: int) -> int:
        """Delete at most `limit` voiceprints of all accounts that were to be kept until this time or an earlier one.

        How many were deleted.
        """
        session = self._writing.session
        old = (
            select(table.c.account_id, table.c.region, table.c.task_id)
            .where(table.c.keep_until <= to_microseconds(kept_until))
            .order_by(table.c.keep_until)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        rows = session.rows(old)
        for account_id, region, task_id in rows:
            scope = Scope(account_id=account_id, region=region)
            session.change(delete(table).where(in_scope(table, scope), table.c.task_id == task_id))
        if rows:
            session.scrub()
        return len(rows)
