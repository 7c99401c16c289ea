"""Deletions: written down in the transaction that deletes, and numbered for the ledgers beside backups.

Everything that destroys something of a person tells it by `Writing.note_deleted`; at the end of the transaction
`DeletionWriter.write_down` makes one record of it for each account and Region. Who did it is whom the same transaction
names in the audit trail; without an entry there, it is expiry. What was deleted is named by a keyed digest: the key is
sealed in the records, so a master key may be changed, and a restored backup has the same digests.

A record gets its place in the ledger afterwards, by one process at a time, because transactions of several processes
end in another order than they begin in.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from uuid import uuid4

from sqlalchemy import exists, select, tuple_

from earwitness.store.backups import BackupReader
from earwitness.store.deletion_records import BY_EXPIRY, DeletedItem, Deletion
from earwitness.store.deletion_schema import deletion_items, deletions
from earwitness.store.hot_reads import Query, StoredRow
from earwitness.store.records import Page, PageKey, Scope
from earwitness.store.repository import Reader, Writer, in_scope, record, scope_of, select_in_scope
from earwitness.store.session import NotedDeletion
from earwitness.vault.data_key import DataKey
from earwitness.voice.deletion import DeletionKind, DeletionReason

_PURPOSE = b"earwitness deletion 1"
_KEY = (deletions.c.account_id, deletions.c.region, deletions.c.deletion_id)


def identity_digest(digest_key: DataKey, scope: Scope, kind: DeletionKind, ids: Sequence[str]) -> bytes:
    """Return 32 bytes that name a thing to whoever has the key, and nobody else; the same in every copy of the records.

    The key is the one that keys the digests of request tokens, with a purpose of its own in what is digested.
    """
    parts = [part.encode() for part in (scope.account_id, scope.region, kind.value, *ids)]
    return digest_key.digest(_PURPOSE + b"".join(len(part).to_bytes(4, "big") + part for part in parts))


class DeletionReader(Reader):
    """What can be read of deletions. Certificates are made of it."""

    def get(self, scope: Scope, deletion_id: str) -> Deletion | None:
        """Return the deletion of this id, or None."""
        found = self._deletions(select_in_scope(deletions, scope, deletion_id=deletion_id))
        return found[0] if found else None

    def of_request(self, scope: Scope, request_id: str) -> tuple[Deletion, ...]:
        """Return all that one request deleted, in the order in which it was done."""
        theirs = select_in_scope(deletions, scope, request_id=request_id)
        return self._deletions(theirs.order_by(deletions.c.created_at, deletions.c.deletion_id))

    def of_thing(self, scope: Scope, digest: bytes) -> tuple[Deletion, ...]:
        """Return when the thing of this digest (`Store.digest_of`) was deleted, oldest first; nothing if it was not.

        A thing that came back with an old backup was deleted again.
        """
        named = select(deletion_items.c.deletion_id).where(in_scope(deletion_items, scope, identity_digest=digest))
        theirs = select_in_scope(deletions, scope).where(deletions.c.deletion_id.in_(named))
        return self._deletions(theirs.order_by(deletions.c.created_at, deletions.c.deletion_id))

    def list(self, scope: Scope, *, after: PageKey | None = None, limit: int) -> Page[Deletion]:
        """Return the newest first."""
        page = self._page(
            lambda row: row,
            select_in_scope(deletions, scope),
            order=(deletions.c.created_at, deletions.c.deletion_id),
            after=after,
            limit=limit,
            newest_first=True,
        )
        return Page(items=self._with_items(page.items), next_key=page.next_key)

    def behind(self, position: int, *, limit: int) -> tuple[Deletion, ...]:
        """Return what stands in the ledger behind a position, of all accounts, in its order."""
        place = deletions.c.position
        return self._deletions(select(deletions).where(place > position).order_by(place).limit(limit))

    def head(self) -> tuple[int, bytes]:
        """Return the last position of the ledger and its entry's digest; 0 and nothing when there is none."""
        last = deletions.c.position.is_not(None)
        row = self._session.row(select(deletions).where(last).order_by(deletions.c.position.desc()).limit(1))
        return (0, b"") if row is None else (row["position"], row["entry_digest"])

    def digest_at(self, position: int) -> bytes:
        """Return the digest of the entry at a position of the ledger; nothing where it is not known any more."""
        row = self._session.row(select(deletions.c.entry_digest).where(deletions.c.position == position))
        return b"" if row is None else row["entry_digest"]

    def waiting(self) -> int:
        """Return how many deletions have no place in the ledger yet."""
        return self._count(deletions, deletions.c.position.is_(None))

    def known(self, keys: Sequence[tuple[str, str, str]]) -> set[tuple[str, str, str]]:
        """Return those of these deletions, by account, Region and id, that are written down here."""
        return {
            (row["account_id"], row["region"], row["deletion_id"])
            for start in range(0, len(keys), 500)
            for row in self._session.rows(select(*_KEY).where(tuple_(*_KEY).in_(keys[start : start + 500])))
        }

    def _deletions(self, statement: Query) -> tuple[Deletion, ...]:
        return self._with_items(self._session.rows(statement))

    def _with_items(self, rows: Sequence[StoredRow]) -> tuple[Deletion, ...]:
        theirs: dict[tuple[str, str, str], list[DeletedItem]] = {_key_of(row): [] for row in rows}
        keys = list(theirs)
        of_items = (deletion_items.c.account_id, deletion_items.c.region, deletion_items.c.deletion_id)
        for start in range(0, len(keys), 500):
            chosen = select(deletion_items).where(tuple_(*of_items).in_(keys[start : start + 500]))
            for row in self._session.rows(chosen.order_by(*deletion_items.primary_key.columns)):
                theirs[_key_of(row)].append(record(DeletedItem, row))
        return tuple(record(Deletion, row, scope=scope_of(row), items=tuple(theirs[_key_of(row)])) for row in rows)


