"""A webhook is signed so that its receiver can check it, and what it answers is understood."""

import base64
import hashlib
import hmac
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from event_examples import BODY, EVENT_ID, KEY, NOON, PIPELINE_ID, SECRET
from hypothesis import given
from hypothesis import strategies as st
from recording_server import Recording, recording

from earwitness.errors import ConfigurationError, SinkError, SinkRefused, SinkUnavailable
from earwitness.sinks.http_post import Resolver, system_resolver
from earwitness.sinks.targets import BODY_BYTES_MAX
from earwitness.sinks.webhook import WebhookSecret, WebhookSettings, WebhookSink, retry_after_seconds
from earwitness.voice.events import EventKind


def webhook(
    url: str, *, allow_private: bool = True, seconds: float = 5.0, resolver: Resolver = system_resolver
) -> WebhookSink:
    settings = WebhookSettings(secret=SECRET, allow_private_addresses=allow_private, seconds=seconds)
    return WebhookSink(url, settings, now=lambda: NOON, resolver=resolver)


def send(sink: WebhookSink, body: bytes = BODY) -> None:
    sink.send(body, event_id=EVENT_ID, ordering_key=PIPELINE_ID, kind=EventKind.SPEAKER_SEARCH)


@contextmanager
def raw_server(*answers: bytes, pause_seconds: float = 0.0) -> Iterator[tuple[str, threading.Event]]:
    """Accepts one connection, sends the answers one after another, then keeps the line open until it is over."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                try:
                    for answer in answers:
                        connection.sendall(answer)
                        over.wait(pause_seconds)
                except OSError:
                    return  # the client has enough, which is what is tested
                over.wait(30)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/", over
        over.set()
        thread.join()


def test_the_receiver_can_check_the_signature(recorder: Recording) -> None:
    """Checked as a receiver would, by the standard's text alone."""
    send(webhook(f"{recorder.url}/calls/heard?from=here"))
    (request,) = recorder.requests
    assert (request.method, request.path, request.body) == ("POST", "/calls/heard?from=here", BODY)
    headers = request.headers
    assert headers["webhook-id"] == EVENT_ID
    assert headers["webhook-timestamp"] == str(int(NOON.timestamp()))
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + request.body
    version, _, signature = headers["webhook-signature"].partition(",")
    assert version == "v1"
    assert base64.b64decode(signature) == hmac.new(KEY, content, hashlib.sha256).digest()
    assert headers["content-type"] == "application/json"
    assert headers["host"] == f"127.0.0.1:{recorder.port}"


def test_the_standards_own_example() -> None:
    """From the test vectors that the standard's libraries share."""
    key = WebhookSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    headers = key.headers(body, event_id="msg_p5jXN8AQM9LWM0D4loKWxJek", sent_at_seconds=1614265330)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    "secret",
    ["", "whsec_", "whsec_!!!", "whsec_é", base64.b64encode(KEY).decode(), "whsec_AAAA", "whsec_" + "A" * 100],
)
def test_a_secret_must_be_one(secret: str) -> None:
    with pytest.raises(ConfigurationError, match="secret") as raised:
        WebhookSecret(secret)
    assert len(secret) < 8 or secret not in str(raised.value)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, None),
        (202, None),
        (204, None),
        (301, SinkUnavailable),
        (307, SinkUnavailable),
        (400, SinkRefused),
        (401, SinkUnavailable),
        (403, SinkUnavailable),
        (404, SinkUnavailable),
        (408, SinkUnavailable),
        (410, SinkUnavailable),
        (413, SinkRefused),
        (429, SinkUnavailable),
        (500, SinkUnavailable),
        (503, SinkUnavailable),
    ],
)
def test_what_an_answer_means(recorder: Recording, status: int, expected: type[SinkError] | None) -> None:
    recorder.status, recorder.body = status, b""
    sink = webhook(recorder.url)
    if expected is None:
        send(sink)
    else:
        with pytest.raises(SinkError, match=r"status|redirects") as raised:
            send(sink)
        assert type(raised.value) is expected
    assert len(recorder.requests) == 1


