"""Voice Connectors, and what is made of the audio of their calls."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from earwitness.access.caller import Caller
from earwitness.api.context import ApiContext, require
from earwitness.api.streams import RETENTION_HOURS_MAX
from earwitness.errors import BadRequest, NotFound
from earwitness.store.columns import JsonObject
from earwitness.store.connector_records import VoiceConnector
from earwitness.store.store import Unit
from earwitness.tasks.pipelines import searches_speakers
from earwitness.wire.scalars import Params
from earwitness.wire.serialize import Result

MISSING = "the Voice Connector does not exist in this account and Region; look at its id"

_ID_CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
_ID_LENGTH = 22
_BODY = ("AwsRegion", "RequireEncryption", "IntegrationType", "NetworkType")
_STREAMING = ("DataRetentionInHours", "Disabled", "StreamingNotificationTargets", "MediaInsightsConfiguration")


def create_connector(context: ApiContext, caller: Caller, params: Params) -> Result:
    """Make a connector; it takes no calls before a phone system can prove itself."""
    connector_id = new_connector_id(context.new_id)

    def create(unit: Unit) -> VoiceConnector:
        return unit.connectors.create(
            caller.scope,
            connector_id=connector_id,
            arn=caller.arn("chime", f"vc/{connector_id}"),
            name=params["Name"],
            body=_given(params, _BODY),
            limit=context.quotas.voice_connectors,
        )

    connector = context.create(
        caller,
        params,
        reference=connector_id,
        create=create,
        find=lambda unit, made: unit.connectors.get(caller.scope, made),
    )
    return _answer(connector)


def get_connector(context: ApiContext, caller: Caller, params: Params) -> Result:
    """Describe a connector."""
    return _answer(require(context.store.connectors.get(caller.scope, params["VoiceConnectorId"]), MISSING))


def list_connectors(context: ApiContext, caller: Caller, params: Params) -> Result:
    """List connectors, the oldest first."""
    read = partial(context.store.connectors.list, caller.scope)
    return context.list_page(caller, params, "VoiceConnectors", read, _described)


def update_connector(context: ApiContext, caller: Caller, params: Params) -> Result:
    """Give a connector another name, or other encryption."""

    def update(unit: Unit) -> VoiceConnector:
        connector_id: str = params["VoiceConnectorId"]
        present = require(unit.connectors.get(caller.scope, connector_id), MISSING)
        body = {**present.body, "RequireEncryption": params["RequireEncryption"]}
        return require(unit.connectors.update(caller.scope, connector_id, name=params["Name"], body=body), MISSING)

    return _answer(context.write(caller, update))


def delete_connector(context: ApiContext, caller: Caller, params: Params) -> Result:
    """Delete a connector that has no calls in progress; those that have ended stay as long as they are kept."""

    def delete(unit: Unit) -> VoiceConnector:
        connector = require(unit.connectors.get(caller.scope, params["VoiceConnectorId"]), MISSING)
        unit.connectors.delete(caller.scope, connector.connector_id)
        return connector

    context.write(caller, delete)
    return {}


def put_streaming(context: ApiContext, caller: Caller, params: Params) -> Result:
    """Say how long audio of calls is kept, who is told of them, and what pipelines are made from."""
    streaming = _given(params["StreamingConfiguration"], _STREAMING)

    def put(unit: Unit) -> VoiceConnector:
        _require_streaming(unit, caller, streaming)
        return require(unit.connectors.set_streaming(caller.scope, params["VoiceConnectorId"], streaming), MISSING)

    return {"StreamingConfiguration": context.write(caller, put).streaming}


def get_streaming(context: ApiContext, caller: Caller, params: Params) -> Result:
    """Describe the streaming configuration of a connector."""
    connector = require(context.store.connectors.get(caller.scope, params["VoiceConnectorId"]), MISSING)
    return {
        "StreamingConfiguration": require(connector.streaming, "the Voice Connector has no streaming configuration")
    }


def delete_streaming(context: ApiContext, caller: Caller, params: Params) -> Result:
    """Take the streaming configuration away; calls that come then keep no audio for later, and have no pipeline."""

    def delete(unit: Unit) -> VoiceConnector:
        return require(unit.connectors.set_streaming(caller.scope, params["VoiceConnectorId"], None), MISSING)

    context.write(caller, delete)
    return {}


def new_connector_id(new_id: Callable[[], str]) -> str:
    """Return a new id as AWS writes them: 22 small letters and digits, some 107 bits of them random."""
    number, characters = int(new_id().replace("-", ""), 16), ""
    for _ in range(_ID_LENGTH):
        number, digit = divmod(number, len(_ID_CHARACTERS))
        characters += _ID_CHARACTERS[digit]
    return characters


def require_speaker_search(configuration: JsonObject) -> None:
    """Raise BadRequest when no tasks could be started on calls of this configuration."""
    if not searches_speakers(configuration):
        raise BadRequest(
            "the configuration has no VoiceAnalyticsProcessor with SpeakerSearchStatus Enabled; update it, or name "
            "another"
        )


def _require_streaming(unit: Unit, caller: Caller, streaming: Mapping[str, Any]) -> None:
    """Raise BadRequest or NotFound when calls could not be streamed so. `Any`: validated by the wire room."""
    hours: int = streaming["DataRetentionInHours"]
    if not 0 <= hours <= RETENTION_HOURS_MAX:
        raise BadRequest(f"DataRetentionInHours is {hours}; it may be 0 to {RETENTION_HOURS_MAX}")
    targets = [target.get("NotificationTarget") for target in streaming.get("StreamingNotificationTargets") or ()]
    if None in targets or len(set(targets)) != len(targets):
        raise BadRequest(
            "StreamingNotificationTargets names a target twice, or none; give each NotificationTarget once"
        )
    insights: Mapping[str, Any] = streaming.get("MediaInsightsConfiguration") or {}
    arn: str | None = insights.get("ConfigurationArn")
    if arn is None:
        if insights and not insights.get("Disabled"):
            raise BadRequest("MediaInsightsConfiguration has no ConfigurationArn; give one, or Disabled")
        return
    found = unit.configurations.get(caller.scope, arn) if arn.startswith("arn:") else None
    if found is None:
        raise NotFound("the configuration does not exist in this account and Region; look at its ARN")
    require_speaker_search(found.body)


def _given(params: Mapping[str, Any], names: Sequence[str]) -> JsonObject:
    return {name: params[name] for name in names if params.get(name) is not None}


def _described(connector: VoiceConnector) -> dict[str, object]:
    return {
        "VoiceConnectorId": connector.connector_id,
        "AwsRegion": connector.scope.region,
        "Name": connector.name,
        **connector.body,
        "CreatedTimestamp": connector.created_at,
        "UpdatedTimestamp": connector.updated_at,
        "VoiceConnectorArn": connector.arn,
    }


def _answer(connector: VoiceConnector) -> Result:
    return {"VoiceConnector": _described(connector)}
