"""A stream of Matroska to events: feed bytes as they come, take what they complete.

What belongs here: which element may come where, how much of it is kept, and what frames say of time. What must never:
sockets, clocks, and PutMedia's own rules (`put_media.py`). Chunks of any size give the same events. Checksums (CRC-32)
are skipped: the transport has its own.
"""

from collections.abc import Generator
from dataclasses import dataclass

from earwitness.audio.matroska import ids
from earwitness.audio.matroska.ebml import UNKNOWN_SIZE, Data, ElementHeader, read_element, read_unsigned
from earwitness.audio.matroska.events import (
    FragmentReceived,
    FragmentStarted,
    HeaderReceived,
    MatroskaEvent,
    MediaFault,
    StreamRefused,
    TagsReceived,
)
from earwitness.audio.matroska.frames import LACING, read_block, read_group, split_laces
from earwitness.audio.matroska.tags import TagsElement, parse_tags
from earwitness.audio.matroska.tracks import Header, check_ebml_header, parse_header
from earwitness.errors import MatroskaInvalid

HEADER_BYTES_MAX = 64 * 1024
"""Everything before the first cluster, which GetMedia repeats for every fragment. Producers need under 2,000 bytes;
libavformat may leave 25,000 more of Void in front of its list of tracks."""

FRAGMENT_BYTES_MAX = 50 * 1024 * 1024
"""The largest fragment, as PutMedia has it."""

ELEMENTS_MAX = 100_000
"""Elements of a fragment. Three tracks with a frame a millisecond for 20 s have 60,000; empty ones cost only time."""

TIMESTAMP_MS_MAX = 253_402_300_799_999
"""The end of the year 9999, beyond which a timestamp is no date."""

TAGS_BYTES_MAX = 64 * 1024
"""One Tags element. Ten tags at their limits have under 5,000 bytes."""

ELEMENT_BYTES_MAX = 1 << 30
"""The largest element that is waited for. A size beyond it is garbage, and would swallow the rest of the stream."""

PIECE_BYTES = 64 * 1024
"""A chunk is taken in pieces of this size, so that a large one does not stand twice in memory."""

BUFFERED_BYTES_MAX = FRAGMENT_BYTES_MAX + PIECE_BYTES
"""What a reader ever holds."""

_WITHOUT_END = 1 << 63
"""Where a segment of unknown size ends. Sizes have 56 bits."""

_CUT_OFF = "the body ends in the middle of an element; send all of it"


class RuleBroken(Exception):
    """A fragment, or the stream, breaks a rule of PutMedia. The reader reports it as StreamRefused."""

    def __init__(self, fault: MediaFault) -> None:
        super().__init__(fault.description)
        self.fault = fault


class _BodyEnded(Exception):
    """An element is awaited and nothing more comes."""


@dataclass(slots=True)
class TrackSpan:
    """The frames of one track in a fragment so far, in ticks of the stream."""

    first: int
    last: int
    #: Between the two latest frames.
    gap: int
    #: In the latest block.
    frames: int
    #: Of the latest block's frames.
    frame_bytes: int
    #: Ticks of the latest block, where it says so itself.
    duration: int | None


