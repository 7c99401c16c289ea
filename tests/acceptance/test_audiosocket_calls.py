"""Calls by AudioSocket at a real service: a caller is enrolled and named, and what is kept survives the service."""

import json
import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from calls import Application, pcm
from serving import Served, kill, start, stop

from earwitness import app as composition
from earwitness.config import Settings
from earwitness.doors.audiosocket import HANG_UP, write_audio, write_identity
from earwitness.samples import first_call, second_call
from earwitness.store.connector_records import ConnectorCall
from earwitness.store.records import Scope
from earwitness.store.store import Store, Unit
from earwitness.voice.connector import CallStatus
from patience import PATIENCE_SECONDS, until

pytestmark = pytest.mark.slow

SCOPE = Scope(account_id="000000000000", region="us-east-1")
CONNECTOR = "abcdefghij0123456789ab"
SECOND_BYTES = 16_000


@pytest.fixture
def settings_file(tmp_path: Path) -> Path:
    file = tmp_path / "doors.toml"
    file.write_text('audiosocket = "127.0.0.1:0"\n', encoding="utf-8")
    return file


@pytest.fixture
def served(tmp_path: Path, settings_file: Path) -> Iterator[Served]:
    running = start(tmp_path / "data", settings_file=settings_file)
    yield running
    if running.process.poll() is None:
        stop(running)


@pytest.fixture
def app(served: Served) -> Iterator[Application]:
    application = Application(served, "doors")
    yield application
    application.close()


@contextmanager
def records(served: Served) -> Iterator[Store]:
    with closing(composition.open_records(Settings(data_dir=served.data), may_make=False)) as store:
        yield store


def connect(served: Served, app: Application) -> None:
    """A connector whose calls have a pipeline."""
    streaming = {
        "DataRetentionInHours": 1,
        "Disabled": False,
        "StreamingNotificationTargets": [],
        "MediaInsightsConfiguration": {"Disabled": False, "ConfigurationArn": app.configuration()},
    }

    def work(unit: Unit) -> None:
        unit.connectors.create(
            SCOPE,
            connector_id=CONNECTOR,
            arn=f"arn:aws:chime:us-east-1:000000000000:vc/{CONNECTOR}",
            name="asterisk",
            body={"AwsRegion": "us-east-1", "RequireEncryption": False},
            limit=None,
        )
        unit.connectors.set_streaming(SCOPE, CONNECTOR, streaming)

    with records(served) as store:
        store.write(work)


def announce(served: Served) -> str:
    call = str(uuid.uuid4())
    until_then = datetime.now(UTC) + timedelta(hours=1)
    with records(served) as store:
        store.write(lambda unit: unit.connectors.announce(SCOPE, CONNECTOR, call_id=call, expires_at=until_then))
    return call


def kept(served: Served, call: str) -> ConnectorCall | None:
    with records(served) as store:
        found = store.connector_calls.list(SCOPE, limit=100).items
    return next((each for each in found if each.call_id == call), None)


def door(served: Served) -> dict[str, Any]:
    """What `earwitness doors` shows of AudioSocket."""
    asked = subprocess.run(
        [sys.executable, "-m", "earwitness", "doors", "--url", served.url, "--json"],
        env=served.environment | {"EARWITNESS_CONFIG": os.devnull},
        capture_output=True,
        check=True,
        timeout=PATIENCE_SECONDS,
    )
    (found,) = [each for each in json.loads(asked.stdout)["doors"] if each["name"] == "audiosocket"]
    return found


def dial(served: Served) -> socket.socket:
    (address,) = door(served)["addresses"]
    return socket.create_connection((address["host"], address["port"]))


