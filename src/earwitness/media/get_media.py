"""GetMedia at AWS, or at whatever speaks like it. Everything here blocks: call it in threads.

What belongs here: calls of boto3. What must never: when to connect again, and from where on.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, TypeAlias

from botocore.exceptions import ClientError

from earwitness.audio.matroska.get_media import ConsumerEvent, GetMediaReader
from earwitness.aws.clients import AwsClients, Client
from earwitness.aws.failures import answer_of
from earwitness.errors import StreamGone
from earwitness.media.kvs_errors import border

Selector: TypeAlias = Mapping[str, object]
"""StartSelector, as boto3 takes it."""

_READ_BYTES = 64 * 1024
_NO_SUCH_POSITION = "InvalidArgumentException"


class GetMediaConnection:
    """The payload of one GetMedia. Used from one thread at a time, except `interrupt`."""

    def __init__(self, answer: Any) -> None:  # `Any`: as boto3 gives it
        # botocore's body waits until all bytes that were asked for are there; urllib3's gives what there is.
        self._payload: Any = answer["Payload"]._raw_stream
        self._reader = GetMediaReader()

    def read(self) -> list[ConsumerEvent] | None:
        """What has come, waiting for it; None at the end. Raises SourceUnavailable when the connection breaks.

        What the end cuts off is not told: it is there in whole on the next connection.
        """
        with border():
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
    """One stream at AWS. Every method raises StreamGone, SourceRefused and SourceUnavailable."""

    def __init__(self, stream_arn: str, clients: AwsClients) -> None:
        self.arn = stream_arn
        self._clients = clients
        self._data_endpoint: str | None = None

    def retention_hours(self) -> int:
        """How long the stream keeps fragments; 0 when it keeps none."""
        with border():
            info = self._client().describe_stream(StreamARN=self.arn)["StreamInfo"]
            gone = info.get("Status") == "DELETING"
            hours = int(info.get("DataRetentionInHours", 0))
        if gone:
            raise StreamGone("the Kinesis video stream is being deleted at AWS; start on another stream")
        return hours

    def connect(self, selector: Selector) -> GetMediaConnection | None:
        """Begin to read; None when the stream has no such position."""
        endpoint, self._data_endpoint = self._data_endpoint, None  # asked for again after a failure
        with border():
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