class DeletionWriter(Writer, DeletionReader):
    """What can be changed of deletions."""

    _who: str | None = None
    _why: DeletionReason | None = None
    _request_id: str | None = None

    def because(self, why: DeletionReason, *, who: str | None = None, request_id: str | None = None) -> None:
        """Say why this transaction deletes, and which request asked for it, where several belong to one.

        Without this it is what the audit trail says: a request, or expiry where nobody asked.
        """
        self._why, self._who, self._request_id = why, who or self._who, request_id or self._request_id

    def note(self, scope: Scope, kind: DeletionKind, *ids: str, key_id: str | None = None) -> None:
        """Have something written down that this transaction deletes by itself. See `Writing.note_deleted`."""
        self._writing.note_deleted(scope, kind, *ids, key_id=key_id)

    def write_down(self) -> None:
        """Make a record of what this transaction has deleted, for each account and Region; called at its end."""
        by_scope: dict[Scope, list[NotedDeletion]] = {}
        for noted in self._writing.deleted:
            by_scope.setdefault(noted.scope, []).append(noted)
        self._writing.deleted.clear()
        for scope, theirs in by_scope.items():
            self._write(scope, theirs)

    def number(self, entry_digest: Callable[[Deletion, bytes], bytes], *, limit: int) -> int:
        """Give at most `limit` deletions their places in the ledger, and return how many; one process at a time.

        `entry_digest` returns the digest of an entry from the deletion, its position set, and the digest of the entry
        before it.
        """
        self._writing.session.lock("ledger of deletions")
        position, digest = self.head()
        statement = select(deletions).where(deletions.c.position.is_(None))
        found = self._deletions(statement.order_by(deletions.c.created_at, deletions.c.deletion_id).limit(limit))
        for each in found:
            position += 1
            digest = entry_digest(replace(each, position=position), digest)
            mine = in_scope(deletions, each.scope, deletion_id=each.deletion_id)
            self._update(deletions, mine, position=position, entry_digest=digest)
        return len(found)

    def purge(self, *, before: datetime, limit: int) -> int:
        """Forget at most `limit` deletions from before this time, and return how many.

        Those are kept that a ledger does not have yet, that a backup which is still there is older than, and the last
        one, from which the ledger goes on. Withdrawals are kept for good: one that was made after a backup which was
        restored, of a subject of which nothing came back, is known by nothing else.
        """
        oldest = BackupReader(self._session, self._vault).oldest()
        until = before if oldest is None else min(before, oldest.created_at)
        last, _ = self.head()
        told = min((place.position for place in BackupReader(self._session, self._vault).places()), default=last)
        of_withdrawal = (deletion_items.c[column.name] == column for column in _KEY)
        withdraws = exists().where(*of_withdrawal, deletion_items.c.kind == DeletionKind.SUBJECT).correlate(deletions)
        old = select(*_KEY).where(deletions.c.created_at < until, deletions.c.position < min(last, told), ~withdraws)
        rows = self._session.rows(old.order_by(deletions.c.created_at).limit(limit))
        for row in rows:
            self._delete(deletions, in_scope(deletions, scope_of(row), deletion_id=row["deletion_id"]))
        return len(rows)

    def _write(self, scope: Scope, noted: Sequence[NotedDeletion]) -> None:
        asked = self._writing.audited
        deletion_id = str(uuid4())
        row = {
            **asdict(scope),
            "deletion_id": deletion_id,
            "request_id": self._request_id or deletion_id,
            "who": self._who or (asked[0] if asked else BY_EXPIRY),
            "why": self._why or (DeletionReason.REQUESTED if asked else DeletionReason.EXPIRED),
            "created_at": self._now,
        }
        self._writing.session.insert_new(deletions, row)
        items = [
            {
                **asdict(scope),
                "deletion_id": deletion_id,
                "number": number,
                "kind": one.kind,
                "identity_digest": identity_digest(self._writing.digest_key, scope, one.kind, one.ids),
                "destroyed_key_id": one.key_id,
                "voiceprints": one.voiceprints,
            }
            for number, one in enumerate(noted, start=1)
        ]
        self._writing.session.insert_all(deletion_items, items)


def _key_of(row: StoredRow) -> tuple[str, str, str]:
    return row["account_id"], row["region"], row["deletion_id"]
