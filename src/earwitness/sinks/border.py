"""Where botocore's errors become ours: once, with their cause kept.

A cause that quotes what was sent is dropped, because that is an event's body.
"""

import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004  botocore's own
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    SSLError,
)
from botocore.parsers import ResponseParserError

from earwitness.errors import SinkRefused, SinkUnavailable

_CREDENTIALS_LACK = (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError)
_STUMBLES = (ResponseParserError, ValueError, TypeError, AttributeError, LookupError)
"""What botocore's parser raises over an answer that no service of AWS gives: not UTF-8, or a list for an object."""

_LATER_STATUSES = frozenset({408, 409, 425, 429})  # timed out, in the middle of a change, too early, too many
_LATER_CODES = re.compile(
    r"Throttl|TooManyRequests|ThroughputExceeded|LimitExceeded|OverLimit|InternalError|InternalFailure|InternalException"
    r"|ServiceUnavailable|ExpiredToken|RequestExpired"
)
_DENIED_CODES = re.compile(
    r"AccessDenied|AuthorizationError|NotAuthorized|UnrecognizedClient|InvalidClientToken|InvalidAccessKey|Signature"
    r"|InvalidSecurity|OptInRequired|NotPermitted"
)
_MISSING_CODES = re.compile(r"NonExistentQueue|QueueDoesNotExist|ResourceNotFound|^NotFound")
_ODD_CODE = re.compile(r"[^A-Za-z0-9._-]")
_CODE_CHARACTERS_MAX = 80


@contextmanager
def border(target: str) -> Generator[None]:
    """Translate what botocore raises in here while it talks to `target`, which messages name."""
    try:
        yield
    except ParamValidationError:
        raise SinkRefused(f"{target} takes no such message; see that its ARN is right") from None
    except ClientError as error:
        raise _answered(target, error) from error
    except (BotoCoreError, *_STUMBLES) as error:
        raise _unanswered(target, error) from error


def refusal_of(target: str, *, code: str, status: int = 400) -> SinkUnavailable | SinkRefused:
    """What an error code and a status of AWS's mean."""
    code = _ODD_CODE.sub("", code)[:_CODE_CHARACTERS_MAX] or "no code"
    if _DENIED_CODES.search(code):
        return SinkRefused(f"{target} refused ({code}): let the sinks' credentials send to it")
    if _MISSING_CODES.search(code):
        return SinkRefused(f"{target} does not exist ({code}): create it, or change the configuration's target")
    if status >= 500 or status in _LATER_STATUSES or _LATER_CODES.search(code):
        return SinkUnavailable(f"{target} cannot take events now ({code}, status {status}); it is tried again")
    return SinkRefused(f"{target} refused the event ({code}, status {status}); see its documentation for this code")


def _answered(target: str, error: ClientError) -> SinkUnavailable | SinkRefused:
    response: Mapping[str, Any] = error.response  # `Any`: botocore has no types
    code = str(response.get("Error", {}).get("Code", ""))
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return refusal_of(target, code=code, status=status if isinstance(status, int) else 500)


def _unanswered(target: str, error: Exception) -> SinkUnavailable:
    kind = type(error).__name__
    if isinstance(error, _CREDENTIALS_LACK):
        return SinkUnavailable(f"{target}: the sinks' AWS credentials cannot be had ({kind}); see where they come from")
    if isinstance(error, SSLError):
        return SinkUnavailable(
            f"{target}: no secure connection ({kind}); see its certificate and the endpoint's scheme"
        )
    if isinstance(error, ConnectionError | HTTPClientError):
        return SinkUnavailable(f"{target} does not answer ({kind}); see that it runs and that its endpoint is right")
    if isinstance(error, _STUMBLES):
        return SinkUnavailable(f"{target} answers something else than AWS would; see that its endpoint is right")
    return SinkUnavailable(f"{target}: the client cannot work ({kind}); see AWS's configuration files and the settings")
