"""The SIPREC door over real sockets: signalling by a client of the tests, media into a real media log."""

import asyncio
import errno
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from door_world import LogDesk, VirtualTime, access, eventually, fragments_of, log_desk, samples_of, turns
from siprec_examples import (
    AGENT,
    CALLER,
    CONNECTOR,
    Answer,
    ExampleCall,
    TcpClient,
    UdpClient,
    description,
    document,
    multipart,
    rtp,
)

from earwitness.doors.events import CallEnded
from earwitness.doors.leg import LegTimeline
from earwitness.doors.siprec import listener, metadata
from earwitness.doors.siprec.call import RecordedCall
from earwitness.doors.siprec.listener import SiprecDoor
from earwitness.doors.siprec.settings import SiprecListening
from earwitness.doors.siprec.transports import SipConnections
from earwitness.errors import LimitExceeded, StoreUnavailable

pytestmark = pytest.mark.anyio

PACKET = 160
OFFER = multipart(description(), document())
OURS = CallEnded("an error of ours", failed=True)


class World:
    def __init__(self, door: SiprecDoor, desk: LogDesk, time: VirtualTime) -> None:
        self.door, self.desk, self.time = door, desk, time

    @property
    def address(self) -> tuple[str, int]:
        return self.door.addresses[0][1:]


@asynccontextmanager
async def world_of(folder: Path, **changes: Any) -> AsyncIterator[World]:
    """A door in virtual time. `changes` are of its listening."""
    time = VirtualTime()
    given: dict[str, Any] = {
        "plain": ("127.0.0.1", 0),
        "tls": None,
        "tls_context": None,
        "media_address": "",
        "media_ports": (42_000, 49_999),
        "calls_max": 100,
    }
    async with log_desk(folder, time.utc) as desk:
        desk.known[CONNECTOR] = access()
        door = SiprecDoor(desk, SiprecListening(**{**given, **changes}), clock=time.clock)
        await door.open()
        try:
            yield World(door, desk, time)
        finally:
            await door.close()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with world_of(tmp_path) as world:
        yield world


@pytest.fixture
async def client(world: World) -> AsyncIterator[UdpClient]:
    client = await UdpClient.open(world.address)
    yield client
    client.close()


async def begun(client: UdpClient, call: ExampleCall, body: tuple[str, str] = OFFER) -> Answer:
    """Call, and acknowledge the answer."""
    answer = await client.ask(call.request("INVITE", body=body))
    assert answer.status == 200, answer
    call.to_tag = answer.to_tag
    client.send(call.request("ACK"))
    await turns()
    return answer


@contextmanager
def sender(port: int, *, local: str = "127.0.0.1") -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.bind((local, 0))
        opened.connect(("127.0.0.1", port))
        yield opened


async def speak(world: World, port: int, tone: bytes, *, seconds: float, first: int = 0, **changes: Any) -> None:
    """Send packets of 20 ms as time passes. `first` is the number of the first one."""
    with sender(port) as out:
        for number in range(first, first + round(seconds * 50)):
            out.send(rtp(tone * PACKET, sequence=number, timestamp=number * PACKET, **changes))
            await world.time.passes(0.02)
            await asyncio.sleep(0)
    await world.time.passes(0.2)


async def heard(world: World, label: str, number: int = 1) -> np.ndarray:
    kept = world.desk.begun[f"transaction-{number}"]
    return samples_of(await fragments_of(kept.streams[label]))


