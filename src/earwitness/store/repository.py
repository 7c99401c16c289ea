"""What all repositories have in common: records by the names of their columns, conditions, pages, limits."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from functools import lru_cache
from typing import Any, TypeVar

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    FromClause,
    Table,
    and_,
    delete,
    func,
    literal,
    select,
    tuple_,
    type_coerce,
    update,
)

from earwitness.errors import BadRequest, LimitExceeded, NotFound
from earwitness.store.columns import PlainText
from earwitness.store.driver_errors import convert
from earwitness.store.hot_reads import Query, StoredRow
from earwitness.store.master_keys import new_wrapped_key
from earwitness.store.records import Page, PageKey, Scope
from earwitness.store.schema import domains
from earwitness.store.session import StoreSession, Writing
from earwitness.vault.data_key import DataKey, SealedPlace
from earwitness.vault.vault import Vault, owner_of

_RecordT = TypeVar("_RecordT")

_CREATES_AT_ONCE_MAX = 200
"""More transactions than run at once on one PostgreSQL server, which by itself allows 100 connections."""


class Reader:
    """The reading half of a repository."""

    def __init__(self, session: StoreSession, vault: Vault) -> None:
        self._session = session
        self._vault = vault

    def _one(self, make: Callable[[StoredRow], _RecordT], statement: Query) -> _RecordT | None:
        """Return the record of the first row, or None without one."""
        row = self._session.row(statement)
        return None if row is None else convert(make, row)

    def _page(
        self,
        make: Callable[[StoredRow], _RecordT],
        statement: Query,
        *,
        order: Sequence[Column[Any]],  # `Any`: the columns' types differ
        after: PageKey | None,
        limit: int,
        newest_first: bool = False,
    ) -> Page[_RecordT]:
        """Return at most `limit` records behind `after`, in the order of columns that are unique together and indexed.

        A page by key costs the same wherever it is in the list, and rows that come meanwhile move nothing.
        """
        if limit < 1:
            raise BadRequest("a page holds at least one item")
        if after is not None:
            key, end = tuple_(*order), _bound(order, after)
            statement = statement.where(key < end if newest_first else key > end)
        names = [f"key_{column.name}" for column in order]
        key_columns = [
            type_coerce(column, _key_type(column)).label(name) for column, name in zip(order, names, strict=True)
        ]
        ordering = [column.desc() if newest_first else column.asc() for column in order]
        rows = self._session.rows(statement.add_columns(*key_columns).order_by(*ordering).limit(limit + 1))
        next_key = tuple(rows[limit - 1][name] for name in names) if len(rows) > limit else None
        return Page(items=tuple(convert(make, row) for row in rows[:limit]), next_key=next_key)

    def _count(self, table: Table, *conditions: ColumnElement[bool]) -> int:
        """Return how many rows of a table fulfil the conditions."""
        row = self._session.row(select(func.count().label("rows")).select_from(table).where(*conditions))
        return 0 if row is None else int(row["rows"])

    def _require_domain_key(self, scope: Scope, domain_id: str, *, lock: bool = False) -> DataKey:
        """Return the data key of a domain, for what is sealed under it in other tables; raise NotFound without one.

        With `lock`, the domain is not deleted before the transaction ends.
        """
        statement = select(domains.c.wrapped_key).where(in_scope(domains, scope, domain_id=domain_id))
        # A key share lock keeps deletions off, and lets the version move.
        row = self._session.row(statement.with_for_update(read=True, key_share=True) if lock else statement)
        if row is None:
            raise NotFound("the voice profile domain does not exist, or was deleted; look at its id")
        return self._vault.key(row["wrapped_key"], owner=key_owner(domains, scope, domain_id))


class Writer(Reader):
    """The changing half of a repository, for the length of one transaction."""

    def __init__(self, writing: Writing) -> None:
        super().__init__(writing.session, writing.vault)
        self._writing = writing
        self._now = writing.now

    def _new_wrapped_key(self, *, owner: str, arn: str = "") -> bytes:
        """Return a new data key for a row of this unit, under the master key that new ones are to be under."""
        return new_wrapped_key(self._writing.session, self._vault, owner=owner, arn=arn)

    def _update(self, table: Table, *conditions: ColumnElement[bool], **values: object) -> int:
        """Return how many rows were changed."""
        return self._writing.session.change(update(table).where(*conditions).values(**values))

    def _delete(self, table: Table, *conditions: ColumnElement[bool]) -> int:
        """Return how many rows were deleted."""
        return self._writing.session.change(delete(table).where(*conditions))

    def _insert(self, table: Table, record: object, **others: object) -> bool:
        """Insert a row of the record's fields by name, and of other columns; False when one of its key is there."""
        named = {column.name: getattr(record, column.name) for column in table.c if hasattr(record, column.name)}
        return self._writing.session.insert_new(table, {**named, **others})

    def _require_room(self, count: Callable[[], int], *, limit: int | None, what: str, holder: str) -> None:
        """Raise LimitExceeded when `count` returns as many as the limit already; None for no limit.

        Near the limit, creates of one holder wait for each other, so that the limit is exact. Far from it they do not:
        a lock that is held through a durable commit would make each of them wait for all before it.
        """
        if limit is None:
            return
        have = count()
        if have + _CREATES_AT_ONCE_MAX >= limit:
            self._writing.session.lock(f"{what} of {holder}")
            have = count()
        if have >= limit:
            raise LimitExceeded(
                f"there are {have} {what} already and may be {limit}; delete one, or have the limit raised"
            )


