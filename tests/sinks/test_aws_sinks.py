"""Events arrive in services of AWS, as moto plays them, byte for byte; what moto does not keep, a recording shows."""

import base64
import io
import json
import zipfile
from collections.abc import Callable
from typing import Any
from urllib.request import Request, urlopen

import pytest
from event_examples import ACCOUNT, BODY, EVENT_ID, PIPELINE_ID, REGION, STATE_BODY, found_nobody
from recording_server import Recording

from earwitness.errors import SinkRefused, SinkUnavailable
from earwitness.sinks.aws_clients import SinkClients
from earwitness.sinks.sink import sink_for
from earwitness.voice.events import EventKind

Aws = Callable[[str], Any]
ClientsAt = Callable[..., SinkClients]
BUS = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/default"


def send(
    target: str, clients: SinkClients, *, body: bytes = STATE_BODY, kind: EventKind = EventKind.SPEAKER_SEARCH
) -> None:
    sink = sink_for(target, clients=clients, now=pytest.fail)
    sink.send(body, event_id=EVENT_ID, ordering_key=PIPELINE_ID, kind=kind)


def queue(aws: Aws, name: str) -> tuple[str, str]:
    """URL and ARN of a new queue."""
    sqs = aws("sqs")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    return url, sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def received(aws: Aws, url: str) -> str:
    (message,) = aws("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    return message["Body"]


@pytest.mark.slow
def test_a_queue_gets_the_bytes(aws: Aws, clients_at: ClientsAt, moto_server: str, unique: str) -> None:
    url, arn = queue(aws, unique)
    send(arn, clients_at(moto_server))
    assert received(aws, url).encode() == STATE_BODY


@pytest.mark.slow
def test_a_topic_hands_the_bytes_to_a_queue(aws: Aws, clients_at: ClientsAt, moto_server: str, unique: str) -> None:
    url, queue_arn = queue(aws, unique)
    topic_arn = aws("sns").create_topic(Name=unique)["TopicArn"]
    aws("sns").subscribe(TopicArn=topic_arn, Protocol="sqs", Endpoint=queue_arn)
    send(topic_arn, clients_at(moto_server))
    assert json.loads(received(aws, url))["Message"].encode() == STATE_BODY


@pytest.mark.slow
@pytest.mark.parametrize("transaction", [None, "22222222-1111-4222-8333-444455556666"])
def test_a_data_stream_gets_the_bytes_under_the_transaction_or_the_pipeline(
    aws: Aws, clients_at: ClientsAt, moto_server: str, unique: str, transaction: str | None
) -> None:
    kinesis = aws("kinesis")
    kinesis.create_stream(StreamName=unique, ShardCount=1)
    description = kinesis.describe_stream(StreamName=unique)["StreamDescription"]
    body = found_nobody(transaction)
    send(description["StreamARN"], clients_at(moto_server), body=body)
    shard = description["Shards"][0]["ShardId"]
    start = kinesis.get_shard_iterator(StreamName=unique, ShardId=shard, ShardIteratorType="TRIM_HORIZON")
    (record,) = kinesis.get_records(ShardIterator=start["ShardIterator"])["Records"]
    assert (record["Data"], record["PartitionKey"]) == (body, transaction or PIPELINE_ID)


@pytest.mark.slow
def test_the_event_bus_hands_a_state_change_to_a_queue(
    aws: Aws, clients_at: ClientsAt, moto_server: str, unique: str
) -> None:
    url, arn = queue(aws, unique)
    events = aws("events")
    events.put_rule(Name=unique, EventPattern=json.dumps({"source": ["aws.chime"]}))
    events.put_targets(Rule=unique, Targets=[{"Id": "queue", "Arn": arn}])
    send(BUS, clients_at(moto_server), kind=EventKind.STATE_CHANGE)
    got, sent = json.loads(received(aws, url)), json.loads(STATE_BODY)
    for key in ("detail", "detail-type", "source", "resources", "region"):  # moto leaves the account out
        assert got[key] == sent[key]


@pytest.mark.slow
def test_a_missing_queue_refuses_and_a_new_one_takes(
    aws: Aws, clients_at: ClientsAt, moto_server: str, unique: str
) -> None:
    clients = clients_at(moto_server)
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{unique}"
    with pytest.raises(SinkRefused, match="does not exist") as raised:
        send(arn, clients)
    assert raised.value.__cause__ is not None
    url, _ = queue(aws, unique)
    send(arn, clients)
    assert received(aws, url).encode() == STATE_BODY


@pytest.mark.slow
@pytest.mark.parametrize(
    "resource",
    [
        "sns:{region}:{account}:none",
        "lambda:{region}:{account}:function:none",
        "kinesis:{region}:{account}:stream/none",
    ],
)
def test_a_missing_target_of_another_service_refuses(clients_at: ClientsAt, moto_server: str, resource: str) -> None:
    with pytest.raises(SinkRefused, match="does not exist"):
        send("arn:aws:" + resource.format(region=REGION, account=ACCOUNT), clients_at(moto_server))


@pytest.mark.slow
def test_a_function_that_exists_takes_the_event(aws: Aws, clients_at: ClientsAt, moto_server: str, unique: str) -> None:
    """Moto keeps no payload; that it takes the call is what it can say."""
    config = Request(f"{moto_server}/moto-api/config", data=b'{"lambda": {"use_docker": false}}', method="POST")  # noqa: S310
    config.add_header("content-type", "application/json")
    urlopen(config).close()  # noqa: S310  moto, on this machine
    policy = json.dumps({"Version": "2012-10-17", "Statement": []})
    role = aws("iam").create_role(RoleName=unique, AssumeRolePolicyDocument=policy)["Role"]["Arn"]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("heard.py", "def handle(event, context): return event")
    function = aws("lambda").create_function(
        FunctionName=unique,
        Runtime="python3.11",
        Role=role,
        Handler="heard.handle",
        Code={"ZipFile": packed.getvalue()},
    )
    send(function["FunctionArn"], clients_at(moto_server))


def test_a_function_is_invoked_asynchronously_with_the_bytes(clients_at: ClientsAt, recorder: Recording) -> None:
    recorder.status, recorder.body = 202, b""
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:heard:live"
    send(arn, clients_at(recorder.url))
    (request,) = recorder.requests
    assert request.body == STATE_BODY
    assert request.headers["x-amz-invocation-type"] == "Event"
    assert (
        request.path
        == "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3Aheard%3Alive/invocations"
    )


def test_the_event_bus_gets_time_and_detail(clients_at: ClientsAt, recorder: Recording) -> None:
    recorder.body = b'{"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]}'
    send(BUS, clients_at(recorder.url), kind=EventKind.STATE_CHANGE)
    (entry,) = json.loads(recorder.requests[0].body)["Entries"]
    assert entry["Time"] == 1795521600.25
    assert entry["DetailType"] == "Media Insights State Change"
    assert entry["Resources"] == []
    assert entry["Detail"].encode() in STATE_BODY


def test_the_source_on_the_event_bus_can_be_ours(clients_at: ClientsAt, recorder: Recording) -> None:
    recorder.body = b'{"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]}'
    clients = clients_at(recorder.url, state_change_source="earwitness")
    send(BUS, clients, kind=EventKind.STATE_CHANGE)
    (entry,) = json.loads(recorder.requests[0].body)["Entries"]
    assert entry["Source"] == "earwitness"


@pytest.mark.parametrize(
    ("code", "expected", "words"),
    [
        ("NotAuthorizedForSourceException", SinkRefused, "another source"),
        ("InternalFailure", SinkUnavailable, "tried again"),
        ("ThrottlingException", SinkUnavailable, "tried again"),
        ("MalformedDetail", SinkRefused, "MalformedDetail"),
    ],
)
def test_an_entry_that_failed_in_a_good_answer_is_an_error(
    clients_at: ClientsAt, recorder: Recording, code: str, expected: type[Exception], words: str
) -> None:
    entries = [{"ErrorCode": code, "ErrorMessage": "no"}]
    recorder.body = json.dumps({"FailedEntryCount": 1, "Entries": entries}).encode()
    with pytest.raises(expected, match=words):
        send(BUS, clients_at(recorder.url), kind=EventKind.STATE_CHANGE)


@pytest.mark.parametrize("kind", [EventKind.SPEAKER_SEARCH, EventKind.POST_CALL])
def test_the_event_bus_gets_state_changes_only(clients_at: ClientsAt, recorder: Recording, kind: EventKind) -> None:
    with pytest.raises(SinkRefused, match="state changes only"):
        send(BUS, clients_at(recorder.url), body=BODY, kind=kind)
    assert recorder.requests == []


def test_a_data_stream_is_written_record_by_record(clients_at: ClientsAt, recorder: Recording) -> None:
    recorder.body = b'{"SequenceNumber": "1", "ShardId": "shardId-0"}'
    send(f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/calls", clients_at(recorder.url), body=BODY)
    request = recorder.requests[0]
    assert request.headers["x-amz-target"] == "Kinesis_20131202.PutRecord"
    assert base64.b64decode(json.loads(request.body)["Data"]) == BODY
