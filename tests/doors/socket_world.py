"""A server with doors over WebSockets, on the test's own event loop, and what phone systems send."""

import asyncio
import base64
import json
import math
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from door_world import LogDesk, access, eventually, log_desk
from starlette.types import Receive, Scope, Send
from websockets.asyncio.client import ClientConnection, connect

from earwitness.doors.socket_handshake import Outside
from earwitness.doors.sockets import SocketClock, SocketDoors
from earwitness.server import run
from earwitness.server.certificate import Certificate, TlsFiles
from earwitness.server.web_socket import WebSocket
from earwitness.server.web_socket_protocol import WebSocketLimits
from earwitness.voice.connector import DoorSecret
from earwitness.wire.wrong_credentials import WrongCredentials
from patience import PATIENCE_SECONDS

CONNECTOR = "abcdef1ghij2klmno3pqr4"
SECRET = "a-token-of-the-tests"  # noqa: S105


@dataclass
class World:
    """What runs."""

    port: int
    doors: SocketDoors
    desk: LogDesk
    server: run.Server
    scheme: str = "ws"
    stopped: asyncio.Event = field(default_factory=asyncio.Event)

    def url(self, kind: str, token: str = "", query: str = "") -> str:
        path = f"/doors/{CONNECTOR}/{kind}" + (f"/{token}" if token else "") + (f"?{query}" if query else "")
        return f"{self.scheme}://127.0.0.1:{self.port}{path}"

    def dial(
        self, kind: str, token: str = "", *, query: str = "", headers: Mapping[str, str] | None = None, **options: Any
    ) -> connect:
        options.setdefault("open_timeout", PATIENCE_SECONDS)
        return connect(
            self.url(kind, token, query), additional_headers=headers or {}, compression=None, proxy=None, **options
        )

    def audio(self, leg: str, transaction: str = "transaction-1") -> Any:
        """The stream of a leg."""
        return self.desk.begun[transaction].streams[leg]

    def know(self, secrets: Mapping[DoorSecret, str], **changes: Any) -> None:
        self.desk.known[CONNECTOR] = access(connector_id=CONNECTOR, secrets=secrets, **changes)


@asynccontextmanager
async def served(
    folder: Path,
    *,
    outside: Outside | None = None,
    certificate: tuple[Path, Path] | None = None,
    clock: SocketClock | None = None,
    **settings: Any,
) -> AsyncIterator[World]:
    from datetime import UTC, datetime

    async with log_desk(folder, lambda: datetime.now(UTC)) as desk:
        doors = SocketDoors(
            desk,
            WrongCredentials(free_failures=settings.pop("free_failures", 1_000_000)),
            outside=outside or Outside(),
            new_id=lambda: "a-new-id",
            clock=clock,
            **settings,
        )
        listening = run.Listening(
            host="127.0.0.1",
            port=0,
            certificate=Certificate(TlsFiles(certificate=certificate[0], key=certificate[1])) if certificate else None,
            head_seconds_max=30.0,
            stop_seconds_max=30.0,
            web_sockets=WebSocketLimits(unproved_seconds_max=PATIENCE_SECONDS),
        )
        listener = run.open_socket(listening)
        stopping: list[bool] = []
        server = run.prepare(_application(doors), listening, on_stopping=lambda: stopping.append(True))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        world = World(listener.getsockname()[1], doors, desk, server, "wss" if certificate else "ws")
        world.know({DoorSecret.TOKEN: SECRET})
        try:
            await eventually(lambda: server.started)
            yield world
        finally:
            server.should_exit = True
            await asyncio.wait_for(task, PATIENCE_SECONDS)


def _application(doors: SocketDoors) -> Any:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
        elif scope["type"] == "websocket":
            await doors(WebSocket(scope, receive, send))

    return application


# What phone systems send.


def tone(samples: int, *, first: int = 0, rate: int = 8_000, hertz: float = 440.0) -> bytes:
    """A sine in 16 bits, little-endian."""
    return b"".join(
        round(8_000 * math.sin(2 * math.pi * hertz * (first + place) / rate)).to_bytes(2, "little", signed=True)
        for place in range(samples)
    )


def twilio_start(call: str = "CA1", tracks: tuple[str, ...] = ("inbound", "outbound"), **parameters: str) -> list[str]:
    """The first two messages."""
    return [
        json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"}),
        json.dumps(
            {
                "event": "start",
                "sequenceNumber": "1",
                "streamSid": "MZ1",
                "start": {
                    "accountSid": "AC1",
                    "streamSid": "MZ1",
                    "callSid": call,
                    "tracks": list(tracks),
                    "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                    "customParameters": parameters,
                },
            }
        ),
    ]


def twilio_media(data: bytes, *, chunk: int, track: str = "inbound") -> str:
    """A chunk of 20 ms."""
    return json.dumps(
        {
            "event": "media",
            "sequenceNumber": str(chunk + 1),
            "streamSid": "MZ1",
            "media": {
                "track": track,
                "chunk": str(chunk),
                "timestamp": str(20 * (chunk - 1)),
                "payload": base64.b64encode(data).decode(),
            },
        }
    )


TWILIO_STOP = json.dumps({"event": "stop", "streamSid": "MZ1", "stop": {"accountSid": "AC1", "callSid": "CA1"}})


async def send_all(client: ClientConnection, messages: list[str] | list[bytes]) -> None:
    for message in messages:
        await client.send(message)
