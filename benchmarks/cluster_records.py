"""Records that the benchmarks of a cluster make without a program that asks for them: streams, pipelines, tasks."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from sqlalchemy import insert

from earwitness.store.records import Scope
from earwitness.store.repository import key_owner
from earwitness.store.schema import kinesis_streams as streams
from earwitness.store.schema import pipelines, tasks
from earwitness.store.session import Writing
from earwitness.store.store import Unit
from earwitness.store.streams import stream_owner
from earwitness.voice.band import Band
from earwitness.voice.task_status import TaskStatus

ACCOUNT, REGION = "000000000000", "us-east-1"
SCOPE = Scope(account_id=ACCOUNT, region=REGION)
_DOMAIN_ID = "vpd-00000000-0000-4000-8000-000000000000"
_SINK = {"InsightsTarget": f"arn:aws:sqs:{REGION}:{ACCOUNT}:insights"}
_ELEMENTS = [
    {
        "Type": "VoiceAnalyticsProcessor",
        "VoiceAnalyticsProcessorConfiguration": {"SpeakerSearchStatus": "Enabled"},
    },
    {"Type": "SqsQueueSink", "SqsQueueSinkConfiguration": _SINK},
]


def idle_stream(number: int) -> str:
    """The ARN of the stream of an idle task."""
    return f"arn:aws:kinesisvideo:{REGION}:{ACCOUNT}:stream/idle-{number}/1700000000000"


def make_idle_tasks(unit: Unit, numbers: Sequence[int], *, node_id: str | None = None) -> None:
    """Streams, each with a pipeline in progress and a task on it, as API calls would have made them.

    The tasks are this process's, or those of another node.
    """
    if unit.domains.get(SCOPE, _DOMAIN_ID) is None:
        unit.domains.create(
            SCOPE,
            domain_id=_DOMAIN_ID,
            arn=_arn(f"voice-profile-domain/{_DOMAIN_ID}"),
            name="Callers",
            description="",
            kms_key_arn=f"arn:aws:kms:{REGION}:{ACCOUNT}:key/3e1f8c2e-9b0a-4f7d-8c55-0f4f6e4b9a01",
            band=Band.TELEPHONE,
        )
    writing = unit._writing  # ten thousand calls of the API would take minutes
    runner = node_id or writing.node_id
    for table, make in ((streams, _stream), (pipelines, _pipeline), (tasks, partial(_task, runner))):
        writing.session.change(insert(table).values([asdict(SCOPE) | make(writing, number) for number in numbers]))


def _stream(writing: Writing, number: int) -> Mapping[str, object]:
    name = f"idle-{number}"
    return {
        "name": name,
        "arn": idle_stream(number),
        "version": "1",
        "retention_hours": 1,
        "status": "ACTIVE",
        "wrapped_key": writing.vault.new_wrapped_key(owner=stream_owner(SCOPE, idle_stream(number))),
        "created_at": writing.now,
    }


def _pipeline(writing: Writing, number: int) -> Mapping[str, object]:
    pipeline_id = _pipeline_id(number)
    return {
        "pipeline_id": pipeline_id,
        "arn": _arn(f"media-pipeline/{pipeline_id}"),
        "configuration_arn": _arn("media-insights-pipeline-configuration/office"),
        "configuration": {"ResourceAccessRoleArn": f"arn:aws:iam::{ACCOUNT}:role/insights", "Elements": _ELEMENTS},
        "status": "InProgress",
        "element_statuses": [{"Type": element["Type"], "Status": "InProgress"} for element in _ELEMENTS],
        "source": _source(idle_stream(number)),
        "wrapped_key": writing.vault.new_wrapped_key(owner=key_owner(pipelines, SCOPE, pipeline_id)),
        "created_at": writing.now,
    }


def _task(node_id: str | None, writing: Writing, number: int) -> Mapping[str, object]:
    return {
        "task_id": f"0b6f7c52-2f0c-4a55-8a55-{number:012}",
        "pipeline_id": _pipeline_id(number),
        "stream_arn": idle_stream(number),
        "channel_id": 0,
        "domain_id": _DOMAIN_ID,
        "domain_arn": _arn(f"voice-profile-domain/{_DOMAIN_ID}"),
        "status": TaskStatus.NOT_STARTED,
        "attempt": 0,
        "created_at": writing.now,
        "updated_at": writing.now,
        "node_id": node_id,
    }


def _pipeline_id(number: int) -> str:
    return f"5d8a5e7e-6c1f-4f0c-9a3b-{number:012}"


def _source(stream_arn: str) -> Mapping[str, Any]:  # `Any`: the source as AWS's model has it
    channels = [{"ChannelId": 0, "ParticipantRole": "CUSTOMER"}]
    definition = {"NumberOfChannels": 1, "ChannelDefinitions": channels}
    return {
        "KinesisVideoStreamSourceRuntimeConfiguration": {
            "MediaEncoding": "pcm",
            "MediaSampleRate": 8_000,
            "Streams": [{"StreamArn": stream_arn, "StreamChannelDefinition": definition}],
        }
    }


def _arn(resource: str) -> str:
    return f"arn:aws:chime:{REGION}:{ACCOUNT}:{resource}"
