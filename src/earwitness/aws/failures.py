"""What botocore raises and AWS answers, sorted by what to do about it."""

import re
from collections.abc import Mapping
from enum import Enum
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
)
from botocore.parsers import ResponseParserError

CREDENTIALS_LACK = (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError)

STUMBLES = (ResponseParserError, ValueError, TypeError, AttributeError, LookupError)
"""What botocore's parser raises over an answer that no service of AWS gives: not UTF-8, or a list for an object."""

UNANSWERED = (BotoCoreError, *STUMBLES)
"""Everything but an error that AWS answers, which is a ClientError."""

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


class Meaning(Enum):
    """What to do about an error."""

    DENIED = "the credentials may not do this"
    MISSING = "it does not exist"
    LATER = "the same call may succeed later"
    REFUSED = "it never will"


def answer_of(error: ClientError) -> tuple[str, int]:
    """Return the code and status of an error that AWS answered; "no code" and 500 if there are none."""
    response: Mapping[str, Any] = error.response  # `Any`: botocore has no types
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return printable_code(str(response.get("Error", {}).get("Code", ""))), status if isinstance(status, int) else 500


def printable_code(code: str) -> str:
    """Return an error code as a message may show it: anybody may have answered."""
    return _ODD_CODE.sub("", code)[:_CODE_CHARACTERS_MAX] or "no code"


def meaning_of(*, code: str, status: int) -> Meaning:
    """Return what an error code and a status of AWS's mean."""
    if _DENIED_CODES.search(code):
        return Meaning.DENIED
    if _MISSING_CODES.search(code):
        return Meaning.MISSING
    if status >= 500 or status in _LATER_STATUSES or _LATER_CODES.search(code):
        return Meaning.LATER
    return Meaning.REFUSED
