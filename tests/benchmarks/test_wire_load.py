"""The clients of the `wire` benchmark."""

import asyncio
from itertools import cycle

import pytest
from benchmarks.benchmark import Numbers
from benchmarks.wire_load_worker import Plan, carry_out

REQUEST = b"GET /task HTTP/1.1\r\nHost: a\r\n\r\n"


class TaskWhoseStatusChanges(asyncio.Protocol):
    """Answers each request with another status, longer or shorter than the one before, and in two pieces."""

    bodies = cycle([b"NotStarted", b"InProgress and more", b"", b"Stopped"])

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        assert data == REQUEST
        body = next(self.bodies)
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        self.transport.write(answer[:20])
        asyncio.get_running_loop().call_soon(self.transport.write, answer[20:])


@pytest.mark.slow
def test_answers_of_changing_length() -> None:
    async def scenario() -> Numbers:
        server = await asyncio.get_running_loop().create_server(TaskWhoseStatusChanges, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            requests: dict[str, tuple[int, bytes]] = {"plain": (port, REQUEST), "bare": (port, REQUEST)}
            return await carry_out(Plan(requests=requests, connections=2, rounds=2, phase_seconds=0.05))

    numbers = asyncio.run(scenario())
    assert numbers["plain_per_second"] > 0
