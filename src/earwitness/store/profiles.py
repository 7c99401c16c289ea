"""Voice profiles and their voiceprints. Several of one profile are kept apart: a mean would forget what each was.

Every change locks the domain before it locks anything else, so a deletion of the domain never meets one half-way. One
of voiceprints moves the domain's version and notes whose they were, in the same transaction.
"""

from collections.abc import Collection
from dataclasses import asdict, replace
from datetime import datetime
from functools import partial

from sqlalchemy import delete, func, select

from earwitness.errors import AlreadyExists, BadRequest, Conflict, NotFound
from earwitness.store.consents import ConsentWriter
from earwitness.store.domains import DomainWriter
from earwitness.store.labels import LabelWriter
from earwitness.store.lines import LineWriter
from earwitness.store.profile_voiceprints import WITHOUT_VECTOR, ProfileVoiceprintWriter
from earwitness.store.records import (
    NewVoiceprint,
    Page,
    PageKey,
    Scope,
    VoiceProfile,
)
from earwitness.store.repository import (
    Reader,
    Writer,
    holder_of,
    in_scope,
    record,
    select_in_scope,
)
from earwitness.store.retention import RetentionReader
from earwitness.store.schema import profile_voiceprints, profiles, task_voiceprints, tasks
from earwitness.store.session import Writing
from earwitness.store.tags import TagWriter
from earwitness.store.tasks import TaskVoiceprintWriter
from earwitness.voice.consent import ConsentUse
from earwitness.voice.deletion import DeletionKind

_record = partial(record, VoiceProfile)


class ProfileReader(Reader):
    """What can be read of voice profiles."""

    def get(self, scope: Scope, id_or_arn: str) -> VoiceProfile | None:
        """Return the profile of this id or ARN, or None; expired ones too."""
        column = "arn" if id_or_arn.startswith("arn:") else "profile_id"
        return self._one(_record, select_in_scope(profiles, scope, **{column: id_or_arn}))

    def list(
        self, scope: Scope, domain_id: str, *, id_prefix: str = "", after: PageKey | None = None, limit: int
    ) -> Page[VoiceProfile]:
        """Return the profiles of a domain whose ids begin so, oldest first; none when there is no such domain."""
        chosen = select_in_scope(profiles, scope, domain_id=domain_id)
        beginning = func.substr(
            profiles.c.profile_id, 1, len(id_prefix)
        )  # LIKE takes capitals for small letters in SQLite
        return self._page(
            _record,
            chosen.where(beginning == id_prefix) if id_prefix else chosen,
            order=(profiles.c.created_at, profiles.c.profile_id),
            after=after,
            limit=limit,
        )

    def count(self, scope: Scope, domain_id: str) -> int:
        """Return how many a domain has."""
        return self._count(profiles, in_scope(profiles, scope, domain_id=domain_id))

    def next_to_expire(self, scope: Scope, domain_id: str) -> VoiceProfile | None:
        """Return the profile of a domain that expires first; None where none will."""
        theirs = select_in_scope(profiles, scope, domain_id=domain_id)
        return self._one(_record, theirs.order_by(profiles.c.expires_at, profiles.c.profile_id).limit(1))


