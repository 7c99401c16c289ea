"""The JSON API as an ASGI application, made of the table of routes: a request's way to its answer, and its errors."""

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from inspect import isawaitable
from pathlib import Path
from typing import Any

import msgspec
import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.requests import Request as Incoming
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route as Mounted
from starlette.types import ASGIApp

from earwitness import errors
from earwitness.access.access import Access, Claimed, require_role
from earwitness.access.caller import Caller
from earwitness.errors import EarwitnessError, Forbidden, Unauthorized, UnknownOperation
from earwitness.metrics.reported import RequestMetrics
from earwitness.rest.context import NO_RECORDING, FileAnswer, RestCall, RestContext
from earwitness.rest.models import Answer, ErrorAnswer, ErrorDetailAnswer, OpenApi
from earwitness.rest.parameters import PLAIN_BYTES_MAX, Parameters, read_parameters
from earwitness.rest.routes import PREFIX, ROUTES, RestRoute
from earwitness.server.aws import PLAIN, received
from earwitness.server.body import BodyLimit, receive_body, watching
from earwitness.tasks.recordings import recording_file
from earwitness.wire.buckets import Throttle
from earwitness.wire.exchange import Principal
from earwitness.wire.faults import FAILURE_MESSAGE, Fault, log_fault
from earwitness.wire.messages import Request
from earwitness.wire.shares import Shares
from earwitness.wire.wrong_credentials import WrongCredentials, address_group

REQUEST_ID_HEADER = "X-Request-Id"

STATUSES: dict[type[EarwitnessError], int] = {
    errors.BadRequest: 400,
    errors.BodyTooLarge: 413,
    errors.Unauthorized: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.UnknownOperation: 404,
    errors.Conflict: 409,
    errors.TokenReused: 409,
    errors.AlreadyExists: 409,
    errors.Gone: 410,
    errors.Unprocessable: 422,
    errors.AudioError: 422,
    errors.SpeechError: 422,
    errors.LimitExceeded: 409,
    errors.Throttled: 429,
    errors.Unavailable: 503,
    errors.StoreError: 503,
    errors.VaultError: 503,
    errors.ModelError: 503,
}
"""By class; a class that is not here has the status of the nearest one above it that is."""

_NOBODY = Principal(key_id="", account_id="", role="")


@dataclass(frozen=True, slots=True, kw_only=True)
class RestRequest:
    """One request and the route it is for."""

    route: RestRoute
    #: The request as the server hands it over.
    incoming: Incoming
    #: The same as a plain value, for signatures.
    request: Request
    #: Its name in the answer, the logs and the audit trail.
    request_id: str

    def caller(self, principal: Principal, region: str) -> Caller:
        """Return who asks, as the handlers want it."""
        url = self.incoming.url
        return Caller(
            principal=principal,
            region=region,
            operation=self.route.operation,
            request_id=self.request_id,
            endpoint=f"{url.scheme}://{url.netloc}",
        )


