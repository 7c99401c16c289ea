"""A call in progress, over a real media log: what is kept of it, whatever becomes of disk, records and line."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from door_world import (
    START,
    LogDesk,
    VirtualTime,
    access,
    eventually,
    fragments_of,
    log_desk,
    samples_of,
    stream_identity,
    tags_of,
    turns,
)

from earwitness.audio.pcm import Encoding, decode
from earwitness.doors import live_call
from earwitness.doors.events import Audio, AudioCoding, CallEnded, CallStarted, CallUpdated, Dtmf, Leg, LegStarted
from earwitness.doors.leg import LATE_SECONDS, LegTimeline
from earwitness.doors.leg_writer import AUDIO_WAITING_MAX, WAITING_MAX
from earwitness.doors.live_call import LiveCall
from earwitness.errors import BadRequest, Conflict, FragmentLogUnavailable, StoreUnavailable
from earwitness.fragments.stream import FragmentStream
from earwitness.voice.call import LEGS_MAX

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

CALLER = Leg(label="caller", is_caller=True, coding=AudioCoding.PCMU, rate=8_000)
OTHER = Leg(label="other", is_caller=False, coding=AudioCoding.PCMU, rate=8_000)
STARTED = CallStarted(call_id="call-1", legs=(CALLER, OTHER), from_number="+15550001", to_number="+15550002")


@pytest.fixture
def time() -> VirtualTime:
    return VirtualTime()


@pytest.fixture
async def desk(tmp_path: Path, time: VirtualTime) -> AsyncIterator[LogDesk]:
    async with log_desk(tmp_path, time.utc) as made:
        yield made


async def begun(desk: LogDesk, time: VirtualTime, started: CallStarted = STARTED) -> LiveCall:
    return await LiveCall.begin(desk, access(), started, door="test", clock=time.clock)


def packet(number: int, size: int = 160) -> bytes:
    return bytes([number % 100 + 1]) * size


async def talk(call: LiveCall, time: VirtualTime, seconds: float, *labels: str) -> bytes:
    """Packets of 20 ms in real time on these legs; return what was said on each."""
    said = b""
    for number in range(round(seconds * 50)):
        await time.passes(0.02)
        for label in labels:
            call.feed(Audio(label, packet(number)))
        said += packet(number)
    return said


async def test_a_call_of_two_legs_is_kept_as_it_was_spoken(desk: LogDesk, time: VirtualTime) -> None:
    call = await begun(desk, time)
    said = await talk(call, time, 2.5, "caller", "other")
    call.feed(Dtmf("caller"))
    call.feed(CallEnded("hung up"))
    await call.close()
    assert desk.ended == {"transaction-1": CallEnded("hung up")}
    for leg in (CALLER, OTHER):
        fragments = await fragments_of(call.kept.streams[leg.label])
        assert [one.info.duration_ms for one in fragments] == [1_000, 1_000, 500]
        assert [one.info.producer_timestamp - START for one in fragments] == [timedelta(seconds=n) for n in range(3)]
        np.testing.assert_array_equal(samples_of(fragments), decode(Encoding.MULAW, said))
        assert tags_of(fragments[0]) == {
            "TransactionId": "transaction-1",
            "VoiceConnectorId": access().connector_id,
            "CallId": "call-1",
            "Leg": leg.label,
            "From": "+15550001",
            "To": "+15550002",
        }
        assert desk.heard_of.count(call.kept.stream_arns[leg.label]) == 3
        assert set(desk.received) == {call.door}
        assert desk.received[call.door] > 0


@pytest.mark.parametrize(
    ("coding", "rate", "encoding"),
    [
        (AudioCoding.PCMU, 8_000, Encoding.MULAW),
        (AudioCoding.PCMA, 8_000, Encoding.ALAW),
        (AudioCoding.L16, 8_000, Encoding.S16LE),
        (AudioCoding.L16, 44_100, Encoding.S16LE),
    ],
)
async def test_what_is_kept_is_decoded_by_us_and_by_ffmpeg(
    desk: LogDesk, time: VirtualTime, tmp_path: Path, coding: AudioCoding, rate: int, encoding: Encoding
) -> None:
    leg = replace(CALLER, coding=coding, rate=rate)
    call = await begun(desk, time, replace(STARTED, legs=(leg,)))
    said = np.random.default_rng(1).integers(0, 255, round(1.3 * rate) * coding.sample_bytes, np.uint8).tobytes()
    call.feed(Audio("caller", said))
    await call.close()
    fragments = await fragments_of(call.kept.streams["caller"])
    np.testing.assert_array_equal(samples_of(fragments, rate=rate), decode(encoding, said))
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    file = tmp_path / "call.mkv"
    file.write_bytes(fragments[0].header + b"".join(one.cluster for one in fragments))
    probed = subprocess.run(
        ["ffprobe", "-v", "error", "-show_streams", "-of", "json", file], capture_output=True, check=True
    )
    (stream,) = json.loads(probed.stdout)["streams"]
    names = {AudioCoding.PCMU: "pcm_mulaw", AudioCoding.PCMA: "pcm_alaw", AudioCoding.L16: "pcm_s16le"}
    assert (stream["codec_name"], stream["sample_rate"], stream["channels"]) == (names[coding], str(rate), 1)
    pcm = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", file, "-f", "s16le", "-"], capture_output=True, check=True
    ).stdout
    heard = np.frombuffer(pcm, "<i2") / 32_768
    np.testing.assert_allclose(heard, decode(encoding, said), atol=1e-3)


async def test_a_hold_of_a_minute_is_silence_of_a_minute_on_each_leg(desk: LogDesk, time: VirtualTime) -> None:
    call = await begun(desk, time)
    first = await talk(call, time, 2.0, "caller", "other")
    await time.passes(60.0)
    arns = list(call.kept.stream_arns.values())
    await eventually(lambda: all(desk.heard_of.count(arn) >= 60 for arn in arns))
    second = await talk(call, time, 1.0, "caller")
    await call.close("hung up", failed=False)
    samples = samples_of(await fragments_of(call.kept.streams["caller"]))
    assert len(samples) == 63 * 8_000
    np.testing.assert_array_equal(samples[:16_000], decode(Encoding.MULAW, first))
    assert not samples[16_000 : 62 * 8_000].any()
    np.testing.assert_array_equal(samples[62 * 8_000 :], decode(Encoding.MULAW, second))
    other = samples_of(await fragments_of(call.kept.streams["other"]))
    assert len(other) >= 61 * 8_000


async def test_no_fragment_of_a_hold_is_later_than_is_promised(desk: LogDesk, time: VirtualTime) -> None:
    call = await begun(desk, time)
    await talk(call, time, 0.5, "caller")
    for second in range(1, 20):
        await time.passes(1.0)
        due = int(0.5 + second - LATE_SECONDS - 0.25)
        await eventually(lambda due=due: len(desk.heard_of) >= 2 * due)
    await call.close()
    for fragment in await fragments_of(call.kept.streams["caller"]):
        last = fragment.info.producer_timestamp + timedelta(milliseconds=fragment.info.duration_ms)
        assert fragment.info.server_timestamp - last <= timedelta(seconds=1.5)


async def test_a_caller_who_hangs_up_in_the_first_packet_leaves_one_fragment(desk: LogDesk, time: VirtualTime) -> None:
    call = await begun(desk, time)
    call.feed(Audio("caller", packet(3)))
    call.feed(CallEnded("hung up"))
    call.feed(Audio("caller", packet(4)))
    await call.close()
    (fragment,) = await fragments_of(call.kept.streams["caller"])
    assert fragment.info.duration_ms == 20
    assert len(samples_of([fragment])) == 160
    assert await fragments_of(call.kept.streams["other"]) == []
    assert list(desk.ended.values()) == [CallEnded("hung up")]


async def test_a_call_without_a_sound_ends_without_a_fragment(desk: LogDesk, time: VirtualTime) -> None:
    call = await begun(desk, time)
    await call.close("hung up", failed=False)
    await call.close()  # again
    assert desk.heard_of == []
    assert list(desk.ended.values()) == [CallEnded("hung up")]


async def test_the_legs_of_a_call_are_aligned_when_one_comes_later(desk: LogDesk, time: VirtualTime) -> None:
    call = await begun(desk, time, replace(STARTED, legs=(CALLER,)))
    await talk(call, time, 3.0, "caller")
    call.feed(LegStarted(OTHER))
    said = await talk(call, time, 2.0, "caller", "other")
    await call.close()
    caller, other = [samples_of(await fragments_of(call.kept.streams[label])) for label in ("caller", "other")]
    assert len(caller) == len(other) == 5 * 8_000
    assert not other[: 3 * 8_000].any()
    np.testing.assert_array_equal(other[3 * 8_000 :], decode(Encoding.MULAW, said))


async def test_a_leg_that_comes_after_hours_begins_at_its_own_time(desk: LogDesk, time: VirtualTime) -> None:
    call = await begun(desk, time, replace(STARTED, legs=(CALLER,)))
    await talk(call, time, 0.1, "caller")
    time.now += 7_200
    call.feed(LegStarted(OTHER))
    await talk(call, time, 1.0, "other")
    await call.close()
    (fragment,) = await fragments_of(call.kept.streams["other"])
    assert timedelta(hours=2) <= fragment.info.producer_timestamp - START <= timedelta(hours=2, seconds=1)


async def test_a_leg_whose_coding_changes_goes_on(desk: LogDesk, time: VirtualTime) -> None:
    call = await begun(desk, time, replace(STARTED, legs=(CALLER,)))
    await talk(call, time, 1.5, "caller")
    call.feed(LegStarted(replace(CALLER, coding=AudioCoding.PCMA)))
    call.feed(LegStarted(replace(CALLER, coding=AudioCoding.PCMA)))  # again changes nothing
    said = await talk(call, time, 1.0, "caller")
    await call.close()
    fragments = await fragments_of(call.kept.streams["caller"])
    assert [one.info.duration_ms for one in fragments] == [1_000, 500, 1_000]
    np.testing.assert_array_equal(samples_of(fragments[2:]), decode(Encoding.ALAW, said))


async def test_what_phone_systems_say_later_is_passed_on(desk: LogDesk, time: VirtualTime) -> None:
    call = await begun(desk, time)
    await talk(call, time, 1.0, "caller")
    await eventually(lambda: desk.heard_of)
    update = CallUpdated(to_number="+15550003")
    call.feed(update)
    await talk(call, time, 1.0, "caller")
    await call.close()
    assert desk.updated == [update]
    first, second = await fragments_of(call.kept.streams["caller"])
    assert (tags_of(first)["To"], tags_of(second)["To"]) == ("+15550002", "+15550003")
    assert tags_of(second)["From"] == "+15550001"


async def test_a_refused_call_leaves_nothing(desk: LogDesk, time: VirtualTime) -> None:
    first = await begun(desk, time)
    with pytest.raises(Conflict):
        await begun(desk, time)
    with pytest.raises(BadRequest):
        await begun(desk, time, replace(STARTED, call_id="2", legs=(replace(CALLER, rate=192_000),)))
    await first.close()
    assert list(desk.ended) == list(desk.begun) == ["transaction-1"]
    again = await begun(desk, time)
    await again.close()


class StandingStream:
    """A stream whose disk stands still until it is let go, or fails."""

    def __init__(self, stream: FragmentStream, gate: Any) -> None:
        self._stream, self._gate = stream, gate

    async def reserve(self) -> Any:
        return await self._stream.reserve()

    async def append(self, *arguments: Any, **more: Any) -> None:
        await self._gate()
        await self._stream.append(*arguments, **more)


async def test_a_disk_that_stands_still_slows_nobody_and_costs_ten_seconds_at_most(
    desk: LogDesk, time: VirtualTime, caplog: pytest.LogCaptureFixture
) -> None:
    gate = asyncio.Event()
    call = await begun(desk, time, replace(STARTED, legs=(CALLER,)))
    stream = call.kept.streams["caller"]
    line = call._lines["caller"]
    await line.writer.finish(seconds_max=1.0)
    line.writer._is_finishing = False
    line.writer.write_to(StandingStream(stream, gate.wait))  # type: ignore[arg-type]
    said = await talk(call, time, 30.0, "caller")
    assert desk.heard_of == []
    gate.set()
    await eventually(lambda: len(desk.heard_of) == 30)
    await call.close()
    samples = samples_of(await fragments_of(stream))
    kept = (1 + AUDIO_WAITING_MAX) * 8_000
    np.testing.assert_array_equal(samples[:kept], decode(Encoding.MULAW, said)[:kept])
    assert len(samples) == 30 * 8_000
    assert not samples[kept:].any()
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "audio of a call became silence: the disk is too slow for it"
    ]


async def test_a_full_disk_is_a_gap_and_the_call_goes_on(
    desk: LogDesk, time: VirtualTime, caplog: pytest.LogCaptureFixture
) -> None:
    call = await begun(desk, time, replace(STARTED, legs=(CALLER,)))
    stream = call.kept.streams["caller"]
    line = call._lines["caller"]
    await line.writer.finish(seconds_max=1.0)
    line.writer._is_finishing = False
    is_full = True

    async def gate() -> None:
        if is_full:
            raise FragmentLogUnavailable("the disk is full; make room")

    line.writer.write_to(StandingStream(stream, gate))  # type: ignore[arg-type]
    await talk(call, time, 3.0, "caller")
    await eventually(lambda: len(desk.heard_of) == 3)  # its pipeline hears that it lives
    is_full = False
    await talk(call, time, 2.0, "caller")
    await call.close()
    fragments = await fragments_of(stream)
    assert [one.info.producer_timestamp - START for one in fragments] == [timedelta(seconds=n) for n in (3, 4)]
    assert line.writer.counts.not_written == 3
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 1


def errors_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]


OURS = CallEnded("an error of ours", failed=True)


async def test_an_error_of_ours_in_a_leg_ends_the_call_and_is_told_once(
    desk: LogDesk, time: VirtualTime, caplog: pytest.LogCaptureFixture
) -> None:
    call = await begun(desk, time)

    async def gate() -> None:
        raise RuntimeError("a secret number")

    for label in ("caller", "other"):
        line = call._lines[label]
        await line.writer.finish(seconds_max=1.0)
        line.writer._is_finishing = False
        line.writer.write_to(StandingStream(call.kept.streams[label], gate))  # type: ignore[arg-type]
    await talk(call, time, 3.0, "caller", "other")
    await eventually(lambda: desk.ended)
    assert desk.ended == {"transaction-1": OURS}
    assert (call.broken_off, call.is_over) == (OURS.reason, True)
    assert errors_in(caplog) == ["a call failed"]
    assert "secret" not in caplog.text
    await call.close("hung up", failed=False)
    assert desk.ended == {"transaction-1": OURS}


async def test_an_error_of_ours_in_the_last_fragment_is_told(
    desk: LogDesk, time: VirtualTime, caplog: pytest.LogCaptureFixture
) -> None:
    call = await begun(desk, time, replace(STARTED, legs=(CALLER,)))

    async def gate() -> None:
        raise RuntimeError("a bug")

    line = call._lines["caller"]
    await line.writer.finish(seconds_max=1.0)
    line.writer._is_finishing = False
    line.writer.write_to(StandingStream(call.kept.streams["caller"], gate))  # type: ignore[arg-type]
    call.feed(Audio("caller", packet(1)))
    await call.close("hung up", failed=False)
    assert (desk.ended, errors_in(caplog)) == ({"transaction-1": OURS}, ["a call failed"])


@pytest.mark.parametrize("broken", ["elapse", "finish"])
async def test_an_error_of_ours_in_a_timeline_ends_the_call(
    desk: LogDesk, time: VirtualTime, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError("a bug")

    call = await begun(desk, time)
    monkeypatch.setattr(LegTimeline, broken, fail)
    await talk(call, time, 2.0, "caller")
    await call.close("hung up", failed=False)
    assert desk.ended == {"transaction-1": OURS}
    assert errors_in(caplog) == ["a call failed"]


async def test_an_error_of_ours_in_the_records_ends_the_call(
    desk: LogDesk, time: VirtualTime, caplog: pytest.LogCaptureFixture
) -> None:
    call = await begun(desk, time)
    desk.failures = [RuntimeError("a bug")]
    call.feed(CallUpdated(to_number="+15550003"))
    await eventually(lambda: desk.ended)
    assert (desk.ended, errors_in(caplog)) == ({"transaction-1": OURS}, ["a call failed"])
    await call.close()


async def test_an_end_that_cannot_be_told_by_an_error_of_ours_is_told_in_the_log(
    desk: LogDesk, time: VirtualTime, caplog: pytest.LogCaptureFixture
) -> None:
    call = await begun(desk, time)
    desk.failures = [RuntimeError("a bug")]
    await call.close()
    assert len(errors_in(caplog)) == 1


async def test_a_call_that_was_begun_and_could_not_go_on_is_ended(
    desk: LogDesk, time: VirtualTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a bug")

    monkeypatch.setattr(live_call, "LegWriter", fail)
    with pytest.raises(RuntimeError):
        await begun(desk, time)
    assert desk.ended == {"transaction-1": OURS}


async def test_a_stream_that_is_deleted_under_a_call_costs_its_leg_only(
    desk: LogDesk, time: VirtualTime, caplog: pytest.LogCaptureFixture
) -> None:
    call = await begun(desk, time)
    await talk(call, time, 1.0, "caller", "other")
    await eventually(lambda: len(desk.heard_of) == 2)
    await desk.log.delete_stream(stream_identity("transaction-1-caller"))
    for second in range(WAITING_MAX + 2):
        await talk(call, time, 1.0, "caller", "other")
        await eventually(lambda second=second: len(desk.heard_of) == 3 + second)
    await call.close()
    assert len(await fragments_of(call.kept.streams["other"])) == WAITING_MAX + 3
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 1
    assert list(desk.ended) == ["transaction-1"]


async def test_the_end_is_told_when_the_records_are_back(desk: LogDesk, time: VirtualTime) -> None:
    call = await begun(desk, time)
    desk.failures = [StoreUnavailable("the database is away"), StoreUnavailable("the database is away")]
    call.feed(CallEnded("hung up"))
    while not desk.ended:
        await time.passes(1.0)
    await call.close()


async def test_a_leg_that_begins_while_the_records_are_away_is_heard(desk: LogDesk, time: VirtualTime) -> None:
    call = await begun(desk, time, replace(STARTED, legs=(CALLER,)))
    desk.failures = [StoreUnavailable("the database is away"), StoreUnavailable("the database is away")]
    call.feed(LegStarted(OTHER))
    said = await talk(call, time, 5.0, "caller", "other")
    while "other" not in call.kept.streams:
        await time.passes(1.0)
    await call.close()
    heard = samples_of(await fragments_of(call.kept.streams["other"]))
    np.testing.assert_array_equal(heard[: 5 * 8_000], decode(Encoding.MULAW, said))


async def test_legs_that_are_too_many_have_no_stream(
    desk: LogDesk, time: VirtualTime, caplog: pytest.LogCaptureFixture
) -> None:
    legs = tuple(replace(CALLER, label=f"leg {number}") for number in range(LEGS_MAX + 2))
    call = await begun(desk, time, replace(STARTED, legs=legs))
    call.feed(LegStarted(replace(CALLER, label="one more")))
    await talk(call, time, 1.0, *(leg.label for leg in legs[:LEGS_MAX]))
    await call.close()
    streams = desk.begun["transaction-1"].streams
    assert list(streams) == [leg.label for leg in legs[:LEGS_MAX]]
    assert all([await fragments_of(stream) for stream in streams.values()])
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert told == ["a leg of a call is dropped: it has too many, or a rate that is not heard"]


async def test_changes_and_legs_without_end_are_bounded(
    desk: LogDesk, time: VirtualTime, caplog: pytest.LogCaptureFixture
) -> None:
    call = await begun(desk, time, replace(STARTED, legs=()))
    for number in range(1_000):
        call.feed(LegStarted(replace(CALLER, label=f"leg {number}")))
        call.feed(CallUpdated(from_number=str(number)))
        call.feed(LegStarted(replace(CALLER, label="leg 1", rate=8_000 + number)))
        call.feed(Audio(f"leg {number}", packet(number)))
        call.feed(Audio("nobody", b"x" * 100_000))
    await turns()
    await call.close()
    assert len(desk.begun["transaction-1"].streams) <= LEGS_MAX
    assert len(desk.updated) <= 200
    assert len({record.getMessage() for record in caplog.records}) == len(caplog.records)  # each once


async def test_a_door_that_goes_away_while_its_call_begins_leaves_no_call_behind(
    desk: LogDesk, time: VirtualTime
) -> None:
    beginning = asyncio.ensure_future(begun(desk, time))
    await asyncio.sleep(0)
    beginning.cancel()
    with pytest.raises(asyncio.CancelledError):
        await beginning
    await eventually(lambda: desk.ended)
    assert list(desk.ended) == list(desk.begun)
