"""HTTP/1.1 with limits on what comes before a request is one: its head.

uvicorn and its parser bound neither the number of headers nor the time a client takes to send them, so one client with
patience could hold memory and connections as long as it likes.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADERS_MAX = 100
"""SDKs send about ten; proxies add a few."""

HEAD_BYTES_MAX = 65_536
"""Names, values and the path. nginx allows 32 KB, AWS's load balancers 64 KB."""


class HeadRefused(Exception):
    """The head of a request is too long; the parser makes a 400 of it and closes the connection."""


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with a limit to the head of a request, in bytes, lines and seconds."""

    head_seconds_max: float = 30.0
    """Set on a subclass by `limited_protocol`."""

    # `Any`: uvicorn's own constructor, whose arguments are its business.
    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]  # as uvicorn narrows it
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        self._head_bytes = 0
        self._start_timer()
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(name, value)
        if len(self.headers) >= HEADERS_MAX:
            raise HeadRefused
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._stop_timer()
        super().on_headers_complete()

    def _count(self, *texts: bytes) -> None:
        self._head_bytes += sum(map(len, texts))
        if self._head_bytes > HEAD_BYTES_MAX:
            raise HeadRefused

    def _start_timer(self) -> None:
        self._stop_timer()
        self._head_timer = self.loop.call_later(self.head_seconds_max, self._give_up)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()


def limited_protocol(*, head_seconds_max: float) -> type[LimitedProtocol]:
    """The protocol with this limit in seconds."""
    return type("LimitedProtocol", (LimitedProtocol,), {"head_seconds_max": head_seconds_max})
