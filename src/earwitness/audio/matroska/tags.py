"""TagsElement: names and values that go with a fragment, and PutMedia's limits on a producer's.

What belongs here: reading and writing a whole Tags element. What must never: which fragment it belongs to.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from earwitness.audio.matroska import ids
from earwitness.audio.matroska.ebml import read_children, read_text, write_element, write_text

TAGS_MAX = 10
"""Tags of a fragment, as PutMedia has it."""

NAME_BYTES_MAX = 128
VALUE_BYTES_MAX = 256

RESERVED_PREFIX = "AWS"
"""Names that only the service may write."""

END_OF_FRAGMENT = "AWS_KINESISVIDEO_END_OF_FRAGMENT"
"""The one reserved name that a producer may send: no cluster follows for now."""


@dataclass(frozen=True, kw_only=True)
class TagsElement:
    """One Tags element."""

    #: The whole element, verbatim.
    raw: bytes
    #: Names and values in the order written; a value that is not text is empty.
    pairs: tuple[tuple[str, str], ...]

    @property
    def values(self) -> dict[str, str]:
        """Value by name; of a name given twice, the last."""
        return dict(self.pairs)

    @property
    def own(self) -> list[tuple[str, str]]:
        """The producer's: all but the mark at a fragment's end."""
        return [pair for pair in self.pairs if pair[0] != END_OF_FRAGMENT]


def parse_tags(raw: bytes, start: int) -> TagsElement:
    """Read a whole element whose payload begins at `start`. Raises MatroskaInvalid when it breaks the format.

    Targets are not looked at, and a tag inside a tag is left out: no producer of fragments writes them.
    """
    pairs: list[tuple[str, str]] = []
    for element_id, first, end in read_children(raw, start, len(raw)):
        if element_id != ids.TAG:
            continue
        for child_id, child, child_end in read_children(raw, first, end):
            if child_id == ids.SIMPLE_TAG:
                parts = {part: raw[low:high] for part, low, high in read_children(raw, child, child_end)}
                pairs.append((read_text(parts.get(ids.TAG_NAME, b"")), read_text(parts.get(ids.TAG_STRING, b""))))
    return TagsElement(raw=raw, pairs=tuple(pairs))


def read_tags(data: bytes) -> dict[str, str]:
    """Return value by name of Tags elements in a row. Raises MatroskaInvalid when they break the format."""
    values: dict[str, str] = {}
    for element_id, start, stop in read_children(data, 0, len(data)):
        if element_id == ids.TAGS:
            values |= parse_tags(data[start:stop], 0).values
    return values


def write_tags(values: Mapping[str, str], *, size_width: int = 4) -> bytes:
    """Return a Tags element with one Tag, without Targets. GetMedia's sizes have 4 bytes, the C producer's 8."""
    simple_tags = (
        write_element(
            ids.SIMPLE_TAG,
            write_text(ids.TAG_NAME, name, size_width=size_width)
            + write_text(ids.TAG_STRING, value, size_width=size_width),
            size_width=size_width,
        )
        for name, value in values.items()
    )
    tag = write_element(ids.TAG, b"".join(simple_tags), size_width=size_width)
    return write_element(ids.TAGS, tag, size_width=size_width)
