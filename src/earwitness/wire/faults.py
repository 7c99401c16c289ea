"""Errors as clients see them: which exception shape of the model, which status, which body.

The table is the whole mapping. Statuses come from the service model, apart from the few common errors for which
models have no shape. An exception that is no RequestError is a bug or an outage: the client learns nothing of it.
"""

import logging
from collections.abc import Container, Mapping
from dataclasses import dataclass

from earwitness import errors
from earwitness.errors import EarwitnessError, RequestError, StoreError, VaultError
from earwitness.log import frames_of
from earwitness.wire.messages import Response
from earwitness.wire.serialize import request_id_headers, write_json
from earwitness.wire.service_models import Operation, ServiceModel

_log = logging.getLogger("earwitness.gateway")

FAILURE_MESSAGE = "the service failed to answer; try again, and give the request id to its operator if this persists"

CHIME: dict[type[RequestError], tuple[str, ...]] = {
    errors.BadRequest: ("BadRequestException",),
    errors.Unauthorized: ("UnauthorizedClientException",),
    errors.Forbidden: ("AccessDeniedException", "ForbiddenException"),
    # Not AccessDenied, which tells of the key.
    errors.ConsentMissing: ("ForbiddenException",),
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

    #: The exception shape, which becomes the exception's class in an SDK; in the JSON API the class of the error.
    name: str
    status: int
    message: str


def is_outage(error: BaseException) -> bool:
    """Return whether something behind us is away or damaged: records, media, or what is sealed in them."""
    if not isinstance(error, EarwitnessError) or isinstance(error, RequestError):
        return False
    return error.retryable or isinstance(error, StoreError | VaultError)


def log_fault(error: BaseException, fault: Fault, context: Mapping[str, object]) -> None:
    """Log what a request ended in; of an error that nobody expected, its class and its place and no value."""
    context = {**context, "fault": fault.name}
    if fault.status < 500 or isinstance(error, RequestError):
        _log.info("refused", extra=context)
    elif isinstance(error, EarwitnessError):
        _log.warning("unavailable", extra={**context, "reason": str(error)})
    else:
        _log.error("failed", extra={**context, "error": type(error).__name__, "frames": frames_of(error)})


def declared_faults(service: ServiceModel, operation: str) -> frozenset[str]:
    """Return the exception shapes that an operation declares. Raise KeyError when the service has no such operation."""
    return frozenset(service.operations[operation].faults)


def fault_of(error: BaseException, service: ServiceModel, operation: Operation | None = None) -> Fault:
    """Return the fault that an error becomes in a service; in an operation, one that it declares if any."""
    names = _names(error, service)
    if not names:
        name = FAILURES[service.signing_name]
        return Fault(name=name, status=_status(name, service), message=FAILURE_MESSAGE)
    declared = operation.faults if operation else ()
    name = _first(names, declared) or _first(names, service.faults) or names[0]
    return Fault(name=name, status=_status(name, service), message=str(error))


def write_fault(fault: Fault, service: ServiceModel, *, request_id: str) -> Response:
    """Return the response that carries a fault. SDKs take the exception's class from `x-amzn-ErrorType`."""
    headers = {"Content-Type": "application/json", "x-amzn-ErrorType": fault.name}
    headers |= request_id_headers(service, request_id)
    if service.signing_name == "kinesisvideo":
        headers["x-amz-ErrorType"] = fault.name
        body = {"Message": fault.message}
    else:
        body = {"Code": CODES.get(fault.name, fault.name), "Message": fault.message, "RequestId": request_id}
    return Response(status=fault.status, headers=headers, body=write_json(body))


def _names(error: BaseException, service: ServiceModel) -> tuple[str, ...]:
    table = TABLES[service.signing_name]
    for kind in type(error).__mro__:
        if kind in table:
            return table[kind]
    return ()


def _first(names: tuple[str, ...], available: Container[str]) -> str | None:
    return next((name for name in names if name in available), None)


def _status(name: str, service: ServiceModel) -> int:
    return service.faults.get(name) or COMMON_STATUSES.get(name, 500)
