"""The voiceprints of profiles. Several of one profile are kept apart: a mean of them would forget what each was.

Every change moves the version of the domain, in the same transaction, and holds the domain before it holds anything
else, so that a deletion of the domain never meets one half-way.
"""

from datetime import datetime

from sqlalchemy import delete, select, update

from earwitness.errors import AlreadyExists, BadRequest
from earwitness.store.columns import from_json, from_microseconds, to_json, to_microseconds
from earwitness.store.domain_keys import require_domain_key
from earwitness.store.domains import DomainReader, DomainWriter
from earwitness.store.owners import profile_voiceprint_place
from earwitness.store.page import read_page
from earwitness.store.records import PageKey, Scope, VoiceProfile
from earwitness.store.schema import voice_profiles
from earwitness.store.schema_search import profile_voiceprints as table
from earwitness.store.search_records import GalleryEntry, GalleryPage, NewVoiceprint, ProfileVoiceprint
from earwitness.store.session import Row, Session, Writing, in_scope
from earwitness.vault.data_key import DataKey
from earwitness.vault.vault import Vault

CONSENT_LENGTH_MAX = 256
"""Characters of a consent reference: a document's number or address, not the document."""

_PLAIN = select(
    table.c.voiceprint_id,
    table.c.profile_id,
    table.c.encoder_id,
    table.c.net_speech_seconds,
    table.c.quality,
    table.c.source_task_id,
    table.c.created_at,
    table.c.expires_at,
    table.c.consent_ciphertext,
    table.c.audio_ciphertext.is_not(None),
    table.c.domain_id,
)
_VECTORS = select(table.c.profile_id, table.c.voiceprint_id, table.c.encoder_id, table.c.vector_ciphertext)


class ProfileVoiceprintReader:
    """What can be read of the voiceprints of profiles."""

    def __init__(self, session: Session, vault: Vault) -> None:
        self._session = session
        self._vault = vault

    def list(self, scope: Scope, profile_id: str) -> tuple[ProfileVoiceprint, ...]:
        """Those of one profile, oldest first; none when it is expired or does not exist."""
        mine = in_scope(table, scope), table.c.profile_id == profile_id
        rows = self._session.rows(_PLAIN.where(*mine).order_by(table.c.created_at, table.c.voiceprint_id))
        return tuple(self._record(scope, row) for row in rows)

    def audio(self, scope: Scope, profile_id: str, voiceprint_id: str) -> bytes | None:
        """The speech that a voiceprint was made of; None when it was not kept, or there is no such voiceprint."""
        mine = in_scope(table, scope), table.c.profile_id == profile_id, table.c.voiceprint_id == voiceprint_id
        row = self._session.row(select(table.c.domain_id, table.c.audio_ciphertext).where(*mine))
        if row is None or row[1] is None:
            return None
        key = require_domain_key(self._session, self._vault, scope, row[0])
        return key.open(row[1], profile_voiceprint_place(scope, profile_id, voiceprint_id, "audio_ciphertext"))

    def gallery_page(
        self, scope: Scope, domain_id: str, *, after: PageKey | None = None, limit: int
    ) -> GalleryPage | None:
        """A part of what a search of the domain compares with; None without such a domain.

        The domain's version is read before the voiceprints, so a gallery is never newer than its version says.
        """
        domain = DomainReader(self._session).get(scope, domain_id)
        if domain is None:
            return None
        key = require_domain_key(self._session, self._vault, scope, domain_id)

        def entry(row: Row) -> GalleryEntry:
            profile_id, voiceprint_id, encoder_id, vector = row
            place = profile_voiceprint_place(scope, profile_id, voiceprint_id, "vector_ciphertext")
            return GalleryEntry(
                profile_id=profile_id,
                voiceprint_id=voiceprint_id,
                encoder_id=encoder_id,
                vector=key.open(vector, place),
            )

        page = read_page(
            self._session,
            _VECTORS.where(in_scope(table, scope), table.c.domain_id == domain_id),
            record=entry,
            order=(table.c.profile_id, table.c.voiceprint_id),
            after=after,
            limit=limit,
        )
        return GalleryPage(domain_version=domain.version, page=page)

    def _record(self, scope: Scope, row: Row) -> ProfileVoiceprint:
        voiceprint_id, profile_id, encoder_id, net_speech_seconds, quality, source_task_id, *rest = row
        created_at, expires_at, consent, has_audio, domain_id = rest
        return ProfileVoiceprint(
            voiceprint_id=voiceprint_id,
            profile_id=profile_id,
            encoder_id=encoder_id,
            net_speech_seconds=net_speech_seconds,
            quality=from_json(quality),
            source_task_id=source_task_id,
            consent_reference=None
            if consent is None
            else self._consent(scope, domain_id, profile_id, voiceprint_id, consent),
            has_audio=bool(has_audio),
            created_at=from_microseconds(created_at),
            expires_at=from_microseconds(expires_at),
        )

    def _consent(self, scope: Scope, domain_id: str, profile_id: str, voiceprint_id: str, ciphertext: bytes) -> str:
        key = require_domain_key(self._session, self._vault, scope, domain_id)
        place = profile_voiceprint_place(scope, profile_id, voiceprint_id, "consent_ciphertext")
        return key.open(ciphertext, place).decode()


