"""What was refused at doors, and who may know of it."""

import uuid
from dataclasses import replace
from pathlib import Path

import pytest
from door_world import SCOPE, VirtualTime, access, eventually, log_desk
from siprec_examples import ExampleCall, UdpClient, description, document, multipart
from socket_world import CONNECTOR, SECRET, send_all, served, twilio_start
from test_audiosocket_door import Asterisk, frames
from websockets.exceptions import InvalidStatus

from earwitness.doors.audiosocket import write_identity
from earwitness.doors.audiosocket_door import AudioSocketDoor
from earwitness.doors.doors import Doors, WebSocketsDoor
from earwitness.doors.refusals import REASONS_MAX, Refusals
from earwitness.doors.siprec.listener import SiprecDoor
from earwitness.doors.siprec.settings import SiprecListening

MINE, OTHER = SCOPE.account_id, "999999999999"
OFFER = multipart(description(), document())
THEIRS = replace(SCOPE, account_id=OTHER)


def test_an_account_sees_its_own_and_what_is_nobodys() -> None:
    refusals = Refusals(monotonic=lambda: 0.0)
    for reason, account in (("a", MINE), ("a", OTHER), ("b", OTHER), ("c", ""), ("a", "")):
        refusals.note(reason, door="a door", account_id=account)
    assert refusals == {"a": 3, "b": 1, "c": 1}
    assert refusals.seen_by(MINE) == {"a": 2, "c": 1}
    assert refusals.seen_by("333333333333") == {"a": 1, "c": 1}


def test_reasons_are_bounded() -> None:
    refusals = Refusals(monotonic=lambda: 0.0)
    for number in range(REASONS_MAX + 50):
        refusals.note(f"reason {number}", door="a door")
    assert len(refusals) == REASONS_MAX + 1
    assert refusals["another reason"] == 50


def test_the_log_says_a_reason_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    refusals = Refusals(monotonic=iter((0.0, 1.0, 59.0, 60.0, 61.0, 61.0)).__next__)
    for _ in range(5):
        refusals.note("a", door="a door")
    refusals.note("b", door="a door", detail="in other words")
    told = [(record.__dict__["reason"], record.__dict__["times"]) for record in caplog.records]
    assert told == [("a", 1), ("a", 4), ("b", 1)]
    assert caplog.records[-1].__dict__["detail"] == "in other words"


@pytest.mark.anyio
async def test_calls_and_refusals_at_siprec_are_of_an_account(tmp_path: Path) -> None:
    listening = SiprecListening(
        plain=("127.0.0.1", 0), tls=None, tls_context=None, media_address="", media_ports=(42_000, 49_999), calls_max=9
    )
    time = VirtualTime()
    async with log_desk(tmp_path, time.utc) as desk:
        desk.known["mine"] = access(connector_id="mine")
        desk.known["theirs"] = access(connector_id="theirs", scope=THEIRS, disabled=True)
        door = SiprecDoor(desk, listening, clock=time.clock)
        await door.open()
        client = await UdpClient.open(door.addresses[0][1:])
        for connector, status in (("mine", 200), ("theirs", 403), ("nobodys", 404)):
            call = ExampleCall(connector=connector)
            assert (await client.ask(call.request("INVITE", body=OFFER))).status == status
        (mine,), (theirs,) = (Doors(desk, [door]).status(account) for account in (MINE, OTHER))
        assert (mine.calls, mine.refused) == (1, {"no such connector": 1})
        assert (theirs.calls, theirs.refused) == (0, {"no such connector": 1, "connector not in use": 1})
        client.close()
        await door.close()


@pytest.mark.anyio
async def test_calls_and_refusals_at_audiosocket_are_of_an_account(tmp_path: Path) -> None:
    time = VirtualTime()
    async with log_desk(tmp_path, time.utc) as desk:
        door = AudioSocketDoor(desk, host="127.0.0.1", port=0, clock=time.clock)
        await door.open()
        mine, theirs = str(uuid.uuid4()), str(uuid.uuid4())
        desk.expected = {mine: access(), theirs: access(scope=THEIRS, disabled=True)}
        talking, refused = await Asterisk.dial(door), await Asterisk.dial(door)
        await talking.say(write_identity(mine), *frames())
        await refused.say(write_identity(theirs))
        await eventually(lambda: door.refused and door.calls)
        (seen,), (shown,) = (Doors(desk, [door]).status(account) for account in (MINE, OTHER))
        assert (seen.calls, seen.refused) == (1, {})
        assert (shown.calls, list(shown.refused.values())) == (0, [1])
        for each in (talking, refused):
            await each.close()
        await door.close()


@pytest.mark.anyio
async def test_calls_and_refusals_at_web_sockets_are_of_an_account(tmp_path: Path) -> None:
    async with served(tmp_path) as world, world.dial("twilio", SECRET) as client:
        await send_all(client, twilio_start())
        await eventually(lambda: world.doors.calls)
        world.desk.known[CONNECTOR] = access(connector_id=CONNECTOR, scope=THEIRS)
        with pytest.raises(InvalidStatus):
            await world.dial("twilio", "a-wrong-token")
        door = WebSocketsDoor(world.doors)
        (mine,), (theirs,) = (Doors(world.desk, [door]).status(account) for account in (MINE, OTHER))
        assert (mine.calls, mine.refused) == (1, {})
        assert (theirs.calls, sum(theirs.refused.values())) == (0, 1)
