"""A call in progress of a connector that is disabled: every door hangs up, whether anything more comes or not."""

import asyncio
import uuid
from pathlib import Path
from typing import Any

import pytest
from door_world import LogDesk, VirtualTime, access, eventually, fragments_of, log_desk, samples_of, turns
from siprec_examples import CONNECTOR as RECORDED
from siprec_examples import ExampleCall, UdpClient, description, document, multipart
from socket_world import SECRET, send_all, served, twilio_media, twilio_start
from test_audiosocket_door import Asterisk, frames
from websockets.exceptions import ConnectionClosed

from earwitness.doors.audiosocket import HANG_UP, write_identity
from earwitness.doors.audiosocket_door import AudioSocketDoor
from earwitness.doors.doors import NOT_IN_USE, Doors, WebSocketsDoor
from earwitness.doors.events import CallEnded
from earwitness.doors.siprec.listener import SiprecDoor
from earwitness.doors.siprec.settings import SiprecListening
from earwitness.voice.connector import DoorSecret
from patience import PATIENCE_SECONDS

pytestmark = pytest.mark.anyio

OFFER = multipart(description(), document())
LISTENING = SiprecListening(
    plain=("127.0.0.1", 0), tls=None, tls_context=None, media_address="", media_ports=(42_000, 49_999), calls_max=9
)
BROKEN_OFF = CallEnded(NOT_IN_USE, failed=True)


def disable(desk: LogDesk, connector: str) -> None:
    desk.known[connector] = access(connector_id=connector, disabled=True)


async def test_a_web_socket_is_closed_and_what_came_is_kept(tmp_path: Path) -> None:
    async with served(tmp_path) as world, world.dial("twilio", SECRET) as client:
        await send_all(client, [*twilio_start(), *(twilio_media(b"\1" * 160, chunk=n) for n in range(1, 76))])
        doors = Doors(world.desk, [WebSocketsDoor(world.doors)])
        await eventually(lambda: world.desk.heard_of)
        world.know({DoorSecret.TOKEN: "another"})
        await doors.look()
        assert [call.broken_off for call in world.doors.calls] == [""]  # a secret is for calls to come
        world.know({DoorSecret.TOKEN: SECRET}, disabled=True)
        await doors.look()
        with pytest.raises(ConnectionClosed) as told:
            await client.recv()
        assert told.value.rcvd is not None
        assert (told.value.rcvd.code, told.value.rcvd.reason) == (1008, NOT_IN_USE)
        await eventually(lambda: world.desk.ended)
        assert world.desk.ended == {"transaction-1": BROKEN_OFF}
        assert len(samples_of(await fragments_of(world.audio("inbound")))) >= 8_000
        await eventually(lambda: not world.doors.calls)


async def test_audiosocket_hangs_up(tmp_path: Path) -> None:
    time, call = VirtualTime(), str(uuid.uuid4())
    async with log_desk(tmp_path, time.utc) as desk:
        door = AudioSocketDoor(desk, host="127.0.0.1", port=0, clock=time.clock)
        await door.open()
        desk.expected = {call: access()}
        disable(desk, access().connector_id)
        asterisk = await Asterisk.dial(door)
        await asterisk.say(write_identity(call), *frames())
        await eventually(lambda: door.calls)
        await Doors(desk, [door]).look()
        assert await asterisk.rest() == HANG_UP
        await asterisk.close()
        await eventually(lambda: desk.ended)
        assert desk.ended == {"transaction-1": BROKEN_OFF}
        await door.close()


async def test_siprec_says_bye(tmp_path: Path) -> None:
    time = VirtualTime()
    async with log_desk(tmp_path, time.utc) as desk:
        desk.known[RECORDED] = access(connector_id=RECORDED)
        door, call = SiprecDoor(desk, LISTENING, clock=time.clock), ExampleCall()
        await door.open()
        client = await UdpClient.open(door.addresses[0][1:])
        answer = await client.ask(call.request("INVITE", body=OFFER))
        call.to_tag = answer.to_tag
        client.send(call.request("ACK"))
        await eventually(lambda: door.calls)
        disable(desk, RECORDED)
        await Doors(desk, [door]).look()
        await time.passes(0.2)
        await eventually(lambda: client.requests)
        assert client.requests[0].start.startswith("BYE ")
        await eventually(lambda: desk.ended)
        assert desk.ended == {"transaction-1": BROKEN_OFF}
        client.close()
        await door.close()


async def test_a_drained_node_sends_recording_clients_to_their_next_recorder(tmp_path: Path) -> None:
    time, drained = VirtualTime(), [False]
    async with log_desk(tmp_path, time.utc) as desk:
        desk.known[RECORDED] = access(connector_id=RECORDED)
        door = SiprecDoor(desk, LISTENING, clock=time.clock, is_drained=lambda: drained[0])
        await door.open()
        client = await UdpClient.open(door.addresses[0][1:])
        for is_drained, status in ((True, 503), (False, 200)):
            drained[0] = is_drained
            await time.passes(0.2)
            assert (await client.ask(ExampleCall().request("OPTIONS"))).status == status
            assert (await client.ask(ExampleCall().request("INVITE", body=OFFER))).status == status
        await turns()
        client.close()
        await door.close()


class _Failing(WebSocketsDoor):
    """A door whose calls cannot be told, the first two times."""

    def __init__(self) -> None:
        self.asked = 0
        self.is_asked_again = asyncio.Event()

    @property
    def calls(self) -> Any:  # `Any`: none
        self.asked += 1
        if self.asked <= 2:
            raise KeyError("a mistake of ours")
        self.is_asked_again.set()
        return ()


async def test_a_mistake_ends_no_looking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("earwitness.doors.doors.LOOK_SECONDS", 0.0)
    async with log_desk(tmp_path, VirtualTime().utc) as desk:
        door = _Failing()
        looking = asyncio.create_task(Doors(desk, [door]).look_again_and_again())
        async with asyncio.timeout(PATIENCE_SECONDS):
            await door.is_asked_again.wait()
        looking.cancel()
        await asyncio.wait({looking})
    assert [record.message for record in caplog.records] == ["it cannot be looked up which calls may go on"]
