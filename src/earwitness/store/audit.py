"""The audit trail: appended in the transaction of the change it tells of, never altered."""

from datetime import datetime

from sqlalchemy import delete, insert, select

from earwitness.store.columns import from_microseconds, to_microseconds
from earwitness.store.page import read_page
from earwitness.store.records import AuditEntry, Page, PageKey, Scope
from earwitness.store.schema import audit_entries as table
from earwitness.store.session import Row, Session, Writing, in_scope

_ALL = select(
    table.c.entry_id,
    table.c.time,
    table.c.key_id,
    table.c.operation,
    table.c.resource_arn,
    table.c.outcome,
    table.c.request_id,
)


class AuditReader:
    """What can be read of the trail."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def list(self, scope: Scope, *, after: PageKey | None = None, limit: int) -> Page[AuditEntry]:
        """The newest first."""
        return read_page(
            self._session,
            _ALL.where(in_scope(table, scope)),
            record=_record,
            order=(table.c.entry_id,),
            after=after,
            limit=limit,
            newest_first=True,
        )


class AuditWriter(AuditReader):
    """What can be added to the trail, and when it is forgotten."""

    def __init__(self, writing: Writing) -> None:
        super().__init__(writing.session)
        self._writing = writing

    def append(
        self, scope: Scope, *, key_id: str, operation: str, resource_arn: str, outcome: str, request_id: str
    ) -> None:
        """Say who did what, or was refused what, now."""
        values = {
            "account_id": scope.account_id,
            "region": scope.region,
            "key_id": key_id,
            "operation": operation,
            "resource_arn": resource_arn,
            "outcome": outcome,
            "request_id": request_id,
            "time": to_microseconds(self._writing.now),
        }
        self._writing.session.change(insert(table).values(**values))

    def purge(self, *, before: datetime) -> int:
        """Forget what all accounts did before this time; how many entries there were."""
        return self._writing.session.change(delete(table).where(table.c.time < to_microseconds(before)))


def _record(row: Row) -> AuditEntry:
    entry_id, time, key_id, operation, resource_arn, outcome, request_id = row
    return AuditEntry(
        entry_id=entry_id,
        time=from_microseconds(time),
        key_id=key_id,
        operation=operation,
        resource_arn=resource_arn,
        outcome=outcome,
        request_id=request_id,
    )
