"""The AudioSocket door over real sockets and a real media log: who may call, and what becomes of strangers."""

import asyncio
import socket
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest
from door_world import LogDesk, VirtualTime, access, eventually, fragments_of, log_desk, samples_of

from earwitness.doors.audiosocket import (
    HANG_UP,
    AudioSocketEvent,
    AudioSocketReader,
    write_audio,
    write_frame,
    write_identity,
)
from earwitness.doors.audiosocket_door import AudioSocketDoor
from earwitness.doors.events import CallEnded, DoorEvent
from earwitness.doors.live_call import LiveCall
from earwitness.errors import ConfigurationError, StoreUnavailable

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SPEECH = np.random.default_rng(1).integers(-9_000, 9_000, 12_000, np.int16)
SECONDS_AND_A_HALF = [SPEECH[first : first + 160].astype("<i2").tobytes() for first in range(0, 12_000, 160)]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[LogDesk]:
    async with log_desk(tmp_path, VirtualTime().utc) as made:
        yield made


@pytest.fixture
async def door(desk: LogDesk) -> AsyncIterator[AudioSocketDoor]:
    made = AudioSocketDoor(desk, host="127.0.0.1", port=0, clock=VirtualTime().clock)
    await made.open()
    yield made
    await made.close()


def announced(desk: LogDesk, **changes: object) -> str:
    call = str(uuid.uuid4())
    desk.expected[call] = access(**changes)
    return call


