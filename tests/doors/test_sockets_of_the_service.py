"""WebSockets at a whole service: its records, its media log, its log."""

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from socket_world import TWILIO_STOP, twilio_media, twilio_start
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from earwitness.store.records import Scope
from earwitness.voice.connector import CallStatus, DoorSecret
from patience import PATIENCE_SECONDS, until

sys.path.append(str(Path(__file__).parents[1] / "server"))
from live import ACCOUNT, Live  # behind the path it is found by

SCOPE = Scope(account_id=ACCOUNT, region="us-east-1")
CONNECTOR = "abcdef1ghij2klmno3pqr4"
SECRET = "very-secret-words-of-a-path"  # noqa: S105


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    with Live(tmp_path / "data") as one:
        one.store.write(
            lambda unit: unit.connectors.create(
                SCOPE,
                connector_id=CONNECTOR,
                arn=f"arn:aws:chime:us-east-1:{ACCOUNT}:vc/{CONNECTOR}",
                name="trunk",
                body={"AwsRegion": "us-east-1", "RequireEncryption": False},
            )
        )
        one.store.write(lambda unit: unit.connectors.set_door(SCOPE, CONNECTOR, secrets={DoorSecret.TOKEN: SECRET}))
        yield one


def dial(live: Live, secret: str = SECRET) -> ClientConnection:
    url = f"ws://127.0.0.1:{live.port}/doors/{CONNECTOR}/twilio/{secret}"
    return connect(url, proxy=None, open_timeout=PATIENCE_SECONDS)


def ours(caplog: pytest.LogCaptureFixture) -> str:
    """What the service logged; the client logs its own messages."""
    return "\n".join(f"{record.__dict__}" for record in caplog.records if record.name != "websockets.client")


def test_a_call_is_in_the_records(live: Live, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with dial(live) as client:
        for message in twilio_start(call="CA-of-the-records", From="+4930123456"):
            client.send(message)
        for chunk in range(1, 126):
            client.send(twilio_media(b"\xff" * 160, chunk=chunk, track="inbound"))
        client.send(TWILIO_STOP)
        with pytest.raises(Exception, match="1000"):
            client.recv(PATIENCE_SECONDS)
    until(lambda: not live.service.sockets.calls)
    calls = live.store.connector_calls.list(SCOPE, limit=10).items
    assert [(call.call_id, call.door, call.status) for call in calls] == [
        ("CA-of-the-records", "twilio", CallStatus.ENDED)
    ]
    assert [leg.label for leg in calls[0].legs] == ["inbound", "outbound"]
    assert calls[0].from_number == "+4930123456"
    for personal in (SECRET, "+4930123456", "CA-of-the-records"):
        assert personal not in ours(caplog)


def test_a_stop_ends_calls_in_the_records(live: Live) -> None:
    with dial(live) as client:
        for message in [*twilio_start(), twilio_media(b"\xff" * 160, chunk=1)]:
            client.send(message)
        until(lambda: live.service.sockets.calls)
        live.server.handle_exit(2, None)
        with pytest.raises(Exception, match="1012"):
            client.recv(PATIENCE_SECONDS)
    until(lambda: live.store.connector_calls.list(SCOPE, limit=10).items[0].status is CallStatus.FAILED)


def test_wrong_secrets_and_a_draining_service(live: Live, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(InvalidStatus, match="403"):
        dial(live, "a-guess-at-the-secret")
    live.service.begin_to_stop()
    with pytest.raises(InvalidStatus, match="503"):
        dial(live)
    assert "a-guess" not in ours(caplog)
