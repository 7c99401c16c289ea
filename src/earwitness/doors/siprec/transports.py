"""The sockets of SIP: datagrams, TCP and TLS connections. They hand messages over and send answers.

What belongs here: reading, writing, and bounds on who may hold a connection. What must never: what a message means.
"""

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from itertools import count
from typing import cast

from earwitness.doors.siprec.dialog import Flow
from earwitness.doors.siprec.message import SipMessage, read_datagram
from earwitness.doors.siprec.stream import KeepAlive, SipStream
from earwitness.doors.tcp import notice_death
from earwitness.errors import SipUnreadable
from earwitness.server.connections import Connections

HANDSHAKE_SECONDS = 10.0
"""How long a TLS handshake may take."""

MESSAGE_SECONDS = 30.0
"""How long a message may take to come, from its first byte."""

UNREAD_BYTES_MAX = 262_144
"""Answers that a client does not read; beyond them its connection is closed."""

PIECE_BYTES = 2_048
"""Read at once of what came, and as dear as a message."""

STRANGERS_PIECES_MAX, STRANGER_PIECES_MAX, CALLER_PIECES_MAX = 100, 10, 500
"""Messages and pieces between two looks at the clock: of all connections without calls, of one of them, and of one with
calls. What is more waits: a flood of strangers must not take the time of calls."""

SIGNALLING_BUFFER_BYTES = 1 << 20
"""Datagrams kept by the kernel while the event loop is busy: some hundred calls that begin at once."""

_numbers = count(1)


def datagram_socket(host: str, port: int) -> socket.socket:
    """Return a UDP socket that takes what comes at once. Raise OSError when the address cannot be had."""
    opened = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        if opened.family is socket.AF_INET6:  # as asyncio does it for TCP
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SIGNALLING_BUFFER_BYTES)
        opened.setblocking(False)
        opened.bind((host, port))
    except OSError:
        opened.close()
        raise
    return opened


class SipDatagrams(asyncio.DatagramProtocol):
    """The UDP socket."""

    def __init__(
        self,
        *,
        receive: Callable[[SipMessage, Flow], None],
        unreadable: Callable[[], None],
        local: Callable[[str], tuple[str, int]],
        may_take: Callable[[str], bool],
    ) -> None:
        """`local` returns our address and port as a peer at some address reaches us. `may_take` counts a datagram of an
        address, and says whether it is read."""
        self._receive = receive
        self._unreadable = unreadable
        self._local = local
        self._may_take = may_take
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to listen."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    # The address of IPv6 has four parts, that of IPv4 two.
    def datagram_received(self, data: bytes, addr: tuple[str | int, ...]) -> None:
        """Take a message; empty lines keep a NAT's hole open and say nothing."""
        if not self._may_take(str(addr[0])) or not data.strip(b"\r\n\0 "):
            return
        try:
            message = read_datagram(data)
        except SipUnreadable:
            self._unreadable()
            return
        address, port = str(addr[0]), int(addr[1])
        local_address, local_port = self._local(address)
        flow = Flow(transport="UDP", address=address, port=port, local_address=local_address, local_port=local_port)
        self._receive(message, flow)

    def send(self, flow: Flow, data: bytes) -> None:
        """Send a datagram."""
        if self._transport is not None and not self._transport.is_closing() and flow.port:
            self._transport.sendto(data, (flow.address, flow.port))

    def close(self) -> None:
        """Stop listening."""
        if self._transport is not None:
            self._transport.close()


class SipConnections:
    """All TCP and TLS connections, by number."""

    def __init__(
        self,
        places: Connections,
        *,
        receive: Callable[[SipMessage, Flow], None],
        unreadable: Callable[[], None],
        monotonic: Callable[[], float],
    ) -> None:
        self.places = places
        self.receive = receive
        self.unreadable = unreadable
        self.monotonic = monotonic
        self.open: dict[int, SipConnection] = {}
        self.handshakes: set[TlsHandshake] = set()
        self._strangers_pieces = 0.0
        self._waiting: list[SipConnection] = []

    def send(self, flow: Flow, data: bytes) -> None:
        """Send on the connection that a flow names, if it is still there."""
        connection = self.open.get(flow.connection)
        if connection is not None:
            connection.send(data)

    def is_asked(self, number: int) -> None:
        """Note that a call came over a connection: it is not closed to make room."""
        connection = self.open.get(number)
        if connection is not None:
            connection.has_calls = True
            self.places.is_asked(connection)

    def falls_silent(self, number: int) -> None:
        """Note that there is no call over a connection any more."""
        connection = self.open.get(number)
        if connection is not None:
            connection.has_calls = False
            self.places.falls_silent(connection)

    def may_take(self, connection: "SipConnection") -> bool:
        """Say whether more of a connection may be read before the next look; otherwise it waits for that."""
        if connection.has_calls:
            may = connection.pieces < CALLER_PIECES_MAX
        else:
            may = connection.pieces < STRANGER_PIECES_MAX and self._strangers_pieces < STRANGERS_PIECES_MAX
        if not may:
            self._waiting.append(connection)
        return may

    def count(self, connection: "SipConnection", pieces: float) -> None:
        """Note what was read of a connection."""
        connection.pieces += pieces
        if not connection.has_calls:
            self._strangers_pieces += pieces

    def elapse(self, now: float) -> None:
        """Read what waited, and close connections whose message does not end."""
        # Those of which nothing was read at the last look are first.
        waiting = sorted(self._waiting, key=lambda connection: connection.pieces > 0)
        self._waiting, self._strangers_pieces = [], 0.0
        for connection in list(self.open.values()):
            connection.pieces = 0.0
            if connection.is_late(now):
                self.unreadable()
                connection.evict()
        for connection in waiting:
            connection.go_on()

    def close(self) -> None:
        """Close all, after what was sent."""
        for handshake in list(self.handshakes):
            handshake.evict()
        for connection in list(self.open.values()):
            connection.close()


