"""What a node sends another of a stream: frames, each a length, a head in JSON and the bytes of a fragment.

    frame = length of the head (4 bytes, big-endian) · head · header · cluster · tags

The head says how long the other parts are; a frame without a fragment is a head alone. What cannot be read ends the
connection, which is asked for again.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import datetime
from typing import Any

from earwitness.errors import Unavailable
from earwitness.fragments.interface import (
    FRAGMENT_BYTES_MAX,
    AfterFragment,
    AtTime,
    Earliest,
    Fragment,
    FragmentInfo,
    MissingFragment,
    Now,
    Position,
    ReadResult,
    TimeAxis,
)
from earwitness.fragments.numbers import from_ms, to_ms

_HEAD_BYTES_MAX = 64 * 1024
Head = dict[str, Any]  # `Any`: what JSON holds


def frame(head: Head, *parts: bytes) -> bytes:
    """Return one frame."""
    packed = json.dumps({**head, "parts": [len(part) for part in parts]}).encode()
    return b"".join((len(packed).to_bytes(4, "big"), packed, *parts))


async def read_frames(chunks: AsyncIterator[bytes]) -> AsyncGenerator[tuple[Head, list[bytes]]]:
    """Yield heads and parts of what comes in pieces of any size. Raise Unavailable for what is no frame, or is cut."""
    waiting = bytearray()
    async for chunk in chunks:
        waiting += chunk
        while (taken := _taken(waiting)) is not None:
            yield taken
    if waiting:
        raise Unavailable("another node's answer was cut off; it is asked again")


def _taken(waiting: bytearray) -> tuple[Head, list[bytes]] | None:
    """Take the first frame out of what waits; None while it is not whole."""
    length = int.from_bytes(waiting[:4], "big")
    if len(waiting) < 4 or (length <= _HEAD_BYTES_MAX and len(waiting) < 4 + length):
        return None
    try:
        if length > _HEAD_BYTES_MAX:
            raise ValueError
        head: Head = json.loads(waiting[4 : 4 + length])
        sizes = [int(size) for size in head.pop("parts")]
    except (ValueError, KeyError, TypeError):
        raise Unavailable("another node's answer cannot be read; are all of one version?") from None
    if min(sizes, default=0) < 0 or sum(sizes) > FRAGMENT_BYTES_MAX:
        raise Unavailable("another node's answer cannot be read; are all of one version?")
    end = 4 + length + sum(sizes)
    if len(waiting) < end:
        return None
    parts, place = list[bytes](), 4 + length
    for size in sizes:
        parts.append(bytes(waiting[place : place + size]))
        place += size
    del waiting[:end]
    return head, parts


def result_frame(result: ReadResult) -> bytes:
    """Return the frame of what a reader gets."""
    return _fragment_frame(result.fragment, behind=result.millis_behind_now, gap=result.gap)


def got_frame(got: Fragment | MissingFragment) -> bytes:
    """Return the frame of a fragment that was asked for by its number, or of its absence."""
    if isinstance(got, MissingFragment):
        return frame({"kind": "missing", "number": got.number, "damaged": got.damaged})
    return _fragment_frame(got)


def read_result(head: Head, parts: list[bytes]) -> ReadResult:
    """Return what a frame of `result_frame` says."""
    return ReadResult(fragment=_fragment(head, parts), millis_behind_now=int(head["behind"]), gap=bool(head["gap"]))


def read_got(head: Head, parts: list[bytes]) -> Fragment | MissingFragment:
    """Return what a frame of `got_frame` says."""
    if head["kind"] == "missing":
        return MissingFragment(number=str(head["number"]), damaged=bool(head["damaged"]))
    return _fragment(head, parts)


def info_head(info: FragmentInfo) -> Head:
    """Return a stored fragment without its bytes, for JSON."""
    return {
        "number": info.number,
        "server": to_ms(info.server_timestamp),
        "producer": to_ms(info.producer_timestamp),
        "duration": info.duration_ms,
        "size": info.size_bytes,
    }


def read_info(head: Head) -> FragmentInfo:
    """Return what `info_head` said."""
    return FragmentInfo(
        number=str(head["number"]),
        server_timestamp=from_ms(int(head["server"])),
        producer_timestamp=from_ms(int(head["producer"])),
        duration_ms=int(head["duration"]),
        size_bytes=int(head["size"]),
    )


def position_head(position: Position) -> Head:
    """Return where to begin, for JSON."""
    match position:
        case Now():
            return {"at": "now"}
        case Earliest():
            return {"at": "earliest"}
        case AfterFragment():
            return {"at": "after", "number": position.number}
        case AtTime():
            return {"at": "time", "axis": position.axis.value, "time": position.time.isoformat()}


def read_position(head: Head) -> Position:
    """Return what `position_head` said."""
    match head["at"]:
        case "now":
            return Now()
        case "earliest":
            return Earliest()
        case "after":
            return AfterFragment(str(head["number"]))
        case _:
            return AtTime(TimeAxis(head["axis"]), datetime.fromisoformat(head["time"]))


def _fragment_frame(fragment: Fragment, **more: object) -> bytes:
    head = {"kind": "fragment", **info_head(fragment.info), **more}
    return frame(head, fragment.header, fragment.cluster, fragment.tags)


def _fragment(head: Head, parts: list[bytes]) -> Fragment:
    header, cluster, tags = parts
    return Fragment(info=read_info(head), header=header, cluster=cluster, tags=tags)
