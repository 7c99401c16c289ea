"""Voice Connectors: what they are, what is made of their calls, and how phone systems prove that they may send some."""

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import select

from earwitness.errors import AlreadyExists, Conflict, NotFound
from earwitness.store.columns import JsonObject
from earwitness.store.connector_records import DoorSettings, VoiceConnector, is_disabled
from earwitness.store.connector_schema import announced_calls, connector_calls, voice_connectors
from earwitness.store.hot_reads import StoredRow
from earwitness.store.records import Page, PageKey, Scope
from earwitness.store.repository import (
    Reader,
    RowSeal,
    Writer,
    holder_of,
    in_scope,
    key_owner,
    record,
    scope_of,
    select_in_scope,
)
from earwitness.store.tags import TagWriter
from earwitness.voice.connector import DoorSecret
from earwitness.voice.deletion import DeletionKind

_MISSING = "the Voice Connector does not exist; look at its id"


class ConnectorReader(Reader):
    """What can be read of connectors."""

    def get(self, scope: Scope, id_or_arn: str) -> VoiceConnector | None:
        """Return the connector of this id or ARN, or None."""
        column = "arn" if id_or_arn.startswith("arn:") else "connector_id"
        return self._one(self._record, select_in_scope(voice_connectors, scope, **{column: id_or_arn}))

    def get_everywhere(self, connector_id: str) -> VoiceConnector | None:
        """Return the connector of this id, of any account, for whoever has nothing but what a phone system sent."""
        return self._one(self._record, select(voice_connectors).where(voice_connectors.c.connector_id == connector_id))

    def in_use(self, connector_ids: Collection[str]) -> set[str]:
        """Return which of these connectors, of any account, take calls. Nothing sealed is opened."""
        columns = voice_connectors.c
        shown = select(columns.connector_id, columns.door, columns.streaming)
        rows = self._session.rows(shown.where(columns.connector_id.in_(connector_ids)))
        return {row["connector_id"] for row in rows if not is_disabled(row["door"]["disabled"], row["streaming"])}

    def get_announced(self, call_id: str) -> VoiceConnector | None:
        """Return the connector that a call was announced for, of any account, be it in time or not; None if it was not
        announced, or has come."""
        row = self._session.row(select(announced_calls).where(announced_calls.c.call_digest == _digest(call_id)))
        return None if row is None else self.get(scope_of(row), row["connector_id"])

    def list(self, scope: Scope, *, after: PageKey | None = None, limit: int) -> Page[VoiceConnector]:
        """Return the oldest first."""
        return self._page(
            self._record,
            select_in_scope(voice_connectors, scope),
            order=(voice_connectors.c.created_at, voice_connectors.c.connector_id),
            after=after,
            limit=limit,
        )

    def count(self, scope: Scope) -> int:
        """Return how many there are."""
        return self._count(voice_connectors, in_scope(voice_connectors, scope))

    def _record(self, row: StoredRow) -> VoiceConnector:
        door = row["door"]
        sealed = self._seal(row).open_optional(row, "secrets_ciphertext")
        secrets: Mapping[str, str] = {} if sealed is None else json.loads(sealed)
        return record(
            VoiceConnector,
            row,
            scope=scope_of(row),
            door=DoorSettings(
                disabled=door["disabled"],
                allowed_networks=tuple(door["allowedNetworks"]),
                caller_label=door["callerLabel"],
            ),
            secrets={DoorSecret(name): secret for name, secret in secrets.items()},
        )

    def _seal(self, row: StoredRow) -> RowSeal:
        scope, connector_id = scope_of(row), row["connector_id"]
        key = self._vault.key(row["wrapped_key"], owner=key_owner(voice_connectors, scope, connector_id))
        return RowSeal(key, voice_connectors, scope, connector_id)