class TlsHandshake(asyncio.Protocol):
    """A connection until TLS is agreed, counted and bounded in time; a SipConnection takes over then.

    The event loop's own way tells nobody of connections whose handshake is not done (`server/handshake.py`).
    """

    def __init__(self, connections: SipConnections, context: Callable[[], ssl.SSLContext]) -> None:
        self._connections = connections
        self._context = context
        self._shaking: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake, on a socket that nothing was read from."""
        plain = cast("asyncio.Transport", transport)
        peer = plain.get_extra_info("peername")
        if peer and self._connections.places.open(self, str(peer[0])):
            try:
                accepted = socket.socket(fileno=os.dup(plain.get_extra_info("socket").fileno()))
            except OSError:  # no file descriptor is left
                self._connections.places.close(self)
                plain.abort()
                return
            accepted.setblocking(False)
            self._connections.handshakes.add(self)
            self._shaking = asyncio.get_running_loop().create_task(self._shake(accepted))
            self._shaking.add_done_callback(lambda shaking: self._ended(shaking, accepted))
        plain.abort()

    def evict(self) -> None:
        """Close it at once."""
        if self._shaking is not None:
            self._shaking.cancel()

    async def _shake(self, accepted: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: SipConnection(self._connections, transport="TLS", handshake=self),
                accepted,
                ssl=self._context(),
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
            )
        except OSError:  # ssl.SSLError and TimeoutError are such: clients that speak no TLS, hang up or do nothing
            accepted.close()
            self._connections.unreadable()

    def _ended(self, shaking: "asyncio.Task[None]", accepted: socket.socket) -> None:
        if shaking.cancelled():
            accepted.close()
        self._connections.handshakes.discard(self)
        self._connections.places.close(self)


class SipConnection(asyncio.Protocol):
    """One connection, over TCP or behind a handshake."""

    def __init__(self, connections: SipConnections, *, transport: str, handshake: TlsHandshake | None = None) -> None:
        """`transport` is TCP or TLS; `handshake` held the connection's place so far."""
        self._handshake = handshake
        self.number = next(_numbers)
        #: Whether a call came over it that is in progress.
        self.has_calls = False
        #: Read since the last look.
        self.pieces = 0.0
        self._connections = connections
        self._kind = transport
        self._stream = SipStream()
        self._unread, self._is_waiting = b"", False
        self._transport: asyncio.Transport | None = None
        self._message_began: float | None = None
        self._flow: Flow | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it, and begin to read."""
        made = cast("asyncio.Transport", transport)
        peer, local = made.get_extra_info("peername"), made.get_extra_info("sockname")
        if self._handshake is not None:
            self._connections.places.close(self._handshake)
        if not peer or not self._connections.places.open(self, str(peer[0])):
            made.abort()
            return
        notice_death(made)
        self._transport = made
        self._connections.open[self.number] = self
        self._flow = Flow(
            transport=self._kind,
            address=str(peer[0]),
            port=int(peer[1]),
            local_address=str(local[0]),
            local_port=int(local[1]),
            connection=self.number,
        )

    def data_received(self, data: bytes) -> None:
        """Take messages."""
        self._unread += data
        if not self._is_waiting:
            self.go_on()

    def go_on(self) -> None:
        """Read what came, as much as may be before the next look."""
        while self._unread and self._transport is not None and not self._transport.is_closing():
            if not self._connections.may_take(self):
                if not self._is_waiting:
                    self._is_waiting = True
                    self._transport.pause_reading()
                return
            piece, self._unread = self._unread[:PIECE_BYTES], self._unread[PIECE_BYTES:]
            self._connections.count(self, len(piece) / PIECE_BYTES + self._take(piece))
        if self._is_waiting:
            self._is_waiting = False
            if self._transport is not None and not self._transport.is_closing():
                self._transport.resume_reading()

    def _take(self, data: bytes) -> int:
        """Take messages out of bytes. Return how many there were."""
        if self._flow is None:
            return 0
        try:
            found = self._stream.feed(data)
        except SipUnreadable:
            self._connections.unreadable()
            self.evict()
            return 0
        for each in found:
            if isinstance(each, KeepAlive):
                self.send(b"\r\n")
            else:
                self._connections.receive(each, self._flow)
        now = self._connections.monotonic()
        began = self._message_began if self._message_began is not None and not found else now
        self._message_began = began if self._stream.is_within_message else None
        if self._stream.is_broken:
            self.close()
        return len(found)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # as asyncio calls it
        """Give the place back. Calls live on: their client may come again."""
        self._connections.open.pop(self.number, None)
        self._connections.places.close(self)

    def send(self, data: bytes) -> None:
        """Write, unless the client reads nothing."""
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > UNREAD_BYTES_MAX:
            self.evict()

    def is_late(self, now: float) -> bool:
        """Say whether a message takes too long."""
        return self._message_began is not None and now - self._message_began > MESSAGE_SECONDS

    def close(self) -> None:
        """Close it after what was sent."""
        if self._transport is not None:
            self._transport.close()

    def evict(self) -> None:
        """Close it at once."""
        if self._transport is not None:
            self._transport.abort()
