"""Tags of any resource that has an ARN. Whether the resource exists, the caller has looked up in the same unit."""

from collections.abc import Collection, Mapping

from sqlalchemy import delete, select

from earwitness.errors import LimitExceeded
from earwitness.store.records import Scope
from earwitness.store.schema import tags as table
from earwitness.store.session import Session, Writing, count_where, in_scope


class TagReader:
    """What can be read of tags."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def list(self, scope: Scope, resource_arn: str) -> dict[str, str]:
        """The tags of a resource, sorted by key; empty when it has none, or belongs to another account."""
        statement = (
            select(table.c.tag_key, table.c.tag_value)
            .where(in_scope(table, scope), table.c.resource_arn == resource_arn)
            .order_by(table.c.tag_key)
        )
        return {row[0]: row[1] for row in self._session.rows(statement)}


class TagWriter(TagReader):
    """What can be changed of tags."""

    def __init__(self, writing: Writing) -> None:
        super().__init__(writing.session)
        self._writing = writing

    def set(self, scope: Scope, resource_arn: str, tags: Mapping[str, str], *, limit: int) -> None:
        """Add these, replacing values of keys that are there; LimitExceeded when more than `limit` keys would be."""
        if not tags:
            return
        session = self._writing.session
        session.hold(f"tags of {scope.account_id} {resource_arn}")
        self.remove(scope, resource_arn, tags.keys())
        have = count_where(session, table, in_scope(table, scope), table.c.resource_arn == resource_arn)
        if have + len(tags) > limit:
            raise LimitExceeded(f"the resource would have {have + len(tags)} tags and may have {limit}; remove some")
        for key, value in tags.items():
            values = {"resource_arn": resource_arn, "tag_key": key, "tag_value": value}
            session.insert_new(table, {"account_id": scope.account_id, "region": scope.region, **values})

    def remove(self, scope: Scope, resource_arn: str, keys: Collection[str]) -> None:
        """Remove the tags of these keys; a key that is not there is no error."""
        statement = delete(table).where(in_scope(table, scope), table.c.resource_arn == resource_arn)
        self._writing.session.change(statement.where(table.c.tag_key.in_(sorted(keys))))

    def clear(self, scope: Scope, resource_arn: str) -> None:
        """Remove all tags of a resource, because it is deleted or its ARN is new."""
        self._writing.session.hold(f"tags of {scope.account_id} {resource_arn}")
        statement = delete(table).where(in_scope(table, scope), table.c.resource_arn == resource_arn)
        self._writing.session.change(statement)