class OpenFragment:
    """A fragment in the making: what its elements say of time, fed in order. Raises MatroskaInvalid and RuleBroken."""

    def __init__(self, header: Header) -> None:
        self.spans: dict[int, TrackSpan] = {}
        #: Its tags go where it went.
        self.refused = False
        self._scale_ns = header.timestamp_scale_ns
        self._tracks = {track.number: track for track in header.tracks}
        self._first = 0
        self._ticks: int | None = None

    @property
    def timecode_ms(self) -> int | None:
        """The cluster's timestamp; None as long as it is not known."""
        return None if self._ticks is None else self._ticks * self._scale_ns // 1_000_000

    def take_timestamp(self, ticks: int, *, size: int) -> int:
        """Take the cluster's timestamp, and its size as far as that is known; return the timestamp in milliseconds."""
        if self._ticks is not None:
            raise MatroskaInvalid("a Cluster has two Timestamps; write one")
        timecode_ms = ticks * self._scale_ns // 1_000_000
        if timecode_ms > TIMESTAMP_MS_MAX:
            raise RuleBroken(MediaFault.INVALID_PRODUCER_TIMESTAMP)
        self._ticks = ticks
        if size > FRAGMENT_BYTES_MAX:
            raise RuleBroken(MediaFault.MAX_FRAGMENT_SIZE_REACHED)
        return timecode_ms

    def take_block(self, data: Data, start: int, stop: int, duration: int | None = None) -> int:
        """Take the payload of a Block or SimpleBlock; return its track's number."""
        if self._ticks is None:
            raise MatroskaInvalid("a block comes before the Timestamp of its Cluster; write the Timestamp first")
        block = read_block(data, start, stop)
        frames, frame_bytes = 1, stop - block.start
        if block.flags & LACING:
            laces = split_laces(data, block, stop)
            frames, frame_bytes = len(laces), sum(end - first for first, end in laces)
        ticks = self._ticks + block.relative_ticks
        span = self.spans.get(block.track_number)
        if span is None:
            self._first = min(self._first, ticks) if self.spans else ticks
            self.spans[block.track_number] = TrackSpan(ticks, ticks, 0, frames, frame_bytes, duration)
        elif ticks >= span.last:
            span.gap, span.last = ticks - span.last, ticks
            span.frames, span.frame_bytes, span.duration = frames, frame_bytes, duration
        elif ticks < span.first:  # frames in decoding order, as pictures have them
            span.first = ticks
            self._first = min(self._first, ticks)
        return block.track_number

    def take_tags(self, tags: TagsElement) -> None:
        """Take a Tags element that follows the fragment."""

    def finish(self) -> int:
        """Return the duration in milliseconds, from the first frame's begin to the last one's end.

        The last frame's own duration is that of its block, of the track, of its bytes if they are PCM, or of the frame
        before it.
        """
        if self._ticks is None:
            raise MatroskaInvalid("a Cluster has no Timestamp; write one, before its blocks")
        ends_ns = [span.last * self._scale_ns + self._last_block_ns(number) for number, span in self.spans.items()]
        return round((max(ends_ns, default=0) - self._first * self._scale_ns) / 1_000_000)

    def _last_block_ns(self, number: int) -> int:
        span, track = self.spans[number], self._tracks.get(number)
        if span.duration is not None:
            return span.duration * self._scale_ns
        if track is not None and track.default_duration_ns:
            return track.default_duration_ns * span.frames
        if track is not None and (rate := track.bytes_per_second):
            return 1_000_000_000 * span.frame_bytes // rate
        return span.gap * self._scale_ns