async def test_a_call_becomes_a_stream_for_each_party(world: World, client: UdpClient) -> None:
    call = ExampleCall()
    answer = await begun(client, call)
    assert [line for line in answer.body.split("\r\n") if line[2:] in ("recvonly", "label:1", "label:2")] == [
        "a=recvonly",
        "a=label:1",
        "a=recvonly",
        "a=label:2",
    ]
    assert ";+sip.srs" in answer.headers["contact"]
    caller_port, agent_port = answer.ports
    for first in range(0, 150, 10):
        await speak(world, caller_port, b"\x10", seconds=0.2, first=first)
        await speak(world, agent_port, b"\x20", seconds=0.2, first=first)
    bye = await client.ask(call.request("BYE"))
    assert bye.status == 200
    await eventually(lambda: world.desk.ended)
    assert not world.desk.ended["transaction-1"].failed
    (started, door), *_ = world.desk.started
    assert door == "siprec"
    assert started.call_id == call.call_id
    assert "<recording" in started.siprec_metadata
    assert {leg.label: leg.is_caller for leg in started.legs} == {"1": False, "2": True}
    for label in ("1", "2"):
        samples = await heard(world, label)
        assert np.count_nonzero(samples) == 3 * 8_000


async def test_who_calls_is_who_the_recorded_call_is_from(world: World, client: UdpClient) -> None:
    await begun(client, ExampleCall(caller=f"sip:{CALLER}@example.com"))
    started = world.desk.started[0][0]
    assert {leg.label: leg.is_caller for leg in started.legs} == {"1": True, "2": False}
    assert (started.from_number, started.to_number) == (CALLER, AGENT)


async def test_an_invite_that_comes_again_is_one_call(world: World, client: UdpClient) -> None:
    call = ExampleCall()
    invite = call.request("INVITE", body=OFFER)
    first = await client.ask(invite)
    second = await client.ask(invite)
    assert first == second
    assert len(world.desk.started) == 1


async def test_the_answer_comes_again_until_it_is_acknowledged(world: World, client: UdpClient) -> None:
    call = ExampleCall()
    answer = await client.ask(call.request("INVITE", body=OFFER))
    await world.time.passes(2.0)
    await eventually(lambda: len(client.finals) >= 3)
    call.to_tag = answer.to_tag
    client.send(call.request("ACK"))
    await eventually(lambda: not world.door._server.dialogs[0].unacknowledged)
    count = len(client.finals)
    await world.time.passes(20.0)
    assert len(client.finals) == count


async def test_a_call_that_is_never_acknowledged_ends(world: World, client: UdpClient) -> None:
    await client.ask(ExampleCall().request("INVITE", body=OFFER))
    await world.time.passes(40.0)
    await eventually(lambda: world.desk.ended)
    assert world.desk.ended["transaction-1"].failed
    assert client.requests[0].start.startswith("BYE sip:src@")


@pytest.mark.parametrize(
    ("change", "body", "status"),
    [
        ({"connector": "nobody"}, OFFER, 404),
        ({"require": "Require: siprec, 100rel\r\n"}, OFFER, 420),
        ({"require": "", "contact": "<sip:src@127.0.0.1>"}, ("application/sdp", description()), 421),
        ({}, multipart(description(formats="9 96"), document()), 488),
        ({}, multipart(description(profile="RTP/SAVP"), document()), 488),
        ({}, ("text/plain", "hello"), 415),
        ({}, ("application/sdp", "hello"), 400),
        ({}, None, 488),
    ],
)
async def test_what_cannot_be_taken_is_refused_and_leaves_nothing(
    world: World, client: UdpClient, change: dict[str, Any], body: tuple[str, str] | None, status: int
) -> None:
    answer = await client.ask(ExampleCall(**change).request("INVITE", body=body))
    assert answer.status == status
    assert not world.desk.started
    assert not world.door._sessions
    assert not world.door._server.dialogs
    if status != 420:
        assert sum(world.door.refused.values()) == 1


async def test_audiocodes_writes_its_feature_tag_without_a_plus(world: World, client: UdpClient) -> None:
    await begun(client, ExampleCall(require="", contact="<sip:src@127.0.0.1:5060>;src"))
    assert len(world.door.calls) == 1


async def test_an_address_that_is_not_allowed_is_refused(world: World, client: UdpClient) -> None:
    world.desk.known[CONNECTOR] = access(allowed_networks=("192.0.2.0/24",))
    assert (await client.ask(ExampleCall().request("INVITE", body=OFFER))).status == 403
    assert world.door.refused == {"address not on the allow list": 1}
    assert not world.door._server._transactions


