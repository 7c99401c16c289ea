"""Voice profile domains. Deleting one takes everything in it, in one transaction."""

from sqlalchemy import bindparam, delete, select, update

from earwitness.errors import AlreadyExists
from earwitness.store.columns import from_microseconds, to_microseconds
from earwitness.store.owners import domain_owner
from earwitness.store.page import read_page
from earwitness.store.records import Page, PageKey, Scope, VoiceProfileDomain
from earwitness.store.schema import tags, voice_profiles
from earwitness.store.schema import voice_profile_domains as table
from earwitness.store.schema_search import profile_voiceprints, task_voiceprints, tasks
from earwitness.store.session import HotRead, Row, Session, Writing, count_where, in_scope, require_room
from earwitness.store.tags import TagWriter
from earwitness.voice.band import Band
from earwitness.voice.task_status import StopReason

_ALL = select(
    table.c.domain_id,
    table.c.arn,
    table.c.name,
    table.c.description,
    table.c.kms_key_arn,
    table.c.band,
    table.c.wrapped_key,
    table.c.version,
    table.c.created_at,
    table.c.updated_at,
)
_MINE = _ALL.where(table.c.account_id == bindparam("account_id"), table.c.region == bindparam("region"))
_BY_ID = HotRead(_MINE.where(table.c.domain_id == bindparam("domain_id")), "account_id", "region", "domain_id")
_BY_ARN = HotRead(_MINE.where(table.c.arn == bindparam("arn")), "account_id", "region", "arn")


class DomainReader:
    """What can be read of domains."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, scope: Scope, id_or_arn: str) -> VoiceProfileDomain | None:
        """The domain of this id or ARN, or None."""
        read = _BY_ARN if id_or_arn.startswith("arn:") else _BY_ID
        return self._session.hot(read, _record, scope.account_id, scope.region, id_or_arn)

    def list(self, scope: Scope, *, after: PageKey | None = None, limit: int) -> Page[VoiceProfileDomain]:
        """The oldest first."""
        return read_page(
            self._session,
            _ALL.where(in_scope(table, scope)),
            record=_record,
            order=(table.c.created_at, table.c.domain_id),
            after=after,
            limit=limit,
        )

    def count(self, scope: Scope) -> int:
        """How many there are."""
        return count_where(self._session, table, in_scope(table, scope))


class DomainWriter(DomainReader):
    """What can be changed of domains."""

    def __init__(self, writing: Writing) -> None:
        super().__init__(writing.session)
        self._writing = writing

    def create(
        self,
        scope: Scope,
        *,
        domain_id: str,
        arn: str,
        name: str,
        description: str,
        kms_key_arn: str,
        band: Band,
        limit: int | None = None,
    ) -> VoiceProfileDomain:
        """A new one with a key of its own; LimitExceeded when there are `limit` already."""
        holder = f"{scope.account_id} {scope.region}"
        require_room(
            self._writing.session, lambda: self.count(scope), limit=limit, what="voice profile domains", holder=holder
        )
        now = to_microseconds(self._writing.now)
        values = {
            "account_id": scope.account_id,
            "region": scope.region,
            "domain_id": domain_id,
            "arn": arn,
            "name": name,
            "description": description,
            "kms_key_arn": kms_key_arn,
            "band": band.value,
            "wrapped_key": self._writing.vault.new_wrapped_key(owner=domain_owner(scope, domain_id)),
            "version": 1,
            "created_at": now,
            "updated_at": now,
        }
        if not self._writing.session.insert_new(table, values):
            raise AlreadyExists("a voice profile domain of this id exists; choose another id")
        return _record([values[column.name] for column in _ALL.selected_columns])

    def update(
        self, scope: Scope, domain_id: str, *, name: str | None = None, description: str | None = None
    ) -> VoiceProfileDomain | None:
        """Change what is given; None when there is no such domain."""
        given = {"name": name, "description": description}
        values = {column: value for column, value in given.items() if value is not None}
        statement = update(table).where(in_scope(table, scope), table.c.domain_id == domain_id)
        self._writing.session.change(statement.values(**values, updated_at=to_microseconds(self._writing.now)))
        return self.get(scope, domain_id)

    def delete(self, scope: Scope, domain_id: str) -> bool:
        """Remove it, its key, its profiles, their tags, and what its tasks found and made; False without such a domain.

        Its tasks stay. Those that are active get the stop reason DOMAIN_DELETED, for their workers to fail them.
        Whatever was sealed under its key cannot be read by anybody afterwards.
        """
        session = self._writing.session
        mine = in_scope(table, scope), table.c.domain_id == domain_id
        # Whoever adds a profile changes the domain's version first, and so waits for this lock or finds no domain.
        row = session.row(select(table.c.arn, table.c.wrapped_key).where(*mine).with_for_update())
        if row is None:
            return False
        self._clear_tasks(scope, domain_id)
        inside = in_scope(voice_profiles, scope), voice_profiles.c.domain_id == domain_id
        arns = select(voice_profiles.c.arn).where(*inside)
        session.change(delete(tags).where(in_scope(tags, scope), tags.c.resource_arn.in_(arns)))
        voiceprints = in_scope(profile_voiceprints, scope), profile_voiceprints.c.domain_id == domain_id
        session.change(delete(profile_voiceprints).where(*voiceprints))
        session.change(delete(voice_profiles).where(*inside))
        TagWriter(self._writing).clear(scope, row[0])
        session.change(delete(table).where(*mine))
        self._writing.destroy_key(bytes(row[1]), owner=domain_owner(scope, domain_id))
        return True

    def _clear_tasks(self, scope: Scope, domain_id: str) -> None:
        session = self._writing.session
        mine = in_scope(tasks, scope), tasks.c.domain_id == domain_id
        nothing = {"checkpoint_ciphertext": None, "identification_ciphertext": None, "profile_id": None}
        session.change(update(tasks).where(*mine).values(**nothing))
        active = update(tasks).where(*mine, tasks.c.ended_at.is_(None))
        session.change(active.values(stop_reason=StopReason.DOMAIN_DELETED.value))
        made = in_scope(task_voiceprints, scope), task_voiceprints.c.domain_id == domain_id
        session.change(delete(task_voiceprints).where(*made))

    def move_version(self, scope: Scope, domain_id: str) -> bool:
        """Say that a voiceprint came, changed or went; False when there is no such domain."""
        statement = update(table).where(in_scope(table, scope), table.c.domain_id == domain_id)
        return self._writing.session.change(statement.values(version=table.c.version + 1)) == 1


def _record(row: Row) -> VoiceProfileDomain:
    domain_id, arn, name, description, kms_key_arn, band, wrapped_key, version, created_at, updated_at = row
    return VoiceProfileDomain(
        domain_id=domain_id,
        arn=arn,
        name=name,
        description=description,
        kms_key_arn=kms_key_arn,
        band=Band(band),
        wrapped_key=wrapped_key,
        version=version,
        created_at=from_microseconds(created_at),
        updated_at=from_microseconds(updated_at),
    )
