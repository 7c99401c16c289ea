"""Raw audio over WebSockets, message by message: jambonz, FreeSWITCH, Vonage, Sinch, Asterisk."""

import json
import struct
from typing import Any

import pytest
from test_media_streams import core, heard

from earwitness.doors.events import Audio, AudioCoding, CallEnded, CallStarted, Dtmf
from earwitness.doors.socket_core import HangUp, Presented, Send
from earwitness.errors import BadRequest

JAMBONZ = {
    "callSid": "4f6d",
    "applicationSid": "0e0a",
    "accountSid": "fef6",
    "from": "+15083084809",
    "to": "+15085710838",
    "direction": "inbound",
    "callId": "5a88",
    "sampleRate": 16000,
    "mixType": "stereo",
    "metadata": {"queue": "7"},
}
"""As its documentation's example, made stereo."""


def legs_of(started: Any) -> list[tuple[str, bool, AudioCoding, int]]:
    assert isinstance(started, CallStarted)
    return [(leg.label, leg.is_caller, leg.coding, leg.rate) for leg in started.legs]


def test_jambonz_in_stereo() -> None:
    jambonz = core("jambonz")
    (started,) = heard(jambonz, JAMBONZ)
    assert legs_of(started) == [("left", True, AudioCoding.L16, 16000), ("right", False, AudioCoding.L16, 16000)]
    assert isinstance(started, CallStarted)
    assert (started.call_id, started.from_number, started.is_inbound) == ("4f6d", "+15083084809", True)
    interleaved = struct.pack("<6h", 1, -1, 2, -2, 3, -3)
    assert heard(jambonz, interleaved) == [
        Audio("left", struct.pack("<3h", 1, 2, 3)),
        Audio("right", struct.pack("<3h", -1, -2, -3)),
    ]
    # Messages may end anywhere.
    assert heard(jambonz, interleaved[:3], interleaved[3:]) == [
        Audio("left", struct.pack("<3h", 1, 2, 3)),
        Audio("right", struct.pack("<3h", -1, -2, -3)),
    ]
    assert heard(jambonz, {"event": "dtmf", "dtmf": "2"}, "no JSON", {"event": "else"}) == [Dtmf("left")]


def test_the_caller_may_be_on_the_right() -> None:
    (started,) = heard(core("jambonz", caller_label="right"), {**JAMBONZ, "direction": "outbound"})
    assert [leg[:2] for leg in legs_of(started)] == [("left", False), ("right", True)]
    assert isinstance(started, CallStarted)
    assert not started.is_inbound


def test_freeswitch_may_say_anything_or_nothing() -> None:
    (started,) = heard(core("freeswitch-fork"), {"callId": "u", "sampleRate": 16000, "mixType": "mono"})
    assert legs_of(started) == [("audio", True, AudioCoding.L16, 16000)]
    (started,) = heard(core("freeswitch-fork", call="u", rate="8000", mix="stereo"), "just a note")
    assert [leg[0] for leg in legs_of(started)] == ["left", "right"]
    assert isinstance(started, CallStarted)
    assert started.call_id == "u"
    stream = core("freeswitch-stream", call="u", rate="16000", channels="1")
    started, audio = heard(stream, b"\1\0\2\0")
    assert legs_of(started) == [("audio", True, AudioCoding.L16, 16000)]
    assert audio == Audio("audio", b"\1\0\2\0")
    with pytest.raises(BadRequest):
        heard(core("freeswitch-stream"), b"\1\0")  # nothing names the call


def test_vonage() -> None:
    vonage = core("vonage")
    first = {"event": "websocket:connected", "content-type": "audio/l16;rate=16000", "callId": "v", "token": "t"}
    presented, started = heard(vonage, first)
    assert presented == Presented("t")
    assert legs_of(started) == [("audio", True, AudioCoding.L16, 16000)]
    assert heard(vonage, {"event": "websocket:dtmf", "digit": "5", "duration": 260}) == [Dtmf("audio")]
    assert heard(vonage, {"event": "websocket:disconnected"}, b"\0\0") == [
        CallEnded("its phone system hung up"),
        HangUp(),
    ]


