"""Voice profiles and their voiceprints. Several of one profile are kept apart: a mean would forget what each was.

Every change locks the domain before it locks anything else, so a deletion of the domain never meets one half-way. One
of voiceprints moves the domain's version and notes whose they were, in the same transaction.
"""

from collections.abc import Callable, Collection
from dataclasses import asdict, replace
from datetime import datetime
from functools import partial

from sqlalchemy import ColumnElement, delete, func, select

from earwitness.errors import AlreadyExists, BadRequest, Conflict, NotFound
from earwitness.store.domains import DomainReader, DomainWriter
from earwitness.store.driver_errors import convert
from earwitness.store.hot_reads import Query, StoredRow
from earwitness.store.labels import LabelWriter
from earwitness.store.lines import LineWriter
from earwitness.store.records import (
    GalleryChanges,
    GalleryEntry,
    GalleryPage,
    NewVoiceprint,
    Page,
    PageKey,
    ProfileVoiceprint,
    Scope,
    VoiceProfile,
)
from earwitness.store.repository import Reader, RowSeal, Writer, holder_of, in_scope, record, scope_of, select_in_scope
from earwitness.store.schema import profile_voiceprints, profiles, task_voiceprints, tasks, voiceprint_changes
from earwitness.store.session import Writing
from earwitness.store.tags import TagWriter
from earwitness.store.tasks import TaskVoiceprintWriter
from earwitness.vault.data_key import DataKey
from earwitness.voice.deletion import DeletionKind

CONSENT_LENGTH_MAX = 256
"""Characters of a consent reference: a document's number or address, not the document."""

_record = partial(record, VoiceProfile)
_HAS_AUDIO = profile_voiceprints.c.audio_ciphertext.is_not(None).label("has_audio")
_WITHOUT_VECTOR = select(
    *(column for column in profile_voiceprints.c if column.name not in {"vector_ciphertext", "audio_ciphertext"}),
    _HAS_AUDIO,
)


def _entries_of(scope: Scope, domain_id: str) -> Query:
    """Return the query of what a search of a domain compares with."""
    columns = profile_voiceprints.c
    return select(columns.profile_id, columns.voiceprint_id, columns.encoder_id, columns.vector_ciphertext).where(
        in_scope(profile_voiceprints, scope, domain_id=domain_id)
    )


def _entry_maker(key: DataKey, scope: Scope) -> Callable[[StoredRow], GalleryEntry]:
    """Return what makes an entry of a row, whose domain has this key."""

    def entry(row: StoredRow) -> GalleryEntry:
        seal = RowSeal(key, profile_voiceprints, scope, row["profile_id"], row["voiceprint_id"])
        return record(GalleryEntry, row, vector=seal.open(row, "vector_ciphertext"))

    return entry


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
        self._lines = LineWriter(writing)
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
        """Return a new one; raise NotFound without such a domain, LimitExceeded when the domain has `limit` already."""
        if not self._domains.lock(scope, domain_id):
            raise NotFound("the voice profile domain does not exist; look at its id")
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
            expires_at=expires_at,
        )
        if not self._insert(profiles, created, **asdict(scope)):
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
        voiceprint is deleted; NotFound when there never was one, or no such task or domain; LimitExceeded as `create`.
        """
        domain_id = self._lock_domain_of(scope, task_id)
        task, found = self._task_voiceprints.require(scope, task_id)
        if task.profile_id is not None:
            raise Conflict("a voice profile was created from this task already; update that one, or start another task")
        created = self.create(
            scope, profile_id=profile_id, domain_id=domain_id, arn=arn, expires_at=expires_at, limit=limit
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
        belongs to another domain.
        """
        domain_id = self._lock_domain_of(scope, task_id)
        present = self.get(scope, profile_id)
        if present is None:
            return None
        if present.domain_id != domain_id:
            raise BadRequest("the task searched another domain than the profile's; start one in the profile's domain")
        _, found = self._task_voiceprints.require(scope, task_id)
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
    ) -> VoiceProfile | None:
        """Add a voiceprint of speech that no task heard; all of the profile's expire then.

        None when there is no such profile.
        """
        present = self._locked(scope, profile_id)
        if present is None:
            return None
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
            raise NotFound("the speaker search task does not exist; look at its id")
        if not self._domains.lock(scope, row["domain_id"]):
            raise NotFound("the voice profile domain of the task was deleted; start a task in another")
        return row["domain_id"]

    def _renewed(self, scope: Scope, present: VoiceProfile, *, expires_at: datetime) -> VoiceProfile:
        times = {"updated_at": self._now, "expires_at": expires_at}
        self._update(profiles, in_scope(profiles, scope, profile_id=present.profile_id), **times)
        return replace(present, **times)

    def _forget_sources(self, scope: Scope, profile: VoiceProfile) -> None:
        """Delete what its tasks have of it: the same voice lies in them for a day, and its id for a week."""
        enrolled = _WITHOUT_VECTOR.where(in_scope(profile_voiceprints, scope, profile_id=profile.profile_id))
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


