"""Fragments out of GetMedia's stream, ours or AWS's: feed bytes, take fragments and what the service says of them.

What belongs here: reading the service's tags. What must never: requests, retries, or where to go on.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from earwitness.audio.matroska import get_media as names
from earwitness.audio.matroska.events import Event, FragmentReceived, HeaderReceived, Refused, TagsReceived
from earwitness.audio.matroska.faults import MediaFault
from earwitness.audio.matroska.reader import FragmentReader
from earwitness.audio.matroska.tags import TAGS_MAX, Tags
from earwitness.audio.matroska.tracks import Header


@dataclass(frozen=True, kw_only=True)
class ConsumedFragment:
    """One chunk of GetMedia's stream, whole."""

    header: Header
    """The producer's, without the service's tags."""

    cluster: bytes
    timecode_ms: int
    duration_ms: int
    number: str
    server_timestamp: datetime
    producer_timestamp: datetime
    tags: Mapping[str, str]
    """The producer's."""

    millis_behind_now: int | None
    continuation_token: str | None


@dataclass(frozen=True, kw_only=True)
class ServiceFailed:
    """GetMedia says that it cannot go on."""

    error_id: int | None
    error_code: str
    fragment_number: str | None


ConsumerEvent = ConsumedFragment | ServiceFailed | Refused


@dataclass(kw_only=True)
class _Chunk:
    """What has come of a chunk so far."""

    service: dict[str, str] = field(default_factory=dict[str, str])
    producer: dict[str, str] = field(default_factory=dict[str, str])
    service_raw: bytes = b""
    header: Header | None = None
    fragment: FragmentReceived | None = None


class GetMediaReader:
    """Feed GetMedia's payload, take whole fragments with their tags. Nothing is raised.

    A fragment is told with the service's last tags of its chunk, which come right behind it. Where they do not, it is
    told when something else begins, or at `close`.
    """

    def __init__(self) -> None:
        self._reader = FragmentReader(of_get_media=True)
        self._chunk = _Chunk()
        self._stopped = False

    @property
    def buffered_bytes(self) -> int:
        """Bytes held now: a fragment in the making and, while its last tags are awaited, the one before it."""
        whole = self._chunk.fragment
        return self._reader.buffered_bytes + (len(whole.cluster) if whole else 0)

    def feed(self, data: bytes | memoryview) -> list[ConsumerEvent]:
        """What `data` completes, in order; nothing after a Refused whose fault ends the session."""
        return self._take_all(self._reader.feed(data))

    def close(self) -> list[ConsumerEvent]:
        """What the end of the payload completes."""
        told = self._take_all(self._reader.close())
        if not self._stopped:
            told += self._tell()
        self._stopped = True
        return told

    def _take_all(self, events: Iterable[Event]) -> list[ConsumerEvent]:
        told: list[ConsumerEvent] = []
        for event in events:
            for each in [] if self._stopped else self._take(event):
                told.append(each)
                if isinstance(each, Refused) and each.fault.ends_session:
                    self._stopped = True
                    break
        return told

    def _take(self, event: Event) -> list[ConsumerEvent]:
        chunk = self._chunk
        if isinstance(event, TagsReceived):
            return self._take_tags(event.tags)
        if isinstance(event, HeaderReceived):
            chunk.header = replace(event.header, raw=event.header.raw.removesuffix(chunk.service_raw))
            return []
        if isinstance(event, FragmentReceived):
            told = self._tell()
            chunk.fragment = event
            return told
        return [*self._tell(), event] if isinstance(event, Refused) else []

    def _take_tags(self, tags: Tags) -> list[ConsumerEvent]:
        values, told = tags.values, list[ConsumerEvent]()
        if names.FRAGMENT_NUMBER in values:
            told = self._tell()
            self._chunk = _Chunk(service=values, service_raw=tags.raw)
        if any(name in values for name in _FAILURES):
            return [*told, *self._tell(), _failure(values)]
        chunk = self._chunk
        if names.CONTINUATION_TOKEN in values or names.MILLIS_BEHIND_NOW in values:
            chunk.service = chunk.service | values
            return told + self._tell()
        if chunk.fragment is not None:
            chunk.producer = dict([*chunk.producer.items(), *tags.own][:TAGS_MAX])
        return told

    def _tell(self) -> list[ConsumerEvent]:
        """The fragment that is whole, if there is one that was not told."""
        chunk = self._chunk
        fragment, chunk.fragment = chunk.fragment, None
        if fragment is None or chunk.header is None:
            return []
        service = chunk.service
        server, producer = (_read_timestamp(service.get(name)) for name in _TIMESTAMPS)
        number = service.get(names.FRAGMENT_NUMBER)
        if number is None or server is None or producer is None:
            reason = "a fragment comes without its number or timestamps; this is not GetMedia's stream"
            return [Refused(fault=MediaFault.INVALID_MKV_DATA, timecode_ms=fragment.timecode_ms, reason=reason)]
        consumed = ConsumedFragment(
            header=chunk.header,
            cluster=fragment.cluster,
            timecode_ms=fragment.timecode_ms,
            duration_ms=fragment.duration_ms,
            number=number,
            server_timestamp=server,
            producer_timestamp=producer,
            tags=chunk.producer,
            millis_behind_now=_read_integer(service.get(names.MILLIS_BEHIND_NOW)),
            continuation_token=service.get(names.CONTINUATION_TOKEN),
        )
        chunk.service = {}
        return [consumed]


_TIMESTAMPS = (names.SERVER_TIMESTAMP, names.PRODUCER_TIMESTAMP)
_FAILURES = (names.ERROR_ID, names.ERROR_CODE, names.EXCEPTION_ERROR_CODE)


def _failure(values: Mapping[str, str]) -> ServiceFailed:
    return ServiceFailed(
        error_id=_read_integer(values.get(names.ERROR_ID) or values.get(names.EXCEPTION_ERROR_CODE)),
        error_code=values.get(names.ERROR_CODE) or values.get(names.EXCEPTION_ERROR_CODE) or "",
        fragment_number=values.get(names.FRAGMENT_NUMBER),
    )


def _read_timestamp(text: str | None) -> datetime | None:
    """Seconds since 1970 with a fraction, to the millisecond; None for what is no time."""
    try:
        return None if text is None else names.EPOCH + timedelta(milliseconds=round(1000 * float(text)))
    except (ValueError, OverflowError):
        return None


def _read_integer(text: str | None) -> int | None:
    try:
        return None if text is None else int(text)
    except ValueError:
        return None
