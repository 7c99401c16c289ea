"""Where the errors of a Kinesis video stream at AWS become ours: once, with their cause kept."""

from collections.abc import Generator
from contextlib import contextmanager

from botocore.exceptions import ClientError, ParamValidationError
from urllib3.exceptions import HTTPError

from earwitness.aws.failures import CREDENTIALS_LACK, STUMBLES, UNANSWERED, Meaning, answer_of, meaning_of
from earwitness.errors import SourceRefused, SourceUnavailable, StreamGone

_KMS_LATER = 4503  # the key cannot be reached just now
_KMS = range(4500, 4507)

_NOT_HERE = frozenset({"InvalidEndpointException", "ClientLimitExceededException", "ConnectionLimitExceededException"})
"""Another data endpoint, or a connection fewer, helps: both change by themselves."""


@contextmanager
def border() -> Generator[None]:
    """Translate what botocore and its connection raise in here.

    Raises StreamGone, SourceRefused and SourceUnavailable.
    """
    try:
        yield
    except ParamValidationError as error:
        raise SourceRefused("the ARN of the Kinesis video stream is none that AWS takes; look at it") from error
    except ClientError as error:
        raise _answered(error) from error
    except (*UNANSWERED, HTTPError, OSError) as error:
        raise _unanswered(error) from error


def failure_of(*, error_id: int | None) -> SourceRefused | SourceUnavailable:
    """What an error tag in GetMedia's payload means; its ids are documented with GetMedia."""
    if error_id in _KMS and error_id != _KMS_LATER:
        return SourceRefused(
            f"AWS cannot decrypt the Kinesis video stream (error {error_id}): let the credentials use its KMS key"
        )
    return SourceUnavailable(f"AWS broke off reading the Kinesis video stream (error {error_id}); it is tried again")


def _answered(error: ClientError) -> StreamGone | SourceRefused | SourceUnavailable:
    code, status = answer_of(error)
    meaning = meaning_of(code=code, status=status)
    if meaning is Meaning.MISSING:
        return StreamGone("the Kinesis video stream does not exist at AWS, or was deleted; start on another stream")
    if meaning is Meaning.DENIED:
        return SourceRefused(
            f"AWS does not let earwitness read the Kinesis video stream ({code}): allow kinesisvideo:DescribeStream, "
            "GetDataEndpoint and GetMedia"
        )
    if meaning is Meaning.LATER or code in _NOT_HERE:
        return SourceUnavailable(f"the Kinesis video stream cannot be read now ({code}, status {status})")
    return SourceRefused(
        f"AWS refused to read the Kinesis video stream ({code}, status {status}); see its documentation for this code"
    )


def _unanswered(error: Exception) -> SourceUnavailable:
    kind = type(error).__name__
    if isinstance(error, CREDENTIALS_LACK):
        return SourceUnavailable(
            f"no AWS credentials for Kinesis Video Streams ({kind}); give them in the settings, or where boto3 looks"
        )
    if isinstance(error, STUMBLES):
        return SourceUnavailable("Kinesis Video Streams answers something else than AWS would; look at its endpoint")
    return SourceUnavailable(f"the connection to Kinesis Video Streams broke or was not made ({kind})")
