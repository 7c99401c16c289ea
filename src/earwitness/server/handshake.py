"""TLS, from the moment a client connects: counted among the connections, and bounded in time.

uvicorn has the event loop do TLS, which tells the protocol of a connection only after its handshake; who never finishes
it was counted by nobody. So the server listens without TLS, and each connection begins with this protocol.
"""

import asyncio
import os
import socket
from typing import Any, ClassVar, cast

from uvicorn.config import Config
from uvicorn.protocols.utils import get_remote_addr
from uvicorn.server import ServerState

from earwitness.server.certificate import Certificate
from earwitness.server.protocol import LimitedProtocol

SHUTDOWN_SECONDS_MAX = 5.0
"""How long a client may take to confirm the end of TLS, when we have ended it."""


class Handshake(asyncio.Protocol):
    """A connection until its handshake is done; the protocol of HTTP takes over then.

    The values of its class are set on a subclass by `behind_handshake`.
    """

    then: ClassVar[type[LimitedProtocol]]
    certificate: ClassVar[Certificate]
    seconds_max: ClassVar[float]

    # `Any`: what uvicorn hands to every protocol; passed on as it came.
    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: Any = None) -> None:
        self._arguments = (config, server_state, app_state, _loop)
        # A cast: uvicorn's annotation names its own protocols, of which it asks what this one has.
        self._connections = cast("set[object]", server_state.connections)
        self._shaking: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake, on a socket that nothing was read from: its first bytes are TLS's already."""
        plain = cast("asyncio.Transport", transport)
        client = get_remote_addr(plain)
        if self.then.connected.open(self, client[0] if client else ""):
            try:
                accepted = socket.socket(fileno=os.dup(plain.get_extra_info("socket").fileno()))
            except OSError:  # no file descriptor is left
                self.then.connected.close(self)
                plain.abort()
                return
            accepted.setblocking(False)
            self._connections.add(self)
            self._shaking = asyncio.get_running_loop().create_task(self._shake(accepted))
            self._shaking.add_done_callback(lambda shaking: self._ended(shaking, accepted))
        plain.abort()

    def shutdown(self) -> None:
        """Stop with the server; nothing was asked yet."""
        if self._shaking is not None:
            self._shaking.cancel()

    def evict(self) -> None:
        """Close at once, for somebody else to have the place."""
        self.shutdown()

    async def _shake(self, accepted: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                self._make_next,
                accepted,
                ssl=self.certificate.context(),
                ssl_handshake_timeout=self.seconds_max,
                ssl_shutdown_timeout=SHUTDOWN_SECONDS_MAX,
            )
        except OSError:  # ssl.SSLError and TimeoutError are such: clients that speak no TLS, hang up or do nothing
            accepted.close()

    def _ended(self, shaking: "asyncio.Task[None]", accepted: socket.socket) -> None:
        """Called also for a handshake that was cancelled before it began."""
        if shaking.cancelled():
            accepted.close()
        self._connections.discard(self)
        self.then.connected.close(self)

    def _make_next(self) -> LimitedProtocol:
        following = self.then(*self._arguments)
        following.handshake = self
        return following


def behind_handshake(
    protocol: type[LimitedProtocol], certificate: Certificate, *, seconds_max: float
) -> type[Handshake]:
    """Return the protocol class of a handshake that may take `seconds_max` and is followed by `protocol`."""
    attributes = {"then": protocol, "certificate": certificate, "seconds_max": seconds_max}
    return type("LimitedHandshake", (Handshake,), attributes)