def record(cls: type[_RecordT], row: StoredRow, **given: object) -> _RecordT:
    """Return a record of the row's columns that are named as its fields; `given` has the fields that are made of more.

    Raise KeyError when a field is neither.
    """
    return cls(**{name: given[name] if name in given else row[name] for name in _field_names(cls)})


@lru_cache
def _field_names(cls: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(cls))


def scope_of(row: StoredRow) -> Scope:
    """Return whose row it is."""
    return record(Scope, row)


def in_scope(table: Table, scope: Scope, **equal: object) -> ColumnElement[bool]:
    """Return the condition that every statement on a scoped table begins with; other columns equal what is given."""
    return and_(*(table.c[name] == value for name, value in {**asdict(scope), **equal}.items()))


def select_in_scope(table: Table, scope: Scope, **equal: object) -> Query:
    """Return the query of the rows of one account and Region whose columns equal what is given."""
    return select(table).where(in_scope(table, scope, **equal))


def same(table: FromClause, other: FromClause, *names: str) -> ColumnElement[bool]:
    """Return the condition that rows of two tables belong to one account and Region and are equal in more columns."""
    return and_(*(table.c[name] == other.c[name] for name in ("account_id", "region", *names)))


def holder_of(scope: Scope) -> str:
    """Return the name under which creates of one account and Region wait for each other."""
    return f"{scope.account_id} {scope.region}"


def key_owner(table: Table, scope: Scope, row_id: str) -> str:
    """Return the owner that the data key of a row is bound to. Tables keep their names, or their keys do not open."""
    return owner_of(account_id=scope.account_id, table=table.name, row_id=f"{scope.region}/{row_id}")


class RowSeal:
    """Seals and opens the columns of one row; what was sealed for another row or column does not open."""

    def __init__(self, key: DataKey, table: Table, scope: Scope, *ids: str) -> None:
        self._key = key
        self._table = table.name
        self._account_id = scope.account_id
        self._row_id = "/".join((scope.region, *ids))

    def seal(self, **plaintexts: bytes | None) -> dict[str, bytes | None]:
        """Return the ciphertexts of these columns; None stays None."""
        return {
            name: None if plaintext is None else self._key.seal(plaintext, self._place(name))
            for name, plaintext in plaintexts.items()
        }

    def open(self, row: StoredRow, name: str) -> bytes:
        """Return what is sealed in a column that is not null; raise CiphertextRefused for what does not open."""
        return self._key.open(row[name], self._place(name))

    def open_optional(self, row: StoredRow, name: str) -> bytes | None:
        """Return what is sealed in a column; None for null."""
        return None if row[name] is None else self.open(row, name)

    def _place(self, column: str) -> SealedPlace:
        return SealedPlace(account_id=self._account_id, table=self._table, row_id=self._row_id, column=column)


# `Any`: SQLAlchemy's row values have no other type.
def _bound(order: Sequence[Column[Any]], after: PageKey) -> Any:
    kinds = [_key_type(column) for column in order]
    if [type(part) for part in after] != [str if isinstance(kind, PlainText) else int for kind in kinds]:
        raise BadRequest("the list's token belongs to another list; begin again without it")
    return tuple_(*(literal(part, kind) for part, kind in zip(after, kinds, strict=True)))


def _key_type(column: Column[Any]) -> PlainText | BigInteger:
    """Return how a column lies in the key of a page: as text or as a whole number, which JSON can carry."""
    return column.type if isinstance(column.type, PlainText) else BigInteger()