class ProfileWriter(Writer, ProfileReader):
    """What can be changed of voice profiles."""

    def __init__(self, writing: Writing) -> None:
        super().__init__(writing)
        self._domains = DomainWriter(writing)
        self._consents = ConsentWriter(writing)
        self._lines = LineWriter(writing)
        self._retention = RetentionReader(writing.session, writing.vault)
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
        subject_digest: bytes | None = None,
        limit: int | None = None,
    ) -> VoiceProfile:
        """Return a new one; raise NotFound without such a domain, LimitExceeded when the domain has `limit` already."""
        if not self._domains.lock(scope, domain_id):
            raise NotFound("the voice profile domain does not exist in this account and Region; look at its id")
        self._require_room(
            lambda: self.count(scope, domain_id),
            limit=limit,
            what="voice profiles in this domain",
            holder=f"{holder_of(scope)} {domain_id}",
        )
        created = VoiceProfile(
            profile_id=profile_id,
            arn=arn,
            domain_id=domain_id,
            created_at=self._now,
            updated_at=self._now,
            expires_at=self._allowed(scope, domain_id, expires_at),
        )
        if not self._insert(profiles, created, **asdict(scope), subject_digest=subject_digest):
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
        """Return a new one in the domain of the task, with the task's voiceprint.

        Raise Conflict when the task has no voiceprint yet, or a profile was created from it already; Gone when the
        voiceprint is deleted; NotFound when there never was one, or no such task or domain; LimitExceeded as `create`;
        ConsentMissing when the domain needs a consent of the subject that the task was started for.
        """
        subject_digest = self._consents.subject_of_task(scope, task_id)
        domain_id = self._lock_domain_of(scope, task_id)
        self._consents.require(scope, domain_id, subject_digest, use=ConsentUse.ENROLMENT)
        task, found = self._task_voiceprints.require(scope, task_id)
        if task.profile_id is not None:
            raise Conflict("a voice profile was created from this task already; update that one, or start another task")
        created = self.create(
            scope,
            profile_id=profile_id,
            domain_id=domain_id,
            arn=arn,
            expires_at=expires_at,
            subject_digest=subject_digest,
            limit=limit,
        )
        self._voiceprints.put(
            scope,
            created,
            voiceprint_id=voiceprint_id,
            voiceprint=found.voiceprint,
            source_task_id=task_id,
            consent_reference=consent_reference,
        )
        self._update(tasks, in_scope(tasks, scope, task_id=task_id), profile_id=profile_id)
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

        None when there is no such profile. Raise errors of the task as `create_from_task` does, BadRequest when it
        belongs to another domain, or was started for another subject than the profile's.
        """
        subject_digest = self._consents.subject_of_task(scope, task_id)
        domain_id = self._lock_domain_of(scope, task_id)
        present = self.get(scope, profile_id)
        if present is None:
            return None
        if present.domain_id != domain_id:
            raise BadRequest("the task searched another domain than the profile's; start one in the profile's domain")
        self._consents.require(scope, domain_id, subject_digest, use=ConsentUse.ENROLMENT)
        _, found = self._task_voiceprints.require(scope, task_id)
        self._consents.require_same(scope, present.profile_id, subject_digest)
        changed = self._renewed(scope, present, expires_at=expires_at)
        self._lines.forget_profile(scope, domain_id, present.profile_id)
        self._voiceprints.clear(scope, present)
        self._voiceprints.put(
            scope,
            changed,
            voiceprint_id=voiceprint_id,
            voiceprint=found.voiceprint,
            source_task_id=task_id,
            consent_reference=consent_reference,
        )
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
        subject_digest: bytes | None = None,
    ) -> VoiceProfile | None:
        """Add a voiceprint of speech that no task heard; all of the profile's expire then.

        None when there is no such profile. Whether the subject has consented, the caller has asked. Raise BadRequest
        when the profile is another subject's.
        """
        present = self._locked(scope, profile_id)
        if present is None:
            return None
        self._consents.require_same(scope, present.profile_id, subject_digest)
        changed = self._renewed(scope, present, expires_at=expires_at)
        self._voiceprints.extend(scope, changed)
        self._voiceprints.put(
            scope,
            changed,
            voiceprint_id=voiceprint_id,
            voiceprint=voiceprint,
            source_task_id=None,
            consent_reference=consent_reference,
        )
        return changed

    def delete(self, scope: Scope, profile_id: str) -> bool:
        """Remove it, its voiceprints, tags, votes, labels, and those of tasks it is made of; False without one."""
        present = self._locked(scope, profile_id)
        if present is None:
            return False
        self._lines.forget_profile(scope, present.domain_id, present.profile_id)
        LabelWriter(self._writing).forget_profile(scope, present.profile_id)
        self._forget_sources(scope, present)
        TagWriter(self._writing).clear(scope, present.arn)
        voiceprints = self._voiceprints.clear(scope, present)
        self._writing.session.scrub()
        self._writing.note_deleted(scope, DeletionKind.PROFILE, present.profile_id, voiceprints=voiceprints)
        return self._delete(profiles, in_scope(profiles, scope, profile_id=present.profile_id)) == 1

    def remove_voiceprint(
        self, scope: Scope, profile_id: str, voiceprint_id: str, *, with_later: bool
    ) -> VoiceProfile | None:
        """Remove one voiceprint, or with `with_later` that one and all that came after it, and what tasks still have
        of them; the profile keeps the others and its expiry. Votes of its voice are forgotten.

        None when there is no such profile. Raise NotFound when it has no such voiceprint, Conflict when none would be
        left.
        """
        present = self._locked(scope, profile_id)
        if present is None:
            return None
        kept = self._voiceprints.list(scope, present.profile_id)
        place = next((place for place, one in enumerate(kept) if one.voiceprint_id == voiceprint_id), None)
        if place is None:
            raise NotFound("the voice profile has no voiceprint of this id; it may have been removed meanwhile")
        removed = kept[place:] if with_later else kept[place : place + 1]
        if len(removed) == len(kept):
            raise Conflict("no voiceprint would be left of this voice profile; delete the profile instead")
        self._lines.forget_profile(scope, present.domain_id, present.profile_id)
        self._forget_tasks(scope, present, {one.source_task_id for one in removed if one.source_task_id is not None})
        self._voiceprints.remove(scope, present, [one.voiceprint_id for one in removed])
        self._update(profiles, in_scope(profiles, scope, profile_id=present.profile_id), updated_at=self._now)
        return replace(present, updated_at=self._now)

    def _locked(self, scope: Scope, profile_id: str) -> VoiceProfile | None:
        """Return the profile, its domain locked: nobody else changes either before this unit ends."""
        seen = self.get(scope, profile_id)
        if seen is None or not self._domains.lock(scope, seen.domain_id):
            return None
        return self.get(scope, profile_id)

    def _lock_domain_of(self, scope: Scope, task_id: str) -> str:
        """Return the domain of a task, locked before the task, as its deletion does it."""
        row = self._session.row(select_in_scope(tasks, scope, task_id=task_id))
        if row is None:
            raise NotFound("the speaker search task does not exist in this account and Region; look at its id")
        if not self._domains.lock(scope, row["domain_id"]):
            raise NotFound("the voice profile domain of the task was deleted; start a task in another")
        return row["domain_id"]

    def _renewed(self, scope: Scope, present: VoiceProfile, *, expires_at: datetime) -> VoiceProfile:
        until = self._allowed(scope, present.domain_id, expires_at)
        times = {"updated_at": self._now, "expires_at": until}
        self._update(profiles, in_scope(profiles, scope, profile_id=present.profile_id), **times)
        return replace(present, **times)

    def _allowed(self, scope: Scope, domain_id: str, expires_at: datetime) -> datetime:
        """Return when a voiceprint enrolled now expires: then, or earlier where the domain's schedule says so."""
        return min(expires_at, self._now + self._retention.schedule(scope, domain_id).profile)

    def _forget_sources(self, scope: Scope, profile: VoiceProfile) -> None:
        """Delete what its tasks have of it: the same voice lies in them for a day, and its id for a week."""
        enrolled = WITHOUT_VECTOR.where(in_scope(profile_voiceprints, scope, profile_id=profile.profile_id))
        sources = {row["source_task_id"] for row in self._session.rows(enrolled)} - {None}
        created = in_scope(tasks, scope, domain_id=profile.domain_id, profile_id=profile.profile_id)
        sources |= {row["task_id"] for row in self._session.rows(select(tasks.c.task_id).where(created))}
        self._forget_tasks(scope, profile, sources)

    def _forget_tasks(self, scope: Scope, profile: VoiceProfile, task_ids: Collection[str]) -> None:
        """Delete what these tasks have of the voice of a profile."""
        named = tasks.c.task_id.in_(sorted(task_ids))
        self._update(tasks, in_scope(tasks, scope, profile_id=profile.profile_id), named, profile_id=None)
        theirs = in_scope(task_voiceprints, scope) & task_voiceprints.c.task_id.in_(sorted(task_ids))
        gone = delete(task_voiceprints).where(theirs).returning(task_voiceprints.c.task_id)
        for row in self._writing.session.taken(gone):
            self._writing.note_deleted(scope, DeletionKind.TASK_VOICEPRINT, row["task_id"])
