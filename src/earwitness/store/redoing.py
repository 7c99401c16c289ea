"""Deletions done again: in records that came back from a backup, what a ledger names by digests is found and deleted.

Every kind of deletion has a line in `_FOUND_IN`, and is deleted as it was the first time. Nothing is written down of it
again: the entries of the ledger themselves go into the table of deletions, so that the ledger goes on where it was.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Column, Table, select, tuple_, update

from earwitness.store.connector_schema import connector_calls, voice_connectors
from earwitness.store.consent_schema import consents
from earwitness.store.deletion_records import Deletion
from earwitness.store.deletion_schema import deletion_items, deletions
from earwitness.store.deletions import identity_digest
from earwitness.store.domains import DomainWriter
from earwitness.store.hot_reads import StoredRow
from earwitness.store.job_schema import job_items, job_parts, jobs
from earwitness.store.pipelines import PipelineWriter
from earwitness.store.profile_voiceprints import ProfileVoiceprintWriter
from earwitness.store.profiles import ProfileWriter
from earwitness.store.records import Scope
from earwitness.store.repository import Reader, Writer, in_scope, key_owner, select_in_scope
from earwitness.store.schema import (
    access_keys,
    bearer_tokens,
    domains,
    events,
    line_votes,
    pipelines,
    profile_voiceprints,
    profiles,
    task_voiceprints,
    tasks,
)
from earwitness.store.schema import kinesis_streams as streams
from earwitness.store.streams import StreamWriter
from earwitness.store.tags import TagWriter
from earwitness.store.withdrawals import WithdrawalWriter
from earwitness.vault.data_key import DataKey
from earwitness.vault.vault import owner_of
from earwitness.voice.deletion import DeletionKind

_ROWS_AT_ONCE = 1_000

_FOUND_IN: dict[DeletionKind, tuple[Table, tuple[str, ...]]] = {
    DeletionKind.DOMAIN: (domains, ("domain_id",)),
    DeletionKind.SUBJECT: (consents, ("subject_digest",)),
    DeletionKind.PROFILE: (profiles, ("profile_id",)),
    DeletionKind.VOICEPRINT: (profile_voiceprints, ("profile_id", "voiceprint_id")),
    DeletionKind.TASK: (tasks, ("task_id",)),
    DeletionKind.RESULT: (tasks, ("task_id",)),
    DeletionKind.TASK_VOICEPRINT: (task_voiceprints, ("task_id",)),
    DeletionKind.VOTE: (line_votes, ("domain_id", "codec", "number")),
    DeletionKind.PIPELINE: (pipelines, ("pipeline_id",)),
    DeletionKind.STREAM: (streams, ("arn",)),
    DeletionKind.CALL: (connector_calls, ("transaction_id",)),
    DeletionKind.CONNECTOR: (voice_connectors, ("connector_id",)),
    DeletionKind.JOB: (jobs, ("job_id",)),
    DeletionKind.EXPORT: (jobs, ("job_id",)),
    DeletionKind.ACCESS_KEY: (access_keys, ("key_id",)),
    DeletionKind.BEARER_TOKEN: (bearer_tokens, ("token_id",)),
}
"""The table of each kind, and the columns that its identity is made of, in the order in which kinds are deleted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerFind:
    """What is here and is named in a ledger by its digest: deleted after the backup, or told something after it."""

    scope: Scope
    kind: DeletionKind
    #: What identifies it.
    ids: tuple[str, ...]
    #: When that was; the latest time, if it happened more than once.
    noted_at: datetime


