"""Errors as callers of the JSON API see them: one table of statuses, one shape of body."""

import math
from dataclasses import dataclass, field

from starlette.responses import JSONResponse

from earwitness import errors
from earwitness.errors import EarwitnessError

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

FAILURE_MESSAGE = "the service failed to answer; try again, and give the request id to its operator if this persists"
_FAILURE = "ServiceFailure"
_CHALLENGE = 'Bearer realm="earwitness"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """An error as it is answered."""

    status: int
    """The HTTP status."""

    kind: str
    """The class of the error, for programs."""

    message: str
    """What happened and what to do next, for people."""

    headers: dict[str, str] = field(default_factory=dict[str, str])
    """What the status asks for."""


def fault_of(error: BaseException) -> Fault:
    """The fault that an error becomes; one that is not in the table tells nothing of itself."""
    status = next((STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES), None)
    if status is None:
        return Fault(status=500, kind=_FAILURE, message=FAILURE_MESSAGE)
    return Fault(status=status, kind=type(error).__name__, message=str(error), headers=_headers(error))


def _headers(error: BaseException) -> dict[str, str]:
    if isinstance(error, errors.Unauthorized):
        return {"WWW-Authenticate": _CHALLENGE}
    if isinstance(error, errors.Throttled):
        return {"Retry-After": str(max(1, math.ceil(error.retry_after_seconds or 0.0)))}  # HTTP knows whole seconds
    return {}


def fault_response(fault: Fault, *, request_id: str) -> JSONResponse:
    """The response that carries a fault."""
    body = {"error": {"type": fault.kind, "message": fault.message, "requestId": request_id}}
    return JSONResponse(body, status_code=fault.status, headers=fault.headers)
