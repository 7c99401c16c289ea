"""`earwitness.put_media`: send audio to a Kinesis video stream, in real time or as fast as it goes.

Public API. It works against earwitness and against AWS. Fragments are kept until they are acknowledged and sent again
after a connection broke, so none is lost between the two.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from earwitness.audio.matroska.writer import pcm_track, write_header
from earwitness.config.aws import certificate_fault, shown_certificate
from earwitness.errors import AnotherProducer, PutMediaFailed, PutMediaInterrupted
from earwitness.producer.connection import Ack, AckReader, AckType, Destination, PutMediaConnection
from earwitness.producer.fragments import TRACK, OutgoingFragment, Pacing, PcmSource, fragments, raw, recordings

UNACKNOWLEDGED_MAX = 120
"""Fragments kept for sending again; when so many wait, sending waits too."""

_CONNECT_SECONDS_MAX = 10.0
_SILENCE_SECONDS_MAX = 15.0
"""While something waits to be acknowledged; services say so within a second."""

_TRIES_MAX = 22
"""About 40 s: a service that was not told of a broken connection gives it up after 30 s, and refuses us until then."""

_BACK_OFF_SECONDS_MAX = 2.0
"""A stream moves to another node some seven seconds after its node died; who tries every two goes on within ten."""

_RETENTION_HOURS = 24


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What was sent and acknowledged."""

    #: Acknowledged fragments: persisted ones where the stream has a retention, else received ones.
    fragments: int
    #: Length of the audio in them.
    seconds: float
    #: For StartSpeakerSearchTask and GetMedia; both begin *after* the fragment they are given.
    first_fragment_number: str
    last_fragment_number: str
    reconnects: int


def put_media(
    audio: Path | str | Sequence[Path | str] | BinaryIO,
    *,
    stream_name: str | None = None,
    stream_arn: str | None = None,
    rate: int = 8_000,
    channels: int = 1,
    real_time: bool = True,
    endpoint_url: str | None = None,
    session: boto3.Session | None = None,
    on_ack: Callable[[Ack], None] | None = None,
) -> Sent:
    """Send a recording, several recordings as the channels of one stream, or raw 16-bit PCM from a file object.

    `rate` and `channels` describe raw PCM only. `endpoint_url` is that of Kinesis Video Streams; without it the
    variables and files that boto3 reads decide, and so do they on the credentials unless `session` is given.
    Raise AudioError for the audio, PutMediaFailed when the service refuses (no such stream, bad credentials, bad
    media; AnotherProducer when that is why), PutMediaInterrupted when it cannot be reached again and again.
    """
    if (stream_name is None) == (stream_arn is None):
        raise ValueError("give either stream_name or stream_arn")
    source = _source(audio, rate=rate, channels=channels)
    stream: dict[str, str | None] = {"StreamARN": stream_arn} if stream_name is None else {"StreamName": stream_name}
    destination, persisted = _destination(session or boto3.Session(), stream, endpoint_url)
    producer = _Producer(destination, source, real_time=real_time, persisted=persisted, on_ack=on_ack)
    return asyncio.run(producer.run())


def create_stream(name: str, *, endpoint_url: str | None = None) -> bool:
    """Make a stream that keeps its media for 24 hours; False when there is one. Raise PutMediaFailed."""
    made: Any = boto3  # no types
    try:
        client = made.client("kinesisvideo", endpoint_url=endpoint_url, config=_config())
        client.create_stream(StreamName=name, DataRetentionInHours=_RETENTION_HOURS)
    except ClientError as error:
        if _code(error) == "ResourceInUseException":
            return False
        raise PutMediaFailed(f"the stream cannot be made: {error}") from error
    except BotoCoreError as error:
        raise PutMediaFailed(f"the stream cannot be made: {certificate_fault(error) or error}") from error
    return True


def _config() -> Config | None:
    """Return what boto3 needs to show the certificate of the settings; None where there is none."""
    own = shown_certificate()
    if own is None:
        return None
    certificate, key = (None if file is None else str(file) for file in own)
    return Config(client_cert=certificate if key is None else (certificate, key))


def _code(error: ClientError) -> str:
    response: Any = error.response  # no types
    return response.get("Error", {}).get("Code", "")


def _source(audio: Path | str | Sequence[Path | str] | BinaryIO, *, rate: int, channels: int) -> PcmSource:
    if isinstance(audio, Path | str):
        return recordings([Path(audio)])
    if isinstance(audio, Sequence):
        return recordings([Path(file) for file in audio])
    return raw(audio, rate=rate, channels=channels)


def _destination(session: Any, stream: dict[str, str | None], endpoint_url: str | None) -> tuple[Destination, bool]:
    """Where to send, and whether the stream keeps what it gets. `Any`: boto3 has no types."""
    try:
        arn = stream.get("StreamARN") or ""
        region = arn.split(":")[3] if arn.count(":") >= 5 else None  # an ARN says its Region; a name needs a default
        client = session.client("kinesisvideo", region_name=region, endpoint_url=endpoint_url, config=_config())
        described = client.describe_stream(**stream)["StreamInfo"]
        endpoint = client.get_data_endpoint(**stream, APIName="PUT_MEDIA")["DataEndpoint"]
        credentials = session.get_credentials()
    except (BotoCoreError, ClientError) as error:
        absent = isinstance(error, ClientError) and _code(error) == "ResourceNotFoundException"
        hint = "; CreateStream or `earwitness stream --create` makes it" if absent else ""
        raise PutMediaFailed(f"the stream cannot be had: {certificate_fault(error) or error}{hint}") from error
    if credentials is None:
        raise PutMediaFailed("there are no AWS credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    destination = Destination(
        endpoint_url=endpoint,
        region=client.meta.region_name,
        credentials=credentials,
        stream={"x-amzn-stream-arn": described["StreamARN"]},
    )
    return destination, described["DataRetentionInHours"] > 0


