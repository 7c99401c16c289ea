"""Blocks and the frames in them: track, time and bytes; Xiph, EBML and fixed lacing.

What belongs here: reading whole blocks, and all frames of a whole cluster. What must never: finding a cluster's end in
a stream, or keeping anything between two calls.
"""

from collections.abc import Iterator
from typing import NamedTuple

from earwitness.audio.matroska import ids
from earwitness.audio.matroska.ebml import (
    Data,
    read_children,
    read_element,
    read_integer,
    read_signed_integer,
    read_unsigned,
)
from earwitness.errors import MatroskaInvalid

LACING = 0x06
"""The bits of a block's flags that say how several frames share it."""

_XIPH, _FIXED = 0x02, 0x04


class Frame(NamedTuple):
    """One frame of one track."""

    track_number: int
    ticks: int
    """Its timestamp in ticks of the stream; frames that share a block share it."""

    data: memoryview
    """A view of the cluster that it was read from."""


class Block(NamedTuple):
    """A block's own header, read."""

    track_number: int
    relative_ticks: int
    """Signed, from the cluster's timestamp."""

    flags: int
    start: int
    """Where its frames, or the sizes of its laces, begin."""


def read_block(data: Data, start: int, stop: int) -> Block:
    """Return the header of a Block's or SimpleBlock's payload. Raises MatroskaInvalid when it is too short."""
    track_number, width = read_integer(data, start, stop)
    at = start + width
    if at + 3 > stop:
        raise MatroskaInvalid("a block ends within its own header; check the sizes that are written")
    ticks = data[at] << 8 | data[at + 1]
    return Block(track_number, ticks - 0x10000 if ticks & 0x8000 else ticks, data[at + 2], at + 3)


def split_laces(data: Data, block: Block, stop: int) -> list[tuple[int, int]]:
    """Return starts and stops of the frames in a block; one pair unless they are laced. Raises MatroskaInvalid."""
    lacing = block.flags & LACING
    if not lacing:
        return [(block.start, stop)]
    if block.start >= stop:
        raise MatroskaInvalid("a laced block does not say how many frames it has; check how it is written")
    count, at = data[block.start] + 1, block.start + 1
    if lacing == _FIXED:
        if (stop - at) % count:
            raise MatroskaInvalid("frames laced with one size do not fill their block; check how it is written")
        sizes = [(stop - at) // count] * (count - 1)
    else:
        read = _xiph_sizes if lacing == _XIPH else _ebml_sizes
        sizes, at = read(data, at, stop, count - 1)
    laces: list[tuple[int, int]] = []
    for size in sizes:
        if size < 0 or at + size > stop:
            raise MatroskaInvalid("laced frames are longer than their block; check how it is written")
        laces.append((at, at + size))
        at += size
    return [*laces, (at, stop)]


def _xiph_sizes(data: Data, at: int, stop: int, count: int) -> tuple[list[int], int]:
    sizes: list[int] = []
    for _ in range(count):
        size, byte = 0, 255
        while byte == 255:
            if at >= stop:
                raise MatroskaInvalid("the sizes of laced frames are cut off; check how the block is written")
            byte = data[at]
            size += byte
            at += 1
        sizes.append(size)
    return sizes, at


def _ebml_sizes(data: Data, at: int, stop: int, count: int) -> tuple[list[int], int]:
    sizes: list[int] = []
    for _ in range(count):
        value, width = read_signed_integer(data, at, stop) if sizes else read_integer(data, at, stop)
        sizes.append(sizes[-1] + value if sizes else value)
        at += width
    return sizes, at


def read_group(data: Data, start: int, stop: int) -> tuple[int, int, int | None]:
    """Return a BlockGroup's block, as start and stop, and how many ticks it lasts, or None. Raises MatroskaInvalid."""
    block: tuple[int, int] | None = None
    duration: int | None = None
    for element_id, first, end in read_children(data, start, stop):
        if element_id == ids.BLOCK:
            block = first, end
        elif element_id == ids.BLOCK_DURATION:
            duration = read_unsigned(data[first:end])
    if block is None:
        raise MatroskaInvalid("a BlockGroup has no Block; check how it is written")
    return *block, duration


def read_frames(cluster: bytes) -> Iterator[Frame]:
    """Give all frames of one whole cluster, in order, whether or not its size is known.

    Raises MatroskaInvalid for what is no whole cluster; a cluster that the reader released never does.
    """
    element = read_element(cluster, 0, len(cluster))
    if element is None or element[0] != ids.CLUSTER:
        raise MatroskaInvalid("these bytes do not begin with a Cluster; pass one as it was received")
    view = memoryview(cluster)
    cluster_ticks: int | None = None
    for element_id, start, stop in read_children(view, element[2], len(cluster)):
        if element_id == ids.TIMESTAMP:
            cluster_ticks = read_unsigned(view[start:stop])
            continue
        if element_id == ids.BLOCK_GROUP:
            start, stop, _ = read_group(view, start, stop)  # noqa: PLW2901 (the block in it takes its place)
        elif element_id != ids.SIMPLE_BLOCK:
            continue
        if cluster_ticks is None:
            raise MatroskaInvalid("a block comes before the Timestamp of its Cluster; write the Timestamp first")
        block = read_block(view, start, stop)
        for first, end in split_laces(view, block, stop):
            yield Frame(block.track_number, cluster_ticks + block.relative_ticks, view[first:end])
