"""Errors as clients see them: which exception shape of the model, which status, which body.

The table is the whole mapping. Statuses come from the service model, apart from the few common errors for which
models have no shape. An exception that is no RequestError is a bug or an outage: the client learns nothing of it.
"""

from collections.abc import Container
from dataclasses import dataclass

from earwitness import errors
from earwitness.errors import RequestError
from earwitness.wire.messages import Response
from earwitness.wire.serialize import request_id_headers, write_json
from earwitness.wire.service_models import Operation, Service

FAILURE_MESSAGE = "the service failed to answer; try again, and give the request id to its operator if this persists"

CHIME: dict[type[RequestError], tuple[str, ...]] = {
    errors.BadRequest: ("BadRequestException",),
    errors.Unauthorized: ("UnauthorizedClientException",),
    errors.Forbidden: ("AccessDeniedException", "ForbiddenException"),
    errors.NotFound: ("NotFoundException",),
    errors.Conflict: ("ConflictException",),
    errors.Gone: ("GoneException", "NotFoundException"),
    errors.Unprocessable: ("UnprocessableEntityException", "BadRequestException"),
    errors.LimitExceeded: ("ResourceLimitExceededException",),
    errors.AlreadyExists: ("ConflictException", "BadRequestException"),
    errors.VersionMismatch: ("ConflictException",),
    errors.Throttled: ("ThrottledClientException",),
    errors.Unavailable: ("ServiceUnavailableException",),
    errors.UnknownOperation: ("UnknownOperationException",),
    errors.NotServed: ("BadRequestException",),
    errors.TokenReused: ("ConflictException", "BadRequestException"),
}
"""Shapes of the Chime services, best first: taken is the first that the operation declares, else that exists."""

KINESIS_VIDEO: dict[type[RequestError], tuple[str, ...]] = {
    errors.BadRequest: ("InvalidArgumentException",),
    errors.Unauthorized: ("NotAuthorizedException",),
    errors.Forbidden: ("NotAuthorizedException", "AccessDeniedException"),
    errors.NotFound: ("ResourceNotFoundException",),
    errors.Conflict: ("ResourceInUseException", "InvalidArgumentException"),
    errors.Gone: ("ResourceNotFoundException",),
    errors.Unprocessable: ("InvalidArgumentException",),
    errors.LimitExceeded: (
        "AccountStreamLimitExceededException",
        "AccountChannelLimitExceededException",
        "TagsPerResourceExceededLimitException",
        "ConnectionLimitExceededException",
        "ClientLimitExceededException",
    ),
    errors.AlreadyExists: ("ResourceInUseException", "InvalidArgumentException"),
    errors.VersionMismatch: ("VersionMismatchException", "InvalidArgumentException"),
    errors.Throttled: ("ClientLimitExceededException",),
    errors.Unavailable: ("ServiceUnavailable",),
    errors.UnknownOperation: ("UnknownOperationException",),
    errors.NotServed: ("InvalidArgumentException",),
    errors.TokenReused: ("InvalidArgumentException",),
}
"""Shapes of the three Kinesis Video services, best first."""

TABLES = {"chime": CHIME, "kinesisvideo": KINESIS_VIDEO}
"""By signing name."""

FAILURES = {"chime": "ServiceFailureException", "kinesisvideo": "InternalFailure"}
"""What anything unexpected becomes, by signing name."""

COMMON_STATUSES = {"UnknownOperationException": 404, "InternalFailure": 500, "ServiceUnavailable": 503}
"""Errors that AWS lists for every operation of a service and that no model has a shape for."""

CODES = {
    "BadRequestException": "BadRequest",
    "UnauthorizedClientException": "Unauthorized",
    "ForbiddenException": "Forbidden",
    "AccessDeniedException": "AccessDenied",
    "NotFoundException": "NotFound",
    "ConflictException": "Conflict",
    "GoneException": "Gone",
    "UnprocessableEntityException": "Unprocessable",
    "ResourceLimitExceededException": "ResourceLimitExceeded",
    "ThrottledClientException": "Throttling",
    "ServiceUnavailableException": "ServiceUnavailable",
    "ServiceFailureException": "ServiceFailure",
    "UnknownOperationException": "NotFound",
}
"""`Code` in the body of a Chime fault: the values of the models' ErrorCode, with two that media pipelines lacks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """An error as it looks on the wire."""

    name: str
    """The exception shape, which becomes the exception's class in an SDK."""
    status: int
    message: str


def declared_faults(service: Service, operation: str) -> frozenset[str]:
    """The exception shapes that an operation declares. Raises KeyError when the service has no such operation."""
    return frozenset(service.operations[operation].faults)


def fault_of(error: BaseException, service: Service, operation: Operation | None = None) -> Fault:
    """The fault that an error becomes in a service; in an operation of it, one that the operation declares if any."""
    names = _names(error, service)
    if not names:
        name = FAILURES[service.signing_name]
        return Fault(name=name, status=_status(name, service), message=FAILURE_MESSAGE)
    declared = operation.faults if operation else ()
    name = _first(names, declared) or _first(names, service.faults) or names[0]
    return Fault(name=name, status=_status(name, service), message=str(error))


def write_fault(fault: Fault, service: Service, *, request_id: str) -> Response:
    """The response that carries a fault. SDKs take the exception's class from `x-amzn-ErrorType`."""
    headers = {"Content-Type": "application/json", "x-amzn-ErrorType": fault.name}
    headers |= request_id_headers(service, request_id)
    if service.signing_name == "kinesisvideo":
        headers["x-amz-ErrorType"] = fault.name
        body = {"Message": fault.message}
    else:
        body = {"Code": CODES.get(fault.name, fault.name), "Message": fault.message, "RequestId": request_id}
    return Response(status=fault.status, headers=headers, body=write_json(body))


def _names(error: BaseException, service: Service) -> tuple[str, ...]:
    table = TABLES[service.signing_name]
    for kind in type(error).__mro__:
        if kind in table:
            return table[kind]
    return ()


def _first(names: tuple[str, ...], available: Container[str]) -> str | None:
    return next((name for name in names if name in available), None)


def _status(name: str, service: Service) -> int:
    return service.faults.get(name) or COMMON_STATUSES.get(name, 500)
