"""One PutMedia request: HTTP/1.1 with a body that goes out in chunks while acknowledgements come in."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast
from urllib.parse import urlsplit

import h11
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from earwitness.config.aws import certificate_fault, trusted
from earwitness.errors import AnotherProducer, PutMediaFailed, PutMediaInterrupted

_READ_BYTES = 65_536
_REFUSAL_BYTES_MAX = 16_384
_ACK_CHARACTERS_MAX = 4_096
"""Real ones have about 150 (the C producer reads at most 1,024)."""


@dataclass(frozen=True, kw_only=True)
class Destination:
    """Where media goes, and as whom."""

    #: The data endpoint that GetDataEndpoint returned.
    endpoint_url: str
    region: str
    credentials: Credentials
    #: The header that names the stream: `x-amzn-stream-name` or `x-amzn-stream-arn`.
    stream: Mapping[str, str]


class PutMediaConnection:
    """A PutMedia request in progress. Sending and reading may go on at the same time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._http = h11.Connection(h11.CLIENT)

    @classmethod
    async def open(cls, destination: Destination, *, seconds_max: float) -> "PutMediaConnection":
        """Connect and send the head of the request. Raise PutMediaInterrupted, or PutMediaFailed for a certificate."""
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
        """Send media. Raise PutMediaInterrupted when the connection is gone."""
        await self._send(h11.Data(data=media))

    async def finish(self) -> None:
        """End the body."""
        await self._send(h11.EndOfMessage())

    async def answers(self) -> AsyncGenerator[bytes]:
        """Return the bytes of the answer as they come, until its end.

        Raise PutMediaFailed when the request is refused (AnotherProducer when that is why), PutMediaInterrupted when
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
        """Close the connection."""
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


class AckType(StrEnum):
    """How far a fragment has come."""

    #: Its first bytes have arrived.
    BUFFERING = "BUFFERING"
    #: All of it has arrived.
    RECEIVED = "RECEIVED"
    #: It is on the disk; comes only where the stream has a retention.
    PERSISTED = "PERSISTED"
    #: It was refused, and usually the session with it.
    ERROR = "ERROR"
    #: The session is open and nothing comes.
    IDLE = "IDLE"


@dataclass(frozen=True, kw_only=True, slots=True)
class Ack:
    """One acknowledgement."""

    type: AckType
    #: The fragment's timecode as it was sent; None for IDLE.
    timecode_ms: int | None
    #: Its number, which GetMedia and tasks may start after; empty where there is none.
    fragment_number: str
    #: For ERROR: what is wrong, as AWS names it; else empty.
    error_code: str


class AckReader:
    """Takes the bytes of the answer, returns acknowledgements. Objects may be cut anywhere."""

    def __init__(self) -> None:
        self._text = ""
        self._decoder = json.JSONDecoder()

    def feed(self, data: bytes) -> list[Ack]:
        """Return the acknowledgements that are complete now. Raise PutMediaFailed for anything else."""
        self._text += data.decode("utf-8", "replace")
        found: list[Ack] = []
        while text := self._text.lstrip():
            if not text.startswith("{"):
                raise _no_acknowledgement()
            try:
                # `Any`: JSON of the other side.
                document, end = cast("tuple[Any, int]", self._decoder.raw_decode(text))
            except (json.JSONDecodeError, RecursionError):
                if len(text) > _ACK_CHARACTERS_MAX:
                    raise _no_acknowledgement() from None
                self._text = text
                return found
            self._text = text[end:]
            found.append(_ack(document))
        self._text = ""
        return found


def _ack(document: Any) -> Ack:  # `Any`: as above
    try:
        # The documentation's example nests it, the service does not.
        document = document.get("Acknowledgement", document)
        timecode = document.get("FragmentTimecode")
        return Ack(
            type=AckType(document.get("EventType") or document["AckEventType"]),
            timecode_ms=None if timecode is None else int(timecode),
            fragment_number=str(document.get("FragmentNumber") or ""),
            error_code=str(document.get("ErrorCode") or document.get("ErrorId") or ""),
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        raise _no_acknowledgement() from None


def _no_acknowledgement() -> PutMediaFailed:
    return PutMediaFailed("the answer of the service is no acknowledgement; look at the endpoint")