class ProfileVoiceprintReader(Reader):
    """What can be read of the voiceprints of profiles."""

    def list(self, scope: Scope, profile_id: str) -> tuple[ProfileVoiceprint, ...]:
        """Return those of one profile, oldest first; none when it is expired or does not exist."""
        theirs = _WITHOUT_VECTOR.where(in_scope(profile_voiceprints, scope, profile_id=profile_id))
        by_age = profile_voiceprints.c.created_at, profile_voiceprints.c.voiceprint_id
        return tuple(self._record(row) for row in self._session.rows(theirs.order_by(*by_age)))

    def audio(self, scope: Scope, profile_id: str, voiceprint_id: str) -> bytes | None:
        """Return the speech that a voiceprint was made of; None when it was not kept, or there is no voiceprint."""
        row = self._session.row(
            select_in_scope(profile_voiceprints, scope, profile_id=profile_id, voiceprint_id=voiceprint_id)
        )
        return None if row is None else self._seal(row).open_optional(row, "audio_ciphertext")

    def enrolled(self, scope: Scope, profile_ids: Collection[str]) -> set[str]:
        """Return those of these profiles that have a voiceprint."""
        having = profile_voiceprints.c.profile_id
        theirs = in_scope(profile_voiceprints, scope), having.in_(sorted(profile_ids))
        return {row["profile_id"] for row in self._session.rows(select(having).where(*theirs).distinct())}

    def gallery_page(
        self, scope: Scope, domain_id: str, *, after: PageKey | None = None, limit: int
    ) -> GalleryPage | None:
        """Return a part of what a search of the domain compares with; None without such a domain.

        The domain's version is read before the voiceprints, so a gallery is never newer than its version says.
        """
        domain = DomainReader(self._session, self._vault).get(scope, domain_id)
        if domain is None:
            return None
        page = self._page(
            _entry_maker(self._require_domain_key(scope, domain_id), scope),
            _entries_of(scope, domain_id),
            order=(profile_voiceprints.c.profile_id, profile_voiceprints.c.voiceprint_id),
            after=after,
            limit=limit,
        )
        return GalleryPage(domain_version=domain.version, page=page)

    def gallery_changes(self, scope: Scope, domain_id: str, *, since: int, limit: int) -> GalleryChanges | None:
        """Return what changed after a version of a domain, at most `limit` changes.

        None where that cannot be told any more: there is no such domain, or no note of what came next is kept. What is
        read is never older than the version that is returned with it, and may be newer.
        """
        version = voiceprint_changes.c.version
        noted = select_in_scope(voiceprint_changes, scope, domain_id=domain_id).where(version > since)
        notes = self._session.rows(noted.order_by(version).limit(limit))
        if not notes or [row["version"] for row in notes] != list(range(since + 1, since + 1 + len(notes))):
            return None
        key = self._require_domain_key(scope, domain_id)

        def profile_id(row: StoredRow) -> str:
            seal = RowSeal(key, voiceprint_changes, scope, domain_id, str(row["version"]))
            return seal.open(row, "profile_id_ciphertext").decode()

        changed = frozenset(convert(profile_id, row) for row in notes)
        theirs = _entries_of(scope, domain_id).where(profile_voiceprints.c.profile_id.in_(sorted(changed)))
        entry = _entry_maker(key, scope)
        entries = tuple(convert(entry, row) for row in self._session.rows(theirs))
        return GalleryChanges(version=since + len(notes), profile_ids=changed, entries=entries)

    def _record(self, row: StoredRow) -> ProfileVoiceprint:
        consent = None
        if row["consent_ciphertext"] is not None:
            consent = self._seal(row).open(row, "consent_ciphertext").decode()
        return record(ProfileVoiceprint, row, consent_reference=consent, has_audio=bool(row["has_audio"]))

    def _seal(self, row: StoredRow) -> RowSeal:
        scope = scope_of(row)
        key = self._require_domain_key(scope, row["domain_id"])
        return RowSeal(key, profile_voiceprints, scope, row["profile_id"], row["voiceprint_id"])