class RedoingReader(Reader):
    """Finds what a ledger names."""

    def found(self, digest_key: DataKey, kind: DeletionKind, noted: Mapping[bytes, datetime]) -> Iterator[LedgerFind]:
        """Yield what is here of a kind and has one of these identity digests, with its time."""
        if kind is DeletionKind.SUBJECT:
            yield from self._subjects(digest_key, noted)
            return
        table, names = _FOUND_IN[kind]
        for row in self._rows(table, names):
            scope = Scope(account_id=row["account_id"], region=row.get("region", ""))
            ids = tuple(str(row[name]) for name in names)
            if kind is DeletionKind.ACCESS_KEY:
                ids = (*ids, self._access_key_id(row))
            noted_at = noted.get(identity_digest(digest_key, scope, kind, ids))
            if noted_at is not None:
                yield LedgerFind(scope=scope, kind=kind, ids=ids, noted_at=noted_at)

    def _subjects(self, digest_key: DataKey, noted: Mapping[bytes, datetime]) -> Iterator[LedgerFind]:
        """Yield the subjects of which something came back, whatever it is."""
        seen = set[tuple[Scope, str]]()
        for table in (consents, profiles, tasks, job_items, line_votes):
            columns = table.c.account_id, table.c.region, table.c.subject_digest
            named = select(*columns).where(table.c.subject_digest.is_not(None)).distinct()
            for row in self._session.rows(named):
                scope = Scope(account_id=row["account_id"], region=row["region"])
                ids = (row["subject_digest"].hex(),)
                noted_at = noted.get(identity_digest(digest_key, scope, DeletionKind.SUBJECT, ids))
                if noted_at is not None and (scope, *ids) not in seen:
                    seen.add((scope, *ids))
                    yield LedgerFind(scope=scope, kind=DeletionKind.SUBJECT, ids=ids, noted_at=noted_at)

    def _rows(self, table: Table, names: tuple[str, ...]) -> Iterator[StoredRow]:
        key: list[Column[Any]] = list(table.primary_key.columns)
        own = [table.c[name] for name in ("account_id", "region", "wrapped_key", *names) if name in table.c]
        chosen = list(dict.fromkeys([*own, *key]))
        after: tuple[object, ...] | None = None
        while True:
            statement = select(*chosen).order_by(*key).limit(_ROWS_AT_ONCE)
            rows = self._session.rows(statement if after is None else statement.where(tuple_(*key) > tuple_(*after)))
            yield from rows
            if len(rows) < _ROWS_AT_ONCE:
                return
            after = tuple(rows[-1][column.name] for column in key)

    def _access_key_id(self, row: StoredRow) -> str:
        owner = owner_of(account_id=row["account_id"], table=access_keys.name, row_id=row["key_id"])
        return self._vault.key(row["wrapped_key"], owner=owner).key_id


