"""Genesys AudioHook, with the messages that its reference client sends."""

import json
from typing import Any

import pytest

from earwitness.doors.audiohook import AudioHookClient, AudioHookSocket
from earwitness.doors.events import Audio, AudioCoding, CallEnded, CallStarted
from earwitness.doors.socket_core import HangUp, Opening, Output, Send
from earwitness.errors import BadRequest

ORGANIZATION = "d7934305-0972-4844-938e-9060eef73d05"
SESSION = "30b0e395-84d3-4570-ac13-9a62d8f514c0"
CONVERSATION = "9a1b0f6c-0000-4000-8000-000000000001"
STEREO = {"type": "audio", "format": "PCMU", "channels": ["external", "internal"], "rate": 8000}
OFFERED = [STEREO, {**STEREO, "channels": ["external"]}, {**STEREO, "channels": ["internal"]}]


class Client:
    """Counts messages as the reference client does."""

    def __init__(self, *, caller_label: str = "") -> None:
        headers = {"audiohook-organization-id": ORGANIZATION, "audiohook-session-id": SESSION}
        self.server = AudioHookSocket(Opening(headers=headers, query={}, caller_label=caller_label, call_id="new"))
        self.seq = 0
        self.serverseq = 0

    def says(self, kind: str, parameters: Any = None, **changes: Any) -> list[Output]:
        self.seq += 1
        message = {
            "version": "2",
            "id": SESSION,
            "type": kind,
            "seq": self.seq,
            "serverseq": self.serverseq,
            "position": "PT0S",
            "parameters": {} if parameters is None else parameters,
            **changes,
        }
        outputs = self.server.receive(json.dumps(message))
        for answer in answers(outputs):
            assert answer["version"] == "2"
            assert answer["id"] == SESSION
            assert answer["seq"] == self.serverseq + 1
            assert answer["clientseq"] == self.seq
            self.serverseq += 1
        return outputs

    def opens(self, **changes: Any) -> list[Output]:
        return self.says("open", {**open_parameters(), **changes})


def open_parameters() -> dict[str, Any]:
    return {
        "organizationId": ORGANIZATION,
        "conversationId": CONVERSATION,
        "participant": {"id": "p", "ani": "+1-555-555-1234", "aniName": "John Doe", "dnis": "+1-800-555-6789"},
        "media": OFFERED,
        "language": "en-US",
        "customConfig": {"queue": "7"},
    }


def answers(outputs: list[Output]) -> list[dict[str, Any]]:
    return [json.loads(output.text) for output in outputs if isinstance(output, Send)]


def test_a_call() -> None:
    client = Client()
    started, *_ = opened = client.opens()
    (answer,) = answers(opened)
    assert (answer["type"], answer["parameters"]) == ("opened", {"startPaused": False, "media": [STEREO]})
    assert isinstance(started, CallStarted)
    assert [(leg.label, leg.is_caller, leg.coding) for leg in started.legs] == [
        ("external", True, AudioCoding.PCMU),
        ("internal", False, AudioCoding.PCMU),
    ]
    assert (started.call_id, started.from_number, started.to_number) == (
        CONVERSATION,
        "+1-555-555-1234",
        "+1-800-555-6789",
    )
    assert client.server.receive(b"\1\2" * 160) == [
        Audio("external", b"\1" * 160, 0),
        Audio("internal", b"\2" * 160, 0),
    ]
    assert [answer["type"] for answer in answers(client.says("ping", {"rtt": "PT0.1S"}))] == ["pong"]
    assert client.says("paused") == []
    assert client.says("resumed", {"start": "PT0.02S", "discarded": "PT60.5S"}) == []
    assert client.server.receive(b"\1\2") == [Audio("external", b"\1", 484_160), Audio("internal", b"\2", 484_160)]
    assert client.says("discarded", {"start": "PT1S", "discarded": "PT2S"}) == []
    assert client.server.receive(b"\1\2")[0] == Audio("external", b"\1", 500_161)
    assert [answer["type"] for answer in answers(client.says("update", {"language": "de-DE"}))] == ["updated"]
    assert client.says("error", {"code": 429, "message": "slower"}) == []
    ended, farewell, last = client.says("close", {"reason": "end"})
    assert (ended, last) == (CallEnded("its phone system closed the session"), HangUp())
    assert [answer["type"] for answer in answers([farewell])] == ["closed"]
    assert client.server.receive(b"\1\2") == []
    assert client.server.stop() == []


