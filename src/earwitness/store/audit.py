"""The audit trail: who did what, in the transaction that does it, and the chain that shows whether anybody changed it.

On SQLite, where one transaction writes at a time, an entry takes its place in the chain as it is written. On PostgreSQL
that would let each writer of a node wait for the commit of the one before, so entries are written without a place, and
the node seals them soon after, in the order in which it finds them (docs/decisions/2026-11-27-audit-chain.md).
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime

from sqlalchemy import ColumnElement, and_, bindparam, insert, select, update

from earwitness.errors import BadRequest
from earwitness.store.audit_chain import digest_after, entry_document, genesis
from earwitness.store.audit_records import AuditChain, AuditEntry, AuditFilter
from earwitness.store.audit_schema import audit_chains, audit_entries
from earwitness.store.hot_reads import StoredRow
from earwitness.store.records import Page, PageKey, Scope
from earwitness.store.repository import Reader, Writer, record, scope_of

_COLUMNS = audit_entries.c
_UNSEALED = and_(_COLUMNS.number.is_(None), _COLUMNS.node.is_not(None))
_WITHOUT_A_CHAIN = _COLUMNS.node.is_(None)


class AuditReader(Reader):
    """What can be read of the trail."""

    def list(
        self, scope: Scope, *, wanted: AuditFilter | None = None, after: PageKey | None = None, limit: int
    ) -> Page[AuditEntry]:
        """Return the newest first, of one account and Region."""
        whose = AuditFilter() if wanted is None else wanted
        return self.search(replace(whose, account_id=scope.account_id, region=scope.region), after=after, limit=limit)

    def search(self, wanted: AuditFilter, *, after: PageKey | None = None, limit: int) -> Page[AuditEntry]:
        """Return the newest first, of all accounts where the filter names none: for who runs the service."""
        return self._page(
            _entry,
            select(audit_entries).where(*_conditions(wanted)),
            order=(_COLUMNS.entry_id,),
            after=after,
            limit=limit,
            newest_first=True,
        )

    def chains(self) -> Sequence[AuditChain]:
        """Return where the chains begin, of all nodes that ever wrote an entry."""
        rows = self._session.rows(select(audit_chains).order_by(audit_chains.c.node))
        return [record(AuditChain, row) for row in rows]

    def count(self, wanted: AuditFilter) -> int:
        """Return how many entries a filter wants."""
        return self._count(audit_entries, *_conditions(wanted))

    def chained(self, node: str, *, after: int, limit: int, wanted: AuditFilter | None = None) -> Sequence[AuditEntry]:
        """Return the entries of a chain behind a number, in the chain's order; of them those that a filter wants."""
        narrower = [] if wanted is None else _conditions(wanted)
        statement = select(audit_entries).where(_COLUMNS.node == node, _COLUMNS.number > after, *narrower)
        # By the row's id as well: a number that is there twice is damage, and is to be seen the same way every time.
        rows = self._session.rows(statement.order_by(_COLUMNS.number, _COLUMNS.entry_id).limit(limit))
        return [_entry(row) for row in rows]

    def digests(self, node: str, numbers: Sequence[int]) -> dict[int, bytes]:
        """Return the digests of some entries of a chain, by their numbers."""
        statement = select(_COLUMNS.number, _COLUMNS.digest).where(_COLUMNS.node == node, _COLUMNS.number.in_(numbers))
        return {row["number"]: row["digest"] for row in self._session.rows(statement)}

    def without_a_chain(self, wanted: AuditFilter, *, after: int, limit: int) -> Sequence[AuditEntry]:
        """Return entries from before there were chains, oldest first, behind a row's id."""
        statement = select(audit_entries).where(_WITHOUT_A_CHAIN, _COLUMNS.entry_id > after, *_conditions(wanted))
        return [_entry(row) for row in self._session.rows(statement.order_by(_COLUMNS.entry_id).limit(limit))]

    def unsealed(self, *, node: str | None = None, limit: int) -> Sequence[AuditEntry]:
        """Return entries that have no place in a chain yet, oldest first; of one node, or of all."""
        whose = [] if node is None else [_COLUMNS.node == node]
        rows = self._session.rows(
            select(audit_entries).where(_UNSEALED, *whose).order_by(_COLUMNS.entry_id).limit(limit)
        )
        return [_entry(row) for row in rows]

    def head(self, node: str) -> tuple[int, bytes] | None:
        """Return number and digest of the newest entry of a chain, or of its start; None where there is no chain."""
        last = select(_COLUMNS.number, _COLUMNS.digest).where(_COLUMNS.node == node, _COLUMNS.number.is_not(None))
        row = self._session.row(last.order_by(_COLUMNS.number.desc()).limit(1))
        if row is not None:
            return row["number"], row["digest"]
        begun = self._session.row(select(audit_chains).where(audit_chains.c.node == node))
        return None if begun is None else (begun["start_number"], begun["start_digest"])

    def count_without_a_chain(self) -> int:
        """Return how many entries are left from before there were chains."""
        return self._count(audit_entries, _WITHOUT_A_CHAIN)


