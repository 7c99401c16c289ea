"""What each step of the gateway costs, for `wire`: one process that does nothing else, no network, one request in each
turn of an event loop. Prints microseconds as JSON."""

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import httptools
import numpy as np
import uvloop

from benchmarks.wire_records import settings_in
from earwitness.app import Service, open_records
from earwitness.cli.output import progress_of
from earwitness.server.aws import received
from earwitness.wire.exchange import Exchange
from earwitness.wire.gateway import Gateway
from earwitness.wire.sigv4 import parse_authorization

_REPEATS, _NOT_COUNTED = 3_000, 300

STAGES = (
    "head",
    "key",
    "signature",
    "find_operation",
    "authorise",
    "throttle",
    "parameters",
    "call",
    "write_result",
)
"""In the order in which a request goes through them."""

Stage = Callable[[Exchange], object]


def main() -> None:
    """Arguments: the data folder, the URL of the store (empty for SQLite), the file of the signed request."""
    folder, store_url, request_file = sys.argv[1:]
    settings = settings_in(Path(folder), store_url)
    built = Service(settings, open_records(settings))
    try:
        scope = _scope(Path(request_file).read_bytes())
        print(json.dumps(uvloop.run(_measured(built.root.aws._gateway, scope))))
    finally:
        built.close()


async def _measured(gateway: Gateway, scope: dict[str, Any]) -> dict[str, float]:
    """The median of each stage, and of the whole way without a clock in between."""
    taken = np.empty((_REPEATS, len(STAGES)))
    whole = np.empty(_REPEATS)
    with progress_of() as show:
        for repeat in range(_REPEATS):
            taken[repeat] = _by_stage(gateway, scope)
            await asyncio.sleep(0)
            whole[repeat] = _at_once(gateway, scope)
            await asyncio.sleep(0)
            if repeat % 500 == 0:
                show("stages", repeat, _REPEATS)
    medians = 1e6 * np.median(taken[_NOT_COUNTED:], axis=0)
    numbers = dict(zip(STAGES, medians.tolist(), strict=True))
    # The key is looked up by itself before `authenticate`, where it costs next to nothing the second time.
    return {**numbers, "whole": 1e6 * float(np.median(whole[_NOT_COUNTED:]))}


def _by_stage(gateway: Gateway, scope: dict[str, Any]) -> list[float]:
    started = perf_counter()
    exchange = gateway.receive(received(scope), scheme="http")
    seconds = [perf_counter() - started]
    key_id = parse_authorization(exchange.request).access_key_id
    exchange = gateway.receive(received(scope), scheme="http")
    stages: tuple[Stage, ...] = (
        lambda _exchange: gateway._operations.find_key(key_id),
        gateway.authenticate,
        gateway.find_operation,
        gateway.authorise,
        gateway.throttle,
        gateway.read_parameters,
        gateway.call,
        gateway.write_result,
    )
    for stage in stages:
        started = perf_counter()
        stage(exchange)
        seconds.append(perf_counter() - started)
    return seconds


def _at_once(gateway: Gateway, scope: dict[str, Any]) -> float:
    started = perf_counter()
    exchange = gateway.receive(received(scope), scheme="http")
    gateway.answer(exchange)
    seconds = perf_counter() - started
    if exchange.response is None or exchange.response.status != 200:
        raise RuntimeError("the request that is measured is refused")
    return seconds


def _scope(request: bytes) -> dict[str, Any]:
    """The request as an ASGI server hands it over."""
    reader = _Reader()
    parser = httptools.HttpRequestParser(reader)
    parser.feed_data(request)
    path, _, query = reader.target.partition(b"?")
    return {
        "type": "http",
        "method": parser.get_method().decode("ascii"),
        "raw_path": path,
        "query_string": query,
        "headers": reader.headers,
        "client": ("127.0.0.1", 50_000),
    }


class _Reader:
    """What httptools calls."""

    def __init__(self) -> None:
        self.target = b""
        self.headers: list[tuple[bytes, bytes]] = []

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))


if __name__ == "__main__":
    main()
