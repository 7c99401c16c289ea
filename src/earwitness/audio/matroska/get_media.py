"""GetMedia's stream, written and read: a chunk for each fragment, and the error that ends a stream.

What belongs here: the service's tags and their layout, as captured from AWS. What must never: requests, retries, or
which fragment is next. A chunk is a Matroska stream of its own: header, the service's tags, one cluster, the producer's
tags, the service's.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from earwitness.audio.matroska import ids
from earwitness.audio.matroska.ebml import read_element
from earwitness.audio.matroska.events import (
    FragmentReceived,
    HeaderReceived,
    MatroskaEvent,
    MediaFault,
    StreamRefused,
    TagsReceived,
)
from earwitness.audio.matroska.reader import MatroskaReader
from earwitness.audio.matroska.tags import TAGS_MAX, TagsElement, write_tags
from earwitness.audio.matroska.tracks import Header, segment_start
from earwitness.audio.matroska.writer import write_segment_begin

_PREFIX = "AWS_KINESISVIDEO_"
FRAGMENT_NUMBER = f"{_PREFIX}FRAGMENT_NUMBER"
SERVER_TIMESTAMP = f"{_PREFIX}SERVER_TIMESTAMP"
PRODUCER_TIMESTAMP = f"{_PREFIX}PRODUCER_TIMESTAMP"
SERVER_SIDE_TIMESTAMP = f"{_PREFIX}SERVER_SIDE_TIMESTAMP"
PRODUCER_SIDE_TIMESTAMP = f"{_PREFIX}PRODUCER_SIDE_TIMESTAMP"
MILLIS_BEHIND_NOW = f"{_PREFIX}MILLIS_BEHIND_NOW"
CONTINUATION_TOKEN = f"{_PREFIX}CONTINUATION_TOKEN"
ERROR_ID = f"{_PREFIX}ERROR_ID"
ERROR_CODE = f"{_PREFIX}ERROR_CODE"
EXCEPTION_ERROR_CODE = f"{_PREFIX}EXCEPTION_ERROR_CODE"
EXCEPTION_MESSAGE = f"{_PREFIX}EXCEPTION_MESSAGE"
"""Names of the service's tags; the SIDE and EXCEPTION ones are those of GetMediaForFragmentList."""

_FAILURES = {ERROR_ID, ERROR_CODE, EXCEPTION_ERROR_CODE}
_LAST_OF_CHUNK = {MILLIS_BEHIND_NOW, CONTINUATION_TOKEN}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def get_media_chunk(
    header: bytes,
    cluster: bytes,
    *,
    producer_tags: bytes,
    fragment_number: str,
    server_timestamp: datetime,
    producer_timestamp: datetime,
    millis_behind_now: int,
    continuation_token: str,
    archived: bool = False,
) -> bytes:
    """Return one fragment as GetMedia sends it.

    `header` and `cluster` are a producer's bytes, verbatim; `producer_tags` the Tags elements that followed the
    cluster, one after the other, possibly none. `archived` adds the names that GetMediaForFragmentList has for the
    timestamps.
    Raises MatroskaInvalid when `header` is not a stream's.
    """
    server, producer = _write_timestamp(server_timestamp), _write_timestamp(producer_timestamp)
    before = {FRAGMENT_NUMBER: fragment_number, SERVER_TIMESTAMP: server, PRODUCER_TIMESTAMP: producer}
    if archived:
        before |= {SERVER_SIDE_TIMESTAMP: server, PRODUCER_SIDE_TIMESTAMP: producer}
    after = {MILLIS_BEHIND_NOW: str(millis_behind_now), CONTINUATION_TOKEN: continuation_token}
    return b"".join((_begin(header), write_tags(before), cluster, producer_tags, write_tags(after)))


def get_media_error(header: bytes, *, fragment_number: str, error_id: int, error_code: str, message: str = "") -> bytes:
    """Return what GetMedia sends when it cannot go on.

    It has the names of both operations, of which one calls the integer a code that the other calls an id (botocore's
    service models).

    `header` is the stream's as in `get_media_chunk`. Raises MatroskaInvalid when it is not one.
    """
    values = {FRAGMENT_NUMBER: fragment_number, ERROR_CODE: error_code, ERROR_ID: str(error_id)}
    if message:
        values |= {EXCEPTION_ERROR_CODE: str(error_id), EXCEPTION_MESSAGE: message}
    return _begin(header) + write_tags(values)


def _begin(header: bytes) -> bytes:
    """Return the header in a Segment of unknown size, whatever it was sent in."""
    start = segment_start(header)
    position = 0
    while (element := read_element(header, position, start)) is not None and element[0] != ids.SEGMENT:
        position = element[2] + element[1]
    return header[:position] + write_segment_begin() + header[start:]


def _write_timestamp(value: datetime) -> str:
    milliseconds = (value - _EPOCH) // timedelta(milliseconds=1)
    return f"{milliseconds // 1000}.{milliseconds % 1000:03d}"


@dataclass(frozen=True, kw_only=True)
class ConsumedFragment:
    """One chunk of GetMedia's stream, whole."""

    #: The producer's, without the service's tags.
    header: Header
    cluster: bytes
    timecode_ms: int
    duration_ms: int
    number: str
    server_timestamp: datetime
    producer_timestamp: datetime
    #: The producer's.
    tags: Mapping[str, str]
    millis_behind_now: int | None
    continuation_token: str | None