class AuditWriter(Writer, AuditReader):
    """What can be added to the trail, and when it is forgotten."""

    def append(
        self, scope: Scope, *, key_id: str, operation: str, resource_arn: str, outcome: str, request_id: str
    ) -> None:
        """Say who did what, or was refused what, now."""
        entry = AuditEntry(
            entry_id=0,
            scope=scope,
            time=self._now,
            key_id=key_id,
            operation=operation,
            resource_arn=resource_arn,
            outcome=outcome,
            request_id=request_id,
            node=self._writing.node_id or "",
        )
        if self._writing.session.writes_alone:
            entry = self._placed(entry, self._head_or_begin(entry.node or ""))
        values = asdict(entry)
        del values["entry_id"], values["scope"]
        self._writing.session.change(insert(audit_entries).values(**asdict(scope), **values))
        self._writing.audited.append(key_id)

    def seal(self, node: str, *, limit: int) -> int:
        """Give entries of a node that have none their places in its chain, oldest first; return how many there were.

        Whoever else seals this node's waits until this transaction has ended.
        """
        if not self.unsealed(node=node, limit=1):
            return 0
        self._writing.session.lock(f"audit chain {node}")
        waiting = self.unsealed(node=node, limit=limit)
        head, placed = self._head_or_begin(node), list[AuditEntry]()
        for entry in waiting:
            placed.append(self._placed(entry, head))
            head = _place_of(placed[-1])
        statement = (
            update(audit_entries)
            .where(_COLUMNS.entry_id == bindparam("of"))
            .values(number=bindparam("its_number"), digest=bindparam("its_digest"))
        )
        rows = [{"of": one.entry_id, "its_number": one.number, "its_digest": one.digest} for one in placed]
        self._writing.session.change_all(statement, rows)
        return len(placed)

    def cut(self, node: str, *, number: int, digest: bytes, statement: str) -> int:
        """Take a chain's entries off up to a number, whose digest the chain goes on from; return how many there were.

        `statement` is the signed document that says so; without one a chain that begins later looks like damage.
        """
        self._update(audit_chains, audit_chains.c.node == node, start_number=number, start_digest=digest, cut=statement)
        return self._delete(audit_entries, _COLUMNS.node == node, _COLUMNS.number <= number)

    def purge_without_a_chain(self, *, before: datetime) -> int:
        """Forget entries from before there were chains that are older than this; return how many there were."""
        return self._delete(audit_entries, _WITHOUT_A_CHAIN, _COLUMNS.time < before)

    def _head_or_begin(self, node: str) -> tuple[int, bytes]:
        """Return where a chain goes on; the first time, begin it."""
        head = self.head(node)
        if head is None:
            first = genesis(node, before=0)
            begun = {"node": node, "start_number": 0, "start_digest": first, "before": 0, "created_at": self._now}
            self._writing.session.insert_new(audit_chains, begun)
            head = 0, first
        return head

    def _placed(self, entry: AuditEntry, after: tuple[int, bytes]) -> AuditEntry:
        number, previous = after
        numbered = replace(entry, number=number + 1)
        try:
            return replace(numbered, digest=digest_after(previous, entry_document(numbered)))
        except ValueError:
            raise BadRequest("a text holds half of a surrogate pair; leave it out") from None


def _place_of(entry: AuditEntry) -> tuple[int, bytes]:
    if entry.number is None or entry.digest is None:
        raise AssertionError("an entry that was placed has a number and a digest")
    return entry.number, entry.digest


def _entry(row: StoredRow) -> AuditEntry:
    return record(AuditEntry, row, scope=scope_of(row))


def _conditions(wanted: AuditFilter) -> list[ColumnElement[bool]]:
    equal = {
        name: value
        for name in ("account_id", "region", "key_id", "operation", "resource_arn", "outcome", "node")
        if (value := getattr(wanted, name)) is not None
    }
    conditions: list[ColumnElement[bool]] = [_COLUMNS[name] == value for name, value in equal.items()]
    if wanted.since is not None:
        conditions.append(_COLUMNS.time >= wanted.since)
    if wanted.until is not None:
        conditions.append(_COLUMNS.time < wanted.until)
    return conditions
