"""Clients for `wire`: connections that stay open, each with one request on its way, against one server after the
other in short phases, so that the machine's noise falls on all of them alike. Prints numbers as JSON.

A request is sent as it is, over and over; a signature is good for five minutes.
"""

import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import uvloop

from benchmarks.benchmark import Numbers
from earwitness.cli.output import progress_of

_OK = b"HTTP/1.1 200 "
_HEAD_END = b"\r\n\r\n"
_LENGTH = b"\r\ncontent-length: "
_ROUNDS_NOT_COUNTED = 2


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to send to whom."""

    requests: dict[str, tuple[int, bytes]]
    """By name, the port and the bytes."""

    connections: int
    rounds: int
    phase_seconds: float

    def write(self, path: Path) -> None:
        """For the process that carries it out."""
        requests = {name: [port, request.decode("latin-1")] for name, (port, request) in self.requests.items()}
        path.write_text(json.dumps({**self.__dict__, "requests": requests}), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "Plan":
        """As it was written."""
        document = json.loads(path.read_text(encoding="utf-8"))
        requests = {name: (port, text.encode("latin-1")) for name, (port, text) in document.pop("requests").items()}
        return cls(requests=requests, **document)


class _Client(asyncio.Protocol):
    """One connection. The head of each answer says its length: it changes when what is asked for changes."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._sent_at = self._until = 0.0
        self._finished: asyncio.Future[None] | None = None
        self.latencies: list[float] = []

    def connection_made(self, transport: asyncio.Transport) -> None:  # narrowed: it is a TCP connection
        self._transport = transport

    def run(self, *, until: float) -> asyncio.Future[None]:
        """Send one request after the other until this time; done when the last answer has come."""
        self._until = until
        self._finished = asyncio.get_running_loop().create_future()
        self._send()
        return self._finished

    def data_received(self, data: bytes) -> None:
        self._received += data
        answer_bytes = _answer_bytes(self._received)
        if answer_bytes is None or len(self._received) < answer_bytes:
            return
        now = perf_counter()
        if not self._received.startswith(_OK) or len(self._received) != answer_bytes:
            self._fail(RuntimeError(f"a request was answered with {bytes(self._received[:200])!r}"))
            return
        self._received.clear()
        self.latencies.append(now - self._sent_at)
        if now < self._until:
            self._send()
        elif self._finished is not None:
            self._finished.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(exc or ConnectionError("the server closed a connection"))

    def close(self) -> None:
        """End it."""
        assert self._transport
        self._transport.close()

    def _send(self) -> None:
        self._sent_at = perf_counter()
        assert self._transport
        self._transport.write(self._request)

    def _fail(self, error: Exception) -> None:
        if self._finished is not None and not self._finished.done():
            self._finished.set_exception(error)


def _answer_bytes(received: bytearray) -> int | None:
    """Return the length of the answer that begins here, in bytes; None until its head is whole."""
    head_bytes = received.find(_HEAD_END) + len(_HEAD_END)
    if head_bytes < len(_HEAD_END):
        return None
    fields = bytes(received[:head_bytes]).lower()
    _, found, rest = fields.partition(_LENGTH)
    return head_bytes + (int(rest.split(b"\r\n", 1)[0]) if found else 0)


async def carry_out(plan: Plan) -> Numbers:
    """All phases; of each request the rates by round and the latencies."""
    loop = asyncio.get_running_loop()
    clients: dict[str, list[_Client]] = {}
    for name, (port, request) in plan.requests.items():
        made = [
            await loop.create_connection(lambda request=request: _Client(request), "127.0.0.1", port)
            for _ in range(plan.connections)
        ]
        clients[name] = [client for _, client in made]
    rates: dict[str, list[float]] = {name: [] for name in clients}
    latencies: dict[str, list[float]] = {name: [] for name in clients}
    with progress_of() as show:
        for done in range(_ROUNDS_NOT_COUNTED + plan.rounds):
            for name, crowd in clients.items():
                rate, seconds = await _phase(crowd, plan.phase_seconds)
                if done >= _ROUNDS_NOT_COUNTED:
                    rates[name].append(rate)
                    latencies[name] += seconds
            show("rounds", done, _ROUNDS_NOT_COUNTED + plan.rounds)
    for crowd in clients.values():
        for client in crowd:
            client.close()
    return _numbers(rates, latencies)


async def _phase(crowd: list[_Client], seconds: float) -> tuple[float, list[float]]:
    """Requests a second, and the seconds of each."""
    started = perf_counter()
    await asyncio.gather(*(client.run(until=started + seconds) for client in crowd))
    elapsed = perf_counter() - started
    latencies = [latency for client in crowd for latency in client.latencies]
    for client in crowd:
        client.latencies.clear()
    return len(latencies) / elapsed, latencies


def _numbers(rates: dict[str, list[float]], latencies: dict[str, list[float]]) -> Numbers:
    """Ratios are medians of those within a round."""
    numbers: Numbers = {}
    plain, bare = np.array(rates["plain"]), np.array(rates["bare"])
    for name, each in rates.items():
        milliseconds = 1e3 * np.array(latencies[name])
        numbers |= {
            f"{name}_per_second": float(np.median(each)),
            f"{name}_ratio_to_plain": float(np.median(np.array(each) / plain)),
            f"{name}_ratio_to_bare": float(np.median(np.array(each) / bare)),
            f"{name}_ms_p50": float(np.percentile(milliseconds, 50)),
            f"{name}_ms_p99": float(np.percentile(milliseconds, 99)),
        }
    return numbers


if __name__ == "__main__":
    print(json.dumps(uvloop.run(carry_out(Plan.read(Path(sys.argv[1]))))))
