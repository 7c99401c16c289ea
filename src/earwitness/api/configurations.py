"""Media insights pipeline configurations, and what AWS documents of their elements beyond its service model."""

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

from earwitness.access.caller import Caller
from earwitness.api.context import ApiContext, require
from earwitness.errors import BadRequest, Conflict
from earwitness.sinks.targets import SINK_SERVICES, fault_of_form, fault_of_place, read_arn
from earwitness.store.records import Configuration, Scope
from earwitness.store.store import Unit
from earwitness.wire.scalars import Params
from earwitness.wire.serialize import Result

_BODY = ("ResourceAccessRoleArn", "RealTimeAlertConfiguration", "Elements")
_TRANSCRIBE = ("AmazonTranscribeProcessor", "AmazonTranscribeCallAnalyticsProcessor")
_MISSING = "the configuration does not exist in this account and Region; look at its name or ARN"

_Structure: TypeAlias = Mapping[str, Any]
"""A structure as parsed. `Any`: its members differ by element type."""

_log = logging.getLogger("earwitness.api")


def create_configuration(context: ApiContext, caller: Caller, params: Params) -> Result:
    """Make a configuration; its name is taken for the account and Region."""
    _require_elements(params["Elements"], caller.scope)
    configuration_id = context.new_id()

    def create(unit: Unit) -> Configuration:
        name: str = params["MediaInsightsPipelineConfigurationName"]
        return unit.configurations.create(
            caller.scope,
            configuration_id=configuration_id,
            name=name,
            arn=caller.arn("chime", f"media-insights-pipeline-configuration/{name}"),
            body=_body(params),
            limit=context.quotas.configurations,
        )

    configuration = context.create(
        caller,
        params,
        reference=configuration_id,
        create=create,
        find=lambda unit, made: unit.configurations.get_by_id(caller.scope, made),
    )
    return _answer(configuration)


def get_configuration(context: ApiContext, caller: Caller, params: Params) -> Result:
    """Describe a configuration."""
    return _answer(require(context.store.configurations.get(caller.scope, params["Identifier"]), _MISSING))


def update_configuration(context: ApiContext, caller: Caller, params: Params) -> Result:
    """Replace all but the name and tags; pipelines that exist keep what they were made from."""
    _require_elements(params["Elements"], caller.scope)

    def update(unit: Unit) -> Configuration:
        return require(unit.configurations.update(caller.scope, params["Identifier"], body=_body(params)), _MISSING)

    return _answer(context.write(caller, update))


def delete_configuration(context: ApiContext, caller: Caller, params: Params) -> Result:
    """Delete a configuration that no active pipeline was made from."""

    def delete(unit: Unit) -> Configuration:
        configuration = require(unit.configurations.get(caller.scope, params["Identifier"]), _MISSING)
        active = unit.pipelines.count_active(caller.scope, configuration_arn=configuration.arn)
        if active:
            raise Conflict(f"{active} pipelines made from the configuration are active; delete them first")
        unit.configurations.delete(caller.scope, configuration.name)
        return configuration

    context.write(caller, delete)
    return {}


def list_configurations(context: ApiContext, caller: Caller, params: Params) -> Result:
    """List configurations by name."""
    read = partial(context.store.configurations.list, caller.scope)
    return context.list_page(caller, params, "MediaInsightsPipelineConfigurations", read, _summary)


def _body(params: Params) -> dict[str, object]:
    return {name: params[name] for name in _BODY if params.get(name) is not None}


def _summary(configuration: Configuration) -> dict[str, object]:
    return {
        "MediaInsightsPipelineConfigurationName": configuration.name,
        "MediaInsightsPipelineConfigurationId": configuration.configuration_id,
        "MediaInsightsPipelineConfigurationArn": configuration.arn,
    }


def _answer(configuration: Configuration) -> Result:
    described = {
        **_summary(configuration),
        **configuration.body,
        "CreatedTimestamp": configuration.created_at,
        "UpdatedTimestamp": configuration.updated_at,
    }
    return {"MediaInsightsPipelineConfiguration": described}


def _require_elements(elements: Sequence[_Structure], scope: Scope) -> None:
    """Raise BadRequest when the elements of a configuration in this account and Region do not go together."""
    types = [element["Type"] for element in elements]
    for kind in types:
        if types.count(kind) > 1:
            raise BadRequest(f"there are several elements of type {kind}; give each type once")
    if all(kind in types for kind in _TRANSCRIBE):
        raise BadRequest(f"{' and '.join(_TRANSCRIBE)} exclude each other; leave one out")
    if "VoiceEnhancementSink" in types and "S3RecordingSink" not in types:
        raise BadRequest("VoiceEnhancementSink works on recordings; add an S3RecordingSink, or leave it out")
    for index, element in enumerate(elements):
        _require_element(index, element, scope)


def _require_element(index: int, element: _Structure, scope: Scope) -> None:
    kind: str = element["Type"]
    at, own = f"Elements[{index}]", f"{kind}Configuration"
    if any(name not in ("Type", own) and value is not None for name, value in element.items()):
        raise BadRequest(f"{at} holds the member of another type; give {own} or none")
    member: _Structure = element.get(own) or {}
    if kind in _TRANSCRIBE and member.get("ContentIdentificationType") and member.get("ContentRedactionType"):
        raise BadRequest(f"{at} has ContentIdentificationType and ContentRedactionType; give one of them")
    if kind in SINK_SERVICES:
        target: str | None = member.get("InsightsTarget")
        if target is None:
            raise BadRequest(f"{at} is a {kind} without InsightsTarget; say where it sends")
        _require_target(index, target, scope, SINK_SERVICES[kind])


def _require_target(index: int, target: str, scope: Scope, service: str) -> None:
    arn, fault = read_arn(target), fault_of_form(target)
    if arn is None or fault is not None:
        # AWS's model takes any ARN, and programs rely on it; the reason comes again with each event.
        _log.warning("events to a sink will fail", extra={"element": index, "reason": f"its target {fault}"})
        return
    fault = fault_of_place(arn, account_id=scope.account_id, region=scope.region, service=service)
    if fault is not None:
        raise BadRequest(f"InsightsTarget of Elements[{index}] {fault}")