class Asterisk:
    """The other side of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def dial(cls, door: AudioSocketDoor) -> "Asterisk":
        _, host, port = door.addresses[0]
        return cls(*await asyncio.open_connection(host, port))

    async def say(self, *frames: bytes) -> None:
        self._writer.writelines(frames)
        await self._writer.drain()

    async def rest(self) -> bytes:
        """What the door says until it closes."""
        try:
            return await self._reader.read()
        except ConnectionResetError:
            return b""

    async def close(self) -> None:
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            return


def frames() -> list[bytes]:
    return [write_audio(each, rate=8_000) for each in SECONDS_AND_A_HALF]


async def kept_of(desk: LogDesk, call: str) -> np.ndarray:
    (kept,) = [each for each in desk.begun.values() if each.call_id == call]
    await eventually(lambda: kept.transaction_id in desk.ended)
    return samples_of(await fragments_of(kept.streams["caller"]))


async def test_an_announced_call_is_kept_to_the_sample(desk: LogDesk, door: AudioSocketDoor) -> None:
    call, asterisk = announced(desk), await Asterisk.dial(door)
    await asterisk.say(write_identity(call), *frames())
    await eventually(lambda: len(door.calls) == 1)
    await asterisk.say(write_frame(0x03, b"5"), write_frame(0x42, b"?"), HANG_UP)
    np.testing.assert_array_equal(await kept_of(desk, call), SPEECH.astype(np.float32) / 32_768)
    assert await asterisk.rest() == b""
    await asterisk.close()
    assert not next(iter(desk.ended.values())).failed
    assert len(door.calls) == 0
    assert desk.started[0][1] == "audiosocket"


async def test_a_caller_who_hangs_up_in_the_first_20_ms_is_a_call(desk: LogDesk, door: AudioSocketDoor) -> None:
    call, asterisk = announced(desk), await Asterisk.dial(door)
    await asterisk.say(write_identity(call), frames()[0], HANG_UP)
    await asterisk.close()
    await eventually(lambda: desk.ended)
    assert len(await kept_of(desk, call)) == 160


async def test_a_connection_that_breaks_is_a_call_that_failed(desk: LogDesk, door: AudioSocketDoor) -> None:
    call, asterisk = announced(desk), await Asterisk.dial(door)
    await asterisk.say(write_identity(call), *frames())
    await eventually(lambda: desk.begun)
    await asterisk.close()
    assert len(await kept_of(desk, call)) == 12_000
    assert next(iter(desk.ended.values())).failed


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (b"GET / HTTP/1.1\r\nHost: here\r\n\r\n", "begins with the UUID"),
        (write_identity(str(uuid.uuid4())), "no call of this UUID was announced"),
        (HANG_UP, "begins with the UUID"),
    ],
)
async def test_strangers_are_refused_at_once_and_nothing_is_kept(
    desk: LogDesk, door: AudioSocketDoor, first: bytes, reason: str
) -> None:
    asterisk = await Asterisk.dial(door)
    await asterisk.say(first, *frames())
    assert await asterisk.rest() in (HANG_UP, b"")  # a reset takes the last words along
    await asterisk.close()
    await eventually(lambda: door.refused)
    assert reason in next(iter(door.refused))
    assert not desk.begun


@pytest.mark.parametrize("changes", [{"disabled": True}, {"require_encryption": True}])
async def test_a_connector_that_takes_no_such_calls_is_no_way_in(
    desk: LogDesk, door: AudioSocketDoor, changes: dict[str, bool]
) -> None:
    call, asterisk = announced(desk, **changes), await Asterisk.dial(door)
    await asterisk.say(write_identity(call), frames()[0])
    await asterisk.rest()
    await asterisk.close()
    assert not desk.begun
    assert sum(door.refused.values()) == 1


async def test_behind_a_strangers_first_frame_nothing_is_read(
    desk: LogDesk, door: AudioSocketDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    feed = AudioSocketReader.feed

    def noting(reader: AudioSocketReader, data: bytes) -> list[AudioSocketEvent]:
        read.append(len(data))
        return feed(reader, data)

    monkeypatch.setattr(AudioSocketReader, "feed", noting)
    stranger = await Asterisk.dial(door)
    await stranger.say(write_identity(str(uuid.uuid4())) + HANG_UP * 20_000)
    await stranger.rest()
    await stranger.close()
    assert "no call of this UUID" in next(iter(door.refused))
    assert sum(read) == len(write_identity(str(uuid.uuid4())))
    call, asterisk = announced(desk), await Asterisk.dial(door)
    await asterisk.say(b"".join([write_identity(call), *frames(), HANG_UP]))
    await eventually(lambda: desk.ended)
    assert len(await kept_of(desk, call)) == 12_000
    await asterisk.close()


async def test_a_stranger_does_not_use_up_an_announcement(desk: LogDesk, door: AudioSocketDoor) -> None:
    call, stranger = announced(desk, allowed_networks=("192.0.2.0/24",)), await Asterisk.dial(door)
    await stranger.say(write_identity(call), frames()[0])
    await stranger.rest()
    await stranger.close()
    assert "the address is not on" in next(iter(door.refused))
    assert call in desk.expected


async def test_an_announcement_opens_once(desk: LogDesk, door: AudioSocketDoor) -> None:
    call, first, second = announced(desk), await Asterisk.dial(door), await Asterisk.dial(door)
    await first.say(write_identity(call), *frames())
    await eventually(lambda: desk.begun)
    await second.say(write_identity(call), *frames())
    await second.rest()
    await second.close()
    await first.say(HANG_UP)
    assert len(await kept_of(desk, call)) == 12_000
    await first.close()
    assert len(desk.begun) == 1


async def test_records_that_are_away_refuse_one_call_and_not_the_next(desk: LogDesk, door: AudioSocketDoor) -> None:
    desk.failures = [StoreUnavailable("the database is away; try again")]
    first = await Asterisk.dial(door)
    await first.say(write_identity(announced(desk)), frames()[0])
    assert await first.rest() == HANG_UP
    await first.close()
    call, second = announced(desk), await Asterisk.dial(door)
    await second.say(write_identity(call), *frames(), HANG_UP)
    await eventually(lambda: desk.ended)
    assert len(await kept_of(desk, call)) == 12_000
    await second.close()


async def test_half_open_connections_do_not_keep_others_out(desk: LogDesk) -> None:
    door = AudioSocketDoor(desk, host="127.0.0.1", port=0, clock=VirtualTime().clock, connections_max=40)
    await door.open()
    _, host, port = door.addresses[0]
    in_call = await Asterisk.dial(door)
    talked = announced(desk)
    await in_call.say(write_identity(talked), *frames())
    await eventually(lambda: len(door.calls) == 1)
    silent: list[socket.socket] = []
    for number in range(400):
        silent.append(socket.create_connection((host, port)))
        if number % 20 == 0:
            await asyncio.sleep(0)
    await eventually(lambda: sum(door.refused.values()) >= 300)
    call, asterisk = announced(desk), await Asterisk.dial(door)
    await asterisk.say(write_identity(call), *frames(), HANG_UP)
    await eventually(lambda: desk.ended)
    assert len(await kept_of(desk, call)) == 12_000
    await in_call.say(HANG_UP)  # who talked was not disturbed
    assert len(await kept_of(desk, talked)) == 12_000
    for each in silent:
        each.close()
    await asterisk.close()
    await in_call.close()
    await door.close()


async def test_who_says_nothing_is_disconnected(
    desk: LogDesk, door: AudioSocketDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("earwitness.doors.audiosocket_door.PROOF_SECONDS", 0.01)
    silent, dribbling = await Asterisk.dial(door), await Asterisk.dial(door)
    await dribbling.say(b"\x01")
    for each in (silent, dribbling):
        await each.rest()
        await each.close()
    assert door.refused == {"nothing said which call it is": 2}
    monkeypatch.setattr("earwitness.doors.audiosocket_door.PROOF_SECONDS", 60.0)
    monkeypatch.setattr("earwitness.doors.audiosocket_door.SOUND_SECONDS", 0.01)
    mute = await Asterisk.dial(door)
    await mute.say(write_identity(announced(desk)))
    await mute.rest()
    await mute.close()
    assert door.refused["a call sent no audio"] == 1
    assert not desk.begun


async def test_a_door_that_closes_ends_calls_with_their_last_fragment(desk: LogDesk, door: AudioSocketDoor) -> None:
    call, asterisk, late = announced(desk), await Asterisk.dial(door), await Asterisk.dial(door)
    await asterisk.say(write_identity(call), *frames())
    await eventually(lambda: desk.heard_of)
    door.drain()
    await late.say(write_identity(announced(desk)), frames()[0])
    await late.rest()
    await asterisk.say(*frames())
    await eventually(lambda: len(desk.heard_of) == 3)
    await door.close()
    assert len(await kept_of(desk, call)) == 24_000
    assert [(each.reason, each.failed) for each in desk.ended.values()] == [("the service stops", True)]
    assert len(desk.begun) == 1
    await asterisk.close()
    await late.close()


def _fail(*_: object, **__: object) -> None:
    raise RuntimeError("a bug")


async def test_a_call_that_failed_by_an_error_of_ours_is_hung_up(
    desk: LogDesk, door: AudioSocketDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "heard", _fail)
    asterisk = await Asterisk.dial(door)
    await asterisk.say(write_identity(announced(desk)), *frames())
    await eventually(lambda: desk.ended)
    await asterisk.say(*frames())
    await asterisk.rest()
    assert desk.ended == {"transaction-1": CallEnded("an error of ours", failed=True)}
    await asterisk.close()


async def test_an_error_of_ours_behind_the_begin_ends_the_call(
    desk: LogDesk, door: AudioSocketDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LiveCall, "feed", fails_once(LiveCall.feed))
    asterisk = await Asterisk.dial(door)
    await asterisk.say(write_identity(announced(desk)), *frames())
    await asterisk.rest()
    await eventually(lambda: desk.ended)
    assert desk.ended["transaction-1"].failed
    await eventually(lambda: not door._connected)
    await asterisk.close()


def fails_once(feed: Callable[[LiveCall, DoorEvent], None]) -> Callable[[LiveCall, DoorEvent], None]:
    failures = [RuntimeError("a bug")]

    def fail_or_feed(call: LiveCall, event: DoorEvent) -> None:
        if failures:
            raise failures.pop()
        feed(call, event)

    return fail_or_feed


async def test_a_peer_whose_machine_is_gone_is_noticed_by_the_kernel(desk: LogDesk, door: AudioSocketDoor) -> None:
    """Nothing here can pull a plug, so this asks for the times that the kernel was given."""
    asterisk = await Asterisk.dial(door)
    await asterisk.say(write_identity(announced(desk)), *frames())
    await eventually(lambda: door.calls)
    (connection,) = door._connected
    assert connection._transport is not None
    accepted = connection._transport.get_extra_info("socket")
    assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    idle, between, times = (
        accepted.getsockopt(socket.IPPROTO_TCP, option)
        for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
    )
    assert idle + between * times <= 60
    await asterisk.close()


async def test_an_address_that_is_taken_is_told_at_the_start(desk: LogDesk, door: AudioSocketDoor) -> None:
    _, host, port = door.addresses[0]
    for wrong in ((host, port), ("no such host.invalid", 1)):
        with pytest.raises(ConfigurationError, match="cannot listen"):
            await AudioSocketDoor(desk, host=wrong[0], port=wrong[1]).open()
