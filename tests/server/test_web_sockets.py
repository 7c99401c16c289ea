"""WebSockets: let in, refused, bounded, and ended, over real sockets."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from live import Live, answer, drain
from test_handshakes import TRUSTING
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.sync.client import ClientConnection, connect

from earwitness.server.protocol import LimitedProtocol
from earwitness.server.web_socket import WebSocket
from earwitness.server.web_socket_protocol import PIECE_BYTES, WebSocketLimits, WebSocketProtocol
from patience import PATIENCE_SECONDS, until

UPGRADE = (
    b"GET /doors/one/echo HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


class Door:
    """What a test does with WebSockets, and what it saw of them."""

    def __init__(self) -> None:
        self.ended: list[int] = []
        self.begun = 0
        self.proves = True
        self.paths: list[str] = []
        self.taken = 0
        self.may_take = threading.Event()
        self.may_take.set()

    async def __call__(self, web_socket: WebSocket) -> None:
        self.begun += 1
        self.paths.append(web_socket.target)
        if web_socket.path.endswith("/refused"):
            await web_socket.refuse(429, "too many", {"retry-after": "7"})
            return
        if web_socket.path.endswith("/fails"):
            raise ValueError("a secret")
        await web_socket.accept(web_socket.subprotocols[0] if web_socket.subprotocols else "")
        if self.proves:
            web_socket.proved()
        try:
            while True:
                while not self.may_take.is_set():
                    await asyncio.sleep(0.01)
                message = await web_socket.receive()
                if message is None:
                    break
                self.taken += 1
                if message == "close":
                    await web_socket.close(4000, "as you wish")
                elif message == "leave":
                    return
                else:
                    await web_socket.send(message if isinstance(message, str) else f"{len(message)} bytes")
        finally:
            self.ended.append(web_socket.close_code)


@contextmanager
def limited(live: Live, **limits: Any) -> Iterator[None]:
    """Have new WebSockets of a service limited otherwise."""
    protocol: Any = live.server.config.ws_protocol_class
    before = protocol.limits
    protocol.limits = replace(before, **limits)
    try:
        yield
    finally:
        protocol.limits = before


@pytest.fixture(scope="module")
def open_door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with Live(tmp_path_factory.mktemp("door"), client_seconds=5.0, store_wait_seconds=0.3) as one:
        yield one


@pytest.fixture
def door(open_door: Live) -> Door:
    open_door.service.root.doors = door = Door()
    return door


def dial(live: Live, path: str = "/doors/one/echo", **options: Any) -> ClientConnection:
    options.setdefault("open_timeout", PATIENCE_SECONDS)
    return connect(f"ws://127.0.0.1:{live.port}{path}", compression=None, proxy=None, **options)


def upgraded(live: Live) -> socket.socket:
    """A WebSocket without a library."""
    connection = live.connect()
    connection.sendall(UPGRADE)
    assert answer(connection)[0] == 101
    return connection


def exactly(connection: socket.socket, size: int) -> bytes:
    """So many bytes."""
    received = b""
    while len(received) < size:
        piece = connection.recv(size - len(received))
        assert piece, "it was closed"
        received += piece
    return received


def frame(opcode: Opcode, data: bytes, *, fin: bool = True) -> bytes:
    return bytes(Frame(opcode, data, fin=fin).serialize(mask=True))


def test_messages_go_both_ways(open_door: Live, door: Door) -> None:
    with dial(open_door, "/doors/one/echo?a=b%20c", subprotocols=["audio.example"]) as client:  # type: ignore[list-item]
        assert client.subprotocol == "audio.example"
        client.send("hé")
        assert client.recv() == "hé"
        client.send(b"\0" * 200_000)
        assert client.recv() == "200000 bytes"
        client.send(["in ", "three ", "frames"])
        assert client.recv() == "in three frames"
        assert client.ping().wait(PATIENCE_SECONDS)
    until(lambda: door.ended)
    assert door.ended == [1000]
    assert door.paths == ["/doors/one/echo?a=b%20c"]


def test_the_limit_of_heads_ends_no_call(open_door: Live, door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    hand_over = LimitedProtocol.handle_websocket_upgrade

    def and_no_time_for_heads(protocol: LimitedProtocol) -> None:
        protocol.head_seconds_max = 0.0
        hand_over(protocol)

    monkeypatch.setattr(LimitedProtocol, "handle_websocket_upgrade", and_no_time_for_heads)
    with dial(open_door) as client:
        client.send("still here")
        assert client.recv(PATIENCE_SECONDS) == "still here"
    until(lambda: door.ended)
    assert door.ended == [1000]


def test_nobody_gets_compression(open_door: Live, door: Door) -> None:
    with connect(f"ws://127.0.0.1:{open_door.port}/doors/one/echo", proxy=None) as client:
        assert client.protocol.extensions == []


def test_a_refusal_has_a_status_and_a_reason(open_door: Live, door: Door) -> None:
    with pytest.raises(InvalidStatus) as refused:
        dial(open_door, "/doors/one/refused")
    response = refused.value.response
    assert (response.status_code, response.headers["retry-after"], response.body) == (429, "7", b"too many\n")


def test_an_error_of_ours_tells_nothing(open_door: Live, door: Door, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(InvalidStatus) as refused:
        dial(open_door, "/doors/one/fails?token=very-secret")
    assert refused.value.response.status_code == 500
    assert "secret" not in caplog.text


def test_without_a_door_it_is_refused(open_door: Live, door: Door) -> None:
    open_door.service.root.doors = None
    with pytest.raises(InvalidStatus) as refused:
        dial(open_door)
    assert refused.value.response.status_code == 404


@pytest.mark.parametrize(
    "change",
    [
        (b"/doors/one/echo", b"/health"),
        (b"GET", b"POST"),
        (b"Host: a", b"Host: a\r\nContent-Length: 3"),
        (b"Host: a", b"Host: a\r\nTransfer-Encoding: chunked"),
        (b"HTTP/1.1", b"HTTP/1.0"),
        (b"Upgrade: websocket", b"Upgrade: h2c"),
    ],
)
def test_what_is_no_upgrade_to_a_door_is_answered_in_http(
    open_door: Live, door: Door, change: tuple[bytes, bytes]
) -> None:
    with open_door.connect() as connection:
        connection.sendall(UPGRADE.replace(*change) + b"abc")
        assert connection.recv(12)[9:12] in (b"200", b"400", b"401", b"404")
    assert door.begun == 0


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ((b"Version: 13", b"Version: 8"), 400),
        ((b"Key: AAAA", b"Key: AAA"), 400),
        ((b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n", b""), 400),
        ((b"Host: a", b"Host: a\r\nX: " + b"x" * 9_000), 431),
    ],
)
def test_a_broken_handshake_is_refused(open_door: Live, door: Door, change: tuple[bytes, bytes], status: int) -> None:
    assert open_door.ask(UPGRADE.replace(*change))[0] == status
    assert door.begun == 0


def test_an_upgrade_behind_a_request_waits_for_nobody(open_door: Live, door: Door) -> None:
    with open_door.locked(), open_door.connect() as connection:
        connection.sendall(open_door.signed("DELETE", "/voice-profile-domains/none") + UPGRADE)
        assert answer(connection)[0] == 503
    assert door.begun == 0


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(Opcode.TEXT, b"\xff\xfe"), 1007),
        (b"\x81\x01a", 1002),  # not masked
        (b"\xc1\x80abcd", 1002),  # a reserved bit: compressed
        (frame(Opcode.CONT, b"a"), 1002),
        (frame(Opcode.TEXT, b"a", fin=False) + frame(Opcode.TEXT, b"b"), 1002),
        (b"\x82\xff" + (1 << 40).to_bytes(8) + b"abcd", 1009),
        (frame(Opcode.BINARY, b"\0" * 200_000, fin=False) + frame(Opcode.CONT, b"\0" * 100_000), 1009),
        (frame(Opcode.TEXT, b"", fin=False) + frame(Opcode.CONT, b"", fin=False) * 2_000, 1008),
        (b"\x88\x81abcda", 1002),  # a close of one byte
        (b"\x89\xfe\x00\x7eabcd" + b"\0" * 126, 1002),  # a ping that is too long
        (b"\x83\x80abcd", 1002),
    ],
)
def test_frames_that_break_the_rules_end_it(open_door: Live, door: Door, sent: bytes, code: int) -> None:
    with upgraded(open_door) as connection:
        with suppress(ConnectionError):
            connection.sendall(sent)
        received = b""
        with suppress(ConnectionResetError):  # it closed while we still sent: the reset may take its answer along
            received = drain(connection)
    assert received or len(sent) > 200_000
    assert not received or received[:1] == b"\x88"
    assert not received or int.from_bytes(received[2:4]) == code
    until(lambda: door.ended)


def test_who_proves_nothing_is_cut_off(open_door: Live, door: Door) -> None:
    door.proves = False
    with limited(open_door, unproved_seconds_max=0.05), dial(open_door) as client:
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(PATIENCE_SECONDS)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008
    until(lambda: door.ended == [1008])


def test_who_proves_nothing_may_send_little(open_door: Live, door: Door) -> None:
    door.proves = False
    with limited(open_door, unproved_seconds_max=0.5), suppress(ConnectionError), upgraded(open_door) as connection:
        for _ in range(2_000):
            connection.sendall(frame(Opcode.BINARY, b"\0" * 5_000))
        drain(connection)
    until(lambda: door.ended == [1008])
    assert door.taken <= 120  # one read beyond 64 KB


def test_nothing_is_read_of_who_is_not_let_in_yet(open_door: Live) -> None:
    may_enter = threading.Event()

    class Slow(Door):
        async def __call__(self, web_socket: WebSocket) -> None:
            self.begun += 1
            while not may_enter.is_set():
                await asyncio.sleep(0.01)
            await super().__call__(web_socket)

    open_door.service.root.doors = slow = Slow()
    with open_door.connect() as connection:
        connection.sendall(UPGRADE)
        until(lambda: slow.begun)
        [protocol] = [each for each in open_door.server.server_state.connections if isinstance(each, WebSocketProtocol)]
        assert protocol._held == {"unaccepted"}
        connection.sendall(frame(Opcode.PING, b"") * 1_000)
        may_enter.set()
        assert answer(connection)[0] == 101
        assert exactly(connection, 2_000) == b"\x8a\x00" * 1_000


def test_a_flood_of_the_smallest_frames_is_taken_apart_in_pieces(open_door: Live, door: Door) -> None:
    door.proves = False
    ping, pongs = frame(Opcode.PING, b""), b""
    with limited(open_door, frames_per_second=1.0, unproved_seconds_max=0.3), upgraded(open_door) as connection:
        connection.sendall(ping * 10_000)
        with suppress(ConnectionError):
            while received := connection.recv(65_536):
                pongs += received
    assert pongs.count(b"\x8a\x00") <= PIECE_BYTES // len(ping) + 1


def test_who_says_nothing_and_answers_no_ping_is_cut_off(open_door: Live, door: Door) -> None:
    with limited(open_door, ping_seconds=0.03, idle_seconds_max=0.1), upgraded(open_door) as connection:
        received = drain(connection)
    assert received.startswith(b"\x89\x00")
    assert received[-2 - len("nothing came for a long time") - 2 :][:1] == b"\x88"


def test_who_answers_pings_may_be_silent(open_door: Live, door: Door) -> None:
    with limited(open_door, ping_seconds=0.02, idle_seconds_max=PATIENCE_SECONDS), upgraded(open_door) as connection:
        for _ in range(10):
            assert exactly(connection, 2) == b"\x89\x00"
            connection.sendall(frame(Opcode.PONG, b""))
        connection.sendall(frame(Opcode.TEXT, b"here"))
        while (received := exactly(connection, 2)) == b"\x89\x00":
            continue
        assert (received, exactly(connection, 4)) == (b"\x81\x04", b"here")


def test_who_is_faster_than_anybody_may_be_waits(open_door: Live, door: Door) -> None:
    with limited(open_door, frames_per_second=100.0, burst_seconds=0.1), dial(open_door) as client:
        begun = time.monotonic()
        for _ in range(60):
            client.send("a")
            client.recv(PATIENCE_SECONDS)
        assert time.monotonic() - begun >= 0.45


def test_what_nobody_takes_is_not_read(open_door: Live, door: Door) -> None:
    door.may_take.clear()
    sent = 0
    with upgraded(open_door) as connection:
        connection.settimeout(0.5)
        with suppress(TimeoutError):
            for _ in range(2_000):
                connection.sendall(frame(Opcode.BINARY, b"\0" * 50_000))
                sent += 1
        assert sent < 1_000  # 50 MB; what waits here is one, what sockets hold some more
        door.may_take.set()
        connection.settimeout(PATIENCE_SECONDS)
        until(lambda: door.taken >= sent)


def test_who_reads_nothing_is_cut_off(open_door: Live, door: Door) -> None:
    with limited(open_door, write_seconds_max=0.2), open_door.connect(receive_bytes=4_096) as connection:
        connection.sendall(UPGRADE)
        assert answer(connection)[0] == 101
        ping = frame(Opcode.TEXT, b"x" * 50_000)
        with suppress(ConnectionError):
            for _ in range(3_000):
                connection.sendall(ping)
    until(lambda: door.ended)


def test_both_ends_can_close(open_door: Live, door: Door) -> None:
    with dial(open_door) as client:
        client.send("close")
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(PATIENCE_SECONDS)
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4000, "as you wish")
    until(lambda: door.ended == [4000])
    with dial(open_door) as client:
        client.send("leave")
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(PATIENCE_SECONDS)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1000


def test_who_does_not_confirm_the_end_is_cut_off(open_door: Live, door: Door) -> None:
    with limited(open_door, close_seconds_max=0.05), upgraded(open_door) as connection:
        connection.sendall(frame(Opcode.TEXT, b"close"))
        assert drain(connection).startswith(b"\x88")


def test_a_lost_connection_ends_it(open_door: Live, door: Door) -> None:
    upgraded(open_door).close()
    until(lambda: door.ended == [1006])


def test_places_are_given_back(open_door: Live, door: Door) -> None:
    connected = open_door.server.config.ws_protocol_class.connected  # type: ignore[union-attr]
    until(lambda: not connected._names)
    for _ in range(3):
        with dial(open_door) as client:
            client.send("a")
            client.recv(PATIENCE_SECONDS)
            assert len(connected._names) == 1
            assert not connected._silent
    until(lambda: not connected._names)
    assert not connected._addresses
    door.proves = False
    with limited(open_door, unproved_seconds_max=PATIENCE_SECONDS), dial(open_door):
        until(lambda: len(connected._silent) == 1)
    with pytest.raises(InvalidStatus):
        dial(open_door, "/doors/one/refused")
    until(lambda: not connected._names)


@pytest.mark.slow
def test_half_open_web_sockets_make_room(open_door: Live, door: Door) -> None:
    """Many that prove nothing do not keep others out, and those that did prove it stay."""
    protocol: Any = open_door.server.config.ws_protocol_class
    connected = protocol.connected
    most, connected._most = connected._most, 40
    try:
        with ExitStack() as opened:
            proved = [opened.enter_context(dial(open_door)) for _ in range(5)]
            door.proves = False
            for _ in range(200):
                connection = opened.enter_context(open_door.connect())
                connection.sendall(UPGRADE)
            until(lambda: door.begun == 205)
            door.proves = True
            with dial(open_door) as client:
                client.send("still there")
                assert client.recv(PATIENCE_SECONDS) == "still there"
            for client in proved:
                client.send("me too")
                assert client.recv(PATIENCE_SECONDS) == "me too"
    finally:
        connected._most = most


def test_over_tls(start: Callable[..., Live], certificate: tuple[Path, Path]) -> None:
    live = start(tls_certificate=certificate[0], tls_key=certificate[1])
    live.service.root.doors = Door()
    with connect(f"wss://127.0.0.1:{live.port}/doors/one/echo", ssl=TRUSTING, proxy=None) as client:
        client.send(b"\0" * 100_000)
        assert client.recv(PATIENCE_SECONDS) == "100000 bytes"
        connected = live.server.config.ws_protocol_class.connected  # type: ignore[union-attr]
        assert len(connected._names) == 1
    until(lambda: not connected._names)


def test_a_stop_tells_both_ends(start: Callable[..., Live]) -> None:
    live = start()
    live.service.root.doors = door = Door()
    with dial(live) as client:
        client.send("a")
        assert client.recv(PATIENCE_SECONDS) == "a"
        live.server.should_exit = True
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(PATIENCE_SECONDS)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
    assert door.ended == [1012]


def test_limits_have_defaults() -> None:
    limits = WebSocketLimits()
    assert (limits.unproved_seconds_max, limits.unproved_bytes_max) == (5.0, 65_536)