@pytest.mark.parametrize("headers", [{"token": "t", "foo": "bar"}, [{"key": "token", "value": "t"}, {"key": "foo"}]])
def test_sinch_is_answered(headers: Any) -> None:
    first = {
        "command": "connect",
        "version": 1,
        "callId": "s",
        "applicationKey": "k",
        "codec": "PCM",
        "sampleRate": 8000,
        "callHeaders": headers,
    }
    presented, answer, started = heard(core("sinch"), first)
    assert presented == Presented("t")
    assert isinstance(answer, Send)
    assert json.loads(answer.text) == {"command": "answer"}
    assert isinstance(started, CallStarted)
    assert started.call_id == "s"


@pytest.mark.parametrize(
    ("kind", "messages"),
    [
        ("jambonz", ["no JSON"]),
        ("jambonz", [b"\0\0"]),
        ("jambonz", [{**JAMBONZ, "sampleRate": "x"}]),
        ("jambonz", [{**JAMBONZ, "mixType": None, "channels": 3}]),
        ("vonage", [{"event": "websocket:dtmf"}]),
        ("vonage", [{"event": "websocket:connected", "content-type": "audio/opus"}]),
        ("sinch", [{"command": "connect", "codec": "OPUS"}]),
        ("sinch", [{"command": "answer"}]),
        ("asterisk", [b"\0"]),
        ("asterisk", ["MEDIA_START format:opus"]),
        ("asterisk", ["MEDIA_START"]),
        ("asterisk", ["MEDIA_START format:ulaw", "MEDIA_START format:alaw"]),
        ("asterisk", ["{broken"]),
    ],
)
def test_what_breaks_these_protocols(kind: str, messages: list[Any]) -> None:
    with pytest.raises(BadRequest):
        heard(core(kind), *messages)


TEXT_START = (
    "MEDIA_START connection_id:media_connection1 channel:WebSocket/media_connection1/0x5140001a0 "
    "channel_id:1790617675.20 format:ulaw optimal_frame_size:160 ptime:20"
)
JSON_START = json.dumps(
    {
        "event": "MEDIA_START",
        "connection_id": "media_connection1",
        "channel": "WebSocket/media_connection1/0x5140001a0",
        "channel_id": "1790617675.20",
        "format": "slin16",
        "optimal_frame_size": 640,
        "ptime": 20,
        "channel_variables": {"token": "t", "CALLERID(num)": "+15550001", "queue": "7"},
    }
)


def test_asterisk_in_text() -> None:
    asterisk = core("asterisk")
    (started,) = heard(asterisk, TEXT_START)
    assert legs_of(started) == [("caller", True, AudioCoding.PCMU, 8000)]
    assert isinstance(started, CallStarted)
    assert started.call_id == "1790617675.20"
    assert heard(asterisk, b"\xff" * 160, "MEDIA_XOFF", "MEDIA_XON", "DTMF_END digit:5", "", "QUEUE_DRAINED") == [
        Audio("caller", b"\xff" * 160),
        Dtmf("caller"),
    ]
    assert asterisk.stop() == [Send("HANGUP")]


def test_asterisk_in_json() -> None:
    asterisk = core("asterisk", **{"from": "+1666"})
    assert asterisk.stop() == []
    presented, started = heard(asterisk, JSON_START)
    assert presented == Presented("t")
    assert legs_of(started) == [("caller", True, AudioCoding.L16, 16000)]
    assert isinstance(started, CallStarted)
    assert started.from_number == "+1666"
    assert heard(asterisk, b"\1", b"\2\3\4\5", b"\6") == [
        Audio("caller", b"\1\2\3\4"),
        Audio("caller", b"\5\6"),
    ]
    (farewell,) = asterisk.stop()
    assert isinstance(farewell, Send)
    assert json.loads(farewell.text) == {"command": "HANGUP"}
