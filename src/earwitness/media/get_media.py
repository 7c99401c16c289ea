"""GetMedia at AWS, or at whatever speaks like it, and what its errors mean here. Everything blocks: call it in threads.

What belongs here: calls of boto3. What must never: when to connect again, and from where on.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, TypeAlias

from botocore.exceptions import ClientError, ParamValidationError
from urllib3.exceptions import HTTPError

from earwitness.audio.matroska.get_media import ConsumerEvent, GetMediaReader
from earwitness.aws.clients import AwsClients, Client
from earwitness.aws.failures import CREDENTIALS_LACK, STUMBLES, UNANSWERED, Meaning, answer_of, meaning_of
from earwitness.errors import SourceRefused, SourceUnavailable, StreamGone

Selector: TypeAlias = Mapping[str, object]
"""StartSelector, as boto3 takes it."""

_READ_BYTES = 64 * 1024

_NO_SUCH_POSITION = "InvalidArgumentException"

_KMS_LATER = 4503  # the key cannot be reached just now

_KMS = range(4500, 4507)

_NOT_HERE = frozenset({"InvalidEndpointException", "ClientLimitExceededException", "ConnectionLimitExceededException"})
"""Another data endpoint, or a connection fewer, helps: both change by themselves."""


class GetMediaConnection:
    """The payload of one GetMedia. Used from one thread at a time, except `interrupt`."""

    def __init__(self, answer: Any) -> None:  # `Any`: as boto3 gives it
        # botocore's body waits until all bytes that were asked for are there; urllib3's gives what there is.
        self._payload: Any = answer["Payload"]._raw_stream
        self._reader = GetMediaReader()

    def read(self) -> list[ConsumerEvent] | None:
        """Wait for what comes next and return it; None at the end. Raise SourceUnavailable when the connection breaks.

        A fragment that the end cuts off is left out: it comes whole on the next connection.
        """
        with translated_errors():
            data = self._payload.read1(_READ_BYTES)
        return self._reader.feed(data) if data else None

    def interrupt(self) -> None:
        """End a `read` that is waiting in another thread. Does not wait, and may be called from anywhere."""
        with suppress(OSError, RuntimeError, ValueError):  # it has ended by itself
            self._payload.shutdown()

    def close(self) -> None:
        """Let the connection go, after `interrupt`."""
        self._payload.close()


class KinesisVideoStream:
    """One stream at AWS. Every method may raise StreamGone, SourceRefused and SourceUnavailable."""

    def __init__(self, stream_arn: str, clients: AwsClients) -> None:
        self.arn = stream_arn
        self._clients = clients
        self._data_endpoint: str | None = None

    def retention_hours(self) -> int:
        """Return how long the stream keeps fragments; 0 when it keeps none."""
        with translated_errors():
            info = self._client().describe_stream(StreamARN=self.arn)["StreamInfo"]
            gone = info.get("Status") == "DELETING"
            hours = int(info.get("DataRetentionInHours", 0))
        if gone:
            raise StreamGone("the Kinesis video stream is being deleted at AWS; start on another stream")
        return hours

    def connect(self, selector: Selector) -> GetMediaConnection | None:
        """Begin to read. Return None when the stream has no such position."""
        endpoint, self._data_endpoint = self._data_endpoint, None  # asked for again after a failure
        with translated_errors():
            if endpoint is None:
                endpoint = str(
                    self._client().get_data_endpoint(StreamARN=self.arn, APIName="GET_MEDIA")["DataEndpoint"]
                )
            media = self._clients.client("kinesis-video-media", self._region, endpoint_url=endpoint)
            try:
                answer = media.get_media(StreamARN=self.arn, StartSelector=selector)
            except ClientError as error:
                if answer_of(error)[0] == _NO_SUCH_POSITION and selector["StartSelectorType"] != "NOW":
                    return None
                raise
            self._data_endpoint = endpoint
            return GetMediaConnection(answer)

    def _client(self) -> Client:
        return self._clients.client("kinesisvideo", self._region)

    @property
    def _region(self) -> str:
        return self.arn.split(":")[3]


@contextmanager
def translated_errors() -> Generator[None]:
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
    """Return the error that an error tag in GetMedia's payload means; its ids are documented with GetMedia."""
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
