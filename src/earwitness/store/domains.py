"""Voice profile domains. Deleting one takes everything in it, in one transaction."""

from dataclasses import asdict
from datetime import datetime
from functools import partial

from sqlalchemy import select

from earwitness.errors import AlreadyExists
from earwitness.store.calibration_schema import calibration_versions
from earwitness.store.hot_reads import HotRead
from earwitness.store.jobs import JobWriter
from earwitness.store.label_schema import task_labels
from earwitness.store.node_records import NoteKind
from earwitness.store.nodes import NodeWriter
from earwitness.store.records import Page, PageKey, Scope, VoiceProfileDomain
from earwitness.store.repository import Reader, RowSeal, Writer, holder_of, in_scope, key_owner, record, select_in_scope
from earwitness.store.schema import (
    domains,
    line_monitors,
    line_switches,
    line_versions,
    line_votes,
    profile_voiceprints,
    profiles,
    tags,
    task_voiceprints,
    tasks,
    voiceprint_changes,
)
from earwitness.store.tags import TagWriter
from earwitness.voice.band import Band
from earwitness.voice.deletion import DeletionKind
from earwitness.voice.task_status import StopReason

_BY_ID = HotRead(select(domains), domains.c.account_id, domains.c.region, domains.c.domain_id)
_BY_ARN = HotRead(select(domains), domains.c.account_id, domains.c.region, domains.c.arn)
_record = partial(record, VoiceProfileDomain)


class DomainReader(Reader):
    """What can be read of domains."""

    def get(self, scope: Scope, id_or_arn: str) -> VoiceProfileDomain | None:
        """Return the domain of this id or ARN, or None."""
        read = _BY_ARN if id_or_arn.startswith("arn:") else _BY_ID
        return self._session.hot(read, _record, scope.account_id, scope.region, id_or_arn)

    def list(self, scope: Scope, *, after: PageKey | None = None, limit: int) -> Page[VoiceProfileDomain]:
        """Return the oldest first."""
        return self._page(
            _record,
            select_in_scope(domains, scope),
            order=(domains.c.created_at, domains.c.domain_id),
            after=after,
            limit=limit,
        )

    def count(self, scope: Scope) -> int:
        """Return how many there are."""
        return self._count(domains, in_scope(domains, scope))


class DomainWriter(Writer, DomainReader):
    """What can be changed of domains."""

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
        """Return a new one with a key of its own; raise LimitExceeded when there are `limit` already."""
        self._require_room(
            lambda: self.count(scope), limit=limit, what="voice profile domains", holder=holder_of(scope)
        )
        created = VoiceProfileDomain(
            domain_id=domain_id,
            arn=arn,
            name=name,
            description=description,
            kms_key_arn=kms_key_arn,
            band=band,
            wrapped_key=self._new_wrapped_key(owner=key_owner(domains, scope, domain_id), arn=kms_key_arn),
            version=1,
            created_at=self._now,
            updated_at=self._now,
        )
        if not self._insert(domains, created, **asdict(scope)):
            raise AlreadyExists("a voice profile domain of this id exists; choose another id")
        return created

    def update(
        self, scope: Scope, domain_id: str, *, name: str | None = None, description: str | None = None
    ) -> VoiceProfileDomain | None:
        """Change what is given; None when there is no such domain."""
        given = {"name": name, "description": description}
        values = {column: value for column, value in given.items() if value is not None}
        self._update(domains, in_scope(domains, scope, domain_id=domain_id), **values, updated_at=self._now)
        return self.get(scope, domain_id)

    def delete(self, scope: Scope, domain_id: str) -> bool:
        """Remove it, its key, profiles, tags, lines, calibrations, labels, and what tasks and jobs have of it.

        False without one.

        Its jobs stay, ended. So do its tasks: those that are active get the stop reason DOMAIN_DELETED, for their
        workers to fail them.
        Whatever was sealed under its key cannot be read by anybody afterwards.
        """
        # Whoever adds a profile changes the domain's version first, and so waits for this lock or finds no domain.
        row = self._session.row(select_in_scope(domains, scope, domain_id=domain_id).with_for_update())
        if row is None:
            return False
        NodeWriter(self._writing).note_all(NoteKind.DOMAIN, scope, domain_id)
        self._clear_tasks(scope, domain_id)
        JobWriter(self._writing).end_those_of(scope, domain_id)
        arns = select(profiles.c.arn).where(in_scope(profiles, scope, domain_id=domain_id))
        self._delete(tags, in_scope(tags, scope), tags.c.resource_arn.in_(arns))
        TagWriter(self._writing).clear(scope, row["arn"])
        lines = (line_votes, line_versions, line_monitors, line_switches, calibration_versions)
        voiceprints = 0
        for table in (task_labels, profile_voiceprints, profiles, voiceprint_changes, *lines, domains):
            deleted = self._delete(table, in_scope(table, scope, domain_id=domain_id))
            voiceprints += deleted if table is profile_voiceprints else 0
        key_id = self._writing.destroy_key(row["wrapped_key"], owner=key_owner(domains, scope, domain_id))
        self._writing.note_deleted(scope, DeletionKind.DOMAIN, domain_id, key_id=key_id, voiceprints=voiceprints)
        return True

    def lock(self, scope: Scope, domain_id: str) -> VoiceProfileDomain | None:
        """Return it, and let nobody else change its voiceprints before the transaction ends; None without a domain."""
        chosen = select_in_scope(domains, scope, domain_id=domain_id).with_for_update(key_share=True)
        return self._one(_record, chosen)

    def note_change(self, scope: Scope, domain_id: str, profile_id: str) -> None:
        """Note that voiceprints of a profile came or went. The domain is locked.

        Every version has one note, so galleries in memory see whether they know of all changes.
        """
        chosen = in_scope(domains, scope, domain_id=domain_id)
        self._update(domains, chosen, version=domains.c.version + 1)
        row = self._session.row(select(domains.c.version, domains.c.wrapped_key).where(chosen))
        if row is None:
            return
        key = self._vault.key(row["wrapped_key"], owner=key_owner(domains, scope, domain_id))
        seal = RowSeal(key, voiceprint_changes, scope, domain_id, str(row["version"]))
        values = {
            **asdict(scope),
            "domain_id": domain_id,
            "version": row["version"],
            "created_at": self._now,
            **seal.seal(profile_id_ciphertext=profile_id.encode()),
        }
        self._writing.session.insert_new(voiceprint_changes, values)

    def purge_changes(self, *, noted_before: datetime) -> int:
        """Delete the notes of this time and before, of all accounts; return how many there were."""
        return self._delete(voiceprint_changes, voiceprint_changes.c.created_at <= noted_before)

    def _clear_tasks(self, scope: Scope, domain_id: str) -> None:
        theirs = in_scope(tasks, scope, domain_id=domain_id)
        self._update(tasks, theirs, checkpoint_ciphertext=None, identification_ciphertext=None, profile_id=None)
        self._update(tasks, theirs, tasks.c.ended_at.is_(None), stop_reason=StopReason.DOMAIN_DELETED)
        self._delete(task_voiceprints, in_scope(task_voiceprints, scope, domain_id=domain_id))
