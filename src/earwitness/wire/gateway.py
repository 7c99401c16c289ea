"""A request's way to its answer, in one list.

The gateway knows AWS's protocol and nothing of any operation: who keeps the keys, what roles may do and what is called
are handed in. It touches no socket; `answer` may be called from any thread, and `prepare` and `finish` are its two
halves for a server that wants to call what is quick where it is, and all else in a thread.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from earwitness.errors import Forbidden, StoreBusy, Unauthorized, Unavailable
from earwitness.wire.buckets import Throttle
from earwitness.wire.exchange import Exchange, SigningKey, endpoint_of
from earwitness.wire.faults import fault_of, is_outage, log_fault, write_fault
from earwitness.wire.messages import Request
from earwitness.wire.parse import parse_request
from earwitness.wire.router import Router
from earwitness.wire.serialize import Result, serialize
from earwitness.wire.service_models import ServiceModel
from earwitness.wire.sigv4 import parse_authorization, require_signed, verify
from earwitness.wire.wrong_credentials import WrongCredentials

SKEW_SECONDS_MAX = 300.0
"""How far a request's time may be off; AWS allows 5 minutes for most services."""

SIGNING_NAMES = ("chime", "kinesisvideo")

_NO_HOST = ["localhost"]


class Operations(Protocol):
    """What stands behind the gateway: the operations, and who may call them."""

    def find_key(self, key_id: str) -> SigningKey:
        """Return the key that signs under this id. Raise Unauthorized when it is unknown or disabled."""
        ...

    def authorise(self, exchange: Exchange) -> None:
        """Raise Forbidden when the principal's role may not call the operation, NotServed when nobody can."""
        ...

    def is_quick(self, exchange: Exchange) -> bool:
        """Return whether the operation only reads local records, so that a thread would cost more than the call."""
        ...

    def call(self, exchange: Exchange) -> Result:
        """Return the result of the operation, in the members of its output shape."""
        ...

    def refused(self, exchange: Exchange, *, fault: str) -> None:
        """Record a request that was authenticated and refused because of its role."""
        ...


@dataclass(frozen=True, kw_only=True)
class GatewayLimits:
    """What a gateway allows."""

    skew_seconds_max: float = SKEW_SECONDS_MAX
    """How far a request's time may be from ours."""

    refuse_session_token: bool = False
    """Whether a session token is an error. Keys here are long-lived, so a token proves nothing."""


