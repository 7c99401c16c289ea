"""Asking other nodes: signed requests to their internal address."""

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx

from earwitness.errors import BadRequest, EarwitnessError, Gone, LimitExceeded, NotFound, Unavailable
from earwitness.nodes.frames import Head, read_frames
from earwitness.nodes.signing import InternalRequest, signed_headers
from earwitness.store.node_records import Node
from earwitness.vault.data_key import DataKey

ANSWER_SECONDS = 3.0
"""How long another node may take to begin its answer; a live tail may be silent for as long, and says that it lives."""

_ERRORS: dict[str, type[EarwitnessError]] = {
    error.__name__: error for error in (BadRequest, Gone, LimitExceeded, NotFound, Unavailable)
}
"""What a node may answer, by the name that it gives it."""


class Peers:
    """The other nodes. Lives on an event loop."""

    def __init__(self, key: DataKey, *, now: Callable[[], float], new_nonce: Callable[[], str]) -> None:
        """`now` are seconds since 1970."""
        self._key = key
        self._now = now
        self._new_nonce = new_nonce
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=100)
        # Environment variables name proxies for the world outside, not for nodes.
        self._client = httpx.AsyncClient(timeout=ANSWER_SECONDS, limits=limits, trust_env=False)

    async def ask(self, node: Node, path: str, body: Head) -> Any:  # `Any`: what JSON holds
        """Return a node's answer. Raise Unavailable when it does not answer, or what it answers."""
        async with self._answer(node, path, body) as answer:
            await answer.aread()
            return answer.json()

    async def frames(self, node: Node, path: str, body: Head) -> AsyncGenerator[tuple[Head, list[bytes]]]:
        """Yield the frames of a node's answer, as they come. Raise as `ask`, and Unavailable when it breaks off."""
        async with self._answer(node, path, body) as answer:
            async for one in read_frames(answer.aiter_raw()):
                yield one

    async def close(self) -> None:
        """End all connections."""
        await self._client.aclose()

    @asynccontextmanager
    async def _answer(self, node: Node, path: str, body: Head) -> AsyncGenerator[httpx.Response]:
        content = json.dumps(body).encode()
        request = InternalRequest(method="POST", path=path, body=content, run=node.run)
        headers = signed_headers(request, self._key, now=self._now(), nonce=self._new_nonce())
        try:
            url = node.internal_url + path
            async with self._client.stream("POST", url, content=content, headers=headers) as answer:
                if not answer.is_success:
                    await answer.aread()
                    raise _refusal(answer)
                yield answer
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise Unavailable(
                f"another node does not answer ({type(error).__name__}); it is asked again, or taken for dead"
            ) from error


def _refusal(answer: httpx.Response) -> EarwitnessError:
    try:
        told = answer.json()
        kind, text = _ERRORS.get(told["error"], Unavailable), str(told["message"])
    except (ValueError, KeyError, TypeError):
        kind, text = Unavailable, f"another node answers {answer.status_code}"
    return kind(text)