class RedoingWriter(Writer, RedoingReader):
    """Deletes it, and takes over the ledger."""

    def delete(self, thing: LedgerFind) -> None:
        """Delete a thing as it was deleted before; nothing is written down of that.

        A withdrawal counts from the time at which it was made. All that came back of its subject goes, whatever time a
        consent in it has: a backup holds nothing that was written after a withdrawal that it does not know.
        """
        self._how(thing.noted_at)[thing.kind](thing.scope, *thing.ids)
        self._writing.deleted.clear()

    def take_over(self, entries: Collection[Deletion]) -> None:
        """Have the entries of a ledger in the table of deletions, at their places."""
        for entry in entries:
            values = {
                **asdict(entry.scope),
                "deletion_id": entry.deletion_id,
                "request_id": entry.request_id,
                "who": entry.who,
                "why": entry.why,
                "created_at": entry.created_at,
                "position": entry.position,
                "entry_digest": entry.entry_digest,
            }
            if not self._writing.session.insert_new(deletions, values):
                mine = in_scope(deletions, entry.scope, deletion_id=entry.deletion_id)
                self._update(deletions, mine, position=entry.position, entry_digest=entry.entry_digest)
                continue
            names = {**asdict(entry.scope), "deletion_id": entry.deletion_id}
            items = [{**names, "number": n, **asdict(item)} for n, item in enumerate(entry.items, start=1)]
            self._writing.session.insert_all(deletion_items, items)

    def leave_the_ledger(self) -> None:
        """Let all deletions be numbered anew, for a ledger of another name."""
        self._writing.session.change(update(deletions).values(position=None, entry_digest=None))

    def _how(self, deleted_at: datetime) -> "dict[DeletionKind, Callable[..., object]]":
        of = self._writing
        return {
            DeletionKind.DOMAIN: DomainWriter(of).delete,
            DeletionKind.SUBJECT: partial(WithdrawalWriter(of).begin_again, deleted_at),
            DeletionKind.PROFILE: ProfileWriter(of).delete,
            DeletionKind.VOICEPRINT: ProfileVoiceprintWriter(of).delete,
            DeletionKind.TASK: self._dropping(tasks, "task_id"),
            DeletionKind.RESULT: self._forget_result,
            DeletionKind.TASK_VOICEPRINT: self._dropping(task_voiceprints, "task_id"),
            DeletionKind.VOTE: self._delete_vote,
            DeletionKind.PIPELINE: PipelineWriter(of).delete,
            DeletionKind.STREAM: StreamWriter(of).delete,
            DeletionKind.CALL: self._delete_call,
            DeletionKind.CONNECTOR: self._delete_connector,
            DeletionKind.JOB: self._dropping(jobs, "job_id"),
            DeletionKind.EXPORT: self._dropping(job_parts, "job_id"),
            DeletionKind.ACCESS_KEY: self._delete_access_key,
            DeletionKind.BEARER_TOKEN: self._revoke,
        }

    def _dropping(self, table: Table, name: str) -> Callable[[Scope, str], None]:
        def drop(scope: Scope, row_id: str) -> None:
            self._drop(table, scope, **{name: row_id})

        return drop

    def _drop(self, table: Table, scope: Scope, **equal: object) -> None:
        self._delete(table, in_scope(table, scope, **equal))
        self._writing.session.scrub()

    def _forget_result(self, scope: Scope, task_id: str) -> None:
        emptied = {"identification_ciphertext": None, "checkpoint_ciphertext": None}
        self._update(tasks, in_scope(tasks, scope, task_id=task_id), **emptied)
        self._drop(task_voiceprints, scope, task_id=task_id)

    def _delete_vote(self, scope: Scope, domain_id: str, codec: str, number: str) -> None:
        self._drop(line_votes, scope, domain_id=domain_id, codec=codec, number=int(number))

    def _delete_call(self, scope: Scope, transaction_id: str) -> None:
        row = self._session.row(select_in_scope(connector_calls, scope, transaction_id=transaction_id))
        if row is not None:
            self._delete(events, in_scope(events, scope, pipeline_id=transaction_id))
            self._delete(connector_calls, in_scope(connector_calls, scope, transaction_id=transaction_id))
            self._writing.destroy_key(row["wrapped_key"], owner=key_owner(connector_calls, scope, transaction_id))

    def _delete_connector(self, scope: Scope, connector_id: str) -> None:
        """Delete a connector although the backup has calls of it in progress, which nobody hears any more."""
        row = self._session.row(select_in_scope(voice_connectors, scope, connector_id=connector_id))
        if row is not None:
            TagWriter(self._writing).clear(scope, row["arn"])
            self._delete(voice_connectors, in_scope(voice_connectors, scope, connector_id=connector_id))
            self._writing.destroy_key(row["wrapped_key"], owner=key_owner(voice_connectors, scope, connector_id))

    def _delete_access_key(self, scope: Scope, key_id: str, _: str) -> None:
        theirs = (access_keys.c.account_id == scope.account_id) & (access_keys.c.key_id == key_id)
        self._delete(access_keys, theirs)
        self._writing.session.scrub()

    def _revoke(self, scope: Scope, token_id: str) -> None:
        theirs = (bearer_tokens.c.account_id == scope.account_id) & (bearer_tokens.c.token_id == token_id)
        self._update(bearer_tokens, theirs, state="revoked")


def kinds_in_order() -> tuple[DeletionKind, ...]:
    """Return all kinds, in the order in which they are done again: what holds others goes first."""
    return tuple(_FOUND_IN)
