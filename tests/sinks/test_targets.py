"""Targets are judged before anything is sent to them, and each finds its sink."""

from pathlib import Path

import pytest
from event_examples import ACCOUNT, NOON, REGION, SECRET
from hypothesis import given
from hypothesis import strategies as st

from earwitness.errors import ConfigurationError, SinkRefused
from earwitness.sinks.aws import DELIVERIES, AwsSink
from earwitness.sinks.aws_clients import SinkClients, SinkSettings
from earwitness.sinks.json_lines import JsonLinesSink
from earwitness.sinks.sink import sink_for
from earwitness.sinks.targets import RESOURCE_PATTERNS, fault_of_form, fault_of_place, read_arn
from earwitness.sinks.webhook import WebhookSettings, WebhookSink

CLIENTS = SinkClients(SinkSettings())
GOOD = [
    f"arn:aws:sqs:{REGION}:{ACCOUNT}:calls",
    f"arn:aws-us-gov:sqs:{REGION}:{ACCOUNT}:calls",
    f"arn:aws:sns:{REGION}:{ACCOUNT}:calls",
    f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:calls",
    f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:calls:$LATEST",
    f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/calls.all",
    f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/default",
]


@pytest.mark.parametrize("arn", GOOD)
def test_a_good_target(arn: str) -> None:
    assert fault_of_form(arn) is None
    assert isinstance(sink_for(arn, clients=CLIENTS, now=lambda: NOON), AwsSink)
    assert str(read_arn(arn)) == arn


@pytest.mark.parametrize(
    ("arn", "words"),
    [
        ("calls", "no ARN"),
        ("", "no ARN"),
        (f"arn:aws:sqs:{REGION}:{ACCOUNT}:", "no ARN"),
        (f"arn:aws:sqs:{REGION}::calls", "no ARN"),
        (f"arn:aws:sqs:{REGION}:{ACCOUNT}:calls\n", "no ARN"),
        (f"arn:aws:s3:{REGION}:{ACCOUNT}:calls", "a service"),
        (f"arn:aws:firehose:{REGION}:{ACCOUNT}:deliverystream/calls", "a service"),
        (f"arn:aws:sqs:{REGION}:{ACCOUNT}:calls/other", "does not name a queue"),
        (f"arn:aws:sns:{REGION}:{ACCOUNT}:calls:11111111-1111-4222-8333-444455556666", "does not name a topic"),
        (f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:calls", "does not name a function"),
        (f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/calls/consumer/a:1", "does not name a data stream"),
        (f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/mine", "does not name the default event bus"),
        (f"arn:aws:sqs:{REGION}:{ACCOUNT}:queue/MyQueue", "does not name a queue"),
        (f"arn:aws:sns:{REGION}:{ACCOUNT}:topic/MyTopic", "does not name a topic"),
        ("arn:aws:sqs:us-west-2:1111111111:queue/MyQueue", "no ARN"),
        (f"arn:aws:sqs:{REGION}:{ACCOUNT}:calls.fifo", "FIFO"),
        (f"arn:aws:sns:{REGION}:{ACCOUNT}:calls.fifo", "FIFO"),
    ],
)
def test_a_target_that_cannot_be_used_is_told_why(arn: str, words: str) -> None:
    wrong = fault_of_form(arn)
    assert wrong is not None
    assert words in wrong
    if arn.startswith("arn:"):
        with pytest.raises(SinkRefused, match=words):
            sink_for(arn, clients=CLIENTS, now=lambda: NOON)


@pytest.mark.parametrize(
    ("account_id", "region", "service", "wrong"),
    [
        (ACCOUNT, REGION, "sqs", None),
        (ACCOUNT, REGION, "kinesis", "is of sqs; this kind of sink takes a data stream (kinesis)"),
        (
            "999999999999",
            REGION,
            "sqs",
            "is of another account than the key that signed this request (999999999999); call with a key of account "
            "123456789012, which `earwitness keys create --account 123456789012` makes",
        ),
        (ACCOUNT, "eu-west-1", "sqs", f"is in {REGION}; a target must lie in the Region of its pipeline (eu-west-1)"),
    ],
)
def test_a_target_must_lie_where_its_pipeline_does(
    account_id: str, region: str, service: str, wrong: str | None
) -> None:
    queue = read_arn(GOOD[0])
    assert queue is not None
    assert fault_of_place(queue, account_id=account_id, region=region, service=service) == wrong


@pytest.mark.slow
@given(st.text() | st.from_regex(r"arn:[a-z]+:[a-z]+:[a-z0-9-]+:[0-9]{12}:.*"))
def test_any_text_is_judged(text: str) -> None:
    wrong = fault_of_form(text)
    assert wrong is None or wrong.startswith("is ") or wrong.startswith("does ")


def test_every_service_has_its_delivery() -> None:
    assert DELIVERIES.keys() == RESOURCE_PATTERNS.keys()


def test_addresses_of_other_kinds(tmp_path: Path) -> None:
    settings = WebhookSettings(secret=SECRET)
    webhook = sink_for("https://events.example/", clients=CLIENTS, webhook=settings, now=lambda: NOON)
    assert isinstance(webhook, WebhookSink)
    assert isinstance(sink_for(tmp_path.as_uri(), clients=CLIENTS, now=lambda: NOON), JsonLinesSink)


@pytest.mark.parametrize("target", ["", "events.example", "ftp://events.example/", "file://host/path", "file:relative"])
def test_addresses_of_no_kind(target: str) -> None:
    with pytest.raises(ConfigurationError, match="file:///PATH"):
        sink_for(target, clients=CLIENTS, now=lambda: NOON)


def test_a_webhook_needs_a_secret() -> None:
    with pytest.raises(ConfigurationError, match="secret"):
        sink_for("https://events.example/", clients=CLIENTS, now=lambda: NOON)


@pytest.mark.parametrize("arn", ["arn:aws:sqs", f"arn:aws:sqs:{REGION}:{ACCOUNT}:calls.fifo"])
def test_an_arn_that_events_cannot_go_to(arn: str) -> None:
    with pytest.raises(SinkRefused):
        sink_for(arn, clients=CLIENTS, now=lambda: NOON)


def test_the_secret_does_not_show() -> None:
    assert SECRET not in repr(WebhookSettings(secret=SECRET))
