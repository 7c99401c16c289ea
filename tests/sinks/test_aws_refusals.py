"""What can go wrong with a service of AWS, and what it is called: to be tried again, or not."""

import json
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from event_examples import ACCOUNT, BODY, EVENT_ID, PIPELINE_ID, REGION
from recording_server import Recording, recording

from earwitness.aws.clients import AwsCredentials
from earwitness.errors import ConfigurationError, SinkError, SinkRefused, SinkUnavailable
from earwitness.sinks.aws_clients import SinkClients, SinkSettings
from earwitness.sinks.sink import sink_for
from earwitness.sinks.targets import BODY_BYTES_MAX
from earwitness.voice.events import EventKind

ClientsAt = Callable[..., SinkClients]
TARGETS = {
    "sqs": f"arn:aws:sqs:{REGION}:{ACCOUNT}:calls",
    "sns": f"arn:aws:sns:{REGION}:{ACCOUNT}:calls",
    "lambda": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:calls",
    "kinesis": f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/calls",
    "events": f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/default",
}
services = pytest.mark.parametrize("service", list(TARGETS))


def send(service: str, clients: SinkClients, *, body: bytes = BODY) -> None:
    sink = sink_for(TARGETS[service], clients=clients, now=pytest.fail)
    kind = EventKind.STATE_CHANGE if service == "events" else EventKind.SPEAKER_SEARCH
    sink.send(body, event_id=EVENT_ID, ordering_key=PIPELINE_ID, kind=kind)


def answer_fault(recorder: Recording, service: str, code: str, status: int) -> None:
    recorder.status = status
    if service == "sns":
        recorder.body = (
            f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>"
        ).encode()
    else:
        recorder.headers = {"x-amzn-ErrorType": code}
        recorder.body = json.dumps({"__type": code, "message": "no"}).encode()


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@services
def test_nobody_listens(clients_at: ClientsAt, service: str) -> None:
    with pytest.raises(SinkUnavailable, match="does not answer") as raised:
        send(service, clients_at(f"http://127.0.0.1:{unused_port()}"))
    assert raised.value.retryable
    assert raised.value.__cause__ is not None


@services
@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("AccessDeniedException", 403, SinkRefused),
        ("UnrecognizedClientException", 403, SinkRefused),
        ("SomethingNew", 400, SinkRefused),
        ("ThrottlingException", 400, SinkUnavailable),
        ("RequestThrottled", 403, SinkUnavailable),
        ("ProvisionedThroughputExceededException", 400, SinkUnavailable),
        ("ResourceConflictException", 409, SinkUnavailable),
        ("TooManyRequestsException", 429, SinkUnavailable),
        ("ExpiredTokenException", 403, SinkUnavailable),
        ("InternalFailure", 500, SinkUnavailable),
        ("ServiceUnavailable", 503, SinkUnavailable),
    ],
)
def test_a_fault_is_tried_again_or_not(
    clients_at: ClientsAt, recorder: Recording, service: str, code: str, status: int, expected: type[SinkError]
) -> None:
    answer_fault(recorder, service, code, status)
    with pytest.raises(SinkError, match=code) as raised:
        send(service, clients_at(recorder.url))
    assert type(raised.value) is expected
    assert len(recorder.requests) == 1  # the outbox tries again, not the client


@services
@pytest.mark.parametrize("body", [b"<html>busy</html>", b"", b"\xff\xfe"])
def test_a_proxy_that_is_down(clients_at: ClientsAt, recorder: Recording, service: str, body: bytes) -> None:
    recorder.status, recorder.body = 502, body
    with pytest.raises(SinkUnavailable):
        send(service, clients_at(recorder.url))


@services
@pytest.mark.parametrize("body", [b"<html>hello</html>", b"{}", b"[]", b"\xff\xfe", b""])
def test_an_answer_without_a_receipt_is_no_delivery(
    clients_at: ClientsAt, recorder: Recording, service: str, body: bytes
) -> None:
    recorder.body = body
    with pytest.raises(SinkUnavailable, match="endpoint is right"):
        send(service, clients_at(recorder.url))


@pytest.mark.slow
@services
def test_a_slow_answer_is_not_waited_for(clients_at: ClientsAt, recorder: Recording, service: str) -> None:
    recorder.is_silent = True
    with pytest.raises(SinkUnavailable, match="does not answer"):
        send(service, clients_at(recorder.url, read_seconds=0.1))


def test_an_endpoint_that_disappears(clients_at: ClientsAt) -> None:
    with recording() as kept:
        kept.body, kept.headers = b'{"MessageId": "1"}', {"connection": "close"}
        clients = clients_at(kept.url)
        send("sqs", clients)
    with pytest.raises(SinkUnavailable):
        send("sqs", clients)