class ConnectorWriter(Writer, ConnectorReader):
    """What can be changed of connectors."""

    def create(
        self, scope: Scope, *, connector_id: str, arn: str, name: str, body: JsonObject, limit: int | None = None
    ) -> VoiceConnector:
        """Return a new one, which takes calls from nobody yet; raise LimitExceeded when there are `limit` already."""
        self._require_room(lambda: self.count(scope), limit=limit, what="Voice Connectors", holder=holder_of(scope))
        created = VoiceConnector(
            scope=scope,
            connector_id=connector_id,
            arn=arn,
            name=name,
            body=body,
            streaming=None,
            door=DoorSettings(),
            secrets={},
            created_at=self._now,
            updated_at=self._now,
        )
        others = {
            **asdict(scope),
            "door": _door(created.door),
            "wrapped_key": self._new_wrapped_key(owner=key_owner(voice_connectors, scope, connector_id)),
        }
        if not self._insert(voice_connectors, created, **others):
            raise AlreadyExists("a Voice Connector of this id exists; choose another id")
        return created

    def update(self, scope: Scope, connector_id: str, *, name: str, body: JsonObject) -> VoiceConnector | None:
        """Replace what AWS has of it; None when there is no such connector."""
        return self._changed(scope, connector_id, name=name, body=body)

    def set_streaming(self, scope: Scope, connector_id: str, streaming: JsonObject | None) -> VoiceConnector | None:
        """Give it a streaming configuration, or take it away; None when there is no such connector."""
        return self._changed(scope, connector_id, streaming=streaming)

    def set_door(
        self,
        scope: Scope,
        connector_id: str,
        *,
        change: Callable[[DoorSettings], DoorSettings] | None = None,
        secrets: Mapping[DoorSecret, str | None] | None = None,
    ) -> VoiceConnector | None:
        """Replace the settings by what `change` makes of them; set these secrets, or forget those that are None.

        `change` gets what is kept at that moment, and nobody changes it meanwhile: what two people change at once is
        both kept. Others stay. None when there is no such connector.
        """
        row = self._session.row(select_in_scope(voice_connectors, scope, connector_id=connector_id).with_for_update())
        if row is None:
            return None
        present = self._record(row)
        values: dict[str, object] = {} if change is None else {"door": _door(change(present.door))}
        if secrets:
            merged = {**present.secrets, **secrets}
            kept = {name.value: secret for name, secret in merged.items() if secret is not None}
            values |= self._seal(row).seal(secrets_ciphertext=json.dumps(kept).encode() if kept else None)
            self._writing.session.scrub()  # of what was there before
        return self._changed(scope, connector_id, **values)

    def delete(self, scope: Scope, connector_id: str) -> bool:
        """Remove it, its secrets, key and tags; False when there is no such connector.

        Raise Conflict while calls are in progress. Those that have ended stay as long as they are kept.
        """
        row = self._session.row(select_in_scope(voice_connectors, scope, connector_id=connector_id).with_for_update())
        if row is None:
            return False
        active = self._count(
            connector_calls, in_scope(connector_calls, scope, connector_id=connector_id, ended_at=None)
        )
        if active:
            raise Conflict(f"{active} calls of the Voice Connector are in progress; delete it when they have ended")
        TagWriter(self._writing).clear(scope, row["arn"])
        self._delete(voice_connectors, in_scope(voice_connectors, scope, connector_id=connector_id))
        key_id = self._writing.destroy_key(row["wrapped_key"], owner=key_owner(voice_connectors, scope, connector_id))
        self._writing.note_deleted(scope, DeletionKind.CONNECTOR, connector_id, key_id=key_id)
        return True

    def announce(self, scope: Scope, connector_id: str, *, call_id: str, expires_at: datetime) -> VoiceConnector:
        """Let a call of this id come once, until then; return its connector. Raise NotFound without one."""
        connector = self.get(scope, connector_id)
        if connector is None:
            raise NotFound(_MISSING)
        row = {**asdict(scope), "connector_id": connector_id, "expires_at": expires_at}
        if not self._writing.session.insert_new(announced_calls, {**row, "call_digest": _digest(call_id)}):
            raise AlreadyExists("a call of this id is announced already; choose another id")
        return connector

    def take_announced(self, call_id: str) -> VoiceConnector | None:
        """Return the connector that a call was announced for, of any account, and forget the call.

        None when it was not announced, came before, or is too late.
        """
        announced = announced_calls.c.call_digest == _digest(call_id)
        row = self._session.row(select(announced_calls).where(announced).with_for_update())
        if row is None:
            return None
        if not self._delete(announced_calls, announced) or row["expires_at"] <= self._now:
            return None
        return self.get(scope_of(row), row["connector_id"])

    def purge_announced(self) -> int:
        """Forget announced calls that did not come in time; return how many there were."""
        return self._delete(announced_calls, announced_calls.c.expires_at <= self._now)

    def _changed(self, scope: Scope, connector_id: str, **values: object) -> VoiceConnector | None:
        chosen = in_scope(voice_connectors, scope, connector_id=connector_id)
        self._update(voice_connectors, chosen, **values, updated_at=self._now)
        return self.get(scope, connector_id)


def _door(settings: DoorSettings) -> JsonObject:
    return {
        "disabled": settings.disabled,
        "allowedNetworks": list(settings.allowed_networks),
        "callerLabel": settings.caller_label,
    }


def _digest(call_id: str) -> bytes:
    return hashlib.sha256(call_id.encode()).digest()
