"""Recordings placed as calls at a SIPREC door."""

import asyncio
import socket
import sys
import wave
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "doors"))

from door_world import LogDesk, access, eventually, fragments_of, log_desk, samples_of
from siprec_examples import CONNECTOR

from earwitness.dialer.place import place_call
from earwitness.dialer.plan import PlacedCall
from earwitness.doors.live_call import DoorClock
from earwitness.doors.siprec.listener import SiprecDoor
from earwitness.doors.siprec.settings import SiprecListening
from earwitness.errors import CallNotPlaced, ConfigurationError

LISTENING = SiprecListening(
    plain=("127.0.0.1", 0), tls=None, tls_context=None, media_address="", media_ports=(36_000, 41_999), calls_max=10
)
pytestmark = [pytest.mark.anyio, pytest.mark.slow]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[LogDesk]:
    async with log_desk(tmp_path, DoorClock().utc) as made:
        made.known[CONNECTOR] = access()
        yield made


@pytest.fixture
async def door(desk: LogDesk) -> AsyncIterator[SiprecDoor]:
    made = SiprecDoor(desk, LISTENING)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Two channels of 3 s: one speaks, the other is silent."""
    samples = np.zeros((24_000, 2), "<i2")
    samples[:, 0] = np.random.default_rng(1).integers(2_000, 9_000, 24_000)
    file = tmp_path / "call.wav"
    with wave.open(str(file), "wb") as written:
        written.setparams((2, 2, 8_000, 0, "NONE", ""))
        written.writeframes(samples.tobytes())
    return file


def url_of(door: SiprecDoor, connector: str = CONNECTOR) -> str:
    _, host, port = door.addresses[0]
    return f"siprec://{host}:{port}/{connector}"


async def test_a_recording_is_placed_on_two_legs(desk: LogDesk, door: SiprecDoor, recording: Path) -> None:
    placed = await asyncio.to_thread(place_call, [recording], to=url_of(door), speed=5.0)
    assert placed == PlacedCall(call_id=placed.call_id, seconds=3.0, legs=2)
    await eventually(lambda: desk.ended)
    assert not desk.ended["transaction-1"].failed
    started = desk.started[0][0]
    assert started.call_id == placed.call_id
    assert {leg.label: leg.is_caller for leg in started.legs} == {"caller": True, "callee": False}
    streams = desk.begun["transaction-1"].streams
    assert np.count_nonzero(samples_of(await fragments_of(streams["caller"]))) == 24_000
    assert np.count_nonzero(np.abs(samples_of(await fragments_of(streams["callee"]))) > 0.001) == 0


async def test_a_refusal_says_why(door: SiprecDoor, recording: Path) -> None:
    with pytest.raises(CallNotPlaced, match="404 Not Found"):
        await asyncio.to_thread(place_call, [recording], to=url_of(door, "nobody"))


async def test_a_call_that_its_door_lost_is_no_success(
    desk: LogDesk, door: SiprecDoor, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "earwitness.dialer.siprec.SipClient.hung_up", property(lambda _: False, lambda *_: None), raising=False
    )
    talks = asyncio.Event()
    loop = asyncio.get_running_loop()

    def told(_doing: str, _done: int, _total: int) -> None:
        loop.call_soon_threadsafe(talks.set)

    placing = asyncio.create_task(asyncio.to_thread(place_call, [recording], to=url_of(door), progress=told))
    await talks.wait()  # the call is answered: until then the door ends it with an answer of its own
    address = door.addresses[0][1:]
    await door.close()
    anew = SiprecDoor(desk, replace(LISTENING, plain=address))
    await anew.open()
    try:
        with pytest.raises(CallNotPlaced, match="481"):
            await placing
    finally:
        await anew.close()


async def test_where_nothing_answers(recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("earwitness.dialer.siprec.CONNECT_SECONDS_MAX", 0.1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        with pytest.raises(CallNotPlaced, match="nothing answers"):
            await asyncio.to_thread(place_call, [recording], to=f"siprec://127.0.0.1:{silent.getsockname()[1]}/x")


def test_an_address_without_a_connector_is_refused(recording: Path) -> None:
    with pytest.raises(ConfigurationError, match="connector"):
        place_call([recording], to="siprec://127.0.0.1:5060")
