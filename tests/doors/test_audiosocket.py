"""AudioSocket's frames: bytes in, events out. The first vectors are of Asterisk's own documentation."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earwitness.doors.audiosocket import (
    HANG_UP,
    RATE_OF_TYPE,
    AudioSocketEvent,
    AudioSocketReader,
    CallNamed,
    UnknownFrame,
    write_audio,
    write_frame,
    write_identity,
)
from earwitness.doors.events import Audio, AudioCoding, CallEnded, CallStarted, Dtmf, Leg, LegStarted
from earwitness.errors import BadRequest

CALL = "8c8b5d2e-2c1b-4a7e-9f4f-7a1f6a3f0f11"
AUDIO = bytes(range(160)) * 2


def leg(rate: int = 8_000) -> Leg:
    return Leg(label="caller", is_caller=True, coding=AudioCoding.L16, rate=rate)


def test_a_call_as_asterisk_sends_it() -> None:
    told = AudioSocketReader().feed(
        bytes.fromhex("01 0010 8c8b5d2e2c1b4a7e9f4f7a1f6a3f0f11")
        + bytes.fromhex("10 0140") + AUDIO
        + bytes.fromhex("03 0001 35")
        + bytes.fromhex("10 0140") + AUDIO
        + bytes.fromhex("00 0000")
        + bytes.fromhex("10 0140") + AUDIO
    )  # fmt: skip
    assert told == [
        CallNamed(CALL),
        CallStarted(call_id=CALL, legs=(leg(),)),
        Audio("caller", AUDIO),
        Dtmf("caller"),
        Audio("caller", AUDIO),
        CallEnded("hung up"),
    ]


@pytest.mark.parametrize(("kind", "rate"), [(kind, rate) for kind, rate in RATE_OF_TYPE.items() if rate <= 48_000])
def test_the_type_of_a_frame_is_its_rate(kind: int, rate: int) -> None:
    told = AudioSocketReader().feed(write_identity(CALL) + write_frame(kind, AUDIO))
    assert told[1:] == [CallStarted(call_id=CALL, legs=(leg(rate),)), Audio("caller", AUDIO)]
    assert write_audio(AUDIO, rate=rate) == write_frame(kind, AUDIO)


@pytest.mark.parametrize("kind", [0x17, 0x18])
def test_rates_that_nobody_hears_are_refused(kind: int) -> None:
    with pytest.raises(BadRequest, match="send 8000 to 48000 Hz"):
        AudioSocketReader().feed(write_identity(CALL) + write_frame(kind, AUDIO))


def test_another_rate_is_a_leg_with_other_audio() -> None:
    reader = AudioSocketReader()
    reader.feed(write_identity(CALL) + write_audio(AUDIO, rate=8_000))
    assert reader.feed(write_audio(AUDIO, rate=16_000)) == [LegStarted(leg(16_000)), Audio("caller", AUDIO)]


def test_an_unknown_type_and_a_second_uuid_are_passed_over() -> None:
    reader = AudioSocketReader()
    told = reader.feed(write_identity(CALL) + write_frame(0x42, b"?") + write_identity(CALL) + write_frame(0x10))
    assert told == [CallNamed(CALL), UnknownFrame(0x42), UnknownFrame(1), CallStarted(call_id=CALL, legs=(leg(),))]


def test_an_error_and_a_lost_connection_are_failures() -> None:
    reader = AudioSocketReader()
    assert reader.feed(write_identity(CALL) + write_frame(0xFF, b"\1"))[1:] == [
        CallEnded("Asterisk reported an error", failed=True)
    ]
    assert reader.close() == []
    (lost,) = AudioSocketReader().close()
    assert isinstance(lost, CallEnded)
    assert lost.failed


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n", HANG_UP, write_audio(AUDIO, rate=8_000), b"\x01\x00\x11"])
def test_what_does_not_begin_with_a_uuid_is_refused_at_once(data: bytes) -> None:
    with pytest.raises(BadRequest, match="begins with the UUID"):
        AudioSocketReader().feed(data)


def test_what_cannot_be_written_is_refused() -> None:
    for wrong in (lambda: write_identity("not a uuid"), lambda: write_audio(b"", rate=11_025)):
        with pytest.raises(BadRequest):
            wrong()
    with pytest.raises(ValueError, match="65,535"):
        write_frame(0x10, bytes(65_536))


FRAMES = st.lists(
    st.one_of(
        st.builds(write_audio, st.binary(max_size=700), rate=st.sampled_from([8_000, 16_000])),
        st.builds(
            write_frame, st.integers(0, 255).filter(lambda kind: kind not in (0x17, 0x18)), st.binary(max_size=9)
        ),
    ),
    max_size=30,
)


@pytest.mark.slow
@given(FRAMES, st.lists(st.integers(1, 400), max_size=60), st.uuids())
def test_events_do_not_depend_on_how_bytes_are_cut(frames: list[bytes], cuts: list[int], call: uuid.UUID) -> None:
    data = write_identity(str(call)) + b"".join(frames)
    whole = AudioSocketReader().feed(data)
    reader, told, at = AudioSocketReader(), list[AudioSocketEvent](), 0
    for cut in [*cuts, len(data)]:
        told += reader.feed(data[at : at + cut])
        at += cut
    told += reader.feed(data[at:])
    assert told == whole
