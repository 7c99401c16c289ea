"""EBML (RFC 8794): variable-size integers, element headers, values; read from bytes and written to bytes.

What belongs here: the grammar, without knowing what any element means. What must never: recursion (a reader that knows
its elements goes down by name, so nesting in the input cannot drive it) and buffering.
"""

import math
import struct
from collections.abc import Iterator

from earwitness.errors import MatroskaInvalid

Data = bytes | bytearray | memoryview

UNKNOWN_SIZE = -1
"""The size of an element that ends where another begins that cannot be inside it."""

ID_WIDTH_MAX = 4
"""Bytes of an element's id; the default of EBML, and no Matroska element has a longer one."""

_WIDTHS = bytes(9 - first.bit_length() for first in range(256))
"""Width of a variable-size integer by its first byte; 9 stands for none."""

_ONES = tuple((1 << 7 * width) - 1 for width in range(9))
"""The largest value by width; as a size it means unknown."""

ElementHeader = tuple[int, int, int]
"""An element's id, the size of its payload (or UNKNOWN_SIZE), and where the payload starts."""


def read_element(data: Data, position: int, end: int) -> ElementHeader | None:
    """Return the header at `position`; None when it does not end before `end`, so more data is needed.

    Raises MatroskaInvalid for bytes that begin no id or no size.
    """
    if position >= end:
        return None
    first = data[position]
    at = position + _WIDTHS[first]
    if at - position > ID_WIDTH_MAX:
        raise MatroskaInvalid("an element's id is longer than four bytes; send Matroska")
    if at >= end:
        return None
    width = _WIDTHS[data[at]]
    if width > 8:
        raise MatroskaInvalid("an element's size is longer than eight bytes; send Matroska")
    start = at + width
    if start > end:
        return None
    element_id = first if at - position == 1 else int.from_bytes(data[position:at], "big")
    size = (data[at] if width == 1 else int.from_bytes(data[at:start], "big")) & _ONES[width]
    return element_id, UNKNOWN_SIZE if size == _ONES[width] else size, start


def read_children(data: Data, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Give ids, payload starts and payload stops of the elements that fill `data[start:stop]`.

    Raises MatroskaInvalid when they do not fill it exactly; all of `data[start:stop]` must be there.
    """
    while start < stop:
        element = read_element(data, start, stop)
        if element is None or element[1] == UNKNOWN_SIZE or element[2] + element[1] > stop:
            raise MatroskaInvalid("an element is longer than the one that holds it; check the sizes that are written")
        element_id, size, start = element
        yield element_id, start, start + size
        start += size


def read_integer(data: Data, position: int, end: int) -> tuple[int, int]:
    """Return a variable-size integer without its marker, and its width. Raises MatroskaInvalid when it passes `end`."""
    width = _WIDTHS[data[position]] if position < end else 9
    if width > 8 or position + width > end:
        raise MatroskaInvalid("a number inside a block is cut off; check the sizes that are written")
    return int.from_bytes(data[position : position + width], "big") & _ONES[width], width


def read_signed_integer(data: Data, position: int, end: int) -> tuple[int, int]:
    """Return a variable-size integer that may be negative, as EBML lacing has it, and its width."""
    value, width = read_integer(data, position, end)
    return value - (_ONES[width] >> 1), width


def read_unsigned(payload: Data) -> int:
    """Return the value of an unsigned element. Raises MatroskaInvalid for more than eight bytes."""
    if len(payload) > 8:
        raise MatroskaInvalid("an unsigned number has more than eight bytes; check the sizes that are written")
    return int.from_bytes(payload, "big")


def read_float(payload: Data) -> float:
    """Return the value of a float element. Raises MatroskaInvalid unless it has 0, 4 or 8 bytes and is finite."""
    if len(payload) not in (0, 4, 8):
        raise MatroskaInvalid("a float has neither 4 nor 8 bytes; check the sizes that are written")
    value: float = 0.0 if not payload else struct.unpack(">f" if len(payload) == 4 else ">d", payload)[0]
    if not math.isfinite(value):
        raise MatroskaInvalid("a float is infinite or no number; write a finite one")
    return value


def read_text(payload: Data) -> str:
    """Return the value of a string element up to its first zero byte; what is not UTF-8 shows as U+FFFD."""
    return bytes(payload).split(b"\0", 1)[0].decode("utf-8", "replace")


def write_id(element_id: int) -> bytes:
    """Return an id as it stands in a file; its marker is part of the number."""
    return element_id.to_bytes((element_id.bit_length() + 7) // 8, "big")


def write_integer(value: int, *, width: int | None = None) -> bytes:
    """Return a variable-size integer, as short as it can be, or `width` bytes wide."""
    if width is None:
        width = next(width for width in range(1, 9) if value < _ONES[width])
    return (value | 1 << 7 * width).to_bytes(width, "big")


def write_unknown_size(*, width: int) -> bytes:
    """Return the size that says "until something begins that cannot be inside"."""
    return write_integer(_ONES[width], width=width)


def write_element(element_id: int, payload: bytes, *, size_width: int | None = None) -> bytes:
    return b"".join((write_id(element_id), write_integer(len(payload), width=size_width), payload))


def write_unsigned(element_id: int, value: int, *, width: int | None = None) -> bytes:
    """Return an unsigned element, as short as it can be, or with `width` bytes of payload."""
    return write_element(element_id, value.to_bytes(width or max(1, (value.bit_length() + 7) // 8), "big"))


def write_float(element_id: int, value: float) -> bytes:
    """Return a float element of eight bytes."""
    return write_element(element_id, struct.pack(">d", value))


def write_text(element_id: int, text: str, *, size_width: int | None = None) -> bytes:
    return write_element(element_id, text.encode(), size_width=size_width)
