"""Media insights pipelines: create, look at, pause, resume, delete."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from earwitness.api.caller import Caller, Handler
from earwitness.api.once import once
from earwitness.api.paging import Pages
from earwitness.api.quotas import Quotas
from earwitness.api.resource_tags import named_tags
from earwitness.errors import BadRequest, NotFound
from earwitness.flows.steer import Steering
from earwitness.store.columns import JsonObject
from earwitness.store.records import Configuration, Pipeline, Scope
from earwitness.store.store import Store, Unit
from earwitness.voice.pipeline_status import ENDED, PipelineMove, PipelineStatus, initial_elements
from earwitness.wire.scalars import Params
from earwitness.wire.serialize import Result

_SOURCE = "KinesisVideoStreamSourceRuntimeConfiguration"
_RECORDING_SOURCE = "KinesisVideoStreamRecordingSourceRuntimeConfiguration"
_RUNTIME = (_SOURCE, _RECORDING_SOURCE, "S3RecordingSinkRuntimeConfiguration")


class Pipelines:
    """The five operations on pipelines."""

    def __init__(
        self,
        *,
        store: Store,
        pages: Pages,
        quotas: Quotas,
        new_id: Callable[[], str],
        steering: Steering,
        stream_exists: Callable[[Unit, Scope, str], bool],
    ) -> None:
        """`stream_exists` tells whether the caller may read from the stream of an ARN."""
        self._store = store
        self._pages = pages
        self._quotas = quotas
        self._new_id = new_id
        self._steering = steering
        self._stream_exists = stream_exists

    def handlers(self) -> Mapping[str, Handler]:
        """By operation."""
        return {
            "CreateMediaInsightsPipeline": self.create,
            "GetMediaPipeline": self.get,
            "ListMediaPipelines": self.list,
            "DeleteMediaPipeline": self.delete,
            "UpdateMediaInsightsPipelineStatus": self.update_status,
        }

    def create(self, caller: Caller, params: Params) -> Result:
        """Bind streams to a configuration, which is copied as it is now."""
        _require_sources(params)
        pipeline_id = self._new_id()

        def work(unit: Unit) -> Pipeline:
            return once(
                unit,
                caller,
                params,
                reference=pipeline_id,
                create=lambda: self._create(unit, caller, params, pipeline_id),
                find=lambda made: unit.pipelines.get(caller.scope, made),
            )

        return {"MediaInsightsPipeline": _described(self._store.write(work))}

    def get(self, caller: Caller, params: Params) -> Result:
        """Describe a pipeline; ended ones for seven days."""
        pipeline = _there(self._store.pipelines.get(caller.scope, params["MediaPipelineId"]))
        return {"MediaPipeline": {"MediaInsightsPipeline": _described(pipeline)}}

    def list(self, caller: Caller, params: Params) -> Result:
        """The newest first; ended ones for seven days."""
        found, following = self._pages.read(
            caller, params, lambda after, limit: self._store.pipelines.list(caller.scope, after=after, limit=limit)
        )
        return {"MediaPipelines": [_summary(pipeline) for pipeline in found], **following}

    def delete(self, caller: Caller, params: Params) -> Result:
        """Stop a pipeline and its tasks; it can be looked at for seven days. Deleting it again changes nothing."""

        def work(unit: Unit) -> Pipeline:
            pipeline = _there(unit.pipelines.get(caller.scope, params["MediaPipelineId"]))
            if pipeline.status not in ENDED and pipeline.status != PipelineStatus.STOPPING:
                pipeline = self._steering.stop(unit, caller.scope, pipeline)
                caller.record(unit, pipeline.arn)
            return pipeline

        self._steering.told(self._store.write(work))
        return {}

    def update_status(self, caller: Caller, params: Params) -> Result:
        """Pause a pipeline, which stops its tasks, or resume it, which does not bring them back."""
        pausing = params["UpdateStatus"] == "Pause"

        def work(unit: Unit) -> Pipeline:
            pipeline = _there(unit.pipelines.get(caller.scope, params["Identifier"]))
            if pausing:
                pipeline = self._steering.pause(unit, caller.scope, pipeline)
            else:
                pipeline = self._steering.move(unit, caller.scope, pipeline, PipelineMove.RESUME)
            caller.record(unit, pipeline.arn)
            return pipeline

        self._steering.told(self._store.write(work))
        return {}

    def _create(self, unit: Unit, caller: Caller, params: Params, pipeline_id: str) -> Pipeline:
        configuration = _configuration(unit, caller, params["MediaInsightsPipelineConfigurationArn"])
        for stream_arn in _stream_arns(params):
            if not self._stream_exists(unit, caller.scope, stream_arn):
                raise NotFound("a Kinesis video stream of the source does not exist; create it first")
        arn = caller.arn("chime", f"media-pipeline/{pipeline_id}")
        elements: Any = configuration.body["Elements"]  # `Any`: as validated when the configuration was made
        statuses = initial_elements(element["Type"] for element in elements)
        created = unit.pipelines.create(
            caller.scope,
            pipeline_id=pipeline_id,
            arn=arn,
            configuration_arn=configuration.arn,
            configuration=configuration.body,
            status=PipelineStatus.NOT_STARTED,
            element_statuses=[{"Type": kind, "Status": status.value} for kind, status in statuses.items()],
            source=_kept(params),
            runtime_metadata=params.get("MediaInsightsRuntimeMetadata"),
            active_limit=self._quotas.active_pipelines,
        )
        unit.tags.set(caller.scope, arn, named_tags(params), limit=self._quotas.tags_per_resource)
        caller.record(unit, arn)
        return created


def _configuration(unit: Unit, caller: Caller, arn: str) -> Configuration:
    configuration = unit.configurations.get(caller.scope, arn)
    if configuration is None or configuration.arn != arn:
        raise NotFound("the media insights pipeline configuration does not exist; look at its ARN")
    return configuration


def _require_sources(params: Params) -> None:
    """BadRequest when the source says something that cannot be."""
    if (_SOURCE in params) == (_RECORDING_SOURCE in params):
        raise BadRequest(f"give either {_SOURCE} or {_RECORDING_SOURCE}")
    arns = _stream_arns(params)
    if len(set(arns)) != len(arns):
        raise BadRequest(f"{_SOURCE}.Streams: a stream is there twice; give each stream once")
    for index, stream in enumerate(params.get(_SOURCE, {}).get("Streams", ())):
        definition = stream["StreamChannelDefinition"]
        channels = [channel["ChannelId"] for channel in definition.get("ChannelDefinitions", ())]
        where = f"{_SOURCE}.Streams[{index}].StreamChannelDefinition"
        if len(set(channels)) != len(channels):
            raise BadRequest(f"{where}.ChannelDefinitions: a ChannelId is there twice; give each channel once")
        if channels and len(channels) != definition["NumberOfChannels"]:
            raise BadRequest(f"{where}: defines {len(channels)} channels and says {definition['NumberOfChannels']}")


def _stream_arns(params: Params) -> list[str]:
    source: dict[str, list[dict[str, str]]] = params.get(_SOURCE) or params.get(_RECORDING_SOURCE) or {}
    return [stream["StreamArn"] for stream in source.get("Streams", ()) if "StreamArn" in stream]


def _kept(params: Params) -> dict[str, Any]:
    """The runtime configurations as documents: the times in a recording source as text."""
    kept = {name: params[name] for name in _RUNTIME if name in params}
    return _with_times(kept, lambda moment: moment.isoformat())


def _told(source: JsonObject) -> dict[str, Any]:
    """The same with times again."""
    return _with_times(dict(source), datetime.fromisoformat)


def _with_times(source: dict[str, Any], convert: Callable[[Any], Any]) -> dict[str, Any]:  # `Any`: as above
    recording = source.get(_RECORDING_SOURCE)
    if recording is None:
        return source
    selector = recording["FragmentSelector"]
    times = {name: convert(moment) for name, moment in selector["TimestampRange"].items()}
    return {**source, _RECORDING_SOURCE: {**recording, "FragmentSelector": {**selector, "TimestampRange": times}}}


def _there(pipeline: Pipeline | None) -> Pipeline:
    if pipeline is None:
        raise NotFound("the media pipeline does not exist; look at its id")
    return pipeline


def _summary(pipeline: Pipeline) -> dict[str, object]:
    return {"MediaPipelineId": pipeline.pipeline_id, "MediaPipelineArn": pipeline.arn}


def _described(pipeline: Pipeline) -> dict[str, object]:
    metadata = {} if pipeline.runtime_metadata is None else {"MediaInsightsRuntimeMetadata": pipeline.runtime_metadata}
    return {
        **_summary(pipeline),
        "MediaInsightsPipelineConfigurationArn": pipeline.configuration_arn,
        "Status": pipeline.status,
        **_told(pipeline.source),
        **metadata,
        "CreatedTimestamp": pipeline.created_at,
        "ElementStatuses": list(pipeline.element_statuses),
    }
