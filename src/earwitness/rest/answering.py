"""A request's way to its answer: credentials, parameters, role, rate, body, proof, work; for a signature, role and rate
come after its proof. An error at any step is answered."""

import logging
from asyncio import sleep
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.requests import Request as Incoming
from starlette.responses import JSONResponse, Response

from earwitness.access.caller import Caller
from earwitness.errors import EarwitnessError, Forbidden, StoreUnavailable, Unauthorized, Unavailable, UnknownOperation
from earwitness.log import frames_of
from earwitness.rest.auth import Claimed, Credentials
from earwitness.rest.body import PLAIN_BYTES_MAX, receive_body, recording_file, watching
from earwitness.rest.faults import Fault, fault_of, fault_response
from earwitness.rest.parameters import parse_parameters
from earwitness.rest.routes import REGION, Route
from earwitness.rest.tools import Call, Document, Tools
from earwitness.store.store import Unit
from earwitness.wire.bad_signatures import BadSignatures, address_group
from earwitness.wire.buckets import Throttle
from earwitness.wire.exchange import Principal
from earwitness.wire.messages import Request
from earwitness.wire.shares import Shares

REQUEST_ID_HEADER = "X-Request-Id"

_NOBODY = Principal(key_id="", account_id="", role="")

_log = logging.getLogger("earwitness.rest")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request and the route it is for."""

    route: Route
    """What was asked for."""

    incoming: Incoming
    """The request as the server hands it over."""

    request: Request
    """The same as a plain value, for signatures."""

    request_id: str
    """Its name in the answer, the logs and the audit trail."""

    def caller(self, principal: Principal, region: str) -> Caller:
        """Who asks, as the handlers want it."""
        url = self.incoming.url
        return Caller(
            principal=principal,
            region=region,
            operation=self.route.operation,
            request_id=self.request_id,
            endpoint=f"{url.scheme}://{url.netloc}",
        )


class Answering:
    """What all routes have in common. Lives on the event loop."""

    def __init__(
        self, tools: Tools, credentials: Credentials, *, throttle: Throttle, monotonic: Callable[[], float]
    ) -> None:
        limits = tools.limits
        self._throttle = throttle
        self._tools = tools
        self._credentials = credentials
        self._monotonic = monotonic
        self._wrong_credentials = BadSignatures()
        self._received = Shares(
            2 * limits.recordings_at_once_max, refusal="too many recordings come from this address; wait and try again"
        )
        self._delayed = Shares(limits.delayed_at_once_max, refusal="too many answers are held back; try again")
        self._suspects = Shares(
            limits.suspects_at_once_max,
            refusal="too many requests with wrong credentials come from this address; wait and try again",
        )

    def endpoint(self, route: Route) -> Callable[[Incoming], Awaitable[Response]]:
        """What answers requests for a route."""

        async def answer(incoming: Incoming) -> Response:
            asked = Asked(route=route, incoming=incoming, request=_received(incoming), request_id=self._tools.new_id())
            try:
                response: Response = JSONResponse(await self._answer(asked))
            except ClientDisconnect:
                response = Response(status_code=400)  # nobody is there to read it
            except Exception as error:
                response = await self._refused(asked, error)
            return _named(response, asked.request_id)

        return answer

    async def unrouted(self, _incoming: Incoming, error: Exception) -> Response:
        """What answers requests that no route is for."""
        request_id = self._tools.new_id()
        fault = fault_of(UnknownOperation("there is nothing at this path; /earwitness/v1/openapi.json lists the paths"))
        if isinstance(error, HTTPException) and error.status_code == 405:
            allowed = (error.headers or {}).get("Allow", "")
            message = f"this path does not take the method; use {allowed}"
            fault = Fault(status=405, kind=fault.kind, message=message, headers={"Allow": allowed})
        return _named(fault_response(fault, request_id=request_id), request_id)

    async def _answer(self, asked: Asked) -> Document:
        route = asked.route
        if route.is_public:
            return await route.handler(self._tools, Call(caller=asked.caller(_NOBODY, ""), values={}))
        claimed = await self._claimed(asked.request)
        values = parse_parameters(route.parameters, path=asked.incoming.path_params, query=asked.request.query)
        caller = asked.caller(claimed.principal, claimed.region or values[REGION.name])
        with ExitStack() as held:
            if claimed.claim is None:  # a token has proved itself: whoever may not is told so before the body comes
                await self._admit(asked, caller, held)
            body, path = self._place_for(asked, held)
            await self._receive(asked, body)
            if claimed.claim is not None:
                await self._prove(asked, claimed, body)
                await self._admit(asked, caller, held)
            return await self._work(asked, Call(caller=caller, values=values, recording=path))

    async def _claimed(self, request: Request) -> Claimed:
        """Whose credentials a request shows. A crowd of wrong ones from one address leaves the threads to others."""
        with ExitStack() as held:
            if self._wrong_credentials.is_suspect(request.client, now_seconds=self._monotonic()):
                held.enter_context(self._suspects.taken(address_group(request.client)))
            return await self._tools.run(lambda: self._credentials.claimed(request))

    def _place_for(self, asked: Asked, held: ExitStack) -> tuple[IO[bytes], Path | None]:
        """Where the body goes, until what is held is let go."""
        if not asked.route.takes_recording:
            return BytesIO(), None
        held.enter_context(self._received.taken(address_group(asked.request.client)))
        return held.enter_context(recording_file())

    async def _work(self, asked: Asked, call: Call) -> Document:
        """Do what was asked for; work on a recording ends when its client hangs up."""
        if call.recording is None:
            return await asked.route.handler(self._tools, call)
        async with watching(asked.incoming.receive, abandoned=call.abandoned):
            return await asked.route.handler(self._tools, call)

    async def _receive(self, asked: Asked, into: IO[bytes]) -> None:
        limits, takes_recording = self._tools.limits, asked.route.takes_recording
        await receive_body(
            asked.incoming.receive,
            asked.incoming.scope["headers"],
            into,
            bytes_max=limits.recording_bytes_max if takes_recording else PLAIN_BYTES_MAX,
            seconds_max=limits.recording_seconds_max if takes_recording else limits.body_seconds_max,
        )

    async def _prove(self, asked: Asked, claimed: Claimed, body: IO[bytes]) -> None:
        def work() -> None:
            body.seek(0)
            self._credentials.prove(claimed, asked.request.with_body(body.read()))

        await self._tools.run(work)

    async def _admit(self, asked: Asked, caller: Caller, held: ExitStack) -> None:
        """Forbidden when the caller's role may not; Throttled when it asks too often; Unavailable when its account has
        its share of recordings in work."""
        await self._authorise(asked, caller)
        self._throttle.take(caller.principal.key_id, asked.route.operation, now_seconds=self._monotonic())
        if asked.route.takes_recording:
            held.enter_context(self._tools.recordings.taken(caller.scope.account_id))

    async def _authorise(self, asked: Asked, caller: Caller) -> None:
        """Forbidden when the caller's role may not; that is written to the audit trail."""
        role = caller.principal.role
        if role in asked.route.roles:
            return
        await self._tools.run(lambda: self._record_refusal(caller))
        roles = " or ".join(sorted(asked.route.roles))
        raise Forbidden(
            f"a key of role {role} may not call {asked.route.operation}; use a key or token of role {roles}"
        )

    def _record_refusal(self, caller: Caller) -> None:
        def work(unit: Unit) -> None:
            unit.audit.append(
                caller.scope,
                key_id=caller.principal.key_id,
                operation=caller.operation,
                resource_arn="",
                outcome=Forbidden.__name__,
                request_id=caller.request_id,
            )

        try:
            self._tools.store.write(work)
        except StoreUnavailable as error:
            context = {"request_id": caller.request_id, "reason": str(error)}
            _log.error("a refusal is not in the audit trail", extra=context)

    async def _refused(self, asked: Asked, error: Exception) -> Response:
        fault = fault_of(error)
        context = {"request_id": asked.request_id, "operation": asked.route.operation, "status": fault.status}
        if fault.status >= 500:
            reason = str(error) if isinstance(error, EarwitnessError) else ""
            trace = {"error": type(error).__name__, "reason": reason, "frames": frames_of(error)}
            _log.error("a request failed", extra={**context, **trace})
        else:
            _log.info("a request was refused", extra=context)
        response = fault_response(fault, request_id=asked.request_id)
        if isinstance(error, Unauthorized) and not await self._hold_back(asked.request.client):
            response.headers["Connection"] = "close"
        return response

    async def _hold_back(self, address: str) -> bool:
        """Slow down whoever tries credentials. Return False when so many answers to this address are held back already
        that one more is given at once."""
        seconds = self._wrong_credentials.failed(address, now_seconds=self._monotonic())
        if seconds == 0.0:
            return True
        try:
            with self._delayed.taken(address_group(address)):
                await sleep(seconds)
        except Unavailable:
            return False
        return True


def _received(incoming: Incoming) -> Request:
    """The request without its body."""
    scope = incoming.scope
    client = scope.get("client")
    return Request.received(
        method=scope["method"],
        raw_path=scope["raw_path"],
        raw_query=scope["query_string"],
        headers=scope["headers"],
        client=client[0] if client else "",
    )


def _named(response: Response, request_id: str) -> Response:
    """The response with the id of its request."""
    response.headers[REQUEST_ID_HEADER] = request_id
    return response