class ProfileVoiceprintWriter(Writer, ProfileVoiceprintReader):
    """What can be changed of the voiceprints of profiles."""

    def __init__(self, writing: Writing) -> None:
        super().__init__(writing)
        self._domains = DomainWriter(writing)

    def put(
        self,
        scope: Scope,
        profile: VoiceProfile,
        *,
        voiceprint_id: str,
        voiceprint: NewVoiceprint,
        source_task_id: str | None,
        consent_reference: str | None,
    ) -> None:
        """Add a voiceprint to a profile, which the caller's unit has locked; it expires with the profile.

        Raise BadRequest when the consent reference is too long; AlreadyExists when the profile has one of this id.
        """
        if consent_reference is not None and len(consent_reference) > CONSENT_LENGTH_MAX:
            raise BadRequest(f"a consent reference has at most {CONSENT_LENGTH_MAX} characters; give a shorter one")
        key = self._require_domain_key(scope, profile.domain_id)
        sealed = RowSeal(key, profile_voiceprints, scope, profile.profile_id, voiceprint_id).seal(
            vector_ciphertext=voiceprint.vector,
            audio_ciphertext=voiceprint.audio,
            consent_ciphertext=None if consent_reference is None else consent_reference.encode(),
        )
        row = {
            "domain_id": profile.domain_id,
            "profile_id": profile.profile_id,
            "voiceprint_id": voiceprint_id,
            "source_task_id": source_task_id,
            "created_at": self._now,
            "expires_at": profile.expires_at,
        }
        if not self._insert(profile_voiceprints, voiceprint, **asdict(scope), **row, **sealed):
            raise AlreadyExists("the profile has a voiceprint of this id; choose another id")
        self._domains.note_change(scope, profile.domain_id, profile.profile_id)

    def extend(self, scope: Scope, profile: VoiceProfile) -> None:
        """Let all voiceprints of a profile expire when it does."""
        theirs = in_scope(profile_voiceprints, scope, profile_id=profile.profile_id)
        self._update(profile_voiceprints, theirs, expires_at=profile.expires_at)

    def clear(self, scope: Scope, profile: VoiceProfile) -> int:
        """Delete all voiceprints of a profile, which the caller's unit has locked; return how many there were."""
        return self._remove(scope, profile.domain_id, profile.profile_id)

    def remove(self, scope: Scope, profile: VoiceProfile, voiceprint_ids: Collection[str]) -> int:
        """Delete some voiceprints of a profile, which the caller's unit has locked; return how many there were."""
        chosen = profile_voiceprints.c.voiceprint_id.in_(sorted(voiceprint_ids))
        return self._remove(scope, profile.domain_id, profile.profile_id, chosen)

    def delete(self, scope: Scope, profile_id: str, voiceprint_id: str) -> bool:
        """Delete one voiceprint; its profile stays. False when there is no such voiceprint."""
        row = self._session.row(select_in_scope(profiles, scope, profile_id=profile_id))
        if row is None or not self._domains.lock(scope, row["domain_id"]):
            return False
        chosen = profile_voiceprints.c.voiceprint_id == voiceprint_id
        return self._remove(scope, row["domain_id"], profile_id, chosen) == 1

    def _remove(self, scope: Scope, domain_id: str, profile_id: str, *chosen: ColumnElement[bool]) -> int:
        """Delete voiceprints, from the files as well, and note whose they were."""
        theirs = delete(profile_voiceprints).where(in_scope(profile_voiceprints, scope, profile_id=profile_id), *chosen)
        gone = self._writing.session.taken(theirs.returning(profile_voiceprints.c.voiceprint_id))
        for row in gone:
            self._note(scope, profile_id, row["voiceprint_id"])
        if gone:
            self._domains.note_change(scope, domain_id, profile_id)
            self._writing.session.scrub()
        return len(gone)

    def expire(self, *, expired_before: datetime, limit: int) -> int:
        """Delete at most `limit` voiceprints of all accounts that expired by this time, their audio and votes.

        Their profiles stay, so that an update can refill them. Return how many were deleted.
        """
        columns = profile_voiceprints.c
        key = columns.account_id, columns.region, columns.domain_id, columns.profile_id, columns.voiceprint_id
        due = columns.expires_at <= expired_before
        found = self._session.rows(select(*key).where(due).order_by(columns.expires_at).limit(limit))
        count = 0
        locked: set[tuple[Scope, str]] = set()
        # In one order of domains, so that two that expire at once do not wait for each other.
        for row in sorted(found, key=lambda row: [row[column.name] for column in key]):
            scope, domain_id = scope_of(row), row["domain_id"]
            if (scope, domain_id) not in locked:
                locked.add((scope, domain_id))
                self._domains.lock(scope, domain_id)
            LineWriter(self._writing).forget_profile(scope, domain_id, row["profile_id"])
            ids = {"profile_id": row["profile_id"], "voiceprint_id": row["voiceprint_id"]}
            # Looked at again, because it may have been enrolled again before the domain was locked.
            if self._delete(profile_voiceprints, in_scope(profile_voiceprints, scope, **ids), due):
                self._domains.note_change(scope, domain_id, row["profile_id"])
                self._note(scope, row["profile_id"], row["voiceprint_id"])
                count += 1
        if count:
            self._writing.session.scrub()
        return count

    def _note(self, scope: Scope, profile_id: str, voiceprint_id: str) -> None:
        self._writing.note_deleted(scope, DeletionKind.VOICEPRINT, profile_id, voiceprint_id)
