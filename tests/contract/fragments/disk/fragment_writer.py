"""A process that appends without end and prints what is acknowledged, for a test that kills it."""

import asyncio
import hashlib
import json
import sys
from pathlib import Path

from fragments_examples import World

from earwitness.fragments.log import open_fragment_log
from earwitness.fragments.stream import FragmentStream

STREAMS = ("a", "b", "c", "d", "e")


def world_on(folder: Path) -> World:
    return World(lambda clock: open_fragment_log(folder, clock=clock))


def media_of(number: str) -> bytes:
    """Bytes that tell whose they are; up to 50 KB."""
    digest = hashlib.sha256(number.encode()).digest()
    return digest * (1 + 6 * digest[0])


async def main(folder: Path) -> None:
    world = world_on(folder)
    await world.open()
    streams = [await world.stream(name) for name in STREAMS]
    await asyncio.gather(*(_append_for_ever(name, stream) for name, stream in zip(STREAMS, streams, strict=True)))


async def _append_for_ever(name: str, stream: FragmentStream) -> None:
    while True:
        reservation = await stream.reserve()
        append = stream.append(
            reservation.number,
            producer_timestamp=reservation.server_timestamp,
            duration_ms=1_000,
            header=b"header",
            cluster=media_of(reservation.number),
        )
        await append
        await stream.append_tags(reservation.number, b"<tags>")
        sys.stdout.write(json.dumps({"stream": name, "number": reservation.number}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
