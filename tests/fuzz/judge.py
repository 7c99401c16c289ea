"""What must hold for any bytes at all. A finding is a sentence that says what did not."""

import random
import traceback
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Protocol, TypeVar

from earwitness.audio.channel import ChannelDecoder
from earwitness.audio.matroska.events import FragmentReceived, HeaderReceived, StreamRefused, TagsReceived
from earwitness.audio.matroska.frames import read_frames
from earwitness.audio.matroska.get_media import ConsumedFragment, GetMediaReader, get_media_chunk
from earwitness.audio.matroska.put_media import FRAGMENT_MS_MAX, PutMediaReader
from earwitness.audio.matroska.reader import BUFFERED_BYTES_MAX, FRAGMENT_BYTES_MAX, HEADER_BYTES_MAX, MatroskaReader
from earwitness.audio.matroska.tracks import TRACKS_MAX, Header
from earwitness.errors import MediaIncompatible

_EXPANSION_MAX = 2
"""Bytes told per byte fed, at most: each is in a header, a cluster or tags, and tags of a header are told twice."""

_NOW = datetime(2024, 1, 1, tzinfo=UTC)
_T_co = TypeVar("_T_co", covariant=True)


class Reader(Protocol[_T_co]):
    """What both readers are."""

    @property
    def buffered_bytes(self) -> int: ...
    def feed(self, data: bytes | memoryview) -> Sequence[_T_co]: ...
    def close(self) -> Sequence[_T_co]: ...


def judge(data: bytes, rng: random.Random) -> str | None:
    """The first thing that is wrong with how `data` is read, or None. `rng` chooses where it is cut."""
    try:
        return next(_findings(data, rng), None)
    except Exception:
        return traceback.format_exc()


def _findings(data: bytes, rng: random.Random) -> Iterator[str]:
    sizes = [rng.choice((1, 2, 7, 30, 200, 1000)) for _ in range(8)]
    for name, make in _READERS.items():
        whole = _read(make(), data, [max(1, len(data))])
        if _read(make(), data, sizes) != whole:
            yield f"{name}: chunks of {sizes} bytes give other events than all at once"
        if sum(map(_told_bytes, whole)) > _EXPANSION_MAX * len(data):
            yield f"{name}: more is told than was fed"
        last = [
            index for index, event in enumerate(whole) if isinstance(event, StreamRefused) and event.fault.ends_session
        ]
        if last and last[0] != len(whole) - 1:
            yield f"{name}: something follows the fault that ends the session"
        if name == "PutMedia":
            yield from _broken_rules(whole)
            yield from _unreadable(whole)


def _read(reader: Reader[_T_co], data: bytes, sizes: list[int]) -> list[_T_co]:
    events: list[_T_co] = []
    at = turn = 0
    while at < len(data):
        events += reader.feed(data[at : at + sizes[turn % len(sizes)]])
        at += sizes[turn % len(sizes)]
        turn += 1
        if reader.buffered_bytes > min(at, BUFFERED_BYTES_MAX):
            raise AssertionError("more is buffered than was fed, or than may be")
    return [*events, *reader.close()]


def _told_bytes(event: object) -> int:
    match event:
        case HeaderReceived(header=header):
            return len(header.raw)
        case FragmentReceived(cluster=cluster):
            return len(cluster)
        case TagsReceived(tags=tags):
            return len(tags.raw)
        case ConsumedFragment(cluster=cluster):
            return len(cluster)
        case _:
            return 0


def _broken_rules(events: list[object]) -> Iterator[str]:
    before = 0
    for event in events:
        if isinstance(event, HeaderReceived):
            if len(event.header.raw) > HEADER_BYTES_MAX or not 1 <= len(event.header.tracks) <= TRACKS_MAX:
                yield "a header is beyond its limits"
        elif isinstance(event, FragmentReceived):
            if not 0 <= event.duration_ms <= FRAGMENT_MS_MAX or len(event.cluster) > FRAGMENT_BYTES_MAX:
                yield "a fragment is beyond its limits"
            if event.timecode_ms < before:
                yield "a fragment lies before the one before it"
            before = event.timecode_ms


def _unreadable(events: list[object]) -> Iterator[str]:
    header: Header | None = None
    decoders: list[ChannelDecoder] = []
    for event in events:
        if isinstance(event, HeaderReceived):
            header = event.header
            decoders = list(_decoders(header))
        elif isinstance(event, FragmentReceived) and header is not None:
            frames = list(read_frames(event.cluster))
            if sum(len(frame.data) for frame in frames) > len(event.cluster):
                yield "the frames are longer than their cluster"
            if {frame.track_number for frame in frames} != {track.number for track in header.tracks}:
                yield "the frames are not of the header's tracks"
            for decoder in decoders:
                decoder.feed(frames)
            yield from _lost_on_the_way(header, event)


def _decoders(header: Header) -> Iterator[ChannelDecoder]:
    for channel in (0, 1):
        try:
            yield ChannelDecoder(header, channel=channel, declared_rate=8000)
        except MediaIncompatible:
            continue


def _lost_on_the_way(header: Header, fragment: FragmentReceived) -> Iterator[str]:
    """A fragment that one reader released goes out and comes in again unchanged."""
    chunk = get_media_chunk(
        header.raw,
        fragment.cluster,
        producer_tags=b"",
        fragment_number="7",
        server_timestamp=_NOW,
        producer_timestamp=_NOW,
        millis_behind_now=0,
        continuation_token="7",  # noqa: S106 (a fragment's number)
    )
    match GetMediaReader().feed(chunk):
        case [ConsumedFragment() as back] if back.cluster == fragment.cluster and back.header.tracks == header.tracks:
            return
        case other:
            yield f"a fragment does not come back from a chunk: {[type(each).__name__ for each in other]}"


_READERS: dict[str, Callable[[], Reader[object]]] = {
    "PutMedia": PutMediaReader,
    "GetMedia's elements": MatroskaReader,
    "GetMedia": GetMediaReader,
}