async def test_errors_of_the_records_are_told_as_sip_has_them(world: World, client: UdpClient) -> None:
    world.desk.failures += [LimitExceeded("too many"), StoreUnavailable("away")]
    for _ in range(2):
        answer = await client.ask(ExampleCall().request("INVITE", body=OFFER))
        assert answer.status == 503
        assert answer.headers["retry-after"] == "30"
    assert not world.door._sessions


async def test_a_second_call_of_one_call_id_is_busy(world: World, client: UdpClient) -> None:
    await begun(client, ExampleCall(call_id="the same"))
    answer = await client.ask(ExampleCall(call_id="the same").request("INVITE", body=OFFER))
    assert answer.status == 486
    assert len(world.door.calls) == 1


async def test_too_many_calls_are_sent_elsewhere(tmp_path: Path) -> None:
    async with world_of(tmp_path, calls_max=1) as world:
        client = await UdpClient.open(world.address)
        await begun(client, ExampleCall())
        answer = await client.ask(ExampleCall().request("INVITE", body=OFFER))
        assert (answer.status, answer.headers["retry-after"]) == (503, "30")
        client.close()


async def test_too_few_ports_are_a_full_house(tmp_path: Path) -> None:
    async with world_of(tmp_path, media_ports=(41_000, 41_003)) as world:
        client = await UdpClient.open(world.address)
        call = ExampleCall()
        await begun(client, call)
        assert (await client.ask(ExampleCall().request("INVITE", body=OFFER))).status == 503
        await client.ask(call.request("BYE"))
        await begun(client, ExampleCall())
        client.close()


async def test_hold_and_resume_keep_the_call_and_its_times(world: World, client: UdpClient) -> None:
    call = ExampleCall()
    answer = await begun(client, call)
    port = answer.ports[0]
    await speak(world, port, b"\x10", seconds=1.0)
    held = await client.ask(call.request("INVITE", body=multipart(description(direction="inactive"), None)))
    assert "a=inactive" in held.body
    assert held.ports == answer.ports
    client.send(call.request("ACK"))
    await world.time.passes(60.0)
    await client.ask(call.request("INVITE", body=multipart(description(), None)))
    client.send(call.request("ACK"))
    await speak(world, port, b"\x10", seconds=1.0, first=50 + 3_010)
    await client.ask(call.request("BYE"))
    await eventually(lambda: world.desk.ended)
    samples = await heard(world, "1")
    assert abs(len(samples) - 62.2 * 8_000) < 0.2 * 8_000
    assert np.count_nonzero(samples) == 2 * 8_000


async def test_a_transfer_is_a_new_leg_in_the_place_of_the_former(world: World, client: UdpClient) -> None:
    call = ExampleCall(caller=f"sip:{CALLER}@example.com")
    answer = await begun(client, call)
    parties = (("1", f"sip:{CALLER}@example.com"), ("3", "sip:agent9@example.com"))
    body = multipart(description(labels=("1", "3")), document(parties, mode="partial"))
    again = await client.ask(call.request("INVITE", body=body))
    assert again.ports == answer.ports
    client.send(call.request("ACK"))
    await speak(world, answer.ports[1], b"\x30", seconds=1.0)
    await client.ask(call.request("BYE"))
    await eventually(lambda: world.desk.ended)
    assert world.desk.updated[0].to_number == "agent9"
    assert np.count_nonzero(await heard(world, "3")) == 8_000
    assert np.count_nonzero(await heard(world, "2")) == 0


async def test_an_update_with_metadata_alone_is_told(world: World, client: UdpClient) -> None:
    call = ExampleCall(caller=f"sip:{CALLER}@example.com")
    await begun(client, call)
    parties = (("2", "sip:agent8@example.com"),)
    answer = await client.ask(call.request("UPDATE", body=multipart(None, document(parties, mode="partial"))))
    assert (answer.status, answer.body) == (200, "")
    await eventually(lambda: world.desk.updated)
    assert world.desk.updated[0].to_number == "agent8"