class Line:
    """A call in progress: it speaks a second at a time, and goes on when the service has heard it."""

    def __init__(self, served: Served, app: Application) -> None:
        self.call = announce(served)
        self._served, self._app = served, app
        self._seconds = 0
        self._socket = dial(served)
        self._socket.sendall(write_identity(self.call))
        self.say(bytes(SECOND_BYTES))
        until(lambda: kept(served, self.call))
        self.record = kept(served, self.call)
        assert self.record is not None
        self.stream = self.record.legs[0].stream_arn

    def say(self, audio: bytes) -> None:
        for first in range(0, len(audio), 320):
            self._socket.sendall(write_audio(audio[first : first + 320], rate=8_000))
        self._seconds += len(audio) // SECOND_BYTES

    def say_in_time(self, audio: bytes) -> None:
        for first in range(0, len(audio), SECOND_BYTES):
            self.say(audio[first : first + SECOND_BYTES])
            until(lambda: self.fragments() >= self._seconds)

    def fragments(self) -> int:
        endpoint = self._app.kinesis.get_data_endpoint(StreamARN=self.stream, APIName="LIST_FRAGMENTS")["DataEndpoint"]
        client = self._app.session.client("kinesis-video-archived-media", endpoint_url=endpoint)
        ever = {"StartTimestamp": datetime(2020, 1, 1, tzinfo=UTC), "EndTimestamp": datetime(2120, 1, 1, tzinfo=UTC)}
        selector = {"FragmentSelectorType": "SERVER_TIMESTAMP", "TimestampRange": ever}
        with closing(client):
            found = client.list_fragments(StreamARN=self.stream, MaxResults=1_000, FragmentSelector=selector)
        return len(found["Fragments"])

    def hang_up(self) -> None:
        self._socket.sendall(HANG_UP)
        assert self._socket.recv(10) == b""
        self.close()

    def close(self) -> None:
        self._socket.close()


def search(served: Served, app: Application, recording: Path, domain: str) -> tuple[str, list[dict[str, Any]]]:
    """A call that speaks a recording, with a task on it; the task and the details of its events."""
    line = Line(served, app)
    assert line.record is not None and line.record.pipeline_id is not None
    task = app.start(line.record.pipeline_id, domain)
    line.say_in_time(pcm(recording).read())
    line.hang_up()
    until(lambda: len(app.results(task)) == 2)
    ended = kept(served, line.call)
    assert ended is not None
    assert ended.status is CallStatus.ENDED
    return task, app.results(task)


def test_a_caller_is_enrolled_by_one_call_and_named_in_the_next(served: Served, app: Application) -> None:
    connect(served, app)
    domain = app.domain("callers")
    task, (unknown, printed) = search(served, app, first_call("sally"), domain)
    assert unknown["detailStatus"] == "IdentificationNoMatchesFound"
    assert printed["detailStatus"] == "VoiceprintGenerationSuccess"
    profile = app.voice.create_voice_profile(SpeakerSearchTaskId=task)["VoiceProfile"]["VoiceProfileId"]
    _, (named, _) = search(served, app, second_call("sally"), domain)
    assert named["detailStatus"] == "IdentificationSuccessful"
    assert named["speakerSearchDetails"]["results"][0]["voiceProfileId"] == profile


def test_what_listens_and_what_was_refused_is_shown(served: Served, app: Application) -> None:
    connect(served, app)
    stranger = dial(served)
    stranger.sendall(write_identity(str(uuid.uuid4())))
    assert stranger.recv(10) == HANG_UP
    stranger.close()
    line = Line(served, app)
    shown = door(served)
    assert shown["calls"] == 1
    (refusal,) = shown["refused"]
    assert refusal["count"] == 1
    assert "announced" in refusal["reason"]
    line.hang_up()


def test_a_service_that_is_killed_loses_no_more_than_the_last_second_of_a_call(
    served: Served, app: Application, settings_file: Path
) -> None:
    connect(served, app)
    line = Line(served, app)
    line.say_in_time(pcm(first_call("kal"), seconds=5.0).read())
    line.close()
    before = line.fragments()
    kill(served)
    again = start(served.data, settings_file=settings_file)
    until(lambda: (found := kept(again, line.call)) and found.status is CallStatus.FAILED)
    application = Application(again, "doors")
    line._app = application
    assert line.fragments() >= before >= 6
    application.close()
    stop(again)


def test_a_service_that_stops_ends_its_calls_with_their_last_fragment(
    served: Served, app: Application, settings_file: Path
) -> None:
    connect(served, app)
    line = Line(served, app)
    line.say_in_time(pcm(first_call("kal"), seconds=2.0).read())
    line.say(bytes(SECOND_BYTES // 2))
    assert door(served)["calls"] == 1
    stop(served)
    again = start(served.data, settings_file=settings_file)
    found = kept(again, line.call)
    assert found is not None
    assert (found.status, found.reason) == (CallStatus.FAILED, "the service stops")
    application = Application(again, "doors")
    line._app = application
    assert line.fragments() >= 4
    line.close()
    application.close()
    stop(again)
