"""One request on its way through the gateway, and what each step found out about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address

from earwitness.wire.messages import Request, Response
from earwitness.wire.router import Route
from earwitness.wire.scalars import Params
from earwitness.wire.serialize import Result
from earwitness.wire.service_models import Operation, ServiceModel
from earwitness.wire.sigv4 import SignatureClaim


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who asks, proved by a signature or a bearer token."""

    #: The access key or token, as the audit trail names it.
    key_id: str
    #: The account it acts in.
    account_id: str
    #: What it may do: admin, operator, reader or producer.
    role: str
    #: Of an access key: another one after its secret was replaced.
    version: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A key that may sign requests, as whoever keeps keys hands it over."""

    #: Whom a signature with it proves.
    principal: Principal
    #: What it signs with.
    secret: str = field(repr=False)


@dataclass(slots=True, kw_only=True)
class Exchange:
    """A request and its answer. A field that names a step is filled by that step, and only later steps read it."""

    #: The request as it arrived.
    request: Request
    #: Its name in the answer, the logs and the audit trail.
    request_id: str
    #: Scheme, host and port under which the client reached us, without a slash at the end.
    endpoint: str
    #: Whether the body is read as a stream after the checks, so that the signature does not cover it.
    unsigned_body: bool = False
    #: From `authenticate`: what the signature says it is for.
    claim: SignatureClaim = field(init=False)
    #: From `authenticate`: who signed.
    principal: Principal = field(init=False)
    #: From `find_operation`: in whose words the answer is given.
    service: ServiceModel | None = None
    #: From `find_operation`.
    route: Route = field(init=False)
    #: From `read_parameters`.
    params: Params = field(init=False)
    #: From `call`.
    result: Result = field(init=False)
    #: From `write_result`, or from the error that came instead.
    response: Response | None = None
    #: How long the answer is to be held back, because too many bad signatures came from there.
    delay_seconds: float = 0.0

    @property
    def operation(self) -> Operation | None:
        """The operation, once it is found."""
        route: Route | None = getattr(self, "route", None)
        return None if route is None else route.operation

    @property
    def logged(self) -> Mapping[str, str]:
        """What a log line says of it: no path, no parameter, nothing of the body."""
        principal: Principal | None = getattr(self, "principal", None)
        return {
            "request_id": self.request_id,
            "operation": self.operation.name if self.operation else "",
            "key_id": principal.key_id if principal else "",
            "client": self.request.client,
        }


# Under which address a client reached us, as its request tells: what GetDataEndpoint answers unless a setting says.
# Proxies' own headers do not count; behind a proxy the setting `public_url` says it.

PORT_DROPPING_CLIENT = "AWS-SDK-KVS"
"""In the User-Agent of AWS's C and C++ producers, kvssink among them."""

_DEFAULT_PORTS = {"http": 80, "https": 443}


def endpoint_of(*, scheme: str, host: str, user_agent: str = "", server: tuple[str, int | None] | None = None) -> str:
    """Return scheme, host and port under which a client reached us, without a slash at the end.

    `server` is the address and port of our end of the connection. A `Host` without a port gets that port when it names
    that very address, so that nothing can stand between, or when the client is known to leave ports out.
    """
    host = host.removeprefix("https://")
    address, port = server or ("", None)
    if port is None or port == _DEFAULT_PORTS.get(scheme) or _has_port(host):
        return f"{scheme}://{host}"
    own = _names(host, address) or PORT_DROPPING_CLIENT in user_agent
    return f"{scheme}://{host}:{port}" if own else f"{scheme}://{host}"


def _has_port(host: str) -> bool:
    return ":" in host.rpartition("]")[2]


def _names(host: str, address: str) -> bool:
    """Return whether a host is this address of ours, by its number or as localhost."""
    try:
        ours = ip_address(address.partition("%")[0])
        if host.lower() == "localhost":
            return ours.is_loopback
        return ip_address(host.strip("[]")) == ours
    except ValueError:
        return False