@services
def test_too_large_is_refused_before_anything_is_sent(clients_at: ClientsAt, recorder: Recording, service: str) -> None:
    with pytest.raises(SinkRefused, match="less runtime metadata"):
        send(service, clients_at(recorder.url), body=b'"' + b"x" * (BODY_BYTES_MAX - 1) + b'"')
    assert recorder.requests == []


def test_the_largest_body_is_sent(clients_at: ClientsAt, recorder: Recording) -> None:
    recorder.status = 202
    body = b'"' + b"x" * (BODY_BYTES_MAX - 2) + b'"'
    send("lambda", clients_at(recorder.url), body=body)
    assert recorder.requests[0].body == body


def test_a_body_of_other_bytes_is_refused(clients_at: ClientsAt, recorder: Recording) -> None:
    with pytest.raises(SinkRefused, match="ASCII"):
        send("sqs", clients_at(recorder.url), body="{é}".encode())


def test_messages_name_neither_body_nor_secret(clients_at: ClientsAt, recorder: Recording) -> None:
    answer_fault(recorder, "sqs", "Odd Code +15550100", 400)
    with pytest.raises(SinkRefused) as raised:
        send("sqs", clients_at(recorder.url))
    text = str(raised.value)
    assert "taskId" not in text
    assert "secret" not in text
    assert "+1555" not in text


@pytest.mark.slow
@services
def test_the_environments_endpoints_are_ignored(
    clients_at: ClientsAt, recorder: Recording, monkeypatch: pytest.MonkeyPatch, service: str
) -> None:
    """They name this very service."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", recorder.url)
    monkeypatch.setenv(f"AWS_ENDPOINT_URL_{'EVENTBRIDGE' if service == 'events' else service.upper()}", recorder.url)
    client = clients_at(None).client(service, REGION)
    assert client.meta.endpoint_url == f"https://{service}.{REGION}.amazonaws.com"


@pytest.mark.slow
def test_the_configuration_files_endpoint_is_ignored(
    clients_at: ClientsAt, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "config"
    file.write_text("[default]\nendpoint_url = http://127.0.0.1:1\n", encoding="utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(file))
    assert clients_at(None).client("sqs", REGION).meta.endpoint_url == f"https://sqs.{REGION}.amazonaws.com"


@pytest.mark.slow
def test_an_endpoint_of_one_service_comes_first(clients_at: ClientsAt) -> None:
    clients = clients_at("http://127.0.0.1:1", endpoint_urls={"sns": "http://127.0.0.1:2"})
    assert clients.client("sns", REGION).meta.endpoint_url == "http://127.0.0.1:2"
    assert clients.client("sqs", REGION).meta.endpoint_url == "http://127.0.0.1:1"


@pytest.mark.slow
def test_a_client_is_made_once_for_all_threads(clients_at: ClientsAt) -> None:
    clients = clients_at("http://127.0.0.1:1", connections_max=8)
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: clients.client("sqs", REGION), range(32)))
    assert all(client is made[0] for client in made)
    assert clients.client("sqs", "eu-west-1") is not made[0]


@pytest.mark.slow
def test_the_client_used_longest_ago_is_forgotten(clients_at: ClientsAt, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("earwitness.aws.clients.CLIENTS_MAX", 2)
    clients = clients_at("http://127.0.0.1:1", connections_max=2)
    first = clients.client("sqs", "us-east-1")
    second = clients.client("sqs", "us-west-2")
    assert clients.client("sqs", "us-east-1") is first
    clients.client("sqs", "eu-west-1")
    assert clients.client("sqs", "us-east-1") is first
    assert clients.client("sqs", "us-west-2") is not second


@pytest.mark.slow
def test_without_credentials_it_is_tried_again_until_there_are_some(
    clients_at: ClientsAt, recorder: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder.body = b'{"MessageId": "1"}'
    clients = clients_at(recorder.url, credentials=None)
    with pytest.raises(SinkUnavailable, match="no AWS credentials"):
        send("sqs", clients)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDLATER")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a later secret")
    send("sqs", clients)
    assert "AKIDLATER" in recorder.requests[0].headers["authorization"]


def test_a_profile_that_does_not_exist_is_told(clients_at: ClientsAt, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(SinkUnavailable, match="ProfileNotFound"):
        send("sqs", clients_at("http://127.0.0.1:1", connections_max=1))


def test_secrets_do_not_show() -> None:
    credentials = AwsCredentials(access_key_id="AKIDEXAMPLE", secret_access_key="hidden")  # noqa: S106
    assert "hidden" not in repr(SinkSettings(credentials=credentials))


@pytest.mark.parametrize("url", ["", "localhost:4566", "ftp://host", "http://", "http://host:port", "http://[::1"])
def test_an_endpoint_must_be_one(url: str) -> None:
    with pytest.raises(ConfigurationError, match="endpoint"):
        SinkSettings(endpoint_urls={"sqs": url})
