"""One PutMedia request: HTTP/1.1 with a body that goes out in chunks while the answer comes in."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import h11
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from earwitness.config.aws import certificate_fault, trusted
from earwitness.errors import AnotherProducer, PutMediaFailed, PutMediaInterrupted

_READ_BYTES = 65_536
_REFUSAL_BYTES_MAX = 16_384


@dataclass(frozen=True, kw_only=True)
class Destination:
    """Where media goes, and as whom."""

    endpoint_url: str
    """The data endpoint, as GetDataEndpoint told it."""

    region: str
    credentials: Credentials
    stream: Mapping[str, str]
    """The header that names the stream: `x-amzn-stream-name` or `x-amzn-stream-arn`."""


class PutMediaConnection:
    """A PutMedia request in progress. Sending and reading may go on at the same time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._http = h11.Connection(h11.CLIENT)

    @classmethod
    async def open(cls, destination: Destination, *, seconds_max: float) -> "PutMediaConnection":
        """Connect and send the head of the request. Raises PutMediaInterrupted, PutMediaFailed for its certificate."""
        parts = urlsplit(destination.endpoint_url)
        secure = parts.scheme == "https"
        try:
            async with asyncio.timeout(seconds_max):
                reader, writer = await asyncio.open_connection(
                    parts.hostname,
                    parts.port or (443 if secure else 80),
                    ssl=trusted() if secure else None,
                )
        except (OSError, TimeoutError) as error:
            if fault := certificate_fault(error):
                raise PutMediaFailed(f"{destination.endpoint_url} answers, but {fault}") from error
            raise PutMediaInterrupted(f"{destination.endpoint_url} cannot be reached; it is tried again") from error
        connection = cls(reader, writer)
        await connection._send(
            h11.Request(method="POST", target="/putMedia", headers=_headers(destination, parts.netloc))
        )
        return connection

    async def send(self, media: bytes) -> None:
        """Send media. Raises PutMediaInterrupted when the connection is gone."""
        await self._send(h11.Data(data=media))

    async def finish(self) -> None:
        """Say that there is no more."""
        await self._send(h11.EndOfMessage())

    async def answers(self) -> AsyncGenerator[bytes]:
        """The bytes of the answer as they come, until its end.

        Raises PutMediaFailed when the request is refused (AnotherProducer when that is why), PutMediaInterrupted when
        the connection breaks.
        """
        status, refusal, fault = 0, b"", ""
        while True:
            event = await self._next_event()
            if isinstance(event, h11.Response):
                status = event.status_code
                fault = dict(event.headers).get(b"x-amzn-errortype", b"").decode("latin-1")
            elif isinstance(event, h11.Data) and status == 200:
                yield bytes(event.data)
            elif isinstance(event, h11.Data):
                refusal = (refusal + bytes(event.data))[:_REFUSAL_BYTES_MAX]
            elif isinstance(event, h11.EndOfMessage):
                break
        if status != 200:
            raise _refused(status, fault, refusal)

    async def close(self) -> None:
        """Let the connection go."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError:
            return  # it was gone already

    async def _send(self, event: h11.Event) -> None:
        try:
            data = self._http.send(event)
            if data:
                self._writer.write(data)
                await self._writer.drain()
        except (OSError, h11.LocalProtocolError) as error:
            raise PutMediaInterrupted("the connection broke while media was sent") from error

    async def _next_event(self) -> h11.Event | type[h11.PAUSED]:
        while True:
            try:
                event = self._http.next_event()
                if event is not h11.NEED_DATA:
                    return event  # pyright: ignore[reportReturnType]  # NEED_DATA is excluded, which h11's sentinels hide
                self._http.receive_data(await self._reader.read(_READ_BYTES))
            except (OSError, h11.RemoteProtocolError) as error:
                raise PutMediaInterrupted("the connection broke while acknowledgements were awaited") from error


def _headers(destination: Destination, host: str) -> list[tuple[str, str]]:
    request = AWSRequest(method="POST", url=f"{destination.endpoint_url.rstrip('/')}/putMedia")
    request.headers["x-amzn-fragment-timecode-type"] = "ABSOLUTE"
    request.headers["x-amz-content-sha256"] = "UNSIGNED-PAYLOAD"
    for name, value in destination.stream.items():
        request.headers[name] = value
    SigV4Auth(destination.credentials, "kinesisvideo", destination.region).add_auth(request)
    return [("host", host), ("transfer-encoding", "chunked"), *((str(k), str(v)) for k, v in request.headers.items())]


def _refused(status: int, fault: str, body: bytes) -> PutMediaFailed:
    text = body.decode("utf-8", "replace").strip()
    says = f"PutMedia was refused with status {status}: {text or 'no reason given'}"
    if fault.startswith("ConnectionLimitExceeded"):
        return AnotherProducer(says)
    too_often = status == 429 or fault.startswith("ClientLimitExceeded")
    return PutMediaInterrupted(says) if status >= 500 or too_often else PutMediaFailed(says)
