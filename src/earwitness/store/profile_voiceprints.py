"""Voiceprints of profiles: what searches compare with, and what is shown of them.

Every change moves the domain's version and notes whose they were, in the same transaction.
"""

from collections.abc import Callable, Collection
from dataclasses import asdict
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, select

from earwitness.errors import AlreadyExists
from earwitness.store.consent_schema import consents
from earwitness.store.consents import ConsentWriter, consent_terms
from earwitness.store.domains import DomainReader, DomainWriter
from earwitness.store.driver_errors import convert
from earwitness.store.hot_reads import Query, StoredRow
from earwitness.store.lines import LineWriter
from earwitness.store.records import (
    GalleryChanges,
    GalleryEntry,
    GalleryPage,
    NewVoiceprint,
    PageKey,
    ProfileVoiceprint,
    Scope,
    VoiceProfile,
)
from earwitness.store.repository import (
    Reader,
    RowSeal,
    Writer,
    in_scope,
    record,
    same,
    scope_of,
    select_in_scope,
)
from earwitness.store.retention import RetentionReader
from earwitness.store.schema import profile_voiceprints, profiles, voiceprint_changes
from earwitness.store.session import Writing
from earwitness.vault.data_key import DataKey
from earwitness.voice.deletion import DeletionKind

_HAS_AUDIO = profile_voiceprints.c.audio_ciphertext.is_not(None).label("has_audio")
WITHOUT_VECTOR = select(
    *(column for column in profile_voiceprints.c if column.name not in {"vector_ciphertext", "audio_ciphertext"}),
    consents.c.terms_ciphertext,
    _HAS_AUDIO,
).select_from(profile_voiceprints.outerjoin(consents, same(profile_voiceprints, consents, "domain_id", "consent_id")))


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


class ProfileVoiceprintReader(Reader):
    """What can be read of the voiceprints of profiles."""

    def list(self, scope: Scope, profile_id: str) -> tuple[ProfileVoiceprint, ...]:
        """Return those of one profile, oldest first; none when it is expired or does not exist."""
        theirs = WITHOUT_VECTOR.where(in_scope(profile_voiceprints, scope, profile_id=profile_id))
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
        reference = self._evidence(row)
        return record(ProfileVoiceprint, row, consent_reference=reference, has_audio=bool(row["has_audio"]))

    def _evidence(self, row: StoredRow) -> str | None:
        """Return where the consent to an enrolment is recorded: by its consent, or as it lay before there were any."""
        if row["terms_ciphertext"] is None:
            former = self._seal(row).open_optional(row, "consent_ciphertext")
            return None if former is None else former.decode()
        scope, domain_id = scope_of(row), row["domain_id"]
        return consent_terms(self._require_domain_key(scope, domain_id), scope, row).evidence

    def _seal(self, row: StoredRow) -> RowSeal:
        scope = scope_of(row)
        key = self._require_domain_key(scope, row["domain_id"])
        return RowSeal(key, profile_voiceprints, scope, row["profile_id"], row["voiceprint_id"])


class ProfileVoiceprintWriter(Writer, ProfileVoiceprintReader):
    """What can be changed of the voiceprints of profiles."""

    def __init__(self, writing: Writing) -> None:
        super().__init__(writing)
        self._domains = DomainWriter(writing)
        self._consents = ConsentWriter(writing)
        self._retention = RetentionReader(writing.session, writing.vault)

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
        consent_id = None
        if consent_reference is not None:
            consent_id = self._consents.keep_reference(scope, profile, consent_reference)
        key = self._require_domain_key(scope, profile.domain_id)
        keeps_audio = self._retention.schedule(scope, profile.domain_id).audio != timedelta(0)
        sealed = RowSeal(key, profile_voiceprints, scope, profile.profile_id, voiceprint_id).seal(
            vector_ciphertext=voiceprint.vector,
            audio_ciphertext=voiceprint.audio if keeps_audio else None,
        )
        row = {
            "domain_id": profile.domain_id,
            "profile_id": profile.profile_id,
            "voiceprint_id": voiceprint_id,
            "source_task_id": source_task_id,
            "created_at": self._now,
            "expires_at": profile.expires_at,
            "consent_id": consent_id,
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