class Gateway:
    """Answers requests. Safe to use from several threads."""

    def __init__(
        self,
        *,
        services: Sequence[ServiceModel],
        operations: Operations,
        throttle: Throttle,
        wrong_credentials: WrongCredentials,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
        new_request_id: Callable[[], str],
        limits: GatewayLimits,
        provoked: Callable[[str], Exception | None] | None = None,
    ) -> None:
        """`clock` tells UTC; `provoked` returns with what an operation fails on purpose; None for one that does not."""
        self._router = Router(services)
        self._operations = operations
        self._throttle = throttle
        self._clock = clock
        self._monotonic = monotonic
        self._new_request_id = new_request_id
        self._limits = limits
        self._provoked = provoked
        self._wrong_credentials = wrong_credentials
        self._preparing: tuple[Callable[[Exchange], None], ...] = (
            self.authenticate,
            self.find_operation,
            self.authorise,
            self.throttle,
            self.read_parameters,
        )
        self._finishing: tuple[Callable[[Exchange], None], ...] = (
            self.provoke,
            self.call,
            self.write_result,
        )

    def receive(
        self,
        request: Request,
        *,
        scheme: str,
        unsigned_body: bool = False,
        server: tuple[str, int | None] | None = None,
    ) -> Exchange:
        """Return the exchange that begins with a request.

        `scheme` is http or https, as the client used it; `server` the address and port of our end of the connection.

        `unsigned_body` is for a body that is read as a stream, after the steps before the call.
        """
        headers = request.header_values
        endpoint = endpoint_of(
            scheme=scheme,
            host=headers.get("host", _NO_HOST)[0],
            user_agent=headers.get("user-agent", [""])[0],
            server=server,
        )
        return Exchange(
            request=request,
            request_id=self._new_request_id(),
            unsigned_body=unsigned_body,
            endpoint=endpoint,
        )

    def answer(self, exchange: Exchange) -> None:
        """Run all steps; the response is in the exchange afterwards, whatever happened."""
        if self.prepare(exchange):
            self.finish(exchange)

    def prepare(self, exchange: Exchange) -> bool:
        """Run the steps before the call. Return False when one of them has answered already.

        Raise StoreBusy when this thread runs an event loop and would have to wait; then nothing was answered, and
        `prepare` is to be called once more, elsewhere. `finish` likewise, where it is quick.
        """
        return self._run(self._preparing, exchange)

    def is_quick(self, exchange: Exchange) -> bool:
        """Return whether `finish` waits for nothing but memory and a local disk."""
        return self._operations.is_quick(exchange)

    def finish(self, exchange: Exchange) -> None:
        """Run the call and what comes after it."""
        self._run(self._finishing, exchange)

    def refuse(self, exchange: Exchange, error: Exception) -> None:
        """Answer with an error."""
        service = exchange.service or self._router.likely_service(exchange.request)
        fault = fault_of(Unavailable(str(error)) if is_outage(error) else error, service, exchange.operation)
        log_fault(error, fault, exchange.logged)
        if isinstance(error, Forbidden):
            self._operations.refused(exchange, fault=fault.name)
        exchange.response = write_fault(fault, service, request_id=exchange.request_id)

    # The steps, in the order of their lists.

    def authenticate(self, exchange: Exchange) -> None:
        """Find out who signed this, and whether the signature is good."""
        try:
            claim = parse_authorization(exchange.request)
            key = self._operations.find_key(claim.access_key_id)
            verify(
                exchange.request,
                claim,
                key.secret,
                now=self._clock(),
                skew_seconds=self._limits.skew_seconds_max,
                services=SIGNING_NAMES,
                unsigned=exchange.unsigned_body,
                refuse_session_token=self._limits.refuse_session_token,
            )
        except Unauthorized:
            address = exchange.request.client
            exchange.delay_seconds = self._wrong_credentials.failed(address, now_seconds=self._monotonic())
            raise
        exchange.claim, exchange.principal = claim, key.principal

    def find_operation(self, exchange: Exchange) -> None:
        """Find the operation that it is for."""
        signing_name = exchange.claim.service
        exchange.service = self._router.answering_service(signing_name)
        exchange.route = self._router.match(signing_name, exchange.request)
        exchange.service = exchange.route.service

    def authorise(self, exchange: Exchange) -> None:
        """Require that its role may call the operation."""
        self._operations.authorise(exchange)

    def throttle(self, exchange: Exchange) -> None:
        """Require that the key does not call it too often."""
        operation = exchange.route.operation.name
        self._throttle.take(exchange.principal.key_id, operation, now_seconds=self._monotonic())

    def read_parameters(self, exchange: Exchange) -> None:
        """Read the parameters and hold them against the model. Those in headers count only if they are signed."""
        require_signed(exchange.request, exchange.claim, exchange.route.operation.header_names)
        exchange.params = parse_request(exchange.route, exchange.request)

    def provoke(self, exchange: Exchange) -> None:
        """Fail on purpose, where somebody asked for it to see how their program bears it."""
        error = None if self._provoked is None else self._provoked(exchange.route.operation.name)
        if error is not None:
            raise error.with_traceback(None)  # one object for all requests: it would remember the frames of each

    def call(self, exchange: Exchange) -> None:
        """Call the operation."""
        exchange.result = self._operations.call(exchange)

    def write_result(self, exchange: Exchange) -> None:
        """Write its result as the response."""
        route = exchange.route
        exchange.response = serialize(route.service, route.operation, exchange.result, request_id=exchange.request_id)

    def _run(self, steps: Sequence[Callable[[Exchange], None]], exchange: Exchange) -> bool:
        try:
            for step in steps:
                step(exchange)
        except StoreBusy:
            raise
        except Exception as error:
            self.refuse(exchange, error)
            return False
        return True
