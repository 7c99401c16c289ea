"""One request on its way through the gateway, and what each step found out about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Never

from earwitness.wire.messages import Request, Response
from earwitness.wire.router import Route
from earwitness.wire.scalars import Params
from earwitness.wire.serialize import Result
from earwitness.wire.shapes import Service
from earwitness.wire.sigv4 import Claim


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who asks, proved by a signature or a bearer token."""

    key_id: str
    """The access key or token, as the audit trail names it."""

    account_id: str
    """The account it acts in."""

    role: str
    """What it may do: admin, operator, reader or producer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A key that may sign requests, as whoever keeps keys hands it over."""

    principal: Principal
    """Whom a signature with it proves."""

    secret: str = field(repr=False)
    """What it signs with."""


def _nothing() -> dict[str, Any]:  # `Any`: as Params and Result have it
    return {}


@dataclass(slots=True, kw_only=True)
class Exchange:
    """A request and its answer. Each field below the request is filled by the step it names, and read by later ones."""

    request: Request
    """The request as it arrived."""

    request_id: str
    """Its name in the answer, the logs and the audit trail."""

    endpoint: str
    """Scheme, host and port under which the client reached us, without a slash at the end."""

    service: Service | None = None
    """From `find_operation`: in whose words the answer is given."""

    unsigned_body: bool = False
    """The body is read as a stream after the checks, so the signature does not cover it."""

    claim: Claim | None = None
    """From `authenticate`: what the signature says it is for."""

    principal: Principal | None = None
    """From `authenticate`: who signed."""

    route: Route | None = None
    """From `find_operation`."""

    params: Params = field(default_factory=_nothing)
    """From `parse`."""

    result: Result = field(default_factory=_nothing)
    """From `call`."""

    response: Response | None = None
    """From `write_result`, or from the error that came instead."""

    delay_seconds: float = 0.0
    """How long the answer is to be held back, because too many bad signatures came from there."""

    @property
    def signed(self) -> Claim:
        """The claim, for steps after `authenticate`."""
        return self.claim or _missing()

    @property
    def who(self) -> Principal:
        """The principal, for steps after `authenticate`."""
        return self.principal or _missing()

    @property
    def found(self) -> Route:
        """The route, for steps after `find_operation`."""
        return self.route or _missing()

    @property
    def logged(self) -> Mapping[str, str]:
        """What a log line says of it: no path, no parameter, nothing of the body."""
        operation = self.route.operation.name if self.route else ""
        key_id = self.principal.key_id if self.principal else ""
        return {"request_id": self.request_id, "operation": operation, "key_id": key_id, "client": self.request.client}


def _missing() -> Never:
    raise RuntimeError("a step of the gateway ran before the one it builds on")