@dataclass(frozen=True, kw_only=True)
class ServiceFailed:
    """GetMedia says that it cannot go on."""

    error_id: int | None
    error_code: str
    fragment_number: str | None


ConsumerEvent = ConsumedFragment | ServiceFailed | StreamRefused


@dataclass(kw_only=True)
class _Chunk:
    """What has come of a chunk so far."""

    service: dict[str, str] = field(default_factory=dict[str, str])
    producer: dict[str, str] = field(default_factory=dict[str, str])
    service_raw: bytes = b""
    header: Header | None = None
    fragment: FragmentReceived | None = None


class GetMediaReader:
    """Feed GetMedia's payload, ours or AWS's; take whole fragments with their tags. Nothing is raised.

    A fragment is reported with the service's last tags of its chunk, which come right behind it. Where they do not, it
    is reported when something else begins, or at `close`.
    """

    def __init__(self) -> None:
        self._reader = MatroskaReader()
        self._chunk = _Chunk()
        self._stopped = False

    @property
    def buffered_bytes(self) -> int:
        """Bytes held now: a fragment in the making and, while its last tags are awaited, the one before it."""
        whole = self._chunk.fragment
        return self._reader.buffered_bytes + (len(whole.cluster) if whole else 0)

    def feed(self, data: bytes | memoryview) -> list[ConsumerEvent]:
        """Return what `data` completes, in order; nothing after a StreamRefused whose fault ends the session."""
        return self._until_stopped(each for event in self._reader.feed(data) for each in self._take(event))

    def close(self) -> list[ConsumerEvent]:
        """Return what the end of the payload completes."""
        events = self._until_stopped(each for event in self._reader.close() for each in self._take(event))
        events += self._until_stopped(self._whole())
        self._stopped = True
        return events

    def _until_stopped(self, events: Iterable[ConsumerEvent]) -> list[ConsumerEvent]:
        given: list[ConsumerEvent] = []
        for event in () if self._stopped else events:
            given.append(event)
            if isinstance(event, StreamRefused) and event.fault.ends_session:
                self._stopped = True
                break
        return given

    def _take(self, event: MatroskaEvent) -> Iterator[ConsumerEvent]:
        match event:
            case TagsReceived():
                yield from self._take_tags(event.tags)
            case HeaderReceived():
                raw = event.header.raw.removesuffix(self._chunk.service_raw)
                self._chunk.header = replace(event.header, raw=raw)
            case FragmentReceived():
                yield from self._whole()
                self._chunk.fragment = event
            case StreamRefused():
                yield from self._whole()
                yield event
            case _:  # a fragment has started
                return

    def _take_tags(self, tags: TagsElement) -> Iterator[ConsumerEvent]:
        values = tags.values
        if FRAGMENT_NUMBER in values:
            yield from self._whole()
            self._chunk = _Chunk(service=values, service_raw=tags.raw)
        chunk = self._chunk
        if _FAILURES & values.keys():
            yield from self._whole()
            yield _failure(values)
        elif _LAST_OF_CHUNK & values.keys():
            chunk.service = chunk.service | values
            yield from self._whole()
        elif chunk.fragment is not None:
            chunk.producer = dict([*chunk.producer.items(), *tags.own][:TAGS_MAX])

    def _whole(self) -> Iterator[ConsumerEvent]:
        """Give the fragment that is whole, if there is one that was not given."""
        chunk = self._chunk
        fragment, chunk.fragment = chunk.fragment, None
        if fragment is None or chunk.header is None:
            return
        service, chunk.service = chunk.service, {}
        server, producer = (_read_timestamp(service.get(name)) for name in (SERVER_TIMESTAMP, PRODUCER_TIMESTAMP))
        number = service.get(FRAGMENT_NUMBER)
        if number is None or server is None or producer is None:
            reason = "a fragment comes without its number or timestamps; this is not GetMedia's stream"
            yield StreamRefused(fault=MediaFault.INVALID_MKV_DATA, timecode_ms=fragment.timecode_ms, reason=reason)
            return
        yield ConsumedFragment(
            header=chunk.header,
            cluster=fragment.cluster,
            timecode_ms=fragment.timecode_ms,
            duration_ms=fragment.duration_ms,
            number=number,
            server_timestamp=server,
            producer_timestamp=producer,
            tags=chunk.producer,
            millis_behind_now=_read_integer(service.get(MILLIS_BEHIND_NOW)),
            continuation_token=service.get(CONTINUATION_TOKEN),
        )


def _failure(values: Mapping[str, str]) -> ServiceFailed:
    return ServiceFailed(
        error_id=_read_integer(values.get(ERROR_ID) or values.get(EXCEPTION_ERROR_CODE)),
        error_code=values.get(ERROR_CODE) or values.get(EXCEPTION_ERROR_CODE) or "",
        fragment_number=values.get(FRAGMENT_NUMBER),
    )


def _read_timestamp(text: str | None) -> datetime | None:
    """Return seconds since 1970 with a fraction, to the millisecond; None for what is no time."""
    try:
        return None if text is None else _EPOCH + timedelta(milliseconds=round(1000 * float(text)))
    except (ValueError, OverflowError):
        return None


def _read_integer(text: str | None) -> int | None:
    try:
        return None if text is None else int(text)
    except ValueError:
        return None
