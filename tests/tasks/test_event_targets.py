"""Where events go, from settings and a pipeline's configuration."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from store_examples import MINE, START

from earwitness.config import Settings
from earwitness.errors import ConfigurationError
from earwitness.from_settings import target_settings
from earwitness.store.records import Pipeline
from earwitness.tasks.events import Targets
from earwitness.voice.events import EventKind

QUEUE = "arn:aws:sqs:eu-central-1:111122223333:results"
TOPIC = "arn:aws:sns:eu-central-1:111122223333:results"
SECRET = "whsec_" + "QUJD" * 11
RESULT, CHANGE = EventKind.SPEAKER_SEARCH, EventKind.STATE_CHANGE


def pipeline(*elements: dict[str, Any]) -> Pipeline:
    return Pipeline(
        pipeline_id="p",
        arn=f"arn:aws:chime:{MINE.region}:{MINE.account_id}:media-pipeline/p",
        configuration_arn="arn",
        configuration={"Elements": [{"Type": "VoiceAnalyticsProcessor"}, *elements]},
        status="InProgress",
        element_statuses=(),
        source={},
        runtime_metadata=None,
        created_at=START,
        paused_at=None,
        ended_at=None,
    )


def targets_of(settings: Settings, *, events_file: Path | None) -> Targets:
    return Targets(target_settings(settings, events_file=events_file), now=lambda: START)


SINKS = pipeline(
    {"Type": "SqsQueueSink", "SqsQueueSinkConfiguration": {"InsightsTarget": QUEUE}},
    {"Type": "SnsTopicSink", "SnsTopicSinkConfiguration": {"InsightsTarget": TOPIC}},
    {"Type": "KinesisDataStreamSink", "KinesisDataStreamSinkConfiguration": {}},
    {"Type": "LambdaFunctionSink"},
    {"Type": "S3RecordingSink", "S3RecordingSinkConfiguration": {"Destination": "arn:aws:s3:::calls"}},
)


def test_results_go_to_the_sinks_of_the_configuration_and_changes_do_not() -> None:
    targets = targets_of(Settings(), events_file=None)
    assert targets.of(SINKS, RESULT) == (QUEUE, TOPIC)
    assert targets.of(SINKS, CHANGE) == ()


def test_files_and_the_webhook_get_everything(tmp_path: Path) -> None:
    settings = replace(
        Settings(), events_file=tmp_path / "all.jsonl", webhook_url="https://example.org/hook", webhook_secret=SECRET
    )
    everywhere = ("file", (tmp_path / "own.jsonl").as_uri(), "webhook")
    targets = targets_of(settings, events_file=tmp_path / "own.jsonl")
    assert targets.of(pipeline(), RESULT) == targets.of(SINKS, CHANGE) == everywhere
    assert targets.of(SINKS, RESULT) == (*everywhere, QUEUE, TOPIC)


def test_the_file_of_development_mode_is_called_file_too(tmp_path: Path) -> None:
    """So that `events replay --target file` finds it, as documentation says."""
    targets = targets_of(Settings(), events_file=tmp_path / "own.jsonl")
    assert targets.of(pipeline(), RESULT) == ("file",)
    targets.sink("file").send(b"{}", event_id="one", ordering_key="p", kind=RESULT)
    assert (tmp_path / "own.jsonl").read_bytes() == b"{}\n"


def test_changes_go_to_eventbridge_where_that_is_wanted() -> None:
    targets = targets_of(replace(Settings(), eventbridge="on"), events_file=None)
    assert targets.of(SINKS, CHANGE) == ("arn:aws:events:eu-central-1:111122223333:event-bus/default",)
    assert targets.of(pipeline(), RESULT) == ()


def test_changes_have_the_source_that_the_bus_takes() -> None:
    settings = target_settings(Settings(eventbridge="calls"), events_file=None)
    assert (settings.eventbridge, settings.sinks.state_change_source) == (True, "calls")
    assert target_settings(Settings(eventbridge="on"), events_file=None).sinks.state_change_source == "aws.chime"


def test_one_sink_may_be_elsewhere() -> None:
    text = "http://localhost:4566, sqs=http://localhost:9324"
    sinks = target_settings(Settings(sink_endpoint_url=text), events_file=None).sinks
    assert (sinks.endpoint_url, sinks.endpoint_urls) == ("http://localhost:4566", {"sqs": "http://localhost:9324"})


def test_a_webhook_without_a_secret_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"webhook_secret.*whsec_.*openssl"):
        target_settings(replace(Settings(), webhook_url="https://example.org/hook"), events_file=None)
