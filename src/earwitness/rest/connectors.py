"""Which phone systems may send calls to a Voice Connector, and the calls of an account.

Secrets go in and never come out.
"""

from dataclasses import replace
from datetime import timedelta

import msgspec

from earwitness.errors import BadRequest
from earwitness.rest.context import RestCall, RestContext, answer_of, paged, there
from earwitness.rest.models import AnnouncedCallAnswer, CallAnswer, CallLegAnswer, CallsAnswer, DoorAnswer
from earwitness.rest.parameters import AnnounceCall, ChangedDoor, GetDoor, ListCalls, PutDoor
from earwitness.store.connector_records import ConnectorCall, DoorSettings, VoiceConnector
from earwitness.store.store import Unit
from earwitness.voice.connector import (
    ANNOUNCED_KEPT,
    DoorSecret,
    checked_secret,
    networks_of,
)

_MISSING = "the Voice Connector does not exist in this account and Region; look at its id"


def get_door(context: RestContext, call: RestCall[GetDoor]) -> DoorAnswer:
    """Show what a connector takes, and which secrets are set."""
    return _door(there(context.store.connectors.get(call.scope, call.params.connector_id), _MISSING))


def put_door(context: RestContext, call: RestCall[PutDoor]) -> DoorAnswer:
    """Change what is given; the rest stays."""
    found = there(context.store.connectors.get(call.scope, call.params.connector_id), _MISSING)
    change = _change(call.body)
    secrets = _secrets(change)

    def work(unit: Unit) -> VoiceConnector:
        changed = unit.connectors.set_door(
            call.scope, found.connector_id, change=lambda present: _settings(present, change), secrets=secrets
        )
        call.caller.record(unit, found.arn)
        return there(changed, _MISSING)

    return _door(context.store.write(work))


def announce_call(context: RestContext, call: RestCall[AnnounceCall]) -> AnnouncedCallAnswer:
    """Let a call of this id, or of a new one, come once, within ten minutes."""
    connector_id, call_id = call.params.connector_id, (call.params.call_id or context.new_id()).lower()

    def work(unit: Unit) -> AnnouncedCallAnswer:
        until = unit.now + timedelta(seconds=ANNOUNCED_KEPT)
        there(unit.connectors.get(call.scope, connector_id), _MISSING)
        found = unit.connectors.announce(call.scope, connector_id, call_id=call_id, expires_at=until)
        call.caller.record(unit, found.arn)
        return AnnouncedCallAnswer(call_id=call_id, connector_id=connector_id, expires_at=until)

    return context.store.write(work)


def list_calls(context: RestContext, call: RestCall[ListCalls]) -> CallsAnswer:
    """List the calls of the account, the newest first."""

    found, token = paged(
        context,
        call,
        lambda after, limit: context.store.connector_calls.list(call.scope, after=after, limit=limit),
        about="calls",
    )
    return CallsAnswer(calls=[_call(one) for one in found], next_token=token)


def _change(body: bytes) -> ChangedDoor:
    if not body:
        return ChangedDoor()
    try:
        return msgspec.json.decode(body, type=ChangedDoor)
    except (msgspec.DecodeError, UnicodeDecodeError):  # its text may repeat a secret
        raise BadRequest("the body is no such JSON object; /earwitness/v1/openapi.json describes it") from None


def _settings(present: DoorSettings, change: ChangedDoor) -> DoorSettings:
    if not isinstance(change.disabled, msgspec.UnsetType):
        present = replace(present, disabled=change.disabled)
    if not isinstance(change.caller_label, msgspec.UnsetType):
        present = replace(present, caller_label=change.caller_label)
    if not isinstance(change.allowed_networks, msgspec.UnsetType):
        present = replace(present, allowed_networks=networks_of(change.allowed_networks))
    return present


def _secrets(change: ChangedDoor) -> dict[DoorSecret, str | None]:
    if isinstance(change.secrets, msgspec.UnsetType):
        return {}
    given: dict[DoorSecret, str | None] = {}
    for text, secret in change.secrets.items():
        if text not in set(DoorSecret):
            raise BadRequest(f"there is no secret of this name; the names are {', '.join(DoorSecret)}")
        name = DoorSecret(text)
        given[name] = None if secret is None else checked_secret(name, secret)
    return given


def _door(connector: VoiceConnector) -> DoorAnswer:
    return DoorAnswer(
        connector_id=connector.connector_id,
        disabled=connector.access.disabled,
        require_encryption=connector.access.require_encryption,
        allowed_networks=list(connector.door.allowed_networks),
        caller_label=connector.door.caller_label,
        secrets=sorted(connector.secrets),
    )


def _call(call: ConnectorCall) -> CallAnswer:
    legs = [answer_of(CallLegAnswer, leg) for leg in call.legs]
    return answer_of(CallAnswer, call, legs=legs)
