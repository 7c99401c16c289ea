"""The least that calls can cost: a server that takes the same bytes by TCP and UDP and throws them away."""

import asyncio
import base64
import hashlib
import json
import re
import signal
import sys
from collections.abc import Sequence
from typing import cast

import uvloop

_ACCEPT = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class _Sink(asyncio.Protocol):
    """Agrees to a WebSocket (RFC 6455, 4.2.2) where one is asked for, and reads."""

    def __init__(self, media: Sequence[int]) -> None:
        self._media = json.dumps(media).encode()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"GET /ready"):
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        elif data.startswith(b"GET /media"):
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(self._media) + self._media)
        elif data.startswith(b"GET ") and (key := re.search(rb"(?i)sec-websocket-key: *(\S+)", data)):
            accept = base64.b64encode(hashlib.sha1(key[1] + _ACCEPT).digest())  # noqa: S324  # as the protocol has it
            self._transport.write(
                b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
                b"sec-websocket-accept: " + accept + b"\r\n\r\n"
            )


async def _serve(port: int, media: int) -> None:
    """Listen at a TCP port, and at as many UDP ports as `media`, which `GET /media` tells."""
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    opened = [
        await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)) for _ in range(media)
    ]
    ports = [int(transport.get_extra_info("sockname")[1]) for transport, _ in opened]
    server = await loop.create_server(lambda: _Sink(ports), "127.0.0.1", port, backlog=1_024)
    await stopped.wait()
    server.close()
    for transport, _ in opened:
        transport.close()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
