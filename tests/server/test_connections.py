"""Connections: reused, pipelined, idle, too many, and clients that do not read."""

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from live import DEADLINE_SECONDS, DOMAINS, Live, answer, drain
from uvicorn.server import ServerState

from earwitness.errors import ConfigurationError
from earwitness.server import run
from earwitness.server.connections import Connections, trusted_networks
from earwitness.server.protocol import limited_protocol
from patience import until

HEALTH = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"


def test_a_connection_is_used_again(live: Live) -> None:
    with live.connect() as connection:
        for _ in range(20):
            connection.sendall(live.signed())
            status, headers, _ = answer(connection)
            assert status == 200
            assert "connection" not in headers


def test_http_1_0(live: Live) -> None:
    received = live.raw(live.signed().replace(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n"))
    assert received.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in received
    assert live.raw(b"GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 401 ")


def test_head(live: Live) -> None:
    with live.connect() as connection:
        connection.sendall(b"HEAD /ready HTTP/1.1\r\nHost: a\r\n\r\n" + live.signed("HEAD"))
        status, headers, _ = answer(connection, head_only=True)
        assert (status, headers["content-length"]) == (200, "18")
        assert answer(connection, head_only=True)[0] == 404  # no operation has this method


def test_health_and_readiness(live: Live) -> None:
    assert live.ask(HEALTH)[::2] == (200, b'{"status":"ok"}')
    assert live.ask(HEALTH.replace(b"health", b"ready"))[::2] == (200, b'{"status":"ready"}')
    status, headers, _ = live.ask(b"POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
    assert (status, headers["allow"]) == (405, "GET, HEAD")


def test_pipelined_requests_are_answered_in_their_order(live: Live) -> None:
    with live.connect() as connection:
        connection.sendall(live.signed() + HEALTH + live.signed("GET", "/voice-profile-domains/none") + HEALTH)
        assert [answer(connection)[0] for _ in range(4)] == [200, 200, 404, 200]


def test_what_comes_after_a_pipelined_request_cannot_answer_it(live: Live) -> None:
    """A broken request after a good one must not be refused in the place of the good one's answer."""
    with live.locked(), live.connect() as connection:  # the good one waits for the records
        connection.sendall(live.signed("DELETE", "/voice-profile-domains/none") + b"\x00broken\r\n\r\n")
        status, headers, _ = answer(connection)
        assert (status, headers["x-amzn-errortype"]) == (503, "ServiceUnavailableException")
        assert drain(connection) == b""


def test_a_broken_body_behind_a_request_cannot_answer_it(live: Live) -> None:
    broken = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"
    with live.locked(), live.connect() as connection:
        connection.sendall(live.signed("DELETE", "/voice-profile-domains/none") + HEALTH + broken)
        assert answer(connection)[0] == 503
        assert answer(connection)[0] == 200
        assert drain(connection) == b""


def test_requests_that_are_queued_on_a_connection_are_bounded(live: Live) -> None:
    received = live.raw(HEALTH * 5_000)
    assert 1 <= received.count(b"HTTP/1.1 200 ") <= 17
    assert received.count(b"HTTP/1.1 ") == received.count(b"HTTP/1.1 200 ")


def test_clients_that_say_nothing_are_in_nobodys_way(live: Live) -> None:
    with ExitStack() as stack:
        silent = [stack.enter_context(live.connect()) for _ in range(200)]
        assert live.ask(HEALTH)[0] == 200
        assert {drain(one) for one in silent} == {b""}


def silent_from(live: Live, address: str, stack: ExitStack) -> socket.socket:
    """A connection from another address of this machine, which says half a word."""
    connection = stack.enter_context(socket.socket())
    connection.settimeout(DEADLINE_SECONDS)
    connection.bind((address, 0))
    connection.connect(("127.0.0.1", live.port))
    connection.sendall(b"GET /he")
    return connection


@pytest.mark.parametrize(
    ("soft", "hard", "doors", "most"),
    [
        (1_024, 100_000, 0, 10_000),
        (1_024, 100_000, 6_000, 10_000),
        (1_024, 12_256, 6_000, 6_128),
        (1_024, 9_000, 2_000, 6_744),
    ],
)
def test_a_crowd_leaves_doors_their_descriptors(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, doors: int, most: int
) -> None:
    taken: list[int] = []
    monkeypatch.setattr("resource.getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr("resource.setrlimit", lambda _, limits: taken.append(limits[0]))
    assert run._connections_max(doors) == most
    assert taken == [hard]


def test_doors_say_how_many_descriptors_they_may_take(start: Callable[..., Live]) -> None:
    assert start().service.doors.descriptors_max == 0
    live = start(siprec="127.0.0.1:0", audiosocket="127.0.0.1:0", calls_at_once=300)
    assert live.service.doors.descriptors_max == 1_000 + 300 * 4 + 1_000


@pytest.mark.slow
def test_an_address_has_a_share_of_the_connections(
    start: Callable[..., Live], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("earwitness.server.run._connections_max", lambda _: 20)
    live = start(client_seconds=600)
    connections = live.server.server_state.connections
    with ExitStack() as stack:
        crowd = [silent_from(live, "127.0.0.2", stack) for _ in range(60)]
        assert {drain(one) for one in crowd[:50]} == {b""}  # the oldest made room for the latest
        until(lambda: len(connections) == 10)
        with live.connect() as other:  # from another address
            for _ in range(3):
                other.sendall(HEALTH)
                assert answer(other)[0] == 200
        for one in crowd[50:]:  # those that are left are used as any other
            one.sendall(HEALTH.removeprefix(b"GET /he"))
            assert answer(one)[0] == 200
    until(lambda: not connections)
    told = [record for record in caplog.records if "too many connections" in record.getMessage()]
    assert len(told) == 1
    assert vars(told[0])["client"] == "127.0.0.2"


@pytest.mark.slow
def test_a_connection_that_is_being_answered_is_not_closed_for_another(
    start: Callable[..., Live], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("earwitness.server.run._connections_max", lambda _: 4)
    live = start(client_seconds=600, store_wait_seconds=60)
    with ExitStack() as stack:
        with live.locked():
            asking = [stack.enter_context(live.connect()) for _ in range(2)]
            for one in asking:
                one.sendall(live.signed("DELETE", "/voice-profile-domains/none"))
            until(lambda: live.service.root.aws._in_progress == 2)
            with live.connect() as one_more, pytest.raises(ConnectionError):
                one_more.sendall(HEALTH)
                answer(one_more)
        assert [answer(one)[0] for one in asking] == [404, 404]


@pytest.mark.slow
def test_a_trusted_proxy_may_have_any_number_of_connections(
    start: Callable[..., Live], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("earwitness.server.run._connections_max", lambda _: 20)
    live = start(client_seconds=600, trusted_proxies="10.0.0.0/8, 127.0.0.2")
    connections = live.server.server_state.connections
    with ExitStack() as stack:
        first, *_ = [silent_from(live, "127.0.0.2", stack) for _ in range(20)]
        until(lambda: len(connections) == 20)
        assert live.ask(HEALTH)[0] == 200  # the oldest silent one of all went
        assert drain(first) == b""


@pytest.mark.parametrize("text", ["10.0.0.0/33", "proxy.example.net", "10.0.0.1/8", "10.0.0.1;10.0.0.2"])
def test_what_is_no_trusted_proxy_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="trusted_proxies"):
        trusted_networks(text)


class Standing:
    """A connection that notes that it was closed."""

    def __init__(self) -> None:
        self.evicted = False

    def evict(self) -> None:
        self.evicted = True


def test_ten_thousand_silent_connections_of_one_address_shut_nobody_out(caplog: pytest.LogCaptureFixture) -> None:
    seconds = 0.0
    connections = Connections(10_000, monotonic=lambda: seconds)
    crowd = [Standing() for _ in range(20_000)]
    assert all(connections.open(one, "192.0.2.1") for one in crowd)
    assert [one.evicted for one in crowd] == [True] * 15_000 + [False] * 5_000
    others = [Standing() for _ in range(1_000)]
    assert all(connections.open(one, f"198.51.100.{number % 250}") for number, one in enumerate(others))
    assert not any(one.evicted for one in others)
    assert len(caplog.records) == 1
    seconds = 61.0
    assert connections.open(Standing(), "192.0.2.1")
    assert vars(caplog.records[1])["closed"] > 14_000


def test_neighbours_in_ipv6_count_as_one_and_a_busy_crowd_is_refused() -> None:
    connections = Connections(6)
    crowd = [Standing() for _ in range(3)]
    for number, one in enumerate(crowd):
        assert connections.open(one, f"2001:db8::{number:x}")
        connections.is_asked(one)
    assert not connections.open(Standing(), "2001:db8::ffff")
    assert connections.open(Standing(), "2001:db8:1::1")
    connections.close(crowd[0])
    connections.close(crowd[0])  # again
    assert connections.open(Standing(), "2001:db8::ffff")


@pytest.mark.slow
def test_who_does_not_read_is_cut_off(start: Callable[..., Live]) -> None:
    live = start(write_seconds_max=0.1, client_seconds=0.5)
    connections = live.server.server_state.connections
    with live.connect(receive_bytes=4096) as connection:
        sent = 0
        with pytest.raises(ConnectionError):
            while sent < 50_000_000:
                connection.sendall(HEALTH)
                sent += len(HEALTH)
        until(lambda: not connections and not live.server.server_state.tasks)


class Stalled(asyncio.Transport):
    """A connection whose client takes no byte: its transport closes only when it is made to."""

    def __init__(self) -> None:
        super().__init__()
        self.closing = False
        self.aborted = asyncio.Event()

    def get_write_buffer_size(self) -> int:
        return 1_000

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.aborted.set()

    def write(self, data: object) -> None:
        """It goes nowhere."""


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.0\r\n\r\n", b"no request\r\n\r\n", b"GET /unfinished"])
def test_who_does_not_read_the_last_answer_is_cut_off(live: Live, sent: bytes) -> None:
    """A transport that is closing waits for its client for ever, unless somebody ends it."""

    async def check() -> None:
        limited = limited_protocol(head_seconds_max=0.01, write_seconds_max=0.01)
        protocol = limited(live.server.config, ServerState(), {}, asyncio.get_running_loop())
        transport = Stalled()
        protocol.connection_made(transport)
        protocol.data_received(sent)
        async with asyncio.timeout(DEADLINE_SECONDS):
            await transport.aborted.wait()
        protocol.connection_lost(None)

    asyncio.run(check())


def test_an_upgrade_is_not_taken(live: Live) -> None:
    with live.connect() as connection:
        connection.sendall(HEALTH.replace(b"\r\n\r\n", b"\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"))
        assert answer(connection)[0] == 200


def test_a_host_header_cannot_add_to_the_answer(live: Live) -> None:
    received = live.raw(live.signed().replace(b"Host: ", b"Host: x\r\n y: z\r\nHost: "))
    assert received.startswith((b"HTTP/1.1 401 ", b"HTTP/1.1 400 ")) or not received
    assert b"y: z" not in received.partition(b"\r\n\r\n")[0]


def test_no_thread_is_left(start: Callable[..., Live]) -> None:
    before = threading.active_count()
    live = start()
    assert live.ask(live.signed("GET", DOMAINS))[0] == 200
    live.__exit__(None, None, None)
    assert threading.active_count() == before
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", live.port)):
        pass
    live.__enter__()
