"""A case is a seed stream with a few things wrong; which ones follows from its number and the run's seed alone."""

import random
from collections.abc import Callable
from typing import NamedTuple

from earwitness.audio.matroska import ids
from earwitness.audio.matroska.ebml import UNKNOWN_SIZE, read_element, write_id, write_integer
from earwitness.errors import MatroskaInvalid

_MASTERS = frozenset(
    {
        ids.EBML,
        ids.SEGMENT,
        ids.INFO,
        ids.TRACKS,
        ids.TRACK_ENTRY,
        ids.AUDIO,
        ids.CLUSTER,
        ids.BLOCK_GROUP,
        ids.TAGS,
        ids.TAG,
        ids.SIMPLE_TAG,
    }
)
_IDS = tuple(value for name, value in vars(ids).items() if name.isupper() and isinstance(value, int))
_BYTES = (0x00, 0x01, 0x7F, 0x80, 0x81, 0xFF, 0xFE, 0x10, 0x1A, 0xA3, 0xE7)
_SIZES = (0, 1, 2, 126, 127, 128, 0x3FFE, 1 << 16, 50 << 20, (50 << 20) + 1, 1 << 30, (1 << 30) + 1, (1 << 56) - 2)


class Place(NamedTuple):
    """An element of a seed."""

    begin: int
    id: int
    start: int
    stop: int


def places(data: bytes) -> list[Place]:
    """Every element of a well-formed stream, parents first."""
    found: list[Place] = []
    open_ranges = [(0, len(data))]
    while open_ranges:
        position, end = open_ranges.pop()
        while position < end:
            try:
                element = read_element(data, position, end)
            except MatroskaInvalid:
                break
            if element is None:
                break
            element_id, size, start = element
            stop = end if size == UNKNOWN_SIZE else min(end, start + size)
            found.append(Place(position, element_id, start, stop))
            if element_id in _MASTERS:
                open_ranges.append((start, stop))
            position = stop if size != UNKNOWN_SIZE else end
    return found


class Mutator:
    """Makes cases out of seeds."""

    def __init__(self, seeds: dict[str, bytes]) -> None:
        self._seeds = [(data, places(data)) for data in seeds.values()]

    def case(self, rng: random.Random) -> bytes:
        """A stream with one thing wrong in its structure, or none, and then a few in its bytes."""
        data, found = rng.choice(self._seeds)
        if rng.random() < 0.7:
            data = rng.choice(_STRUCTURE)(rng, data, rng.choice(found), self._piece(rng))
        for _ in range(rng.choice((0, 0, 1, 1, 2, 5))):
            data = rng.choice(_RAW)(rng, data)
        return data

    def _piece(self, rng: random.Random) -> bytes:
        data, found = rng.choice(self._seeds)
        place = rng.choice(found)
        return data[place.begin : place.stop]


Structural = Callable[[random.Random, bytes, Place, bytes], bytes]
Raw = Callable[[random.Random, bytes], bytes]


def _new_size(rng: random.Random, data: bytes, place: Place, _: bytes) -> bytes:
    payload = place.stop - place.start
    size = rng.choice((*_SIZES, payload + 1, max(0, payload - 1), payload + rng.randrange(300)))
    width = rng.choice([width for width in range(1, 9) if size < (1 << 7 * width) - 1])
    return data[: place.begin] + write_id(place.id) + write_integer(size, width=width) + data[place.start :]


def _unknown_size(rng: random.Random, data: bytes, place: Place, _: bytes) -> bytes:
    width = rng.randrange(1, 9)
    field = write_integer((1 << 7 * width) - 1, width=width)
    return data[: place.begin] + write_id(place.id) + field + data[place.start :]


def _known_size(_: random.Random, data: bytes, place: Place, __: bytes) -> bytes:
    field = write_integer(place.stop - place.start, width=8)
    return data[: place.begin] + write_id(place.id) + field + data[place.start :]


def _new_id(rng: random.Random, data: bytes, place: Place, _: bytes) -> bytes:
    old = len(write_id(place.id))
    return data[: place.begin] + write_id(rng.choice(_IDS)) + data[place.begin + old :]


def _new_payload(rng: random.Random, data: bytes, place: Place, _: bytes) -> bytes:
    payload = bytes(rng.choice(_BYTES) for _ in range(place.stop - place.start))
    return data[: place.start] + payload + data[place.stop :]


def _remove(_: random.Random, data: bytes, place: Place, __: bytes) -> bytes:
    return data[: place.begin] + data[place.stop :]


def _repeat(rng: random.Random, data: bytes, place: Place, _: bytes) -> bytes:
    times = rng.choice((1, 1, 1, 2, 12, 40))
    return data[: place.stop] + data[place.begin : place.stop] * times + data[place.stop :]


def _insert(_: random.Random, data: bytes, place: Place, piece: bytes) -> bytes:
    return data[: place.begin] + piece + data[place.begin :]


def _replace(_: random.Random, data: bytes, place: Place, piece: bytes) -> bytes:
    return data[: place.begin] + piece + data[place.stop :]


def _nest(rng: random.Random, data: bytes, place: Place, _piece: bytes) -> bytes:
    inner = data[place.begin : place.stop]
    for _ in range(rng.choice((1, 2, 30))):
        inner = write_id(place.id) + write_integer(len(inner), width=4) + inner
    return data[: place.begin] + inner + data[place.stop :]


def _flip(rng: random.Random, data: bytes) -> bytes:
    if not data:
        return data
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


def _set(rng: random.Random, data: bytes) -> bytes:
    if not data:
        return data
    at = rng.randrange(len(data))
    return data[:at] + bytes([rng.choice(_BYTES)]) + data[at + 1 :]


def _truncate(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _delete(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + data[at + rng.randrange(1, 20) :]


def _stuff(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.randbytes(rng.randrange(1, 20)) + data[at:]


_STRUCTURE: tuple[Structural, ...] = (
    _new_size,
    _new_size,
    _unknown_size,
    _known_size,
    _new_id,
    _new_payload,
    _remove,
    _repeat,
    _insert,
    _replace,
    _nest,
)
_RAW: tuple[Raw, ...] = (_flip, _flip, _set, _truncate, _delete, _stuff)
