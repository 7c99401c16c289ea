"""A stream of Matroska to events: feed bytes as they come, take what they complete.

What belongs here: which element may come where, and how much of it is kept. What must never: sockets, clocks, or what
frames mean. Chunks of any size give the same events. Checksums (CRC-32) are stepped over: the transport has its own.
"""

from collections.abc import Callable

from earwitness.audio.matroska import ids
from earwitness.audio.matroska.cluster_walk import FRAGMENT_BYTES_MAX, ClusterWalk, Step
from earwitness.audio.matroska.ebml import UNKNOWN_SIZE, Element
from earwitness.audio.matroska.events import (
    Event,
    FragmentReceived,
    FragmentStarted,
    HeaderReceived,
    Refused,
    TagsReceived,
)
from earwitness.audio.matroska.faults import MediaFault
from earwitness.audio.matroska.header_walk import Found, HeaderWalk
from earwitness.audio.matroska.open_fragment import OpenFragment
from earwitness.audio.matroska.stream_buffer import WITHOUT_END, StreamBuffer
from earwitness.audio.matroska.tags import RESERVED_PREFIX, Tags, fault_of, parse_tags
from earwitness.audio.matroska.tracks import TRACKS_MAX, Header, parse_header
from earwitness.errors import MatroskaInvalid

TAGS_BYTES_MAX = 64 * 1024
"""One Tags element. Ten tags at their limits have under 5,000 bytes."""

PIECE_BYTES = 64 * 1024
"""A chunk is taken in pieces of this size, so that a large one does not stand twice in memory."""

BUFFERED_BYTES_MAX = FRAGMENT_BYTES_MAX + PIECE_BYTES
"""What a reader ever holds."""


