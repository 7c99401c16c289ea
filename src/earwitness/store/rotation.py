"""A rotation: the records change from one master key to another while they are served.

The next key is *offered*, and every process that serves says that it has it; it is *used* for new data keys; all data
keys are wrapped again; it is *in force*, and the former one opens nothing any more. Each step is a transaction.
Whatever is killed between, the records say how far it is, each data key opens under one of the two, and to run it again
goes on.

What belongs here: the steps. What must never: where a master key comes from.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias, cast

from sqlalchemy import Table, bindparam, delete, func, literal, select, tuple_, update

from earwitness.errors import CiphertextRefused, Conflict, KeyServiceUnavailable
from earwitness.progress import Progress
from earwitness.store.audit import AuditWriter
from earwitness.store.connector_schema import connector_calls, voice_connectors
from earwitness.store.hot_reads import Query, StoredRow
from earwitness.store.leading import Leader, NodeLeading
from earwitness.store.master_key_schema import master_key_holders, vault_checks
from earwitness.store.master_keys import CHECK_OWNER, own_key_owner
from earwitness.store.node_schema import nodes
from earwitness.store.nodes import ALIVE
from earwitness.store.postgres import Postgres
from earwitness.store.records import Scope
from earwitness.store.repository import key_owner, scope_of
from earwitness.store.schema import access_keys, domains, kinesis_streams, pipelines
from earwitness.store.session import ConnectionSession, StoreSession, Writing
from earwitness.store.sqlite import Sqlite
from earwitness.store.withdrawal_schema import withdrawals
from earwitness.vault.vault import Vault, is_of_key_service, owner_of

INSTALLATION = Scope(account_id="", region="")
"""Whose an audit entry is that concerns no account, but all of them."""

_ROWS_AT_ONCE = 250
"""A batch holds its rows, and in SQLite all others' writes, for some 10 ms."""

_OWNER = {"account_id", "region", "arn", "wrapped_key"}
"""Columns that owners are made of, besides those of the primary key; and what is wrapped."""

_CHECK = vault_checks.c.name == "check"
_Database: TypeAlias = Sqlite | Postgres
_Write: TypeAlias = Callable[[Callable[[Writing], object]], object]

WRAPPED: Mapping[Table, Callable[[StoredRow], str]] = {
    access_keys: lambda row: owner_of(account_id=row["account_id"], table=access_keys.name, row_id=row["key_id"]),
    domains: lambda row: key_owner(domains, scope_of(row), row["domain_id"]),
    kinesis_streams: lambda row: key_owner(kinesis_streams, scope_of(row), row["arn"]),
    pipelines: lambda row: key_owner(pipelines, scope_of(row), row["pipeline_id"]),
    voice_connectors: lambda row: key_owner(voice_connectors, scope_of(row), row["connector_id"]),
    vault_checks: lambda row: own_key_owner(row["name"]),
    connector_calls: lambda row: key_owner(connector_calls, scope_of(row), row["transaction_id"]),
    withdrawals: lambda row: key_owner(withdrawals, scope_of(row), row["withdrawal_id"]),
}
"""Tables whose rows have a data key, and what each is bound to. The check is wrapped again by the last step."""


