"""Tags of any resource that has an ARN. Whether the resource exists, the caller has looked up in the same unit."""

from collections.abc import Collection, Mapping
from dataclasses import asdict

from earwitness.errors import LimitExceeded
from earwitness.store.records import Scope
from earwitness.store.repository import Reader, Writer, in_scope, select_in_scope
from earwitness.store.schema import tags


class TagReader(Reader):
    """What can be read of tags."""

    def list(self, scope: Scope, resource_arn: str) -> dict[str, str]:
        """Return the tags of a resource by key; none when it has none, or belongs to another account."""
        rows = self._session.rows(select_in_scope(tags, scope, resource_arn=resource_arn).order_by(tags.c.tag_key))
        return {row["tag_key"]: row["tag_value"] for row in rows}


class TagWriter(Writer, TagReader):
    """What can be changed of tags."""

    def set(self, scope: Scope, resource_arn: str, new: Mapping[str, str], *, limit: int) -> None:
        """Add these, replacing values of keys that are there; raise LimitExceeded when more than `limit` would be."""
        if not new:
            return
        session = self._writing.session
        self._lock(scope, resource_arn)
        self.remove(scope, resource_arn, new.keys())
        would_have = self._count(tags, in_scope(tags, scope, resource_arn=resource_arn)) + len(new)
        if would_have > limit:
            raise LimitExceeded(f"the resource would have {would_have} tags and may have {limit}; remove some")
        for key, value in new.items():
            values = {**asdict(scope), "resource_arn": resource_arn, "tag_key": key, "tag_value": value}
            session.insert_new(tags, values)

    def remove(self, scope: Scope, resource_arn: str, keys: Collection[str]) -> None:
        """Remove the tags of these keys; a key that is not there is no error."""
        self._delete(tags, in_scope(tags, scope, resource_arn=resource_arn), tags.c.tag_key.in_(sorted(keys)))

    def clear(self, scope: Scope, resource_arn: str) -> None:
        """Remove all tags of a resource, because it is deleted or its ARN is new."""
        self._lock(scope, resource_arn)
        self._delete(tags, in_scope(tags, scope, resource_arn=resource_arn))

    def _lock(self, scope: Scope, resource_arn: str) -> None:
        self._writing.session.lock(f"tags of {scope.account_id} {resource_arn}")
