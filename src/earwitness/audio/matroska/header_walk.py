"""Everything before the first cluster, walked element by element as its bytes come.

What belongs here: what may come there, and how large it gets. What must never: reading tracks; `tracks.parse_header`
does so once, when all of it is there.
"""

from enum import Enum, auto

from earwitness.audio.matroska import ids
from earwitness.audio.matroska.ebml import UNKNOWN_SIZE, Element
from earwitness.audio.matroska.stream_buffer import WITHOUT_END, StreamBuffer
from earwitness.audio.matroska.tracks import check_ebml_header
from earwitness.errors import MatroskaInvalid

HEADER_BYTES_MAX = 64 * 1024
"""Everything before the first cluster, which GetMedia repeats for every fragment. Producers need under 2,000 bytes;
libavformat may leave 25,000 more of Void in front of its list of tracks."""


class Found(Enum):
    """What is at the buffer's position."""

    NOTHING_YET = auto()
    TAGS = auto()
    """A Tags element, all of it; it is part of the header."""

    CLUSTER = auto()
    """The header of a cluster's element. The stream's header is complete."""

    ANOTHER_STREAM = auto()
    """An EBML header, before any cluster."""

    END_OF_SEGMENT = auto()


class HeaderWalk:
    """The buffer's data begins with the stream, or with what lies around it; all of it stays there."""

    def __init__(self, buffer: StreamBuffer) -> None:
        self._buffer = buffer
        self._ebml_seen = False
        self._in_segment = False
        self.segment_end = WITHOUT_END
        """In the stream, not in the buffer."""

    def go_on(self) -> Found:
        """Read what is there, up to the next thing worth telling. Raises MatroskaInvalid."""
        while True:
            end = self.segment_end - self._buffer.offset
            if self._in_segment and self._buffer.position == end:
                return Found.END_OF_SEGMENT
            element = self._buffer.element(end=end)
            if element is None:
                return Found.NOTHING_YET
            found = self._in_stream(element, end=end) if self._in_segment else self._before_segment(element)
            if found is not None:
                return found

    def _before_segment(self, element: Element) -> Found | None:
        buffer = self._buffer
        element_id, size, start = element
        if element_id == ids.SEGMENT and self._ebml_seen:
            self.segment_end = WITHOUT_END if size == UNKNOWN_SIZE else buffer.offset + start + size
            self._in_segment = True
            buffer.pass_to(start)
            return None
        begins = element_id == ids.EBML and not self._ebml_seen
        if not begins and element_id not in (ids.VOID, ids.CRC_32):  # known before all of it has come, or never comes
            raise MatroskaInvalid("the stream is not an EBML header and then a Segment; send Matroska")
        stop = self._stop_of(element, end=WITHOUT_END)
        if not buffer.has(stop):
            return Found.NOTHING_YET
        if begins:
            check_ebml_header(buffer.data, start, stop)
            self._ebml_seen = True
        buffer.pass_to(stop)
        return None

    def _in_stream(self, element: Element, *, end: int) -> Found | None:
        buffer = self._buffer
        element_id = element[0]
        if element_id == ids.CLUSTER:
            return Found.CLUSTER
        if element_id == ids.EBML:
            return Found.ANOTHER_STREAM
        if element_id == ids.SEGMENT:
            raise MatroskaInvalid("a Segment begins inside a Segment; send one in a request")
        stop = self._stop_of(element, end=end)
        if not buffer.has(stop):
            return Found.NOTHING_YET
        if element_id == ids.TAGS:
            return Found.TAGS
        buffer.pass_to(stop)
        return None

    def _stop_of(self, element: Element, *, end: int) -> int:
        stop = self._buffer.stop_of(element, end=end)
        if stop > HEADER_BYTES_MAX:
            raise MatroskaInvalid(f"more than {HEADER_BYTES_MAX:,} bytes come before the first cluster; send less")
        return stop