async def test_a_change_that_cannot_be_taken_leaves_the_call_as_it_was(world: World, client: UdpClient) -> None:
    call = ExampleCall()
    answer = await begun(client, call)
    refused = await client.ask(call.request("INVITE", body=multipart(description(formats="9"), None)))
    assert refused.status == 488
    client.send(call.request("ACK"))
    await speak(world, answer.ports[0], b"\x10", seconds=1.0)
    await client.ask(call.request("BYE"))
    await eventually(lambda: world.desk.ended)
    assert np.count_nonzero(await heard(world, "1")) == 8_000


async def test_damaged_metadata_cost_the_names_and_not_the_call(world: World, client: UdpClient) -> None:
    evil = '<!DOCTYPE r [<!ENTITY a "aaaa">]><recording>&a;</recording>'
    await begun(client, ExampleCall(), multipart(description(), evil))
    assert world.door.refused == {"metadata not read": 1}
    assert world.desk.started[0][0].siprec_metadata == ""


async def test_metadata_that_grow_without_end_are_told_once_and_the_call_goes_on(
    world: World, client: UdpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "REMEMBERED_CHARACTERS_MAX", 2_000)
    call = ExampleCall()
    answer = await begun(client, call)
    for number in range(20):
        told = document(((f"{number}", f"sip:{number}@example.com"),), mode="partial")
        assert (await client.ask(call.request("UPDATE", body=multipart(None, told)))).status == 200
    assert world.door.refused == {"metadata too long to be remembered": 1}
    await speak(world, answer.ports[0], b"\x10", seconds=1.0)
    assert (await client.ask(call.request("BYE"))).status == 200
    await eventually(lambda: world.desk.ended)
    assert not world.desk.ended["transaction-1"].failed


async def test_media_of_strangers_are_not_heard(world: World, client: UdpClient) -> None:
    world.desk.known[CONNECTOR] = access(allowed_networks=("127.0.0.1",))
    call = ExampleCall()
    answer = await begun(client, call)
    with sender(answer.ports[0], local="127.0.0.9") as stranger:
        for number in range(10):
            stranger.send(rtp(b"\x55" * PACKET, sequence=number, timestamp=number * PACKET, source=99))
    await speak(world, answer.ports[0], b"\x10", seconds=1.0)
    await client.ask(call.request("BYE"))
    await eventually(lambda: world.desk.ended)
    samples = await heard(world, "1")
    assert len(set(samples[np.nonzero(samples)])) == 1
    assert np.count_nonzero(samples) == 8_000
    assert world.door.refused["media from a stranger"] == 1


async def test_a_stranger_cannot_end_a_call(world: World, client: UdpClient) -> None:
    world.desk.known[CONNECTOR] = access(allowed_networks=("127.0.0.1",))
    call = ExampleCall()
    await begun(client, call)
    stranger = await UdpClient.open(world.address, local="127.0.0.9")
    assert (await stranger.ask(call.request("BYE"))).status == 403
    assert len(world.door.calls) == 1
    stranger.close()