def test_a_session_may_go_on_with_others() -> None:
    for former, is_continued in (([{"id": ORGANIZATION, "serverseq": 3, "clientseq": 5}], True), ([], False)):
        started = Client().opens(continuedSessions=former)[0]
        assert isinstance(started, CallStarted)
        assert started.is_continued is is_continued


def test_a_probe_is_no_call() -> None:
    for media in (OFFERED, []):
        client = Client()
        outputs = client.opens(conversationId="00000000-0000-0000-0000-000000000000", media=media)
        assert [answer["type"] for answer in answers(outputs)] == ["opened"]
        assert len(outputs) == 1
        assert client.server.receive(b"\1\2") == []
        assert [type(output) for output in client.says("close", {"reason": "end"})] == [Send, HangUp]


@pytest.mark.parametrize("channel", ["external", "internal"])
def test_one_channel_alone(channel: str) -> None:
    client = Client()
    started = client.opens(media=[{**STEREO, "channels": [channel]}])[0]
    assert isinstance(started, CallStarted)
    assert [leg.label for leg in started.legs] == [channel]
    assert client.server.receive(b"\1\2\3") == [Audio(channel, b"\1\2\3", 0)]


def test_who_the_caller_is_can_be_said() -> None:
    started = Client(caller_label="internal").opens()[0]
    assert isinstance(started, CallStarted)
    assert [leg.is_caller for leg in started.legs] == [False, True]


def test_a_stop_asks_for_another_connection() -> None:
    client = Client()
    assert [answer["type"] for answer in answers(client.server.stop())] == ["disconnect"]
    client = Client()
    client.opens()
    assert [answer["type"] for answer in answers(client.server.stop())] == ["reconnect"]


@pytest.mark.parametrize(
    "changes",
    [
        {"version": "1"},
        {"seq": 2},
        {"seq": "1"},
        {"serverseq": 1},
        {"serverseq": -1},
        {"serverseq": None},
        {"id": CONVERSATION},
        {"type": "opened"},
        {"type": 7},
    ],
)
def test_messages_that_are_out_of_order_or_of_others(changes: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        Client().says("open", open_parameters(), **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"organizationId": CONVERSATION},
        {"media": []},
        {"media": "all"},
        {"media": [7, None]},
        {"media": [{**STEREO, "format": "L16"}]},
        {"media": [{**STEREO, "channels": ["internal", "external"]}]},
        {"media": [{**STEREO, "rate": 16000}]},
    ],
)
def test_sessions_that_cannot_be_opened(changes: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        Client().opens(**changes)


def test_what_breaks_an_open_session() -> None:
    with pytest.raises(BadRequest):
        Client().server.receive(b"\1\2")
    for kind, parameters in (
        ("open", open_parameters()),
        ("discarded", {}),
        ("discarded", {"discarded": "1 s"}),
        ("resumed", {"discarded": "PT-1S"}),
        ("resumed", {"discarded": "PT99999999999S"}),
    ):
        client = Client()
        client.opens()
        with pytest.raises(BadRequest):
            client.says(kind, parameters)
    client = Client()
    client.opens()
    with pytest.raises(BadRequest):
        client.server.receive(b"\1\2\3")


def test_our_own_client_is_understood_and_understands() -> None:
    headers = {"audiohook-organization-id": ORGANIZATION, "audiohook-session-id": SESSION}
    server = AudioHookSocket(Opening(headers=headers, query={}, caller_label="", call_id="new"))
    client = AudioHookClient(session=SESSION, organization=ORGANIZATION, channels=("external", "internal"))
    told: list[str] = []

    def say(message: str | bytes) -> list[Output]:
        outputs = server.receive(message)
        told.extend(client.receive(each.text)[0] for each in outputs if isinstance(each, Send))
        return outputs

    started = say(client.open(CONVERSATION))[0]
    assert isinstance(started, CallStarted)
    assert started.call_id == CONVERSATION
    say(client.ping())
    assert say(client.audio([b"\1\2\3", b"\4\5\6"])) == [
        Audio("external", b"\1\2\3", 0),
        Audio("internal", b"\4\5\6", 0),
    ]
    client.audio([bytes(11_997), bytes(11_997)])
    later = AudioHookClient(session=CONVERSATION, organization=ORGANIZATION, channels=("external", "internal"))
    named = json.loads(later.open(CONVERSATION, former=client))["parameters"]["continuedSessions"]
    assert named == [{"id": SESSION, "serverseq": 2, "clientseq": 2}]
    last = client.close()
    assert json.loads(last)["position"] == "PT1.500S"
    say(last)
    assert told == ["opened", "pong", "closed"]
