"""The least that calls can cost: a TCP server that takes the same bytes and throws them away."""

import asyncio
import base64
import hashlib
import re
import signal
import sys
from typing import cast

import uvloop

_ACCEPT = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class _Sink(asyncio.Protocol):
    """Agrees to a WebSocket (RFC 6455, 4.2.2) where one is asked for, and reads."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"GET /ready"):
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        elif data.startswith(b"GET ") and (key := re.search(rb"(?i)sec-websocket-key: *(\S+)", data)):
            accept = base64.b64encode(hashlib.sha1(key[1] + _ACCEPT).digest())  # noqa: S324  # as the protocol has it
            self._transport.write(
                b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
                b"sec-websocket-accept: " + accept + b"\r\n\r\n"
            )


async def _serve(port: int) -> None:
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    server = await loop.create_server(_Sink, "127.0.0.1", port, backlog=1_024)
    await stopped.wait()
    server.close()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
