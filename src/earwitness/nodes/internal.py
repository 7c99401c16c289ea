"""What this node answers other nodes: giving up a stream, and reading what lies here. Signed, and on its own listener.

Bodies are JSON; answers are JSON, or frames where they hold media.
"""

import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from datetime import datetime
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from earwitness.errors import EarwitnessError, NotFound, Unauthorized
from earwitness.fragments.interface import SequenceRange, TimeAxis
from earwitness.fragments.stream import FragmentStream
from earwitness.nodes.frames import Head, frame, got_frame, info_head, read_position, result_frame
from earwitness.nodes.homed_stream import GET, LIST, READ, results_until_moved
from earwitness.nodes.homes import RELEASE, StreamHomes, StreamKey
from earwitness.nodes.signing import InternalRequest, SignatureCheck
from earwitness.store.records import Scope

ALIVE_SECONDS = 1.0
"""How often a live tail says that it lives when nothing comes."""

BODY_BYTES_MAX = 256 * 1024

_log = logging.getLogger("earwitness.nodes")

InternalAnswer = Callable[[Head], Awaitable[Response]]


class InternalApi:
    """The internal address of this node."""

    def __init__(
        self, homes: Callable[[], StreamHomes], check: SignatureCheck, *, run: str, now: Callable[[], float]
    ) -> None:
        """`homes` raises Unavailable before the start. `run` names this process, `now` are seconds since 1970."""
        self._homes = homes
        self._check = check
        self._run = run
        self._now = now

    def application(self) -> Starlette:
        """Return what is to be served."""
        answers: dict[str, InternalAnswer] = {
            RELEASE: self._release,
            READ: self._read,
            LIST: self._list,
            GET: self._get,
        }
        return Starlette(routes=[self._route(path, answer) for path, answer in answers.items()])

    def _route(self, path: str, answer: InternalAnswer) -> Route:
        async def handle(request: Request) -> Response:
            try:
                return await answer(await self._checked(request))
            except EarwitnessError as error:
                status = 401 if isinstance(error, Unauthorized) else 503
                return JSONResponse({"error": type(error).__name__, "message": str(error)}, status)
            except (KeyError, ValueError, TypeError) as error:  # another version's words
                _log.warning("another node asked what is not understood", extra={"error": type(error).__name__})
                return JSONResponse({"error": "Unavailable", "message": "this request is not understood"}, 400)

        return Route(path, handle, methods=["POST"])

    async def _checked(self, request: Request) -> Head:
        body = bytearray()
        async for piece in request.stream():
            body += piece
            if len(body) > BODY_BYTES_MAX:
                raise Unauthorized("the request is too long to be a node's")
        asked = InternalRequest(method=request.method, path=request.url.path, body=bytes(body), run=self._run)
        try:
            self._check.require(asked, request.headers, now=self._now())
        except Unauthorized as error:
            _log.warning("a request to the internal address was refused", extra={"reason": str(error)})
            raise
        return json.loads(body)

    async def _release(self, asked: Head) -> Response:
        self._homes().release(_key(asked), epoch=int(asked["epoch"]))
        return JSONResponse({})

    async def _read(self, asked: Head) -> Response:
        position = read_position(asked["position"])
        part = SequenceRange(first=int(asked["first"]), end=None if asked["end"] is None else int(asked["end"]))
        homes, key, log = self._homes(), _key(asked), await self._log(asked)
        await log.read(position, part=part)  # raises BadRequest before the answer has begun
        epoch = int(asked["epoch"])
        results = results_until_moved(homes, key, log, position, part, epoch=epoch, tick_seconds=ALIVE_SECONDS)

        async def frames() -> AsyncGenerator[bytes]:
            yield _alive(homes, key)
            async with aclosing(results):
                async for result in results:
                    yield _alive(homes, key) if result is None else result_frame(result)
            yield frame({"kind": "end"})

        return _streaming(frames())

    async def _list(self, asked: Head) -> Response:
        log = await self._log(asked)
        infos = await log.list(
            TimeAxis(asked["axis"]),
            start=datetime.fromisoformat(asked["start"]),
            end=datetime.fromisoformat(asked["end"]),
            after=str(asked["after"]),
            limit=int(asked["limit"]),
        )
        return JSONResponse([info_head(info) for info in infos])

    async def _get(self, asked: Head) -> Response:
        log = await self._log(asked)

        async def frames() -> AsyncGenerator[bytes]:
            async for got in log.get([str(number) for number in asked["numbers"]]):
                yield got_frame(got)

        return _streaming(frames())

    async def _log(self, asked: Head) -> FragmentStream:
        homes, key = self._homes(), _key(asked)
        stream = await homes.read(lambda: homes.store.streams.get(key.scope, key.arn))
        if stream is None:
            raise NotFound("the stream was deleted")
        return await homes.open_local(key.scope, stream)


def _key(asked: Head) -> StreamKey:
    return StreamKey(Scope(account_id=str(asked["account"]), region=str(asked["region"])), str(asked["arn"]))


def _alive(homes: StreamHomes, key: StreamKey) -> bytes:
    return frame({"kind": "alive", "producing": homes.has_producer(key.arn)})


def _streaming(frames: AsyncGenerator[bytes, Any]) -> StreamingResponse:
    return StreamingResponse(frames, media_type="application/octet-stream")
