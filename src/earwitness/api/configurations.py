"""Media insights pipeline configurations: what a pipeline will consist of."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from earwitness.api.caller import Caller, Handler
from earwitness.api.once import once
from earwitness.api.paging import Pages
from earwitness.api.quotas import Quotas
from earwitness.api.resource_tags import named_tags
from earwitness.errors import BadRequest, Conflict, NotFound
from earwitness.sinks.targets import require_supported_target
from earwitness.store.columns import JsonObject
from earwitness.store.records import Configuration
from earwitness.store.store import Store, Unit
from earwitness.wire.scalars import Params
from earwitness.wire.serialize import Result

# `Any`: an element as it was parsed and validated against the service model.
Element = Mapping[str, Any]

SINKS = {
    "KinesisDataStreamSink": "kinesis",
    "LambdaFunctionSink": "lambda",
    "SqsQueueSink": "sqs",
    "SnsTopicSink": "sns",
}
"""Element types that events go to, and the service of their targets."""

_TRANSCRIBE = {"AmazonTranscribeProcessor", "AmazonTranscribeCallAnalyticsProcessor"}


class Configurations:
    """The five operations on configurations."""

    def __init__(self, *, store: Store, pages: Pages, quotas: Quotas, new_id: Callable[[], str]) -> None:
        self._store = store
        self._pages = pages
        self._quotas = quotas
        self._new_id = new_id

    def handlers(self) -> Mapping[str, Handler]:
        """By operation."""
        return {
            "CreateMediaInsightsPipelineConfiguration": self.create,
            "GetMediaInsightsPipelineConfiguration": self.get,
            "UpdateMediaInsightsPipelineConfiguration": self.update,
            "DeleteMediaInsightsPipelineConfiguration": self.delete,
            "ListMediaInsightsPipelineConfigurations": self.list,
        }

    def create(self, caller: Caller, params: Params) -> Result:
        """Make a configuration under a name of its own."""
        body = _body(caller, params)
        tags = named_tags(params)
        name: str = params["MediaInsightsPipelineConfigurationName"]

        def create(unit: Unit) -> Configuration:
            arn = caller.arn("chime", f"media-insights-pipeline-configuration/{name}")
            created = unit.configurations.create(
                caller.scope,
                configuration_id=configuration_id,
                name=name,
                arn=arn,
                body=body,
                limit=self._quotas.configurations,
            )
            unit.tags.set(caller.scope, arn, tags, limit=self._quotas.tags_per_resource)
            caller.record(unit, arn)
            return created

        def work(unit: Unit) -> Configuration:
            return once(
                unit,
                caller,
                params,
                reference=configuration_id,
                create=lambda: create(unit),
                find=lambda made: unit.configurations.get_by_id(caller.scope, made),
            )

        configuration_id = self._new_id()
        return {"MediaInsightsPipelineConfiguration": _described(self._store.write(work))}

    def get(self, caller: Caller, params: Params) -> Result:
        """Describe a configuration, by name or ARN."""
        configuration = _there(self._store.configurations.get(caller.scope, params["Identifier"]))
        return {"MediaInsightsPipelineConfiguration": _described(configuration)}

    def update(self, caller: Caller, params: Params) -> Result:
        """Replace everything but name and tags. Pipelines that were made from it go on as they are."""
        body = _body(caller, params)

        def work(unit: Unit) -> Configuration:
            configuration = _there(unit.configurations.update(caller.scope, params["Identifier"], body=body))
            caller.record(unit, configuration.arn)
            return configuration

        return {"MediaInsightsPipelineConfiguration": _described(self._store.write(work))}

    def delete(self, caller: Caller, params: Params) -> Result:
        """Delete a configuration that no active pipeline was made from."""

        def work(unit: Unit) -> None:
            configuration = _there(unit.configurations.get(caller.scope, params["Identifier"]))
            if unit.pipelines.count_active(caller.scope, configuration_arn=configuration.arn):
                raise Conflict("active pipelines were made from this configuration; delete them first")
            unit.configurations.delete(caller.scope, configuration.arn)
            caller.record(unit, configuration.arn)

        self._store.write(work)
        return {}

    def list(self, caller: Caller, params: Params) -> Result:
        """By name."""
        found, following = self._pages.read(
            caller, params, lambda after, limit: self._store.configurations.list(caller.scope, after=after, limit=limit)
        )
        return {"MediaInsightsPipelineConfigurations": [_summary(one) for one in found], **following}


def _body(caller: Caller, params: Params) -> JsonObject:
    """What is kept of a request, after everything the service model cannot say was checked."""
    elements: list[Element] = params["Elements"]
    _require_elements(caller, elements)
    kept = ("ResourceAccessRoleArn", "Elements", "RealTimeAlertConfiguration")
    return {name: params[name] for name in kept if name in params}


def _require_elements(caller: Caller, elements: Sequence[Element]) -> None:
    """BadRequest when the elements do not go together.

    Sources: call-analytics-processor-and-output-destinations, and va-notification-targets for FIFO.
    """
    if not elements:
        raise BadRequest("Elements: is empty; name at least one processor, such as VoiceAnalyticsProcessor")
    types = [element["Type"] for element in elements]
    if len(set(types)) != len(types):
        raise BadRequest("Elements: a type is there twice; each type may be there once")
    if set(types) >= _TRANSCRIBE:
        raise BadRequest("Elements: the two Transcribe processors exclude each other; take one")
    if "VoiceEnhancementSink" in types and "S3RecordingSink" not in types:
        raise BadRequest("Elements: VoiceEnhancementSink needs an S3RecordingSink; add one")
    for index, element in enumerate(elements):
        _require_element(caller, index, element)


def _require_element(caller: Caller, index: int, element: Element) -> None:
    kind: str = element["Type"]
    fitting = f"{kind}Configuration"
    others = [name for name in element if name not in ("Type", fitting)]
    if others:
        raise BadRequest(f"Elements[{index}].{others[0]}: does not belong to a {kind}; give {fitting}, or nothing")
    target: str | None = element.get(fitting, {}).get("InsightsTarget") if kind in SINKS else None
    if target is None:
        return
    scope = caller.scope
    fault = require_supported_target(target, account_id=scope.account_id, region=scope.region, service=SINKS[kind])
    if fault is not None:
        raise BadRequest(f"Elements[{index}].{fitting}.InsightsTarget: {fault}")


def _there(configuration: Configuration | None) -> Configuration:
    if configuration is None:
        raise NotFound("the media insights pipeline configuration does not exist; look at its name or ARN")
    return configuration


def _summary(configuration: Configuration) -> dict[str, object]:
    return {
        "MediaInsightsPipelineConfigurationName": configuration.name,
        "MediaInsightsPipelineConfigurationId": configuration.configuration_id,
        "MediaInsightsPipelineConfigurationArn": configuration.arn,
    }


def _described(configuration: Configuration) -> dict[str, object]:
    return {
        **_summary(configuration),
        **configuration.body,
        "CreatedTimestamp": configuration.created_at,
        "UpdatedTimestamp": configuration.updated_at,
    }