class JsonApi:
    """The way of a request to its answer. Lives on the event loop."""

    def __init__(
        self,
        context: RestContext,
        access: Access,
        *,
        throttle: Throttle,
        wrong_credentials: WrongCredentials,
        new_request_id: Callable[[], str],
        monotonic: Callable[[], float],
        metrics: RequestMetrics | None = None,
    ) -> None:
        """By the seconds of `monotonic` calls are counted and wrong credentials are slowed down."""
        self._context = context
        self._access = access
        self._throttle = throttle
        self._wrong_credentials = wrong_credentials
        self._new_request_id = new_request_id
        self._monotonic = monotonic
        self._metrics = metrics or RequestMetrics()
        self._received = Shares(
            2 * context.limits.recordings_at_once_max,
            refusal="too many recordings come from this address; wait and try again",
        )

    def application(self) -> ASGIApp:
        """Return the application. It answers paths under PREFIX."""
        mounted = [Mounted(PREFIX + route.path, self._endpoint(route), methods=[route.method]) for route in ROUTES]
        application = Starlette(routes=mounted, exception_handlers={HTTPException: self._unrouted})
        application.router.redirect_slashes = False  # a redirect would lose the signature
        return application

    def _endpoint(self, route: RestRoute) -> Callable[[Incoming], Awaitable[Response]]:
        async def answer(incoming: Incoming) -> Response:
            began = self._monotonic()
            response = await answered(incoming)
            self._metrics.answered(route.operation, response.status_code, seconds=self._monotonic() - began)
            return response

        async def answered(incoming: Incoming) -> Response:
            request = RestRequest(
                route=route,
                incoming=incoming,
                request=received(incoming.scope),
                request_id=self._new_request_id(),
            )
            try:
                found = await self._answer(request)
                if isinstance(found, FileAnswer):
                    return self._file(found, request.request_id)
                return _response(200, found, request.request_id)
            except ClientDisconnect:
                return Response(status_code=400)  # nobody is there to read it
            except Exception as error:
                return await self._refused(request, error)

        return answer

    async def _answer(self, request: RestRequest) -> Answer | FileAnswer | OpenApi:
        """Credentials, parameters, role, rate, body, proof, work; after a signature, role and rate follow its proof."""
        if not request.route.roles:
            return await self._work(request, RestCall(caller=request.caller(_NOBODY, ""), params=Parameters()))
        claimed = await self._claimed(request.request)
        params: Any = read_parameters(  # `Any`: the route's own
            request.route.parameters, path=request.incoming.path_params, query=request.request.query
        )
        caller = request.caller(claimed.principal, claimed.region or params.region)
        with ExitStack() as held:
            key = held.enter_context(self._access.held_keys.holding(claimed.principal))
            if claimed.claim is None:  # a token has proved itself: whoever may not is told so before the body comes
                self._admit(request, caller, held)
            recording, body, body_sha256 = await self._receive(request, held, is_signed=claimed.claim is not None)
            if claimed.claim is not None:
                await self._context.run_in_thread(
                    lambda: self._access.prove(claimed, request.request, body_sha256=body_sha256)
                )
                self._admit(request, caller, held)
            key.require()  # the body may have taken minutes
            call = RestCall(caller=caller, params=params, recording=recording, body=body, require_key=key.require)
            return await self._work(request, call)

    async def _claimed(self, request: Request) -> Claimed:
        with self._wrong_credentials.place_of(request.client, now_seconds=self._monotonic()):
            return await self._context.run_in_thread(lambda: self._access.claimed(request))

    def _admit(self, request: RestRequest, caller: Caller, held: ExitStack) -> None:
        """Raise Forbidden when the caller's role may not, Throttled when it asks too often, and Unavailable when its
        account has its share of recordings in work."""
        route = request.route
        try:
            require_role(caller.principal, route.operation, route.roles)
        except Forbidden:
            self._access.record_refusal(caller, Forbidden.__name__)
            raise
        self._throttle.take(caller.principal.key_id, route.operation, now_seconds=self._monotonic())
        if route.takes_recording:
            held.enter_context(self._context.recording_places.taken(caller.scope.account_id))

    async def _receive(self, request: RestRequest, held: ExitStack, *, is_signed: bool) -> tuple[Path, bytes, str]:
        """Receive the body. Return where its recording is, until what is held is let go, what its JSON is, and the hash
        of a body that is signed. Nothing else is kept of it."""
        limits, incoming, digest = self._context.limits, request.incoming, sha256()
        if not request.route.takes_recording:
            limit, body = BodyLimit(bytes_max=PLAIN_BYTES_MAX, seconds_max=limits.body_seconds_max), bytearray()
            await receive_body(incoming.scope, incoming.receive, body.extend, limit)
            digest.update(body)
            return NO_RECORDING, bytes(body) if request.route.body else b"", digest.hexdigest()
        held.enter_context(self._received.taken(address_group(request.request.client)))
        file, path = held.enter_context(recording_file())

        def keep(piece: bytes) -> None:
            file.write(piece)
            if is_signed:
                digest.update(piece)

        limit = BodyLimit(bytes_max=limits.recording_bytes_max, seconds_max=limits.recording_seconds_max)
        await receive_body(incoming.scope, incoming.receive, keep, limit)
        file.flush()
        return path, b"", digest.hexdigest()

    async def _work(self, request: RestRequest, call: RestCall[Any]) -> Answer | FileAnswer | OpenApi:
        """Do what was asked for; work on a recording ends when its client hangs up."""
        if not request.route.takes_recording:
            return await self._handle(request.route, call)
        async with watching(request.incoming.receive, abandoned=call.abandoned):
            return await self._handle(request.route, call)

    async def _handle(self, route: RestRoute, call: RestCall[Any]) -> Answer | FileAnswer | OpenApi:
        def work() -> Answer | FileAnswer | OpenApi | Awaitable[Answer]:
            return route.handler(self._context, call)

        # Whoever shows no credentials takes no thread from those who do.
        answer = await self._context.run_in_thread(work) if route.roles else work()
        return await answer if isawaitable(answer) else answer

    def _file(self, answer: FileAnswer, request_id: str) -> Response:
        async def blocks() -> AsyncIterator[bytes]:
            with self._access.held_keys.holding(answer.caller.principal) as key:
                while (block := await self._context.run_in_thread(lambda: next(answer.blocks, None))) is not None:
                    key.require()
                    yield block

        headers = {
            **PLAIN,
            REQUEST_ID_HEADER: request_id,
            "Content-Length": str(answer.length),
            "Content-Disposition": f'attachment; filename="{answer.name}"',
        }
        return StreamingResponse(blocks(), headers=headers, media_type=answer.media_type)

    # Errors.

    async def _refused(self, request: RestRequest, error: Exception) -> Response:
        fault = fault_of(error)
        log_fault(error, fault, {"request_id": request.request_id, "operation": request.route.operation})
        response = _fault_response(fault, request.request_id)
        if isinstance(error, Unauthorized):
            response.headers["WWW-Authenticate"] = 'Bearer realm="earwitness"'
            if not await self._hold_back(request.request.client):
                response.headers["Connection"] = "close"
        elif isinstance(error, errors.Throttled):  # HTTP knows whole seconds
            response.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_seconds or 0.0)))
        return response

    async def _hold_back(self, address: str) -> bool:
        seconds = self._wrong_credentials.failed(address, now_seconds=self._monotonic())
        return await self._wrong_credentials.hold_back(address, seconds)

    async def _unrouted(self, _incoming: Incoming, error: Exception) -> Response:
        """Answer a request that no route is for."""
        fault = fault_of(UnknownOperation("there is nothing at this path; /earwitness/v1/openapi.json lists the paths"))
        self._metrics.answered(None, fault.status, seconds=0.0)
        if not isinstance(error, HTTPException) or error.status_code != 405:
            return _fault_response(fault, self._new_request_id())
        allowed = (error.headers or {}).get("Allow", "")
        message = f"this path does not take the method; use {allowed}"
        response = _fault_response(Fault(name=fault.name, status=405, message=message), self._new_request_id())
        response.headers["Allow"] = allowed
        return response


