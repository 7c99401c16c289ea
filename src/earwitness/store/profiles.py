"""Voice profiles. Every change moves the version of the domain, in the same transaction."""

from dataclasses import replace
from datetime import datetime

from sqlalchemy import delete, select, update

from earwitness.errors import AlreadyExists, BadRequest, Conflict, NotFound
from earwitness.store.columns import from_microseconds, to_microseconds
from earwitness.store.domains import DomainWriter
from earwitness.store.page import read_page
from earwitness.store.profile_voiceprints import ProfileVoiceprintWriter
from earwitness.store.records import Page, PageKey, Scope, VoiceProfile
from earwitness.store.schema import voice_profiles as table
from earwitness.store.schema_search import profile_voiceprints, task_voiceprints, tasks
from earwitness.store.search_records import NewVoiceprint
from earwitness.store.session import Row, Session, Writing, count_where, in_scope, require_room
from earwitness.store.tags import TagWriter
from earwitness.store.task_voiceprints import TaskVoiceprintWriter

_ALL = select(
    table.c.profile_id,
    table.c.arn,
    table.c.domain_id,
    table.c.created_at,
    table.c.updated_at,
    table.c.expires_at,
)


class ProfileReader:
    """What can be read of voice profiles."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, scope: Scope, id_or_arn: str) -> VoiceProfile | None:
        """The profile of this id or ARN, or None; expired ones too."""
        column = table.c.arn if id_or_arn.startswith("arn:") else table.c.profile_id
        row = self._session.row(_ALL.where(in_scope(table, scope), column == id_or_arn))
        return None if row is None else _record(row)

    def list(self, scope: Scope, domain_id: str, *, after: PageKey | None = None, limit: int) -> Page[VoiceProfile]:
        """The profiles of a domain, oldest first; none when there is no such domain."""
        return read_page(
            self._session,
            _ALL.where(in_scope(table, scope), table.c.domain_id == domain_id),
            record=_record,
            order=(table.c.created_at, table.c.profile_id),
            after=after,
            limit=limit,
        )

    def count(self, scope: Scope, domain_id: str) -> int:
        """How many a domain has."""
        return count_where(self._session, table, in_scope(table, scope), table.c.domain_id == domain_id)


class ProfileWriter(ProfileReader):
    """What can be changed of voice profiles."""

    def __init__(self, writing: Writing) -> None:
        super().__init__(writing.session)
        self._writing = writing
        self._domains = DomainWriter(writing)
        self._voiceprints = ProfileVoiceprintWriter(writing)
        self._task_voiceprints = TaskVoiceprintWriter(writing)

    def create(
        self,
        scope: Scope,
        *,
        profile_id: str,
        domain_id: str,
        arn: str,
        expires_at: datetime,
        limit: int | None = None,
    ) -> VoiceProfile:
        """A new one; NotFound without such a domain, LimitExceeded when the domain has `limit` already."""
        if not self._domains.move_version(scope, domain_id):
            raise NotFound("the voice profile domain does not exist; look at its id")
        require_room(
            self._writing.session,
            lambda: self.count(scope, domain_id),
            limit=limit,
            what="voice profiles in this domain",
            holder=f"{scope.account_id} {scope.region} {domain_id}",
        )
        created = VoiceProfile(
            profile_id=profile_id,
            arn=arn,
            domain_id=domain_id,
            created_at=self._writing.now,
            updated_at=self._writing.now,
            expires_at=expires_at,
        )
        values = {
            "account_id": scope.account_id,
            "region": scope.region,
            "profile_id": profile_id,
            "domain_id": domain_id,
            "arn": arn,
            "created_at": to_microseconds(created.created_at),
            "updated_at": to_microseconds(created.updated_at),
            "expires_at": to_microseconds(expires_at),
        }
        if not self._writing.session.insert_new(table, values):
            raise AlreadyExists("a voice profile of this id exists; choose another id")
        return created

    def create_from_task(
        self,
        scope: Scope,
        *,
        task_id: str,
        profile_id: str,
        arn: str,
        voiceprint_id: str,
        expires_at: datetime,
        consent_reference: str | None = None,
        limit: int | None = None,
    ) -> VoiceProfile:
        """A new one in the domain of the task, with the task's voiceprint.

        Conflict when the task has no voiceprint yet, or a profile was created from it already; Gone when the
        voiceprint is deleted; NotFound when there never was one, or no such task or domain; LimitExceeded as above.
        """
        domain_id = self._domain_held(scope, task_id)
        task, found = self._task_voiceprints.require(scope, task_id)
        if task.profile_id is not None:
            raise Conflict("a voice profile was created from this task already; update that one, or start another task")
        created = self.create(
            scope, profile_id=profile_id, domain_id=domain_id, arn=arn, expires_at=expires_at, limit=limit
        )
        self._put(scope, created, voiceprint_id, found.voiceprint, task_id=task_id, consent=consent_reference)
        mine = in_scope(tasks, scope), tasks.c.task_id == task_id
        self._writing.session.change(update(tasks).where(*mine).values(profile_id=profile_id))
        return created

    def update_from_task(
        self,
        scope: Scope,
        profile_id: str,
        *,
        task_id: str,
        voiceprint_id: str,
        expires_at: datetime,
        consent_reference: str | None = None,
    ) -> VoiceProfile | None:
        """Replace all its voiceprints by the task's, and its expiry; an expired one is refilled so.

        None when there is no such profile. Errors of the task as above; BadRequest when it belongs to another domain.
        """
        domain_id = self._domain_held(scope, task_id)
        present = self.get(scope, profile_id)
        if present is None:
            return None
        if present.domain_id != domain_id:
            raise BadRequest("the task searched another domain than the profile's; start one in the profile's domain")
        _, found = self._task_voiceprints.require(scope, task_id)
        changed = self._renewed(scope, present, expires_at=expires_at)
        self._voiceprints.clear(scope, present.profile_id)
        self._put(scope, changed, voiceprint_id, found.voiceprint, task_id=task_id, consent=consent_reference)
        return changed

    def add_voiceprint(
        self,
        scope: Scope,
        profile_id: str,
        *,
        voiceprint_id: str,
        voiceprint: NewVoiceprint,
        expires_at: datetime,
        consent_reference: str | None = None,
    ) -> VoiceProfile | None:
        """One more voiceprint, of speech that no task heard; all of the profile's expire then.

        None when there is no such profile.
        """
        present = self._held(scope, profile_id)
        if present is None:
            return None
        changed = self._renewed(scope, present, expires_at=expires_at)
        self._voiceprints.extend(scope, changed)
        self._put(scope, changed, voiceprint_id, voiceprint, task_id=None, consent=consent_reference)
        return changed

    def delete(self, scope: Scope, profile_id: str) -> bool:
        """Remove it, its voiceprints, its tags, and the voiceprints of tasks that it was enrolled from.

        False when there is no such profile.
        """
        present = self._held(scope, profile_id)
        if present is None:
            return False
        self._forget_sources(scope, present)
        TagWriter(self._writing).clear(scope, present.arn)
        self._voiceprints.clear(scope, present.profile_id)
        statement = delete(table).where(in_scope(table, scope), table.c.profile_id == present.profile_id)
        self._writing.session.scrub()
        return self._writing.session.change(statement) == 1

    def _held(self, scope: Scope, profile_id: str) -> VoiceProfile | None:
        """The profile, its domain's version moved: nobody else changes either before this unit ends."""
        seen = self.get(scope, profile_id)
        if seen is None or not self._domains.move_version(scope, seen.domain_id):
            return None
        return self.get(scope, profile_id)

    def _domain_held(self, scope: Scope, task_id: str) -> str:
        """The domain of a task, its version moved: so it is held before the task is, as its deletion holds them."""
        mine = in_scope(tasks, scope), tasks.c.task_id == task_id
        row = self._session.row(select(tasks.c.domain_id).where(*mine))
        if row is None:
            raise NotFound("the speaker search task does not exist; look at its id")
        if not self._domains.move_version(scope, row[0]):
            raise NotFound("the voice profile domain of the task was deleted; start a task in another")
        return row[0]

    def _renewed(self, scope: Scope, present: VoiceProfile, *, expires_at: datetime) -> VoiceProfile:
        changed = replace(present, updated_at=self._writing.now, expires_at=expires_at)
        values = {"updated_at": to_microseconds(changed.updated_at), "expires_at": to_microseconds(expires_at)}
        mine = in_scope(table, scope), table.c.profile_id == present.profile_id
        self._writing.session.change(update(table).where(*mine).values(**values))
        return changed

    def _put(
        self,
        scope: Scope,
        profile: VoiceProfile,
        voiceprint_id: str,
        voiceprint: NewVoiceprint,
        *,
        task_id: str | None,
        consent: str | None,
    ) -> None:
        self._voiceprints.put(
            scope,
            profile,
            voiceprint_id=voiceprint_id,
            voiceprint=voiceprint,
            source_task_id=task_id,
            consent_reference=consent,
        )

    def _forget_sources(self, scope: Scope, profile: VoiceProfile) -> None:
        """The same voice lies in its tasks for a day, and its id in them for a week."""
        session = self._writing.session
        made_of = profile_voiceprints.c.profile_id == profile.profile_id
        enrolled = select(profile_voiceprints.c.source_task_id).where(in_scope(profile_voiceprints, scope), made_of)
        sources = {row[0] for row in session.rows(enrolled) if row[0] is not None}
        created = tasks.c.domain_id == profile.domain_id, tasks.c.profile_id == profile.profile_id
        sources |= {row[0] for row in session.rows(select(tasks.c.task_id).where(in_scope(tasks, scope), *created))}
        session.change(update(tasks).where(in_scope(tasks, scope), *created).values(profile_id=None))
        mine = in_scope(task_voiceprints, scope), task_voiceprints.c.task_id.in_(sorted(sources))
        session.change(delete(task_voiceprints).where(*mine))


def _record(row: Row) -> VoiceProfile:
    profile_id, arn, domain_id, created_at, updated_at, expires_at = row
    return VoiceProfile(
        profile_id=profile_id,
        arn=arn,
        domain_id=domain_id,
        created_at=from_microseconds(created_at),
        updated_at=from_microseconds(updated_at),
        expires_at=from_microseconds(expires_at),
    )