class _Producer:
    """Sends one source, over as many connections as it takes."""

    def __init__(
        self,
        destination: Destination,
        source: PcmSource,
        *,
        real_time: bool,
        persisted: bool,
        on_ack: Callable[[Ack], None] | None,
    ) -> None:
        self._destination = destination
        self._pace = Pacing() if real_time else None
        self._done_at = AckType.PERSISTED if persisted else AckType.RECEIVED
        self._on_ack = on_ack
        self._header = write_header([pcm_track(number=TRACK, rate=source.rate, channels=source.channels)])
        self._fragments = fragments(source, start_ms=round(datetime.now(UTC).timestamp() * 1_000))
        self._waiting: deque[OutgoingFragment] = deque()
        self._upcoming: asyncio.Future[OutgoingFragment | None] | None = None
        self._acknowledged = asyncio.Event()
        self._numbers = ("", "")
        self._count, self._seconds, self._reconnects, self._failures = 0, 0.0, 0, 0

    async def run(self) -> Sent:
        while True:
            try:
                await self._session()
                break
            except (PutMediaInterrupted, AnotherProducer) as failure:
                if isinstance(failure, AnotherProducer) and not self._reconnects:
                    raise  # not the connection of ours that broke
                self._failures += 1
                self._reconnects += 1
                if self._failures >= _TRIES_MAX:
                    raise
                await asyncio.sleep(min(_BACK_OFF_SECONDS_MAX, 0.2 * 2.0**self._failures))
        first, last = self._numbers
        return Sent(
            fragments=self._count,
            seconds=self._seconds,
            first_fragment_number=first,
            last_fragment_number=last,
            reconnects=self._reconnects,
        )

    async def _session(self) -> None:
        """One connection, from its first byte to the last acknowledgement."""
        connection = await PutMediaConnection.open(self._destination, seconds_max=_CONNECT_SECONDS_MAX)
        try:
            async with asyncio.TaskGroup() as group:
                sending = group.create_task(self._send(connection))
                group.create_task(self._listen(connection, sending))
        except ExceptionGroup as failures:
            raise _reason(failures) from None
        finally:
            await connection.close()

    async def _send(self, connection: PutMediaConnection) -> bool:
        """Send everything; False when the connection broke, of which the answer may tell the reason."""
        try:
            await connection.send(self._header)
            for fragment in list(self._waiting):
                await connection.send(fragment.media)
            while (fragment := await self._next_fragment()) is not None:
                if self._pace is not None:
                    await self._pace.until_recorded(fragment)
                self._waiting.append(fragment)
                self._upcoming = None
                await connection.send(fragment.media)
                while len(self._waiting) >= UNACKNOWLEDGED_MAX:
                    self._acknowledged.clear()
                    await self._acknowledged.wait()
            await connection.finish()
        except PutMediaInterrupted:
            return False
        return True

    async def _next_fragment(self) -> OutgoingFragment | None:
        """The next of the source, read in a thread; one that was being read when a connection broke is not lost."""
        if self._upcoming is None:
            self._upcoming = asyncio.ensure_future(asyncio.to_thread(next, self._fragments, None))
        return await asyncio.shield(self._upcoming)

    async def _listen(self, connection: PutMediaConnection, sending: "asyncio.Task[bool]") -> None:
        reader = AckReader()
        async for data in self._answers(connection, sending):
            for ack in reader.feed(data):
                self._take(ack)
        if self._waiting or not sending.done() or not sending.result():
            raise PutMediaInterrupted("the service closed the connection before all media was acknowledged")

    async def _answers(self, connection: PutMediaConnection, sending: "asyncio.Task[bool]") -> AsyncGenerator[bytes]:
        """What the service says; PutMediaInterrupted when it says nothing though it owes something."""
        answers = connection.answers()
        upcoming = asyncio.ensure_future(anext(answers, None))
        try:
            while True:
                owes = bool(self._waiting) or sending.done()
                done, _ = await asyncio.wait({upcoming}, timeout=_SILENCE_SECONDS_MAX)
                if not done and owes:
                    raise PutMediaInterrupted("the fragments that were sent are not acknowledged in time")
                if not done:
                    continue
                if (data := upcoming.result()) is None:
                    return
                yield data
                upcoming = asyncio.ensure_future(anext(answers, None))
        finally:
            upcoming.cancel()

    def _take(self, ack: Ack) -> None:
        if self._on_ack is not None:
            self._on_ack(ack)
        if ack.type is AckType.ERROR:
            raise _failure(ack.error_code)
        if ack.type is not self._done_at or ack.timecode_ms is None:
            return
        self._failures = 0
        while self._waiting and self._waiting[0].timecode_ms <= ack.timecode_ms:
            done = self._waiting.popleft()
            self._count += 1
            self._seconds += done.seconds
        self._numbers = (self._numbers[0] or ack.fragment_number, ack.fragment_number)
        self._acknowledged.set()


def _reason(failures: ExceptionGroup[Exception]) -> Exception:
    """Why a session ended: what was said of it rather than that its connection broke then."""
    return min(failures.exceptions, key=lambda failure: isinstance(failure, PutMediaInterrupted))


_WORTH_ANOTHER_TRY = frozenset(
    {"STREAM_READ_ERROR", "MAX_CONNECTION_DURATION_REACHED", "INTERNAL_ERROR", "ARCHIVAL_ERROR"}
)


def _failure(error_code: str) -> PutMediaFailed:
    failure = PutMediaInterrupted if error_code in _WORTH_ANOTHER_TRY else PutMediaFailed
    return failure(f"the service refused a fragment: {error_code}")