def test_the_pause_that_is_asked_for_is_passed_on(recorder: Recording) -> None:
    recorder.status, recorder.headers = 429, {"Retry-After": "120"}
    with pytest.raises(SinkUnavailable) as raised:
        send(webhook(recorder.url))
    assert raised.value.retry_after_seconds == 120


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0),
        (" 7 ", 7),
        ("Tue, 24 Nov 2026 12:01:00 GMT", 59.75),
        ("Tue, 24 Nov 2026 11:00:00 GMT", 0),
        ("Tue, 24 Nov 2026 12:01:00 -0000", 59.75),
        ("9" * 400, 999999999),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("²", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(header, now=NOON) == seconds


@given(st.text())
def test_any_retry_after_is_a_pause_or_none(header: str) -> None:
    seconds = retry_after_seconds(header, now=NOON)
    assert seconds is None or seconds >= 0


def test_a_redirect_is_not_followed(recorder: Recording) -> None:
    with recording() as inside:
        recorder.status, recorder.headers = 307, {"Location": inside.url}
        with pytest.raises(SinkUnavailable, match="redirects"):
            send(webhook(recorder.url))
        assert inside.requests == []


def test_nobody_listens() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}/?token=hidden"
        with pytest.raises(SinkUnavailable, match="does not answer") as raised:
            send(webhook(url))
    assert "hidden" not in str(raised.value)


@pytest.mark.slow
def test_silence_is_not_waited_for(recorder: Recording) -> None:
    recorder.is_silent = True
    with pytest.raises(SinkUnavailable, match="TimeoutError"):
        send(webhook(recorder.url, seconds=0.1))


@pytest.mark.slow
def test_an_answer_in_drops_is_bounded_as_a_whole() -> None:
    """Each byte comes well within the time and the answer would be good in the end; only the whole is too slow."""
    drops = [b"HTTP/1.1 200 OK\r\na: ", *([b"b"] * 50), b"\r\n\r\n"]
    with raw_server(*drops, pause_seconds=0.02) as (url, _), pytest.raises(SinkUnavailable, match="TimeoutError"):
        send(webhook(url, seconds=0.2))


def test_an_answer_without_end_is_cut() -> None:
    flood = [b"HTTP/1.1 200 OK\r\n", *([b"a: " + b"b" * 60_000 + b"\r\n"] * 90)]
    with raw_server(*flood) as (url, _), pytest.raises(SinkUnavailable, match="HTTPException"):
        send(webhook(url))


def test_a_body_without_end_is_not_read() -> None:
    with raw_server(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 10_000_000) as (url, _):
        send(webhook(url))


@pytest.mark.parametrize(
    "answer", [b"", b"\r\n\r\n", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 2OO OK\r\n\r\n", b"HTTP/9.9 200 OK\r\n\r\n"]
)
def test_an_answer_that_is_no_http(answer: bytes) -> None:
    with raw_server(answer) as (url, over):
        over.set()
        with pytest.raises(SinkUnavailable, match="does not answer"):
            send(webhook(url))


def test_an_answer_before_the_request_was_read_counts() -> None:
    with raw_server(b"HTTP/1.1 413 Too Large\r\n\r\n") as (url, _), pytest.raises(SinkRefused, match="413"):
        send(webhook(url), b'"' + b"x" * (BODY_BYTES_MAX - 2) + b'"')


def test_too_large_is_refused_before_anything_is_sent(recorder: Recording) -> None:
    with pytest.raises(SinkRefused, match="less runtime metadata"):
        send(webhook(recorder.url), b"x" * (BODY_BYTES_MAX + 1))
    assert recorder.requests == []


def to_this_machine(_host: str, _port: int) -> Sequence[str]:
    return (str(ipaddress.IPv4Address("127.0.0.1")),)


def test_the_certificate_is_checked_for_the_name_and_not_for_the_address(authority: ssl.SSLContext) -> None:
    with recording(tls=authority) as kept:
        send(webhook(f"https://events.example:{kept.port}/", resolver=to_this_machine))
        assert kept.requests[0].body == BODY
        assert kept.requests[0].headers["host"] == f"events.example:{kept.port}"
        with pytest.raises(SinkUnavailable, match=r"another\.example shows a certificate of another name"):
            send(webhook(f"https://another.example:{kept.port}/", resolver=to_this_machine))
        assert len(kept.requests) == 1
