"""Twilio's Media Streams and its relatives, message by message."""

import base64
import json
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamdouble.protocol import MediaStreamEncoder

from earwitness.doors.events import Audio, AudioCoding, CallEnded, CallStarted, Dtmf, LegStarted
from earwitness.doors.media_streams import ChunkPlaces
from earwitness.doors.socket_core import NAME_CHARACTERS_MAX, Account, HangUp, Opening, Output, Presented, SocketCore
from earwitness.doors.socket_kinds import KINDS
from earwitness.errors import BadRequest

SILENCE = b"\xff" * 160


def core(kind: str = "twilio", *, caller_label: str = "", **query: str) -> SocketCore:
    return KINDS[kind].core(Opening(headers={}, query=query, caller_label=caller_label, call_id="new"))


def heard(of: SocketCore, *messages: Any) -> list[Output]:
    return [
        output
        for message in messages
        for output in of.receive(json.dumps(message) if isinstance(message, dict) else message)
    ]


def start(**changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "accountSid": "AC1",
        "streamSid": "MZ1",
        "callSid": "CA1",
        "tracks": ["inbound", "outbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {},
    }
    return {"event": "start", "sequenceNumber": "1", "streamSid": "MZ1", "start": {**fields, **changes}}


def media(data: bytes = SILENCE, *, track: str = "inbound", ms: Any = "0", **changes: Any) -> dict[str, Any]:
    payload = base64.b64encode(data).decode()
    inner = {"track": track, "chunk": "1", "timestamp": ms, "payload": payload, **changes}
    return {"event": "media", "sequenceNumber": "2", "streamSid": "MZ1", "media": inner}


def test_a_call_of_a_simulator_that_is_not_ours() -> None:
    made = MediaStreamEncoder()
    parameters = {"From": "+15550001", "to": "+15550002", "Token": "secret", "queue": "7"}
    tracks = ["inbound", "outbound"]
    twilio = core()
    begun = heard(twilio, made.connected(), made.start(tracks=tracks, custom_parameters=parameters))
    account, presented = made.identity.account_sid, Presented("secret")
    assert begun[:2] == [presented, Account(account)]
    started = begun[2]
    assert isinstance(started, CallStarted)
    assert (started.call_id, started.from_number, started.to_number) == (
        made.identity.call_sid,
        "+15550001",
        "+15550002",
    )
    assert [(leg.label, leg.is_caller, leg.coding, leg.rate) for leg in started.legs] == [
        ("inbound", True, AudioCoding.PCMU, 8000),
        ("outbound", False, AudioCoding.PCMU, 8000),
    ]
    places = {"inbound": [], "outbound": []}
    for number in range(6):
        track = tracks[number % 2]
        for output in heard(twilio, made.media(bytes([number]) * 160, track=track)):
            assert isinstance(output, Audio)
            assert output.data == bytes([number]) * 160
            places[output.label].append(output.at)
    assert places == {"inbound": [0, 160, 320], "outbound": [0, 160, 320]}
    assert heard(twilio, made.dtmf("5")) == [Dtmf("inbound")]
    assert heard(twilio, made.stop()) == [CallEnded("its phone system stopped the stream"), HangUp()]
    assert heard(twilio, made.stop() if not made.stopped else {"event": "stop"}) == []


TELNYX = [
    {"event": "connected", "version": "1.0.0"},
    {
        "event": "start",
        "sequence_number": "1",
        "stream_id": "32DE",
        "start": {
            "user_id": "3E6F",
            "call_control_id": "v2:T02l",
            "call_session_id": "ff55",
            "from": "+13122010094",
            "to": "+13122123456",
            "tags": ["TAG1"],
            "custom_parameters": {"customer_id": "c1", "token": "t"},
            "media_format": {"encoding": "PCMA", "sample_rate": 8000, "channels": 1},
        },
    },
]
"""As its documentation has them."""


def test_telnyx_keeps_no_order_and_names_no_tracks() -> None:
    telnyx = core("telnyx")
    presented, started = heard(telnyx, *TELNYX)
    assert presented == Presented("t")
    assert isinstance(started, CallStarted)
    assert (started.call_id, started.from_number) == ("v2:T02l", "+13122010094")
    assert [(leg.label, leg.coding) for leg in started.legs] == [("inbound", AudioCoding.PCMA)]

    def chunk(track: str, ms: str) -> list[Output]:
        inner = {"track": track, "chunk": "4", "timestamp": ms, "payload": base64.b64encode(SILENCE).decode()}
        return heard(telnyx, {"event": "media", "stream_id": "32DE", "media": inner})

    assert chunk("inbound", "100") == [Audio("inbound", SILENCE, 0)]
    assert chunk("inbound", "140") == [Audio("inbound", SILENCE, 320)]
    assert chunk("inbound", "120") == [Audio("inbound", SILENCE, 160)]
    leg, audio = chunk("outbound", "120")
    assert isinstance(leg, LegStarted)
    assert (leg.leg.label, leg.leg.is_caller) == ("outbound", False)
    assert audio == Audio("outbound", SILENCE, 0)


@pytest.mark.parametrize(
    ("kind", "told", "found"),
    [
        (
            "plivo",
            {
                "event": "start",
                "sequenceNumber": 0,
                "start": {
                    "callId": "c",
                    "streamId": "s",
                    "accountId": "a",
                    "tracks": ["inbound"],
                    "mediaFormat": {"encoding": "audio/x-l16", "sampleRate": 16000},
                },
            },
            ("c", AudioCoding.L16, 16000),
        ),
        (
            "exotel",
            {
                "event": "start",
                "stream_sid": "s",
                "start": {
                    "stream_sid": "s",
                    "call_sid": "c",
                    "account_sid": "a",
                    "from": "1",
                    "to": "2",
                    "media_format": {"encoding": "base64", "sample_rate": "8000", "bit_rate": "128kbps"},
                },
            },
            ("c", AudioCoding.L16, 8000),
        ),
        (
            "signalwire",
            {"event": "start", "start": {"streamSid": "s", "callSid": "c", "tracks": ["inbound_track"]}},
            ("c", AudioCoding.PCMU, 8000),
        ),
        ("fonoster", {"event": "start", "streamSid": "s", "start": {}}, ("s", AudioCoding.PCMU, 8000)),
        ("fonoster", {"event": "start"}, ("new", AudioCoding.PCMU, 8000)),
    ],
)
def test_relatives(kind: str, told: dict[str, Any], found: tuple[str, AudioCoding, int]) -> None:
    started = heard(core(kind), told)[-1]
    assert isinstance(started, CallStarted)
    assert (started.call_id, started.legs[0].coding, started.legs[0].rate) == found


def test_the_order_in_which_tracks_are_named_swaps_nobody() -> None:
    for tracks in (["outbound", "inbound"], ["outbound_track", "inbound_track", "outbound"]):
        started = heard(core(), start(tracks=tracks))[-1]
        assert isinstance(started, CallStarted)
        assert [(leg.label, leg.is_caller) for leg in started.legs] == [("inbound", True), ("outbound", False)]
    started = heard(core(), start(tracks=["outbound"]))[-1]
    assert isinstance(started, CallStarted)
    assert [(leg.label, leg.is_caller) for leg in started.legs] == [("outbound", False)]


def test_who_the_caller_is_can_be_said() -> None:
    started = heard(core(caller_label="outbound"), start())[-1]
    assert isinstance(started, CallStarted)
    assert [(leg.label, leg.is_caller) for leg in started.legs] == [("inbound", False), ("outbound", True)]


@pytest.mark.parametrize(
    "messages",
    [
        ["no JSON"],
        ["[1]"],
        ["\x00"],
        [b"\0\0"],
        [media()],
        [start(), start()],
        [start(), b"\0\0"],
        [start(), media(payload="%%%")],
        [start(), media(payload="ÿÿÿÿ")],
        [start(), media(payload="AAA")],
        [start(), media(payload=7)],
        [start(), {**media(), "streamSid": "MZ2"}],
        [start(), {"event": "media", "streamSid": "MZ1"}],
        [start(mediaFormat={"encoding": "audio/opus"})],
        [start(mediaFormat={"encoding": "audio/x-l16", "sampleRate": 16000})],
        [start(mediaFormat={"sampleRate": "fast"})],
        [start(mediaFormat={"sampleRate": -1})],
        [start(mediaFormat={"sampleRate": True})],
        [start(mediaFormat={"channels": 2})],
    ],
)
def test_what_breaks_the_protocol(messages: list[Any]) -> None:
    with pytest.raises(BadRequest):
        heard(core(), *messages)


def test_what_is_passed_over() -> None:
    twilio = core()
    assert heard(twilio, {"event": "stop"}) == [HangUp()]  # nothing began
    twilio = core()
    assert heard(twilio, {"event": "news"}, {"event": 7}, {}, {"event": "dtmf"}, {"event": "mark"}) == []
    heard(twilio, start(tracks=["inbound"]))
    assert heard(twilio, media(track="outbound"), media(track="third"), {"event": "mark"}) == []
    assert heard(twilio, {"event": "stop"}, media(), start(), b"\0") == [
        CallEnded("its phone system stopped the stream"),
        HangUp(),
    ]


def test_of_what_is_attached_only_numbers_are_kept_and_cut() -> None:
    parameters = {"queue": "dropped", "from": "9" * 5_000, "Token": "t"}
    presented, _, started = heard(core(), start(customParameters=parameters))
    assert presented == Presented("t")
    assert isinstance(started, CallStarted)
    assert started.from_number == "9" * NAME_CHARACTERS_MAX
    assert "dropped" not in str(asdict(started))


def test_a_call_of_eight_hours_and_clocks_that_jump() -> None:
    places = ChunkPlaces(8_000)
    hours = 8 * 3_600_000
    assert [places.place(ms, 160) for ms in (5, 25, 46, 64, 85)] == [0, 160, 320, 480, 640]  # it jitters
    assert places.place(hours + 5, 160) == hours * 8
    assert places.place(hours + 26, 160) == hours * 8 + 160
    assert places.place(0, 160) is None
    assert places.place(None, 160) is None
    # A lost chunk leaves its place free, and a late one finds it.
    places = ChunkPlaces(8_000)
    assert [places.place(ms, 160) for ms in (0, 40, 20, 60)] == [0, 320, 160, 480]


@given(st.lists(st.integers(-(2**40), 2**40), max_size=30), st.integers(1, 4_000))
def test_places_never_go_before_the_first(times: list[int], samples: int) -> None:
    places = ChunkPlaces(8_000)
    for ms in times:
        at = places.place(ms, samples)
        assert at is None or at >= 0
