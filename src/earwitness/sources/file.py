"""A file as a stream: Matroska fragment by fragment, or any recording, cut into fragments of PCM.

What belongs here: numbering and timing what a file holds. What must never: decoding.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from earwitness.audio.matroska.writer import pcm_track, write_block, write_cluster, write_header
from earwitness.audio.media_file import fragments, is_matroska
from earwitness.errors import AudioUnreadable
from earwitness.producer.pcm_source import recordings
from earwitness.sources.source import StartPosition, StreamFragment

FRAGMENT_SECONDS = 1.0
"""As `earwitness stream` cuts them."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_TRACK = 1


class FileSource:
    """One file. Its fragments are numbered from 1 and lie as far apart as they do in the file."""

    def __init__(self, path: Path, *, recorded_at: datetime = EPOCH) -> None:
        """`recorded_at` is when its first fragment began."""
        self._path = path
        self._recorded_at = recorded_at

    async def fragments(self, start: StartPosition) -> AsyncGenerator[StreamFragment]:
        """As the seam says; without a position, all of the file. Raises AudioError, MatroskaInvalid among it."""
        after = -1
        if start.after_number is not None:
            after = int(start.after_number)
        if start.first_number is not None:
            after = int(start.first_number) - 1
        numbered = self._numbered()
        while (fragment := await asyncio.to_thread(next, numbered, None)) is not None:
            if int(fragment.number) > after:
                yield fragment

    def _numbered(self) -> Iterator[StreamFragment]:
        first_ms: int | None = None
        for count, (header, cluster, timecode_ms) in enumerate(self._pieces(), start=1):
            first_ms = timecode_ms if first_ms is None else first_ms
            time = self._recorded_at + timedelta(milliseconds=timecode_ms - first_ms)
            yield StreamFragment(
                number=f"{count:047d}", server_time=time, producer_time=time, header=header, cluster=cluster
            )

    def _pieces(self) -> Iterator[tuple[bytes, bytes, int]]:
        """Header, cluster and time in milliseconds of each fragment."""
        try:
            in_matroska = is_matroska(self._path)
        except OSError as error:
            raise AudioUnreadable(f"{self._path.name} cannot be read: {error.strerror}") from error
        if not in_matroska:
            yield from _recording(self._path)
            return
        for _, header, fragment in fragments(self._path):
            yield header, fragment.cluster, fragment.timecode_ms


def _recording(path: Path) -> Iterator[tuple[bytes, bytes, int]]:
    source = recordings([path])
    header = write_header([pcm_track(number=_TRACK, rate=source.rate, channels=source.channels)])
    frame_bytes = round(FRAGMENT_SECONDS * source.rate) * source.channels * 2
    waiting, sent = bytearray(), 0
    for block in source.blocks:
        waiting += block
        while len(waiting) >= frame_bytes:
            yield header, *_cluster(bytes(waiting[:frame_bytes]), sent)
            del waiting[:frame_bytes]
            sent += 1
    if waiting:
        yield header, *_cluster(bytes(waiting), sent)


def _cluster(frame: bytes, index: int) -> tuple[bytes, int]:
    time_ms = round(1000 * FRAGMENT_SECONDS) * index
    return write_cluster(time_ms, [write_block(_TRACK, 0, frame)]), time_ms