class ProfileVoiceprintWriter(ProfileVoiceprintReader):
    """What can be changed of the voiceprints of profiles."""

    def __init__(self, writing: Writing) -> None:
        super().__init__(writing.session, writing.vault)
        self._writing = writing

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
        """One more voiceprint of a profile, which the caller's unit holds; it expires with the profile.

        BadRequest when the consent reference is too long; AlreadyExists when the profile has a voiceprint of this id.
        """
        if consent_reference is not None and len(consent_reference) > CONSENT_LENGTH_MAX:
            raise BadRequest(f"a consent reference has at most {CONSENT_LENGTH_MAX} characters; give a shorter one")
        key = require_domain_key(self._session, self._vault, scope, profile.domain_id)
        plaintexts = {
            "vector_ciphertext": voiceprint.vector,
            "audio_ciphertext": voiceprint.audio,
            "consent_ciphertext": None if consent_reference is None else consent_reference.encode(),
        }
        values = {
            "account_id": scope.account_id,
            "region": scope.region,
            "domain_id": profile.domain_id,
            "profile_id": profile.profile_id,
            "voiceprint_id": voiceprint_id,
            "encoder_id": voiceprint.encoder_id,
            "net_speech_seconds": voiceprint.net_speech_seconds,
            "quality": to_json(voiceprint.quality),
            "source_task_id": source_task_id,
            "created_at": to_microseconds(self._writing.now),
            "expires_at": to_microseconds(profile.expires_at),
            **_sealed(key, scope, profile.profile_id, voiceprint_id, plaintexts),
        }
        if not self._writing.session.insert_new(table, values):
            raise AlreadyExists("the profile has a voiceprint of this id; choose another id")

    def extend(self, scope: Scope, profile: VoiceProfile) -> None:
        """Let all voiceprints of a profile expire when it does."""
        mine = in_scope(table, scope), table.c.profile_id == profile.profile_id
        self._writing.session.change(update(table).where(*mine).values(expires_at=to_microseconds(profile.expires_at)))

    def clear(self, scope: Scope, profile_id: str) -> None:
        """Delete all voiceprints of a profile, from the files as well."""
        mine = in_scope(table, scope), table.c.profile_id == profile_id
        if self._writing.session.change(delete(table).where(*mine)):
            self._writing.session.scrub()

    def delete(self, scope: Scope, profile_id: str, voiceprint_id: str) -> bool:
        """Delete one voiceprint; its profile stays. False when there is no such voiceprint."""
        profiles = voice_profiles.c
        owner = select(profiles.domain_id).where(in_scope(voice_profiles, scope), profiles.profile_id == profile_id)
        row = self._session.row(owner)
        if row is None or not DomainWriter(self._writing).move_version(scope, row[0]):
            return False
        mine = in_scope(table, scope), table.c.profile_id == profile_id, table.c.voiceprint_id == voiceprint_id
        self._writing.session.scrub()
        return self._writing.session.change(delete(table).where(*mine)) == 1

    def expire(self, *, expired_before: datetime, limit: int) -> int:
        """Delete at most `limit` voiceprints of all accounts that expired by this time, and their audio.

        Their profiles stay, so that an update can refill them. How many were deleted.
        """
        session, due = self._writing.session, table.c.expires_at <= to_microseconds(expired_before)
        found = (
            select(table.c.account_id, table.c.region, table.c.domain_id, table.c.profile_id, table.c.voiceprint_id)
            .where(due)
            .order_by(table.c.expires_at)
            .limit(limit)
        )
        count = 0
        held: set[tuple[str, str, str]] = set()
        # In one order of domains, so that two that expire at once do not wait for each other.
        for row in sorted(session.rows(found), key=tuple[str, ...]):
            account_id, region, domain_id, profile_id, voiceprint_id = row
            scope = Scope(account_id=account_id, region=region)
            if (account_id, region, domain_id) not in held:
                held.add((account_id, region, domain_id))
                DomainWriter(self._writing).move_version(scope, domain_id)
            mine = table.c.profile_id == profile_id, table.c.voiceprint_id == voiceprint_id
            # Looked at again, because it may have been enrolled again before the domain was held.
            count += session.change(delete(table).where(in_scope(table, scope), *mine, due))
        if count:
            session.scrub()
        return count


def _sealed(
    key: DataKey, scope: Scope, profile_id: str, voiceprint_id: str, plaintexts: dict[str, bytes | None]
) -> dict[str, bytes | None]:
    return {
        column: None
        if plaintext is None
        else key.seal(plaintext, profile_voiceprint_place(scope, profile_id, voiceprint_id, column))
        for column, plaintext in plaintexts.items()
    }