async def test_a_call_that_is_cancelled_while_the_records_are_asked_leaves_nothing(
    world: World, client: UdpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go_on, asked, begin = asyncio.Event(), asyncio.Event(), world.desk.begin

    async def slow(*arguments: Any, **named: Any) -> Any:
        asked.set()
        await may_go_on.wait()
        return await begin(*arguments, **named)

    monkeypatch.setattr(world.desk, "begin", slow)
    call = ExampleCall()
    client.send(call.request("INVITE", body=OFFER, branch="z9hG4bKcancelled"))
    await asked.wait()
    client.send(call.request("CANCEL", branch="z9hG4bKcancelled"))
    await eventually(lambda: len(client.finals) == 2)
    assert sorted(each.status for each in client.finals) == [200, 487]
    may_go_on.set()
    await eventually(lambda: world.desk.ended)
    assert not world.door._sessions
    assert 200 not in [each.status for each in client.finals if "INVITE" in each.headers["cseq"]]


async def test_a_client_that_does_not_refresh_loses_its_call(world: World, client: UdpClient) -> None:
    call = ExampleCall()
    answer = await client.ask(
        call.request("INVITE", body=OFFER, more="Supported: timer\r\nSession-Expires: 90;refresher=uac\r\n")
    )
    assert answer.headers["session-expires"] == "90;refresher=uac"
    call.to_tag = answer.to_tag
    client.send(call.request("ACK"))
    await world.time.passes(50.0)
    again = await client.ask(call.request("UPDATE", more="Supported: timer\r\nSession-Expires: 90;refresher=uac\r\n"))
    assert again.status == 200
    await world.time.passes(50.0)
    assert len(world.door.calls) == 1
    await world.time.passes(20.0)
    await eventually(lambda: world.desk.ended)
    assert world.desk.ended["transaction-1"].failed


async def test_options_say_whether_calls_may_come(world: World, client: UdpClient) -> None:
    assert (await client.ask(ExampleCall().request("OPTIONS"))).status == 200
    world.door.drain()
    assert (await client.ask(ExampleCall().request("OPTIONS"))).status == 503
    assert (await client.ask(ExampleCall().request("INVITE", body=OFFER))).status == 503


async def test_the_end_of_the_service_ends_its_calls(world: World, client: UdpClient) -> None:
    await begun(client, ExampleCall())
    await world.door.close()
    assert world.desk.ended["transaction-1"].failed
    await eventually(lambda: client.requests)
    assert client.requests[0].start.startswith("BYE")


async def test_over_tcp_a_call_outlives_its_connection(world: World) -> None:
    first = await TcpClient.open(world.address)
    first.send(b"\r\n\r\n")
    call = ExampleCall(transport="TCP")
    answer = await first.ask(b"\r\n" + call.request("INVITE", body=OFFER))
    assert answer.status == 200
    assert ";transport=tcp" in answer.headers["contact"]
    call.to_tag = answer.to_tag
    first.send(call.request("ACK"))
    first.close()
    second = await TcpClient.open(world.address)
    assert (await second.ask(call.request("BYE"))).status == 200
    await eventually(lambda: world.desk.ended)
    second.close()


@pytest.mark.parametrize("lie", [b"-5", b"12, 13", b"99999999", b"999999999999999999999"])
async def test_a_stream_that_lies_about_its_length_is_closed(world: World, lie: bytes) -> None:
    client = await TcpClient.open(world.address)
    request = ExampleCall(transport="TCP").request("OPTIONS").replace(b"Content-Length: 0", b"Content-Length: " + lie)
    client.send(request)
    assert (await client.next()).status in (400, 413)
    assert await client.ends()
    client.close()


async def test_a_flood_of_a_stranger_waits_for_its_turn(world: World) -> None:
    stranger, honest = await TcpClient.open(world.address), await TcpClient.open(world.address)
    stranger.send(b"".join(ExampleCall(transport="TCP").request("OPTIONS") for _ in range(200)))
    assert (await stranger.next()).status == 200
    [flooding] = [each for each in world.door._connections.open.values() if each._unread]
    assert flooding._is_waiting
    assert len(flooding._unread) > 150 * 200
    call = ExampleCall(transport="TCP")
    assert (await honest.ask(call.request("INVITE", body=OFFER))).status == 200
    waited = asyncio.ensure_future(world.time.passes(20.0))
    for _ in range(199):
        assert (await stranger.next()).status == 200
    await waited
    assert not flooding._is_waiting
    stranger.close()
    honest.close()


async def test_floods_of_many_strangers_take_turns(world: World) -> None:
    strangers = [await TcpClient.open(world.address) for _ in range(30)]
    for each in strangers:
        each.send(b"".join(ExampleCall(transport="TCP").request("OPTIONS") for _ in range(40)))
    waited = asyncio.ensure_future(world.time.passes(20.0))
    for each in strangers:
        for _ in range(40):
            assert (await each.next()).status == 200
        each.close()
    await waited


async def test_a_flood_of_datagrams_is_told_once_and_costs_a_caller_nothing(
    world: World, client: UdpClient, caplog: pytest.LogCaptureFixture
) -> None:
    call = ExampleCall()
    await begun(client, call)
    stranger = await UdpClient.open(world.address, local="127.0.0.9")
    for number in range(500):
        stranger.send(b"OPTIONS nonsense")
        if number % 20 == 0:
            await turns()
    await eventually(lambda: world.door.refused["too many datagrams"] + world.door.refused["not SIP"] > 400)
    assert world.door.refused["not SIP"] <= 200
    told = [each for each in caplog.records if each.__dict__.get("reason") == "too many datagrams"]
    assert len(told) == 1
    assert (await client.ask(call.request("BYE"))).status == 200
    stranger.close()


async def test_a_message_that_never_ends_gives_its_place_back(world: World) -> None:
    client = await TcpClient.open(world.address)
    client.send(b"INVITE sip:x@y SIP/2.0\r\nVia:")
    await eventually(lambda: any(each._message_began for each in world.door._connections.open.values()))
    await world.time.passes(31.0)
    assert await client.ends()
    client.close()


async def test_a_connection_of_a_machine_that_is_gone_is_noticed_by_the_kernel(world: World) -> None:
    phone = await TcpClient.open(world.address)
    await eventually(lambda: world.door._connections.open)
    (connection,) = world.door._connections.open.values()
    assert connection._transport is not None
    accepted = connection._transport.get_extra_info("socket")
    assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    phone.close()


async def test_a_connection_for_which_no_descriptor_is_left_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(_: int) -> int:
        raise OSError(errno.EMFILE, "too many open files")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    async with world_of(tmp_path, plain=None, tls=("127.0.0.1", 0), tls_context=lambda: context) as world:
        with monkeypatch.context() as patched:
            patched.setattr("earwitness.doors.siprec.transports.os.dup", none_left)
            client = await TcpClient.open(world.address)
            assert await client.ends()
        assert not world.door._connections.places._names
        client.close()


async def test_bytes_that_are_no_sip_are_told_and_nothing_else(world: World, client: UdpClient) -> None:
    client.send(b"\x16\x03\x01\x02\x00\x01\x00")
    client.send(b"\r\n\r\n")
    await eventually(lambda: world.door.refused)
    assert world.door.refused == {"not SIP": 1}
    assert not client.came


@pytest.mark.parametrize("timer", ["", "Supported: timer\r\nSession-Expires: 86400;refresher=uac\r\n"])
async def test_a_client_that_died_is_noticed_without_a_session_timer_or_by_a_long_one(
    world: World, client: UdpClient, monkeypatch: pytest.MonkeyPatch, timer: str
) -> None:
    monkeypatch.setattr(listener, "SILENT_SECONDS", 20.0)
    call = ExampleCall()
    answer = await client.ask(call.request("INVITE", body=OFFER, more=timer))
    call.to_tag = answer.to_tag
    client.send(call.request("ACK"))
    await turns()
    await world.time.passes(21.0)
    await eventually(lambda: client.requests)
    asked = client.requests[0]
    assert asked.start.startswith("OPTIONS ")
    copied = [f"{name}: {asked.headers[name]}" for name in ("via", "from", "to", "call-id", "cseq")]
    client.send("\r\n".join(["SIP/2.0 200 OK", *copied, "Content-Length: 0", "", ""]).encode())
    await eventually(lambda: not world.door._server._asked)
    await world.time.passes(15.0)
    assert len(world.door.calls) == 1
    await world.time.passes(45.0)  # nobody answers the next one
    await eventually(lambda: world.desk.ended)
    assert world.desk.ended["transaction-1"].failed


async def test_names_that_no_database_takes_are_made_plain(world: World, client: UdpClient) -> None:
    call = ExampleCall(caller="sip:%00%0Abob@example.com")
    invite = call.request("INVITE", body=multipart(description(labels=("a\0b", "\u00fc")), None))
    invite = invite.replace(b"Call-ID: ", b"X-Name: J\xf6rg\0\r\nCall-ID: \xff")
    assert (await client.ask(invite)).status == 200
    started = world.desk.started[0][0]
    everything = [started.call_id, started.from_number, *started.invite_headers.values()]
    everything += [leg.label for leg in started.legs]
    assert all(text.isprintable() and text.encode() for text in everything)


@pytest.mark.parametrize("user", ["%00", "a%2Fb", "x" * 65, "%F0%9F%98%80"])
async def test_the_records_are_asked_for_names_of_connectors_only(
    world: World, client: UdpClient, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.desk, "access", None)
    assert (await client.ask(ExampleCall(connector=user).request("INVITE", body=OFFER))).status == 404


async def test_an_error_of_ours_is_answered_and_leaves_nothing(
    world: World, client: UdpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.desk, "access", None)
    assert (await client.ask(ExampleCall().request("INVITE", body=OFFER))).status == 500
    assert not world.door._server.dialogs


def _fail(*_: Any, **__: Any) -> Any:
    raise RuntimeError("a bug")


@pytest.mark.parametrize(("broken", "status"), [("answer", 500), ("is_asked", 200)])
async def test_an_error_of_ours_behind_the_begin_ends_the_call(
    world: World, client: UdpClient, monkeypatch: pytest.MonkeyPatch, broken: str, status: int
) -> None:
    """Before it was answered, and when its client thinks that it goes on."""
    monkeypatch.setattr(RecordedCall if broken == "answer" else SipConnections, broken, _fail)
    call = ExampleCall()
    assert (await client.ask(call.request("INVITE", body=OFFER))).status == status
    await eventually(lambda: world.desk.ended)
    assert world.desk.ended == {"transaction-1": OURS}
    assert (len(world.door.calls), world.door._server.dialogs) == (0, [])
    if status == 200:
        await eventually(lambda: client.requests)
        assert client.requests[0].start.startswith("BYE ")


async def test_an_error_of_ours_in_one_call_costs_no_other(
    world: World, client: UdpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, other = ExampleCall(), ExampleCall()
    await begun(client, broken)
    answer = await begun(client, other)
    session = next(iter(world.door._sessions.values()))
    monkeypatch.setattr(session.call, "take_audio", _fail)
    await speak(world, answer.ports[0], b"\x10", seconds=2.0)
    await eventually(lambda: world.desk.ended)
    assert world.desk.ended == {"transaction-1": OURS}
    assert [each.start.partition(" ")[0] for each in client.requests[:1]] == ["BYE"]
    assert (await client.ask(other.request("BYE"))).status == 200
    await eventually(lambda: len(world.desk.ended) == 2)
    assert len(await heard(world, "1", 2)) >= 16_000


async def test_a_call_that_failed_is_hung_up(world: World, client: UdpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    await begun(client, ExampleCall())
    monkeypatch.setattr(LegTimeline, "elapse", _fail)
    await world.time.passes(2.0)
    await eventually(lambda: client.requests)
    assert client.requests[0].start.startswith("BYE ")
    await eventually(lambda: world.desk.ended)
    assert world.desk.ended == {"transaction-1": OURS}


async def test_phone_systems_outside_are_told_the_address_that_they_see(tmp_path: Path) -> None:
    async with world_of(tmp_path, media_address="203.0.113.7") as world:
        client = await UdpClient.open(world.address)
        answer = await client.ask(ExampleCall().request("INVITE", body=OFFER))
        assert "c=IN IP4 203.0.113.7" in answer.body
        assert "@203.0.113.7:" in answer.headers["contact"]
        client.close()
