"""Pages of long lists, by key: each page costs the same, and rows that come meanwhile move nothing."""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import BigInteger, Column, literal, tuple_

from earwitness.errors import BadRequest
from earwitness.store.border import made
from earwitness.store.records import Page, PageKey, RecordT
from earwitness.store.session import Query, Row, Session


def read_page(
    session: Session,
    statement: Query,
    *,
    record: Callable[[Row], RecordT],
    order: Sequence[Column[Any]],  # `Any`: the columns' types differ
    after: PageKey | None,
    limit: int,
    newest_first: bool = False,
) -> Page[RecordT]:
    """At most `limit` records behind `after`, in the order of columns that together are unique and indexed."""
    if limit < 1:
        raise BadRequest("a page holds at least one item")
    if after is not None:
        key, end = tuple_(*order), _bound(order, after)
        statement = statement.where(key < end if newest_first else key > end)
    ordering = [column.desc() if newest_first else column.asc() for column in order]
    rows = session.rows(statement.add_columns(*order).order_by(*ordering).limit(limit + 1))
    width = len(order)
    next_key = tuple(rows[limit - 1][-width:]) if len(rows) > limit else None
    return Page(items=tuple(made(record, row[:-width]) for row in rows[:limit]), next_key=next_key)


# `Any`: SQLAlchemy's row values have no other type.
def _bound(order: Sequence[Column[Any]], after: PageKey) -> Any:
    types = [int if isinstance(column.type, BigInteger) else str for column in order]
    if [type(part) for part in after] != types:
        raise BadRequest("the list's token belongs to another list; begin again without it")
    return tuple_(*(literal(part, column.type) for part, column in zip(after, order, strict=True)))