class Rotation:
    """The steps of a rotation to one master key, which the vault has beside the one in force."""

    def __init__(self, database: _Database, vault: Vault, write: _Write, *, to: str) -> None:
        self._database, self._vault, self._write, self._to = database, vault, write, to
        self.unopened = 0
        """Data keys that no master key here opens: they were damaged before, and stay as they are."""

    def offer(self) -> None:
        """Let processes take the next key up; go on where a rotation to it was begun. Raise Conflict for another."""

        def run(writing: Writing) -> None:
            row = _locked(writing.session)
            if row["next_key_id"] == self._to:
                return
            if row["next_key_id"]:
                raise Conflict(
                    f"the records are changing to another master key, {row['next_key_id']}: run this again without a "
                    "new key, so that it goes on with that one"
                )
            if row["master_key_id"] == self._to:
                raise Conflict(f"the records are under the master key {self._to} already")
            again = self._vault.wrapped_again(row["wrapped_key"], owner=CHECK_OWNER, under=self._to)
            writing.session.change(delete(master_key_holders))
            self._say(writing, next_key_id=self._to, next_wrapped_key=again, next_in_use=0)
            self._audit(writing, "offered")

        self._write(run)

    def withdraw(self) -> None:
        """Let everything be as before, unless new data keys are made under the next key already."""

        def run(writing: Writing) -> None:
            row = _locked(writing.session)
            if row["next_key_id"] == self._to and not row["next_in_use"]:
                self._say(writing, next_key_id="", next_wrapped_key=None)
                writing.session.change(delete(master_key_holders))
                self._audit(writing, "withdrawn")

        self._write(run)

    def lacking(self, me: Leader) -> Sequence[str]:
        """Return the processes that serve the records and have not taken the next key up, named for people."""
        theirs = select(master_key_holders.c.holder).where(master_key_holders.c.master_key_id == self._to)
        having = {row["holder"] for row in self._database.reads.rows(theirs)}
        if isinstance(self._database.leading, NodeLeading):
            serving = self._database.reads.rows(select(nodes).where(ALIVE).order_by(nodes.c.node_id))
            return [
                f"node {row['node_id']} (process {row['process']} on {row['host']})"
                for row in serving
                if row["run"] not in having
            ]
        held = self._database.leading.claim(me)
        if held is None:
            self._database.leading.release()
            return []
        leader = held.leader
        return [] if leader.holder in having else [f"the service (process {leader.process} on {leader.host})"]

    def use(self) -> None:
        """Have new data keys wrapped under the next key. It waits for the transactions that make one just now."""

        def run(writing: Writing) -> None:
            if not _locked(writing.session)["next_in_use"]:
                self._say(writing, next_in_use=1)

        self._write(run)

    def wrap_again(self, progress: Progress, pause: Callable[[], object]) -> int:
        """Wrap all data keys under the next key, a batch in each transaction; return how many were.

        `pause` is called between batches, for others to have their turn.
        """
        total = sum(_count(self._database.reads, table) for table in WRAPPED)
        seen = changed = 0
        for table in WRAPPED:
            after: tuple[object, ...] | None = None
            while True:
                batch = _Batch(self._vault, table, after=after, to=self._to)
                self._write(batch.run)
                seen, changed = seen + batch.seen, changed + batch.changed
                self.unopened += batch.unopened
                progress("wrapping data keys", min(seen, total), total)
                if batch.last is None:
                    break
                after = batch.last
                pause()
        return changed

    def finish(self) -> None:
        """Have the next key in force, and the former one open nothing any more. All data keys are wrapped again."""

        def run(writing: Writing) -> None:
            row = _locked(writing.session)
            if row["next_key_id"] != self._to:
                return
            writing.destroy_key(row["wrapped_key"], owner=CHECK_OWNER)
            self._say(
                writing,
                wrapped_key=row["next_wrapped_key"],
                master_key_id=self._to,
                in_force_since=writing.now,
                next_key_id="",
                next_wrapped_key=None,
                next_in_use=0,
            )
            writing.session.change(delete(master_key_holders))
            self._audit(writing, "done")

        self._write(run)

    @staticmethod
    def _say(writing: Writing, **values: object) -> None:
        writing.session.change(update(vault_checks).where(_CHECK).values(**values))

    def _audit(self, writing: Writing, outcome: str) -> None:
        audit(writing, "RotateMasterKey", self._to, outcome)


def audit(writing: Writing, operation: str, key_id: str, outcome: str) -> None:
    """Say in the trail what was done with a master key."""
    AuditWriter(writing).append(
        INSTALLATION,
        key_id="earwitness master-key",
        operation=operation,
        resource_arn=f"master-key/{key_id}",
        outcome=outcome,
        request_id="",
    )


def note_source(writing: Writing, key_id: str, source: str) -> None:
    """Keep where the master key in force comes from, and put that into the trail."""
    writing.session.change(update(vault_checks).where(_CHECK).values(source=source))
    audit(writing, "ReadMasterKey", key_id, f"from {source}")


