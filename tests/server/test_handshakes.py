"""The TLS port and clients that do not finish their handshake."""

import socket
import ssl
from collections.abc import Callable
from contextlib import ExitStack, suppress
from errno import EMFILE
from pathlib import Path

import pytest
from live import DEADLINE_SECONDS, Live, answer, drain

from patience import until

HEALTH = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
TRUSTING = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
TRUSTING.check_hostname = False
TRUSTING.verify_mode = ssl.CERT_NONE


@pytest.fixture
def secured(start: Callable[..., Live], certificate: tuple[Path, Path]) -> Callable[..., Live]:
    return lambda **settings: start(tls_certificate=certificate[0], tls_key=certificate[1], **settings)


def healthy(live: Live) -> bool:
    with live.connect() as plain, TRUSTING.wrap_socket(plain) as connection:
        connection.sendall(HEALTH)
        return answer(connection)[0] == 200


@pytest.mark.slow
def test_a_request_that_comes_with_the_end_of_the_handshake(secured: Callable[..., Live]) -> None:
    """TLS 1.3 lets a client send its request with its last handshake message, in one packet."""
    live = secured()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = TRUSTING.wrap_bio(incoming, outgoing)
    with live.connect() as connection:
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                connection.sendall(outgoing.read())
                incoming.write(connection.recv(65_536))
        client.write(HEALTH)
        connection.sendall(outgoing.read())
        received = b""
        while b'"ok"' not in received:
            incoming.write(connection.recv(65_536))
            try:
                received += client.read(65_536)
            except ssl.SSLWantReadError:
                continue
    assert received.startswith(b"HTTP/1.1 200 ")


@pytest.mark.slow
@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01", HEALTH], ids=["nothing", "a beginning", "plain HTTP"])
def test_who_does_not_finish_a_handshake_is_cut_off(secured: Callable[..., Live], sent: bytes) -> None:
    live = secured(client_seconds=0.2)
    connections = live.server.server_state.connections
    with live.connect() as connection:
        connection.sendall(sent)
        with suppress(ConnectionError):
            drain(connection)
    until(lambda: not connections)
    assert healthy(live)


@pytest.mark.slow
def test_handshakes_count_as_connections(secured: Callable[..., Live], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("earwitness.server.run._connections_max", lambda _: 20)
    live = secured(client_seconds=DEADLINE_SECONDS)
    connections = live.server.server_state.connections
    with ExitStack() as stack:
        silent = [stack.enter_context(live.connect()) for _ in range(15)]
        with suppress(ConnectionError):
            assert {drain(one) for one in silent[:5]} == {b""}  # an address has half of all; its oldest made room
        until(lambda: len(connections) == 10)
        assert healthy(live)
        until(lambda: len(connections) == 9)
        silent.pop().shutdown(socket.SHUT_RDWR)  # who hangs up makes room
        until(lambda: len(connections) == 8)
    until(lambda: not connections)


@pytest.mark.slow
def test_a_connection_for_which_no_descriptor_is_left_is_closed(
    secured: Callable[..., Live], monkeypatch: pytest.MonkeyPatch
) -> None:
    live = secured(client_seconds=DEADLINE_SECONDS)
    with monkeypatch.context() as patched:
        patched.setattr("earwitness.server.handshake.os.dup", none_left)
        with live.connect() as connection, suppress(ConnectionError):
            assert drain(connection) == b""
    assert not live.server.server_state.connections
    assert healthy(live)


def none_left(_: int) -> int:
    raise OSError(EMFILE, "too many open files")


@pytest.mark.slow
def test_a_service_that_stops_waits_for_no_handshake(secured: Callable[..., Live]) -> None:
    live = secured(client_seconds=60.0)
    with live.connect() as connection:
        until(lambda: len(live.server.server_state.connections) == 1)
        live.__exit__(None, None, None)
        with pytest.raises(ConnectionError):
            connection.sendall(HEALTH)
            raise ConnectionError(drain(connection))
    live.__enter__()