def fault_of(error: BaseException) -> Fault:
    """Return the fault that an error becomes; one that is not in the table tells nothing of itself."""
    status = next((STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES), None)
    if status is None:
        return Fault(name="ServiceFailure", status=500, message=FAILURE_MESSAGE)
    # What a client sent may be quoted, and hold half of a surrogate pair, which no answer can.
    message = str(error).encode("utf-8", "backslashreplace").decode()
    return Fault(name=type(error).__name__, status=status, message=message)


def _fault_response(fault: Fault, request_id: str) -> Response:
    detail = ErrorDetailAnswer(type=fault.name, message=fault.message, request_id=request_id)
    return _response(fault.status, ErrorAnswer(error=detail), request_id)


def _response(status: int, answer: Answer | OpenApi, request_id: str) -> Response:
    return Response(encoded(answer), status, {**PLAIN, REQUEST_ID_HEADER: request_id}, "application/json")


def encoded(document: object) -> bytes:
    """Return an answer, or a document of answers, as JSON."""
    plain = msgspec.to_builtins(document, builtin_types=(datetime,))
    return orjson.dumps(plain, default=_time, option=orjson.OPT_PASSTHROUGH_DATETIME)


def _time(value: datetime) -> str:
    return f"{value:%FT%T.%fZ}"  # the microseconds also when there are none
