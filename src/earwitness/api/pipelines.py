"""Media insights pipelines, and the sources that they are created with."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, TypeAlias, cast

from earwitness.access.caller import Caller
from earwitness.api.context import ApiContext, require
from earwitness.errors import BadRequest, NotFound
from earwitness.store.columns import JsonObject
from earwitness.store.records import Pipeline, Scope
from earwitness.store.store import Unit
from earwitness.tasks.pipelines import kept_elements
from earwitness.voice.consent import require_consents_readable
from earwitness.voice.pipeline_status import first_state
from earwitness.wire.scalars import Params
from earwitness.wire.serialize import Result

LIVE = "KinesisVideoStreamSourceRuntimeConfiguration"
_RECORDED = "KinesisVideoStreamRecordingSourceRuntimeConfiguration"
_KEPT = (LIVE, _RECORDED, "S3RecordingSinkRuntimeConfiguration")
_MISSING = "the pipeline does not exist in this account and Region; look at its id or ARN"

_Structure: TypeAlias = Mapping[str, Any]  # `Any`: members of an input shape, validated by the wire room


def create_pipeline(context: ApiContext, caller: Caller, params: Params) -> Result:
    """Make a pipeline from a configuration as it is now, over streams that exist."""
    missing = [arn for arn in _stream_arns(params) if not context.stream_exists(caller.scope, arn)]
    configuration_arn: str = params["MediaInsightsPipelineConfigurationArn"]
    pipeline_id = context.new_id()

    def create(unit: Unit) -> Pipeline:
        by_arn = configuration_arn.startswith("arn:")  # a name would be found too, but this operation takes none
        found = unit.configurations.get(caller.scope, configuration_arn) if by_arn else None
        configuration = require(found, "the configuration does not exist in this account and Region; look at its ARN")
        if missing:
            raise NotFound(
                "a stream of the source does not exist in this account and Region; create it first, or look at its ARN"
            )
        require_consents_readable(params.get("MediaInsightsRuntimeMetadata"), now=unit.now)
        elements = cast("Sequence[Mapping[str, str]]", configuration.body["Elements"])
        state = first_state([element["Type"] for element in elements])
        return unit.pipelines.create(
            caller.scope,
            pipeline_id=pipeline_id,
            arn=caller.arn("chime", f"media-pipeline/{pipeline_id}"),
            configuration_arn=configuration.arn,
            configuration=configuration.body,
            status=state.status,
            element_statuses=kept_elements(state),
            source=_kept_source(params),
            runtime_metadata=params.get("MediaInsightsRuntimeMetadata"),
            active_limit=context.quotas.active_pipelines,
        )

    pipeline = context.create(
        caller,
        params,
        reference=pipeline_id,
        create=create,
        find=lambda unit, made: unit.pipelines.get(caller.scope, made),
    )
    return _answer(pipeline)


def get_pipeline(context: ApiContext, caller: Caller, params: Params) -> Result:
    """Describe a pipeline; an ended one too, as long as it is kept."""
    found = context.store.pipelines.get(caller.scope, params["MediaPipelineId"])
    return {"MediaPipeline": _answer(require(found, _MISSING))}


def list_pipelines(context: ApiContext, caller: Caller, params: Params) -> Result:
    """List pipelines, the newest first, ended ones too."""
    read = partial(context.store.pipelines.list, caller.scope)
    return context.list_page(caller, params, "MediaPipelines", read, _summary)


def delete_pipeline(context: ApiContext, caller: Caller, params: Params) -> Result:
    """Stop a pipeline. One that is stopping or has stopped is left alone."""
    return _move(context, caller, params["MediaPipelineId"], context.pipeline_moves.stop)


def update_pipeline_status(context: ApiContext, caller: Caller, params: Params) -> Result:
    """Pause or resume a pipeline. A pause stops its tasks; they do not come back."""
    moves = context.pipeline_moves
    move = moves.pause if params["UpdateStatus"] == "Pause" else moves.resume
    return _move(context, caller, params["Identifier"], move)


def _move(
    context: ApiContext, caller: Caller, id_or_arn: str, move: Callable[[Unit, Scope, Pipeline], Pipeline]
) -> Result:
    def work(unit: Unit) -> Pipeline:
        return move(unit, caller.scope, require(unit.pipelines.get(caller.scope, id_or_arn), _MISSING))

    context.pipeline_moves.notify(context.write(caller, work))
    return {}


def _summary(pipeline: Pipeline) -> dict[str, object]:
    return {"MediaPipelineId": pipeline.pipeline_id, "MediaPipelineArn": pipeline.arn}


def _answer(pipeline: Pipeline) -> Result:
    described = {
        **_summary(pipeline),
        "MediaInsightsPipelineConfigurationArn": pipeline.configuration_arn,
        "Status": pipeline.status,
        **_described_source(pipeline.source),
        "MediaInsightsRuntimeMetadata": pipeline.runtime_metadata,
        "CreatedTimestamp": pipeline.created_at,
        "ElementStatuses": pipeline.element_statuses,
    }
    return {"MediaInsightsPipeline": described}


def _stream_arns(params: Params) -> list[str]:
    """Return the ARNs of the streams that a request names as its source.

    Raise BadRequest unless there is one source, its streams differ, and their channels can be told apart.
    """
    live, recorded = params.get(LIVE), params.get(_RECORDED)
    if (live is None) == (recorded is None):
        raise BadRequest(f"a pipeline has one source; give either {LIVE} or {_RECORDED}")
    arns = _live_streams(live) if live is not None else _recorded_streams(cast("_Structure", recorded))
    if len(set(arns)) != len(arns):
        raise BadRequest("Streams names a stream twice; give its channels in one entry")
    return arns


def _kept_source(params: Params) -> JsonObject:
    """Return the runtime configurations of a request as the store keeps them: as JSON."""
    return {name: _with_times(params[name], datetime.isoformat) for name in _KEPT if params.get(name) is not None}


def _described_source(source: JsonObject) -> dict[str, object]:
    """Return the runtime configurations as the output shape has them."""
    return {name: _with_times(cast("_Structure", value), datetime.fromisoformat) for name, value in source.items()}


def _live_streams(source: _Structure) -> list[str]:
    streams: Sequence[_Structure] = source["Streams"]
    for index, stream in enumerate(streams):
        definition: _Structure = stream["StreamChannelDefinition"]
        ids = [channel["ChannelId"] for channel in definition.get("ChannelDefinitions") or ()]
        at = f"Streams[{index}].StreamChannelDefinition"
        if len(ids) > definition["NumberOfChannels"]:
            raise BadRequest(f"{at} defines {len(ids)} channels of {definition['NumberOfChannels']}; leave one out")
        if len(set(ids)) != len(ids):
            raise BadRequest(f"{at} defines a ChannelId twice; number the channels 0 and 1")
    return [stream["StreamArn"] for stream in streams]


def _recorded_streams(source: _Structure) -> list[str]:
    times: _Structure = source["FragmentSelector"]["TimestampRange"]
    if times["StartTimestamp"] >= times["EndTimestamp"]:
        raise BadRequest("TimestampRange ends before it begins; give a StartTimestamp before the EndTimestamp")
    arns = [stream.get("StreamArn") for stream in source["Streams"]]
    if None in arns:
        raise BadRequest("a stream of the recording source has no StreamArn; give one")
    return arns


def _with_times(configuration: _Structure, change: Any) -> dict[str, object]:  # `Any`: text to time, or time to text
    """Return a runtime configuration with `change` applied to its two times, if it has such."""
    selector: _Structure | None = configuration.get("FragmentSelector")
    if selector is None:
        return dict(configuration)
    times = {name: change(time) for name, time in selector["TimestampRange"].items()}
    return {**configuration, "FragmentSelector": {**selector, "TimestampRange": times}}
