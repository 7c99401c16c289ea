"""The bytes of a stream that are not done with: where the next element begins, and what to drop unseen.

What belongs here: counting bytes. What must never: knowing an element by its id.
"""

from earwitness.audio.matroska.ebml import UNKNOWN_SIZE, Element, read_element
from earwitness.errors import MatroskaInvalid

ELEMENT_BYTES_MAX = 1 << 30
"""The largest element that is waited out. A size beyond it is garbage, and would swallow the rest of the stream."""

WITHOUT_END = 1 << 63
"""Where an element of unknown size ends, for now. Sizes have 56 bits."""


class StreamBuffer:
    """Positions count from the first byte in `data`; `offset` is that byte's place in the stream."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.offset = 0
        self.position = 0
        """Of the next element. What lies before it is kept until it is dropped."""

        self.needed = 1
        """With fewer bytes than this in `data`, nothing can go on."""

        self.waiting: Element | None = None
        """The element at `position`, when its header has been read already."""

        self.skipping = 0
        """Bytes to drop when they come."""

    def append(self, data: bytes | memoryview) -> bool:
        """Take what came in; True when reading can go on."""
        if self.skipping:
            skipped = min(self.skipping, len(data))
            self.skipping -= skipped
            data = data[skipped:]
        self.data += data
        return len(self.data) >= self.needed

    def element(self, *, end: int) -> Element | None:
        """The element at `position`, or None when its header is not all there.

        Raises MatroskaInvalid when the header does not fit before `end`.
        """
        if self.waiting is None:
            self.waiting = read_element(self.data, self.position, min(len(self.data), end))
            if self.waiting is None:
                if len(self.data) >= end:
                    raise MatroskaInvalid("an element's header passes the end of what holds it; check the sizes")
                self.needed = len(self.data) + 1
        return self.waiting

    def stop_of(self, element: Element, *, end: int) -> int:
        """Where an element ends. Raises MatroskaInvalid when it does not say, passes `end`, or is absurdly large."""
        _, size, start = element
        if size == UNKNOWN_SIZE:
            raise MatroskaInvalid("only a Segment or a Cluster may have an unknown size; write the size")
        if start + size > end:
            raise MatroskaInvalid("an element passes the end of what holds it; check the sizes that are written")
        if size > ELEMENT_BYTES_MAX:
            raise MatroskaInvalid("an element has more than 1 GiB; check the sizes that are written")
        return start + size

    def has(self, stop: int) -> bool:
        """Whether everything before `stop` is there; if not, nothing goes on until it is."""
        if stop > len(self.data):
            self.needed = stop
            return False
        return True

    def pass_to(self, position: int) -> None:
        """Go on at `position`, and keep what lies before it."""
        self.position, self.waiting = position, None

    def drop_to(self, position: int) -> None:
        """Go on at `position`, which may not have come yet, and forget what lies before it."""
        self.skipping += max(0, position - len(self.data))
        self.offset += position
        del self.data[:position]
        self.pass_to(0)
