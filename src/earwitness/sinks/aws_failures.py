"""What goes wrong at a sink of AWS's services, and what that means here.

The cause of an error is kept, except where it quotes what was sent, because that is an event's body.
"""

from collections.abc import Generator
from contextlib import contextmanager

from botocore.exceptions import (
    ClientError,
    ConnectionError,  # noqa: A004  botocore's own
    HTTPClientError,
    ParamValidationError,
    SSLError,
)

from earwitness.aws.failures import (
    CREDENTIALS_LACK,
    STUMBLES,
    UNANSWERED,
    Meaning,
    answer_of,
    meaning_of,
    printable_code,
)
from earwitness.errors import SinkRefused, SinkUnavailable


@contextmanager
def translated_errors(target: str) -> Generator[None]:
    """Translate what botocore raises in here while it talks to `target`, which messages name."""
    try:
        yield
    except ParamValidationError:
        raise SinkRefused(f"{target} takes no such message; see that its ARN is right") from None
    except ClientError as error:
        code, status = answer_of(error)
        raise refusal_of(target, code=code, status=status) from error
    except UNANSWERED as error:
        raise _unanswered(target, error) from error


def refusal_of(target: str, *, code: str, status: int = 400) -> SinkUnavailable | SinkRefused:
    """Return the error that a code and a status of AWS's mean."""
    code = printable_code(code)
    meaning = meaning_of(code=code, status=status)
    if meaning is Meaning.DENIED:
        return SinkRefused(f"{target} refused ({code}): let the sinks' credentials send to it")
    if meaning is Meaning.MISSING:
        return SinkRefused(f"{target} does not exist ({code}): create it, or change the configuration's target")
    if meaning is Meaning.LATER:
        return SinkUnavailable(f"{target} cannot take events now ({code}, status {status}); it is tried again")
    return SinkRefused(f"{target} refused the event ({code}, status {status}); see its documentation for this code")


def _unanswered(target: str, error: Exception) -> SinkUnavailable:
    kind = type(error).__name__
    if isinstance(error, CREDENTIALS_LACK):
        return SinkUnavailable(
            f"{target}: no AWS credentials for the sinks ({kind}); give them in the settings, or where boto3 looks"
        )
    if isinstance(error, SSLError):
        return SinkUnavailable(
            f"{target}: no secure connection ({kind}); see its certificate and the endpoint's scheme"
        )
    if isinstance(error, ConnectionError | HTTPClientError):
        return SinkUnavailable(f"{target} does not answer ({kind}); see that it runs and that its endpoint is right")
    if isinstance(error, STUMBLES):
        return SinkUnavailable(f"{target} answers something else than AWS would; see that its endpoint is right")
    return SinkUnavailable(f"{target}: the client cannot work ({kind}); see AWS's configuration files and the settings")