class FragmentReader:
    """Feed bytes, take events; `close` when the body ended in order. Nothing is raised: faults are events.

    `of_get_media`: the stream is GetMedia's, so an EBML header begins the next chunk, all tags are told, and PutMedia's
    rules on tracks, times and tags are not applied a second time. The limits on sizes always are.
    """

    def __init__(self, *, of_get_media: bool = False) -> None:
        self._of_get_media = of_get_media
        self._buffer = StreamBuffer()
        self._events: list[Event] = []
        self._step: Callable[[], bool] = self._read_header
        """Reads some elements; False when more data is needed. One method for each place in the stream."""

        self._stopped = False
        self._header_walk = HeaderWalk(self._buffer)
        self._header: Header | None = None
        self._walk: ClusterWalk | None = None
        """While a cluster is read."""

        self._timecode_ms: int | None = None
        """Of the latest fragment, open or not."""

        self._dropped = False
        """The latest fragment was refused, and its tags go where it went."""

        self._tags = 0
        """Of the latest fragment, so far."""

        self._last_timecode_ms = 0
        self._last_ticks: dict[int, int] = {}
        """Of the latest fragment that was not refused; ticks of each track's last frame."""

    @property
    def buffered_bytes(self) -> int:
        """Bytes held now; never more than BUFFERED_BYTES_MAX."""
        return len(self._buffer.data)

    def feed(self, data: bytes | memoryview) -> list[Event]:
        """What `data` completes, in order; nothing after an event that ends the session."""
        if len(data) <= PIECE_BYTES:
            self._feed_piece(data)
        else:
            view = memoryview(data)
            for first in range(0, len(view), PIECE_BYTES):
                self._feed_piece(view[first : first + PIECE_BYTES])
        return self._take_events()

    def close(self) -> list[Event]:
        """What the end of the body completes. A closed reader gives nothing more.

        A fragment of unknown size is whole with its last whole frame; one of known size needs all its bytes.
        """
        if not self._stopped:
            self._guard(self._finish)
        self._halt()
        return self._take_events()

    def _take_events(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def _feed_piece(self, data: bytes | memoryview) -> None:
        if not self._stopped and self._buffer.append(data):
            self._guard(self._run)

    def _run(self) -> None:
        while not self._stopped and self._step():
            pass

    def _guard(self, work: Callable[[], None]) -> None:
        try:
            work()
        except MatroskaInvalid as error:
            self._tell_fault(MediaFault.INVALID_MKV_DATA, str(error))
            self._halt()

    def _tell_fault(self, fault: MediaFault, reason: str | None = None) -> None:
        self._events.append(Refused(fault=fault, timecode_ms=self._timecode_ms, reason=reason or fault.says))

    def _halt(self) -> None:
        self._stopped = True
        self._buffer = StreamBuffer()

    def _finish(self) -> None:
        if self._walk is not None and not self._walk.sized:
            self._end_fragment(self._walk)
        buffer = self._buffer
        read = buffer.position if self._walk is None else 0
        if buffer.skipping or len(buffer.data) > read:
            raise MatroskaInvalid("the body ends in the middle of an element; send all of it")

    def _read_header(self) -> bool:
        """The stream up to its first cluster. All of it stays in the buffer."""
        walk, buffer = self._header_walk, self._buffer
        found = walk.go_on()
        if found is Found.END_OF_SEGMENT:
            return self._leave_segment()
        if found is Found.ANOTHER_STREAM:
            return self._begin_again()
        element = buffer.element(end=WITHOUT_END)
        if found is Found.NOTHING_YET or element is None:
            return False
        if found is Found.CLUSTER:
            return self._begin_cluster(element)
        tags = self._parse_tags(element)
        if self._of_get_media:
            self._events.append(TagsReceived(tags=tags))
        elif any(name.startswith(RESERVED_PREFIX) for name, _ in tags.pairs):
            raise MatroskaInvalid("a tag in the header has a name that begins with AWS; choose another name")
        buffer.pass_to(element[2] + element[1])
        return True

    def _take_header(self) -> Header | None:
        header = parse_header(bytes(self._buffer.data[: self._buffer.position]))
        if len(header.tracks) > TRACKS_MAX and not self._of_get_media:
            self._tell_fault(MediaFault.MORE_THAN_ALLOWED_TRACKS_FOUND)
            self._halt()
            return None
        self._header = header
        self._events.append(HeaderReceived(header=header))
        return header

    def _leave_segment(self) -> bool:
        self._buffer.drop_to(self._buffer.position)
        self._step = self._read_after_segment
        return True

    def _read_after_segment(self) -> bool:
        buffer = self._buffer
        element = buffer.element(end=WITHOUT_END)
        if element is None:
            return False
        if element[0] == ids.EBML:
            return self._begin_again()
        if element[0] not in (ids.VOID, ids.CRC_32):
            raise MatroskaInvalid("something follows the Segment; send one Segment in a request")
        buffer.drop_to(buffer.stop_of(element, end=WITHOUT_END))
        return True

    def _begin_again(self) -> bool:
        """GetMedia's next chunk: a whole stream of its own."""
        if not self._of_get_media:
            raise MatroskaInvalid("a second stream begins; send one Segment in a request")
        self._buffer.drop_to(self._buffer.position)
        self._header_walk, self._header = HeaderWalk(self._buffer), None
        self._step = self._read_header
        return True

    def _read_between(self) -> bool:
        """One element after a cluster. Nothing before it is kept."""
        buffer = self._buffer
        end = self._header_walk.segment_end - buffer.offset
        if not end:
            return self._leave_segment()
        element = buffer.element(end=end)
        if element is None:
            return False
        element_id = element[0]
        if element_id == ids.CLUSTER:
            return self._begin_cluster(element)
        if element_id == ids.TAGS:
            return self._read_tags(element, end=end)
        if element_id == ids.EBML:
            return self._begin_again()
        if element_id in ids.ONCE_PER_STREAM:
            raise MatroskaInvalid("a Segment, Info or Tracks follows a cluster; send them once, before it")
        buffer.drop_to(buffer.stop_of(element, end=end))
        return True

    def _read_tags(self, element: Element, *, end: int) -> bool:
        buffer = self._buffer
        stop = buffer.stop_of(element, end=end)
        if not self._dropped:
            if stop > TAGS_BYTES_MAX:
                self._tell_fault(MediaFault.FRAGMENT_METADATA_LIMIT_REACHED)
            elif buffer.has(stop):
                self._tell_tags(element)
            else:
                return False
        buffer.drop_to(stop)
        return True

    def _tell_tags(self, element: Element) -> None:
        tags = self._parse_tags(element)
        fault = None if self._of_get_media else fault_of(tags, before=self._tags)
        if fault is not None:
            self._tell_fault(fault)
        else:
            self._tags += len(tags.own)
            self._events.append(TagsReceived(tags=tags))

    def _parse_tags(self, element: Element) -> Tags:
        _, size, start = element
        position = self._buffer.position
        return parse_tags(bytes(self._buffer.data[position : start + size]), start - position)

    def _begin_cluster(self, element: Element) -> bool:
        header = self._header or self._take_header()
        if header is None:
            return False
        self._timecode_ms, self._dropped, self._tags = None, False, 0
        buffer, (_, size, start) = self._buffer, element
        sized, end = size != UNKNOWN_SIZE, self._header_walk.segment_end - buffer.offset
        end = (buffer.stop_of(element, end=end) if sized else end) - buffer.position
        start -= buffer.position
        buffer.drop_to(buffer.position)
        buffer.pass_to(start)
        fragment = OpenFragment(header, last_ticks=None if self._of_get_media else self._last_ticks)
        self._walk = ClusterWalk(buffer, fragment, sized=sized, end=end)
        self._step = self._read_cluster
        return True

    def _read_cluster(self) -> bool:
        walk = self._walk
        outcome = walk.go_on() if walk else Step.NEEDS_MORE
        if walk is None or outcome is Step.NEEDS_MORE:
            return False
        self._timecode_ms = walk.fragment.timecode_ms
        if isinstance(outcome, MediaFault):
            self._refuse(outcome, walk)
        elif outcome is Step.ENDED:
            self._end_fragment(walk)
        elif not self._of_get_media and (self._timecode_ms or 0) < self._last_timecode_ms:
            self._refuse(MediaFault.FRAGMENT_TIMECODE_LESSER_THAN_PREVIOUS, walk)
        else:
            self._events.append(FragmentStarted(timecode_ms=self._timecode_ms or 0))
        return True

    def _end_fragment(self, walk: ClusterWalk) -> None:
        buffer = self._buffer
        duration_ms = walk.fragment.finish()
        if isinstance(duration_ms, MediaFault):
            self._refuse(duration_ms, walk)
            return
        timecode_ms = self._last_timecode_ms = self._timecode_ms or 0
        with memoryview(buffer.data) as view:
            cluster = bytes(view[: buffer.position])
        self._events.append(FragmentReceived(timecode_ms=timecode_ms, duration_ms=duration_ms, cluster=cluster))
        buffer.drop_to(buffer.position)
        self._walk, self._step = None, self._read_between

    def _refuse(self, fault: MediaFault, walk: ClusterWalk) -> None:
        """Tell a fault of the open fragment; forget what it has, and pass over the rest of it."""
        self._tell_fault(fault)
        self._dropped = True
        self._walk, self._step = None, self._read_between if walk.sized else self._read_refused
        self._buffer.drop_to(walk.end if walk.sized else self._buffer.position)
        if fault.ends_session:
            self._halt()

    def _read_refused(self) -> bool:
        """One element of a refused cluster of unknown size."""
        buffer = self._buffer
        end = self._header_walk.segment_end - buffer.offset
        element = buffer.element(end=end) if end else None
        if end and element is None:
            return False
        if element is None or element[0] in ids.OUTSIDE_CLUSTERS:
            self._step = self._read_between
        else:
            buffer.drop_to(buffer.stop_of(element, end=end))
        return True
