"""Recordings placed as calls at real doors."""

import asyncio
import gc
import socket
import struct
import sys
import uuid
import wave
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "doors"))

from door_world import LogDesk, access, eventually, fragments_of, log_desk, samples_of

from earwitness.dialer.place import place_call
from earwitness.dialer.plan import PlacedCall
from earwitness.dialer.speech import Pace, speech_of
from earwitness.doors.audiosocket_door import AudioSocketDoor
from earwitness.doors.live_call import DoorClock
from earwitness.errors import AudioUnreadable, CallNotPlaced, ConfigurationError

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SPEECH = np.random.default_rng(1).integers(-9_000, 9_000, 24_000, np.int16)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[LogDesk]:
    async with log_desk(tmp_path, DoorClock().utc) as made:
        yield made


@pytest.fixture
async def door(desk: LogDesk) -> AsyncIterator[AudioSocketDoor]:
    made = AudioSocketDoor(desk, host="127.0.0.1", port=0)
    await made.open()
    yield made
    await made.close()


def recording(folder: Path, *, rate: int = 8_000, channels: int = 1) -> Path:
    file = folder / f"{rate}-{channels}.wav"
    with wave.open(str(file), "wb") as written:
        written.setparams((channels, 2, rate, 0, "NONE", ""))
        written.writeframes(np.repeat(SPEECH, channels).astype("<i2").tobytes())
    return file


def url_of(door: AudioSocketDoor, call: str) -> str:
    _, host, port = door.addresses[0]
    return f"audiosocket://{host}:{port}/{call}"


@pytest.mark.parametrize(("rate", "sent_as"), [(8_000, 8_000), (16_000, 16_000), (22_050, 8_000)])
async def test_a_recording_is_placed_as_it_was_spoken(
    desk: LogDesk, door: AudioSocketDoor, tmp_path: Path, rate: int, sent_as: int
) -> None:
    call = str(uuid.uuid4())
    desk.expected[call] = access()
    shown: list[tuple[int, int]] = []
    placed = await asyncio.to_thread(
        place_call,
        [recording(tmp_path, rate=rate)],
        to=url_of(door, call),
        speed=50.0,
        progress=lambda _doing, done, total: shown.append((done, total)),
    )
    assert placed.seconds == pytest.approx(24_000 / rate, abs=0.001)
    assert placed == PlacedCall(call_id=call, seconds=placed.seconds, legs=1)
    assert shown[-1][0] == shown[-1][1] == round(24_000 / rate)
    await eventually(lambda: desk.ended)
    samples = samples_of(await fragments_of(desk.begun["transaction-1"].streams["caller"]), rate=sent_as)
    assert len(samples) == round(24_000 * sent_as / rate)
    if rate == sent_as:
        np.testing.assert_array_equal(samples, SPEECH.astype(np.float32) / 32_768)
    assert not desk.ended["transaction-1"].failed


async def test_a_door_that_hangs_up_is_told(door: AudioSocketDoor, tmp_path: Path) -> None:
    with pytest.raises(CallNotPlaced, match="announced"):
        await asyncio.to_thread(place_call, [recording(tmp_path)], to=url_of(door, str(uuid.uuid4())))


async def test_a_door_that_resets_the_connection_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        connection: socket.socket = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async with await asyncio.start_server(reset, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        with pytest.raises(CallNotPlaced, match="announced"):
            await asyncio.to_thread(place_call, [recording(tmp_path)], to=f"audiosocket://{host}:{port}/{uuid.uuid4()}")
    gc.collect()  # a task whose exception nobody asked for says so when it goes
    assert [each.message for each in caplog.records if each.name == "asyncio"] == []


async def test_addresses_and_recordings_that_cannot_be_used(door: AudioSocketDoor, tmp_path: Path) -> None:
    call, file = str(uuid.uuid4()), recording(tmp_path)
    for wrong in ("http://here/", "audiosocket://127.0.0.1:99999/x", "audiosocket://127.0.0.1:9/x", "sip"):
        with pytest.raises(ConfigurationError):
            await asyncio.to_thread(place_call, [file], to=wrong)
    with pytest.raises(ConfigurationError, match="no host or port"):
        await asyncio.to_thread(place_call, [file], to=f"audiosocket:///{call}")
    with pytest.raises(ConfigurationError, match="caller alone"):
        await asyncio.to_thread(place_call, [file, file], to=url_of(door, call))
    with pytest.raises(AudioUnreadable, match="one or two legs"):
        await asyncio.to_thread(place_call, [file] * 3, to=url_of(door, call))
    await door.close()
    with pytest.raises(CallNotPlaced, match="nothing takes AudioSocket"):
        await asyncio.to_thread(place_call, [file], to=f"audiosocket://127.0.0.1:1/{call}")


def test_two_files_and_two_channels_are_two_legs(tmp_path: Path) -> None:
    for files in ([recording(tmp_path, channels=2)], [recording(tmp_path), recording(tmp_path, rate=16_000)]):
        speech = speech_of(files, rate_of=lambda _: 8_000)
        assert [len(leg) for leg in speech.legs] == [24_000, 24_000]
        assert speech.seconds == 3.0
        assert [len(chunk) for chunk, _ in speech.chunks()] == [160] * 150


async def test_a_pace_waits_for_what_is_not_spoken_yet() -> None:
    now, slept = [0.0], []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    pace = Pace(speed=2.0, clock=lambda: now[0], sleep=sleep)
    await pace.until(1.0)
    now[0] += 5.0
    await pace.until(2.0)
    await pace.until(20.0)
    assert slept == [0.5, 4.5]