class MatroskaReader:
    """Feed bytes, take events; `close` when the body ended in order. Nothing is raised: faults are events.

    It reads what GetMedia sends: an EBML header begins the next chunk, all tags are reported, and only the format and
    the sizes are checked. `put_media.PutMediaReader` checks what a producer sends.
    """

    def __init__(self) -> None:
        self._data = bytearray()
        #: Where `_data` begins, and where the segment ends, in the stream.
        self._offset, self._segment_end = 0, _WITHOUT_END
        #: Of the next element in `_data`. What lies before it is kept until it is dropped.
        self._position = 0
        #: With fewer bytes than this in `_data`, reading cannot go on.
        self._needed = 1
        #: Bytes to drop when they come.
        self._skipping = 0
        #: The latest fragment, open or not.
        self._fragment: OpenFragment | None = None
        self._events: list[MatroskaEvent] = []
        self._closed = self._stopped = False
        #: Yields when it needs more bytes.
        self._reading = self._read_streams()

    @property
    def buffered_bytes(self) -> int:
        """Bytes held now; never more than BUFFERED_BYTES_MAX."""
        return len(self._data)

    def feed(self, data: bytes | memoryview) -> list[MatroskaEvent]:
        """Return what `data` completes, in order; nothing after an event that ends the session."""
        if len(data) <= PIECE_BYTES:
            self._feed_piece(data)
        else:
            view = memoryview(data)
            for first in range(0, len(view), PIECE_BYTES):
                self._feed_piece(view[first : first + PIECE_BYTES])
        return self._take_events()

    def close(self) -> list[MatroskaEvent]:
        """Return what the end of the body completes. A closed reader gives nothing more.

        A fragment of unknown size is whole with its last whole frame; one of known size needs all its bytes.
        """
        self._closed = True
        if not self._stopped:
            self._go_on()
        return self._take_events()

    def _check_header(self, header: Header) -> None:
        """Raise RuleBroken for a header that is not allowed."""

    def _check_next_stream(self) -> None:
        """Raise MatroskaInvalid when no second stream may follow."""

    def _open_fragment(self, header: Header) -> OpenFragment:
        return OpenFragment(header)

    def _take_header_tags(self, tags: TagsElement) -> None:
        self._events.append(TagsReceived(tags=tags))

    def _take_events(self) -> list[MatroskaEvent]:
        events, self._events = self._events, []
        return events

    def _feed_piece(self, data: bytes | memoryview) -> None:
        if self._stopped:
            return
        skipped = min(self._skipping, len(data))
        self._skipping -= skipped
        self._data += data[skipped:]
        if len(self._data) >= self._needed:
            self._go_on()

    def _go_on(self) -> None:
        try:
            next(self._reading)
            return
        except RuleBroken as broken:
            self._refuse(broken.fault)
        except MatroskaInvalid as error:
            self._refuse(MediaFault.INVALID_MKV_DATA, str(error))
        except _BodyEnded:
            if self._skipping or len(self._data) > self._position:
                self._refuse(MediaFault.INVALID_MKV_DATA, _CUT_OFF)
        self._stopped = True
        self._data = bytearray()

    def _refuse(self, fault: MediaFault, reason: str | None = None) -> None:
        timecode_ms = None if self._fragment is None else self._fragment.timecode_ms
        self._events.append(StreamRefused(fault=fault, timecode_ms=timecode_ms, reason=reason or fault.description))

    def _read_streams(self) -> Generator[None]:
        while True:
            yield from self._read_ebml_header()
            yield from self._read_segment()
            self._check_next_stream()
            self._drop_to(self._position)

    def _read_ebml_header(self) -> Generator[None]:
        """Read up to the first element in the Segment. All of it is kept."""
        seen = False
        while True:
            element = yield from self._read_element(_WITHOUT_END)
            element_id, size, start = element
            if element_id == ids.SEGMENT and seen:
                self._segment_end = _WITHOUT_END if size == UNKNOWN_SIZE else self._offset + start + size
                self._position = start
                return
            if element_id not in (ids.VOID, ids.CRC_32) and (seen or element_id != ids.EBML):
                raise MatroskaInvalid("the stream is not an EBML header and then a Segment; send Matroska")
            stop = self._stop_in_header(element, end=_WITHOUT_END)
            yield from self._wait_for(stop)
            if element_id == ids.EBML:
                check_ebml_header(self._data, start, stop)
                seen = True
            self._position = stop

    def _read_segment(self) -> Generator[None]:
        """Read up to the EBML header of another stream, which may follow the Segment, or stand in one without size."""
        header: Header | None = None
        while (end := self._segment_end - self._offset) != self._position:
            element = yield from self._read_element(end)
            if element[0] == ids.EBML:
                return
            if element[0] == ids.CLUSTER:
                header = header or self._take_header()
                yield from self._read_cluster(header)
            elif header is None:
                yield from self._read_before_clusters(element, end=end)
            else:
                yield from self._read_after_cluster(element, end=end)
        self._drop_to(self._position)
        while (element := (yield from self._read_element(_WITHOUT_END)))[0] != ids.EBML:
            if element[0] not in (ids.VOID, ids.CRC_32):
                raise MatroskaInvalid("something follows the Segment; send one Segment in a request")
            self._drop_to(_stop_of(element, end=_WITHOUT_END))

    def _read_before_clusters(self, element: ElementHeader, *, end: int) -> Generator[None]:
        """Keep an element of the header."""
        if element[0] == ids.SEGMENT:
            raise MatroskaInvalid("a Segment begins inside a Segment; send one in a request")
        stop = self._stop_in_header(element, end=end)
        yield from self._wait_for(stop)
        if element[0] == ids.TAGS:
            self._take_header_tags(self._parse_tags(element[2], stop))
        self._position = stop

    def _take_header(self) -> Header:
        header = parse_header(bytes(self._data[: self._position]))
        self._check_header(header)
        self._events.append(HeaderReceived(header=header))
        return header

    def _read_after_cluster(self, element: ElementHeader, *, end: int) -> Generator[None]:
        """Read tags, and drop what else is between clusters."""
        element_id, _, start = element
        if element_id in ids.ONCE_PER_STREAM:
            raise MatroskaInvalid("a Segment, Info or Tracks follows a cluster; send them once, before it")
        stop, fragment = _stop_of(element, end=end), self._fragment
        if element_id == ids.TAGS and fragment is not None and not fragment.refused:
            try:
                if stop > TAGS_BYTES_MAX:
                    raise RuleBroken(MediaFault.FRAGMENT_METADATA_LIMIT_REACHED)
                yield from self._wait_for(stop)
                tags = self._parse_tags(start, stop)
                fragment.take_tags(tags)
                self._events.append(TagsReceived(tags=tags))
            except RuleBroken as broken:
                self._refuse(broken.fault)
        self._drop_to(stop)

    def _parse_tags(self, start: int, stop: int) -> TagsElement:
        return parse_tags(bytes(self._data[self._position : stop]), start - self._position)

    def _read_cluster(self, header: Header) -> Generator[None]:
        """Read a cluster, all of which is kept until it is whole or refused."""
        self._drop_to(self._position)
        fragment = self._fragment = self._open_fragment(header)
        end = self._segment_end - self._offset
        element = yield from self._read_element(end)
        sized = element[1] != UNKNOWN_SIZE
        if sized:
            end = _stop_of(element, end=end)
        self._position = element[2]
        try:
            yield from self._read_blocks(fragment, sized=sized, end=end)
            duration_ms = fragment.finish()
        except RuleBroken as broken:
            if broken.fault.ends_session:
                raise
            self._refuse(broken.fault)
            fragment.refused = True
            self._drop_to(end if sized else self._position)
            if not sized:
                yield from self._skip_blocks()
            return
        with memoryview(self._data) as view:
            cluster = bytes(view[: self._position])
        timecode_ms = fragment.timecode_ms or 0
        self._events.append(FragmentReceived(timecode_ms=timecode_ms, duration_ms=duration_ms, cluster=cluster))
        self._drop_to(self._position)

    def _read_blocks(self, fragment: OpenFragment, *, sized: bool, end: int) -> Generator[None]:
        """Read what is in a cluster. One of unknown size ends before what cannot be inside, or with the body."""
        data, position, elements = self._data, self._position, 0
        element: ElementHeader | None = None  # read and not taken: it waits for its payload
        while position < end:
            self._position, length = position, len(data)
            element = element or read_element(data, position, length if length < end else end)
            needed = length + 1
            if element is not None:
                element_id, size, start = element
                if element_id in ids.OUTSIDE_CLUSTERS:
                    if sized:
                        raise MatroskaInvalid("a Cluster holds an element that cannot be inside it; check its size")
                    return
                needed = stop = start + size
                if size < 0 or stop > end:
                    _stop_of(element, end=end)  # raises
                if stop > FRAGMENT_BYTES_MAX:
                    raise RuleBroken(MediaFault.MAX_FRAGMENT_SIZE_REACHED)
                if stop <= length:
                    elements += 1
                    if elements > ELEMENTS_MAX:
                        raise MatroskaInvalid(
                            f"a Cluster has more than {ELEMENTS_MAX:,} elements; send shorter fragments"
                        )
                    if element_id == ids.SIMPLE_BLOCK:
                        fragment.take_block(data, start, stop)
                    elif element_id == ids.BLOCK_GROUP:
                        fragment.take_block(data, *read_group(data, start, stop))
                    elif element_id == ids.TIMESTAMP:
                        ticks = read_unsigned(data[start:stop])
                        timecode_ms = fragment.take_timestamp(ticks, size=end if sized else 0)
                        self._events.append(FragmentStarted(timecode_ms=timecode_ms))
                    position, element = stop, None
                    continue
            elif length >= end:
                raise MatroskaInvalid(_HEADER_PASSES_END)
            self._needed = needed
            yield
            if self._closed and sized:
                raise MatroskaInvalid(_CUT_OFF)
            if self._closed:
                return
        self._position = position

    def _skip_blocks(self) -> Generator[None]:
        """Drop the rest of a refused cluster of unknown size."""
        while end := self._segment_end - self._offset:
            element = yield from self._read_element(end)
            if element[0] in ids.OUTSIDE_CLUSTERS:
                return
            self._drop_to(_stop_of(element, end=end))

    def _read_element(self, end: int) -> Generator[None, None, ElementHeader]:
        """Return the header of the next element. Raises MatroskaInvalid when it does not fit before `end`."""
        while True:
            length = len(self._data)
            element = read_element(self._data, self._position, min(length, end))
            if element is not None:
                return element
            if length >= end:
                raise MatroskaInvalid(_HEADER_PASSES_END)
            yield from self._wait_for(length + 1)

    def _wait_for(self, length: int) -> Generator[None]:
        while len(self._data) < length:
            if self._closed:
                raise _BodyEnded
            self._needed = length
            yield

    def _stop_in_header(self, element: ElementHeader, *, end: int) -> int:
        stop = _stop_of(element, end=end)
        if stop > HEADER_BYTES_MAX:
            raise MatroskaInvalid(f"more than {HEADER_BYTES_MAX:,} bytes come before the first cluster; send less")
        return stop

    def _drop_to(self, position: int) -> None:
        """Go on at `position`, which may not have come yet, and forget what lies before it."""
        self._skipping += max(0, position - len(self._data))
        self._offset += position
        del self._data[:position]
        self._position = 0


_HEADER_PASSES_END = "an element's header passes the end of what holds it; check the sizes"


def _stop_of(element: ElementHeader, *, end: int) -> int:
    """Return where an element ends. Raises MatroskaInvalid when it does not say, passes `end`, or is too large."""
    _, size, start = element
    if size == UNKNOWN_SIZE:
        raise MatroskaInvalid("only a Segment or a Cluster may have an unknown size; write the size")
    if start + size > end:
        raise MatroskaInvalid("an element passes the end of what holds it; check the sizes that are written")
    if size > ELEMENT_BYTES_MAX:
        raise MatroskaInvalid("an element has more than 1 GiB; check the sizes that are written")
    return start + size
