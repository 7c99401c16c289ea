"""Voice profiles. Every change moves the version of the domain, in the same transaction."""

from datetime import datetime

from sqlalchemy import delete, select

from earwitness.errors import AlreadyExists, NotFound
from earwitness.store.columns import from_microseconds, to_microseconds
from earwitness.store.domains import DomainWriter
from earwitness.store.page import read_page
from earwitness.store.records import Page, PageKey, Scope, VoiceProfile
from earwitness.store.schema import voice_profiles as table
from earwitness.store.session import Row, Session, Writing, count_where, in_scope, require_room
from earwitness.store.tags import TagWriter

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

    def delete(self, scope: Scope, profile_id: str) -> bool:
        """Remove it and its tags; False when there is no such profile."""
        present = self.get(scope, profile_id)
        if present is None or not self._domains.move_version(scope, present.domain_id):
            return False
        TagWriter(self._writing).clear(scope, present.arn)
        statement = delete(table).where(in_scope(table, scope), table.c.profile_id == present.profile_id)
        self._writing.session.scrub()
        return self._writing.session.change(statement) == 1


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
