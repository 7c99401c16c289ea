"""A WebSocket as an application sees it: what was asked, messages in and out, the end.

What belongs here: ASGI's messages. What must never: bytes, limits, who may send what.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from starlette.types import Receive, Scope, Send

from earwitness.server.web_socket_protocol import CONNECTION, PROVED


class WebSocket:
    """One WebSocket. Its methods raise ConnectionError when it is at its end, unless they say otherwise."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self.close_code = 0
        """Why it ended (RFC 6455, 7.4); 0 before that."""

    @property
    def path(self) -> str:
        """The path that was asked for, decoded."""
        return self._scope["path"]

    @property
    def target(self) -> str:
        """Path and query as they were sent."""
        query: bytes = self._scope["query_string"]
        path: bytes = self._scope["raw_path"]
        return (path + b"?" + query if query else path).decode("latin-1")

    @cached_property
    def headers(self) -> Mapping[str, str]:
        """By name in lower case. Those that came several times are one, with commas between (RFC 9110, 5.2)."""
        together: dict[str, list[str]] = {}
        for name, value in self._scope["headers"]:
            together.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1").strip())
        return {name: ", ".join(values) for name, values in together.items()}

    @property
    def subprotocols(self) -> list[str]:
        """What the client would speak, in its order."""
        return self._scope["subprotocols"]

    @property
    def client(self) -> str:
        """The address that it comes from."""
        client = self._scope.get("client")
        return client[0] if client else ""

    @property
    def is_encrypted(self) -> bool:
        """Whether it came over our own TLS."""
        return self._scope["scheme"] == "wss"

    def proved(self) -> None:
        """Note that the client has proved who it is. Until then it has some seconds and a few bytes."""
        # `Any`: extensions hold what a server likes.
        extension: dict[str, Any] = self._scope.get("extensions", {}).get(CONNECTION, {})
        if PROVED in extension:
            extension[PROVED]()

    async def accept(self, subprotocol: str = "") -> None:
        """Let it in."""
        await self._send({"type": "websocket.accept", "subprotocol": subprotocol})

    async def refuse(self, status: int, reason: str, headers: Mapping[str, str] | None = None) -> None:
        """Answer with a status of HTTP and a reason in words, in place of `accept`."""
        sent = {"content-type": "text/plain; charset=utf-8", **(headers or {})}
        encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in sent.items()]
        await self._send({"type": "websocket.http.response.start", "status": status, "headers": encoded})
        await self._send({"type": "websocket.http.response.body", "body": f"{reason}\n".encode()})

    async def receive(self) -> str | bytes | None:
        """Return the next message; None when there is no more, with `close_code` set. Never raise."""
        while True:
            message = await self._receive()
            kind = message["type"]
            if kind == "websocket.receive":
                data = message.get("bytes")
                return message["text"] if data is None else data
            if kind == "websocket.disconnect":
                self.close_code = message.get("code") or 1005
                return None

    async def send(self, text: str) -> None:
        """Send a text message."""
        await self._send({"type": "websocket.send", "text": text})

    async def close(self, code: int, reason: str = "") -> None:
        """Close it. The reason has 123 bytes at most."""
        await self._send({"type": "websocket.close", "code": code, "reason": reason})
