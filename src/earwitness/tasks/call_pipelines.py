"""The pipeline of a Voice Connector's call: made from the configuration that its connector is associated with."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from earwitness.access.caller import arn_of
from earwitness.errors import CiphertextRefused, LimitExceeded, NotFound
from earwitness.store.columns import JsonObject
from earwitness.store.connector_records import ConnectorCall, KeptLeg, VoiceConnector
from earwitness.store.records import Configuration, Pipeline
from earwitness.store.store import Unit
from earwitness.tasks.call_events import CallEvents, runtime_metadata
from earwitness.tasks.pipelines import PipelineMoves, kept_elements, searches_speakers
from earwitness.voice.call import CallStarted
from earwitness.voice.pipeline_status import ENDED, PipelineStatus, first_state

LIVE_SOURCE = "KinesisVideoStreamSourceRuntimeConfiguration"

STREAMS_MAX = 2
"""Streams of a pipeline's source, as in AWS's model; what more legs there are goes to streams alone."""

_log = logging.getLogger("earwitness.calls")


class CallPipelines:
    """Makes and stops the pipelines of calls. Its methods run inside a unit."""

    def __init__(self, events: CallEvents, moves: PipelineMoves, *, new_id: Callable[[], str], active_max: int) -> None:
        """`active_max` is how many active pipelines an account may have."""
        self._events = events
        self._moves = moves
        self._new_id = new_id
        self._active_max = active_max

    def make(
        self, unit: Unit, connector: VoiceConnector, call: ConnectorCall, told: CallStarted | None
    ) -> tuple[ConnectorCall, Pipeline | None]:
        """Return the call with its pipeline, and that; without one if its connector asks for none, or none can be made.

        That is told as an event, as by AWS, and the call goes on.
        """
        configuration_arn = _configuration_arn(connector)
        if configuration_arn is None or not call.legs:
            return call, None
        try:
            found = unit.configurations.get(call.scope, configuration_arn)
            if found is None:
                raise NotFound("the configuration of the Voice Connector does not exist; associate another")
            pipeline = self._create(unit, call, found)
        except (NotFound, LimitExceeded) as error:
            status = 404 if isinstance(error, NotFound) else 400
            self._events.pipeline_failed(
                unit, call, configuration_arn=configuration_arn, error=error, http_status=status
            )
            return call, None
        call = unit.connector_calls.set_pipeline(call, pipeline.pipeline_id)
        self._events.pipeline_created(unit, call, pipeline)
        if searches_speakers(pipeline.configuration):
            self._events.ready(unit, call, pipeline, told)
        return call, pipeline

    def add_leg(self, unit: Unit, call: ConnectorCall) -> Pipeline | None:
        """Let the pipeline of a call listen to the leg that it has got, if there is room; return it."""
        pipeline = None if call.pipeline_id is None else unit.pipelines.get(call.scope, call.pipeline_id)
        if pipeline is None or pipeline.status in ENDED:
            return None
        return unit.pipelines.set_source(call.scope, pipeline.pipeline_id, _source(call.legs))

    def stop(self, unit: Unit, call: ConnectorCall) -> Pipeline | None:
        """Stop the pipeline of a call that has ended: it follows the call (ca-associate-vc-steps).

        Its tasks hear what there is to the end. None when there is none to stop.
        """
        if call.pipeline_id is None:
            return None
        try:
            pipeline = unit.pipelines.get(call.scope, call.pipeline_id)
        except CiphertextRefused as error:
            _log.error("the pipeline of a call cannot be stopped", extra={"reason": str(error)})
            return None
        if pipeline is None or pipeline.status in (*ENDED, PipelineStatus.STOPPING):
            return None
        return self._moves.stop(unit, call.scope, pipeline)

    def _create(self, unit: Unit, call: ConnectorCall, configuration: Configuration) -> Pipeline:
        elements: Any = configuration.body["Elements"]  # `Any`: as the caller sent them, validated then
        state = first_state([element["Type"] for element in elements])
        pipeline_id = self._new_id()
        return unit.pipelines.create(
            call.scope,
            pipeline_id=pipeline_id,
            arn=arn_of(call.scope, "chime", f"media-pipeline/{pipeline_id}"),
            configuration_arn=configuration.arn,
            configuration=configuration.body,
            status=state.status,
            element_statuses=kept_elements(state),
            source=_source(call.legs),
            runtime_metadata=runtime_metadata(call),
            active_limit=self._active_max,
        )


def _configuration_arn(connector: VoiceConnector) -> str | None:
    """Return the configuration that pipelines of its calls are made from; None for none."""
    streaming: Mapping[str, Any] = connector.streaming or {}  # `Any`: as it was sent
    insights: Mapping[str, Any] = streaming.get("MediaInsightsConfiguration") or {}
    return None if insights.get("Disabled") else insights.get("ConfigurationArn")


def _source(legs: Sequence[KeptLeg]) -> JsonObject:
    """Return the source of a pipeline over the streams of these legs, one channel each.

    The rate counts where a stream states none; ours do.
    """
    heard = legs[:STREAMS_MAX]
    streams = [
        {
            "StreamArn": leg.stream_arn,
            "StreamChannelDefinition": {
                "NumberOfChannels": 1,
                "ChannelDefinitions": [
                    {"ChannelId": leg.channel_id, "ParticipantRole": "CUSTOMER" if leg.is_caller else "AGENT"}
                ],
            },
        }
        for leg in heard
    ]
    return {LIVE_SOURCE: {"Streams": streams, "MediaEncoding": "pcm", "MediaSampleRate": heard[0].rate}}
