"""A Voice Connector, a call on it and its legs, for whoever needs one in the records."""

import secrets

from store_examples import MINE, add_stream, guid

from earwitness.store.connector_records import ConnectorCall, VoiceConnector
from earwitness.store.records import Scope
from earwitness.store.store import Unit
from earwitness.voice.call import AudioCoding, Leg

CALLER = Leg(label="1", is_caller=True, coding=AudioCoding.PCMU, rate=8_000)
CALLEE = Leg(label="2", is_caller=False, coding=AudioCoding.PCMA, rate=8_000)
NUMBER = "+493099999"


def connector_id() -> str:
    return secrets.token_hex(11)


def add_connector(unit: Unit, scope: Scope = MINE, *, name: str = "trunk", limit: int | None = None) -> VoiceConnector:
    new_id = connector_id()
    return unit.connectors.create(
        scope,
        connector_id=new_id,
        arn=f"arn:aws:chime:{scope.region}:{scope.account_id}:vc/{new_id}",
        name=name,
        body={"AwsRegion": "us-east-1", "RequireEncryption": False},
        limit=limit,
    )


def add_call(
    unit: Unit, connector: VoiceConnector, *, call_id: str = "call-1", from_number: str = NUMBER
) -> ConnectorCall:
    """A call with one leg, whose stream is kept for two hours."""
    call = unit.connector_calls.begin(
        connector.scope,
        transaction_id=guid(),
        connector_id=connector.connector_id,
        call_id=call_id,
        door="sockets",
        direction="Inbound",
        from_number=from_number,
        to_number="",
    )
    return add_leg(unit, call, CALLER)


def add_leg(unit: Unit, call: ConnectorCall, leg: Leg) -> ConnectorCall:
    stream = add_stream(unit, f"leg-{guid()}", call.scope)
    return unit.connector_calls.put_leg(call, leg, stream_arn=stream.arn, start_fragment_number="9")
