"""One cluster in the buffer, walked element by element as its bytes come.

What belongs here: what may be in a cluster, and how large one gets. What must never: what happens to a fragment that is
whole or refused; the reader decides that.
"""

from enum import Enum, auto

from earwitness.audio.matroska import ids
from earwitness.audio.matroska.ebml import read_element, read_unsigned
from earwitness.audio.matroska.faults import MediaFault
from earwitness.audio.matroska.open_fragment import OpenFragment
from earwitness.audio.matroska.stream_buffer import StreamBuffer
from earwitness.errors import MatroskaInvalid

FRAGMENT_BYTES_MAX = 50 * 1024 * 1024
"""The largest fragment, as PutMedia has it."""

ELEMENTS_MAX = 100_000
"""Elements of a fragment. Three tracks with a frame a millisecond for 20 s have 60,000; empty ones cost only time."""


class Step(Enum):
    """How far a walk came."""

    NEEDS_MORE = auto()
    TIMESTAMP_READ = auto()
    ENDED = auto()
    """At the buffer's position: by its size, or because something begins that cannot be inside."""


class ClusterWalk:
    """The buffer's data begins with the cluster, and all of it stays there."""

    def __init__(self, buffer: StreamBuffer, fragment: OpenFragment, *, sized: bool, end: int) -> None:
        """`end`: where the cluster ends if it is sized, and otherwise where it must have ended."""
        self.fragment = fragment
        self.sized = sized
        self.end = end
        self._buffer = buffer
        self._elements = 0

    def go_on(self) -> Step | MediaFault:
        """Read what is there, up to the next thing worth telling. Raises MatroskaInvalid.

        After a fault the buffer's position is at the element that has it.
        """
        buffer, data, end = self._buffer, self._buffer.data, self.end
        position, length = buffer.position, len(data)
        while position < end:
            # The same as buffer.element() for most elements, without two calls: this is the path of every frame.
            element = buffer.waiting or read_element(data, position, length if length < end else end)
            if element is None:
                buffer.pass_to(position)
                buffer.element(end=end)
                return Step.NEEDS_MORE
            element_id, size, start = element
            if element_id in ids.OUTSIDE_CLUSTERS:
                return self._meet_next(position)
            stop = start + size
            if size < 0 or stop > end:
                buffer.stop_of(element, end=end)  # raises
            if stop > FRAGMENT_BYTES_MAX:
                buffer.pass_to(position)
                return MediaFault.MAX_FRAGMENT_SIZE_REACHED
            if stop > length:
                buffer.pass_to(position)
                buffer.waiting, buffer.needed = element, stop
                return Step.NEEDS_MORE
            outcome = self._take(element_id, start, stop)
            if isinstance(outcome, MediaFault):
                buffer.pass_to(position)
                return outcome
            position, buffer.waiting = stop, None
            if outcome is not None:
                buffer.pass_to(position)
                return outcome
        buffer.pass_to(position)
        return Step.ENDED

    def _meet_next(self, position: int) -> Step:
        if self.sized:
            raise MatroskaInvalid("a Cluster holds an element that cannot be inside it; check its size")
        self._buffer.pass_to(position)
        return Step.ENDED

    def _take(self, element_id: int, start: int, stop: int) -> Step | MediaFault | None:
        self._elements += 1
        if self._elements > ELEMENTS_MAX:
            raise MatroskaInvalid(f"a Cluster has more than {ELEMENTS_MAX:,} elements; send shorter fragments")
        if element_id == ids.SIMPLE_BLOCK:
            return self.fragment.take_block(self._buffer.data, start, stop)
        if element_id == ids.BLOCK_GROUP:
            return self.fragment.take_group(self._buffer.data, start, stop)
        if element_id == ids.TIMESTAMP:
            return self._take_timestamp(start, stop)
        return None

    def _take_timestamp(self, start: int, stop: int) -> Step | MediaFault:
        fault = self.fragment.take_timestamp(read_unsigned(self._buffer.data[start:stop]))
        if fault is None and self.sized and self.end > FRAGMENT_BYTES_MAX:
            fault = MediaFault.MAX_FRAGMENT_SIZE_REACHED
        return fault or Step.TIMESTAMP_READ
