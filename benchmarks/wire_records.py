"""The records that `wire` asks for: a key, many voice profile domains, a media pipeline and a task."""

from dataclasses import dataclass, replace
from pathlib import Path

from earwitness import config
from earwitness.app import open_records
from earwitness.config import Settings
from earwitness.store.records import Scope
from earwitness.store.store import Store, Unit
from earwitness.voice.band import Band

ACCOUNT, REGION = "000000000000", "us-east-1"
DOMAINS = 10_000
"""The quota of domains is 100 by default; no list that is served can be longer than this by default."""

CALLS_PER_SECOND = 1e6
"""The throttle runs as always and never refuses."""

TASK_PIPELINE_ID = "6e9b6f8f-7d20-4e1d-8b4c-3f202e0c8d12"

_DOMAINS_AT_ONCE = 500
_SCOPE = Scope(account_id=ACCOUNT, region=REGION)


@dataclass(frozen=True, kw_only=True)
class Made:
    """What a client needs to ask for them."""

    key_id: str
    secret: str
    domain_id: str
    domain_arn: str
    pipeline_id: str
    task_id: str


def settings_in(folder: Path, store_url: str) -> Settings:
    """The settings of the service that is measured, apart from its address; an empty URL is a SQLite file."""
    return replace(config.Settings(), data_dir=folder, store_url=store_url, calls_per_second=str(CALLS_PER_SECOND))


def make_records(settings: Settings) -> Made:
    """Fill an empty store."""
    made = Made(
        key_id="EARWBENCHMARKBENCHMA",
        secret="benchmarkbenchmarkbenchmarkbenchmark",  # noqa: S106  # of a store that is deleted after the run
        domain_id=_domain_id(DOMAINS // 2),
        domain_arn=_arn(f"voice-profile-domain/{_domain_id(DOMAINS // 2)}"),
        pipeline_id="5d8a5e7e-6c1f-4f0c-9a3b-2f1f0d9b7c11",
        task_id="0b6f7c52-2f0c-4a55-8a55-6d2f1d9b7c13",
    )
    store = open_records(settings)
    try:
        _fill(store, made)
    finally:
        store.close()
    return made


def _fill(store: Store, made: Made) -> None:
    store.write(
        lambda unit: unit.access_keys.create(
            key_id=made.key_id, account_id=ACCOUNT, role="admin", name="benchmark", secret=made.secret
        )
    )
    for first in range(0, DOMAINS, _DOMAINS_AT_ONCE):
        store.write(lambda unit, first=first: _make_domains(unit, first))
    store.write(lambda unit: _make_pipeline(unit, made.pipeline_id))
    store.write(lambda unit: _make_task(unit, made))


def _make_domains(unit: Unit, first: int) -> None:
    for number in range(first, first + _DOMAINS_AT_ONCE):
        domain_id = _domain_id(number)
        unit.domains.create(
            _SCOPE,
            domain_id=domain_id,
            arn=_arn(f"voice-profile-domain/{domain_id}"),
            name=f"Callers {number}",
            description="People who call the office",
            kms_key_arn="arn:aws:kms:us-east-1:000000000000:key/3e1f8c2e-9b0a-4f7d-8c55-0f4f6e4b9a01",
            band=Band.TELEPHONE,
        )


def _make_pipeline(unit: Unit, pipeline_id: str) -> None:
    """A pipeline of the usual size: one stream with two channels, metadata, a processor and a sink."""
    stream_arn = f"arn:aws:kinesisvideo:{REGION}:{ACCOUNT}:stream/office-1/1700000000000"
    channels = [{"ChannelId": 0, "ParticipantRole": "AGENT"}, {"ChannelId": 1, "ParticipantRole": "CUSTOMER"}]
    sink = {"InsightsTarget": f"arn:aws:sqs:{REGION}:{ACCOUNT}:insights"}
    unit.pipelines.create(
        _SCOPE,
        pipeline_id=pipeline_id,
        arn=_arn(f"media-pipeline/{pipeline_id}"),
        configuration_arn=_arn("media-insights-pipeline-configuration/office"),
        configuration={
            "ResourceAccessRoleArn": f"arn:aws:iam::{ACCOUNT}:role/insights",
            "Elements": [
                {"Type": "VoiceAnalyticsProcessor", "VoiceAnalyticsProcessorConfiguration": _PROCESSOR},
                {"Type": "SqsQueueSink", "SqsQueueSinkConfiguration": sink},
            ],
        },
        status="InProgress",
        element_statuses=[
            {"Type": "VoiceAnalyticsProcessor", "Status": "InProgress"},
            {"Type": "SqsQueueSink", "Status": "InProgress"},
        ],
        source={
            "KinesisVideoStreamSourceRuntimeConfiguration": {
                "MediaEncoding": "pcm",
                "MediaSampleRate": 8000,
                "Streams": [
                    {
                        "StreamArn": stream_arn,
                        "StreamChannelDefinition": {"NumberOfChannels": 2, "ChannelDefinitions": channels},
                    }
                ],
            }
        },
        runtime_metadata={"call": "benchmark"},
    )


def _make_task(unit: Unit, made: Made) -> None:
    """A task in a pipeline of its own; it fails at the start of the service, because its stream does not exist."""
    _make_pipeline(unit, TASK_PIPELINE_ID)
    unit.tasks.create(
        _SCOPE,
        task_id=made.task_id,
        pipeline_id=TASK_PIPELINE_ID,
        stream_arn=f"arn:aws:kinesisvideo:{REGION}:{ACCOUNT}:stream/office-1/1700000000000",
        channel_id=0,
        domain_id=made.domain_id,
        domain_arn=made.domain_arn,
    )


_PROCESSOR = {"SpeakerSearchStatus": "Enabled", "VoiceToneAnalysisStatus": "Disabled"}


def _domain_id(number: int) -> str:
    return f"vpd-00000000-0000-4000-8000-{number:012}"


def _arn(resource: str) -> str:
    return f"arn:aws:chime:{REGION}:{ACCOUNT}:{resource}"