def data_keys_that_open(reads: StoreSession, vault: Vault, progress: Progress) -> tuple[int, Mapping[str, int]]:
    """Return how many data keys the master key opens, and how many it does not, by table. Nothing is changed."""
    total = sum(_count(reads, table) for table in WRAPPED)
    opened, unopened = 0, dict[str, int]()
    for table, owner in WRAPPED.items():
        after: tuple[object, ...] | None = None
        while True:
            rows = reads.rows(_page_of(table, after))
            failed = sum(not _opens(vault, row["wrapped_key"], owner(row)) for row in rows)
            opened += len(rows) - failed
            if failed:
                unopened[table.name] = unopened.get(table.name, 0) + failed
            progress("opening data keys", min(opened, total), total)
            if len(rows) < _ROWS_AT_ONCE:
                break
            after = _place(table, rows[-1])
    return opened, unopened


def _opens(vault: Vault, wrapped_key: bytes, owner: str) -> bool:
    """Return whether a data key opens now, at the key service too."""
    if not is_of_key_service(wrapped_key):
        return vault.master_keys.opener(wrapped_key, owner=owner) is not None
    try:
        vault.key(wrapped_key, owner=owner)
    except (KeyServiceUnavailable, CiphertextRefused):
        return False
    return True


class _Batch:
    """One transaction's data keys."""

    def __init__(self, vault: Vault, table: Table, *, after: tuple[object, ...] | None, to: str) -> None:
        self._vault, self._table, self._after, self._to = vault, table, after, to
        self.last: tuple[object, ...] | None = None
        self.seen = self.changed = self.unopened = 0

    def run(self, writing: Writing) -> None:
        """Wrap them again. It may be run more than once."""
        table = self._table
        rows = writing.session.rows(_page_of(table, self._after))
        self.seen, self.unopened = len(rows), 0
        self.last = _place(table, rows[-1]) if len(rows) == _ROWS_AT_ONCE else None
        changes = [change for row in rows if (change := self._change(row)) is not None]
        self.changed = len(changes)
        former = update(table).where(*(column == bindparam(f"at_{column.name}") for column in table.primary_key))
        former = former.where(table.c.wrapped_key == bindparam("former"))
        writing.session.change_all(former.values(wrapped_key=bindparam("again")), changes)

    def _change(self, row: StoredRow) -> Mapping[str, object] | None:
        wrapped_key = cast(bytes, row["wrapped_key"])
        try:
            again = self._vault.wrapped_again(wrapped_key, owner=WRAPPED[self._table](row), under=self._to)
        except CiphertextRefused:
            self.unopened += 1
            return None
        if again is None:
            return None
        return {"former": wrapped_key, "again": again} | {
            f"at_{column.name}": row[column.name] for column in self._table.primary_key
        }


def _locked(session: ConnectionSession) -> StoredRow:
    """Return the check, which nobody else reads for a new data key before this transaction ends."""
    row = session.row(select(vault_checks).where(_CHECK).with_for_update())
    if row is None:
        raise Conflict("the records have no master key yet; start a service on them first")
    return row


def _page_of(table: Table, after: tuple[object, ...] | None) -> Query:
    """Return the query of the next rows in the order of their key."""
    key = list(table.primary_key)
    columns = [column for column in table.c if column.primary_key or column.name in _OWNER]
    statement = select(*columns).where(table.c.wrapped_key.is_not(None)).order_by(*key).limit(_ROWS_AT_ONCE)
    if table is vault_checks:
        statement = statement.where(~_CHECK)
    if after is None:
        return statement
    last = (literal(part, column.type) for part, column in zip(after, key, strict=True))
    return statement.where(tuple_(*key) > tuple_(*last))


def _place(table: Table, row: StoredRow) -> tuple[object, ...]:
    return tuple(row[column.name] for column in table.primary_key)


def _count(reads: StoreSession, table: Table) -> int:
    row = reads.row(select(func.count().label("rows")).where(table.c.wrapped_key.is_not(None)))
    return 0 if row is None else int(row["rows"])
