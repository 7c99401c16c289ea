"""A TCP proxy that breaks connections."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit


class Proxy:
    """Passes bytes on, until it is told otherwise."""

    def __init__(self, target_url: str) -> None:
        self.target_url = target_url
        self.answer_bytes_max: list[int] = []
        """How much of its answer each of the next large answers gets; without limit when empty."""

        self.port = 0
        self.cuts = 0
        self.reachable = asyncio.Event()
        """While it is cleared, new connections wait."""

        self.reachable.set()
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Break everything that is open."""
        for writer in self._open:
            writer.transport.abort()
            self.cuts += 1

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        with suppress(OSError):
            await self.reachable.wait()
            upstream = urlsplit(self.target_url)
            server_reader, server_writer = await asyncio.open_connection(upstream.hostname, upstream.port)
            self._open |= {writer, server_writer}
            request = asyncio.ensure_future(_pass_on(reader, server_writer))
            await self._answer(server_reader, writer)
            request.cancel()
            server_writer.close()
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sent = 0
        while data := await reader.read(4_096):
            if sent > 2_000 and self.answer_bytes_max and sent + len(data) > self.answer_bytes_max[0]:
                self.answer_bytes_max.pop(0)
                self.cuts += 1
                writer.transport.abort()
                return
            writer.write(data)
            await writer.drain()
            sent += len(data)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def proxy_to(url: str) -> AsyncIterator[Proxy]:
    """A proxy to a server."""
    proxy = Proxy(url)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    yield proxy
    server.close()
    proxy.cut()
