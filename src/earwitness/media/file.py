"""A file as a stream: Matroska fragment by fragment, or any recording, cut into fragments of PCM.

What belongs here: numbering and timing what a file holds. What must never: decoding.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from earwitness.audio.matroska.writer import pcm_track, write_header
from earwitness.audio.matroska_file import fragments, is_matroska
from earwitness.errors import AudioUnreadable
from earwitness.media.source import StartPosition, StreamFragment
from earwitness.producer.fragments import TRACK, recordings
from earwitness.producer.fragments import fragments as cut

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _FilePart(NamedTuple):
    """One fragment as the file holds it."""

    header: bytes
    cluster: bytes
    timecode_ms: int
    tags: Mapping[str, str]


class FileSource:
    """One file. Its fragments are numbered from 1 and lie as far apart as they do in the file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def fragments(self, start: StartPosition) -> AsyncGenerator[StreamFragment]:
        """Yield fragments as `Source` says; without a position, all of the file. Raise AudioError."""
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
        for count, piece in enumerate(self._pieces(), start=1):
            first_ms = piece.timecode_ms if first_ms is None else first_ms
            time = _EPOCH + timedelta(milliseconds=piece.timecode_ms - first_ms)
            yield StreamFragment(
                number=f"{count:047d}",
                server_time=time,
                producer_time=time,
                header=piece.header,
                cluster=piece.cluster,
                tags=piece.tags,
            )

    def _pieces(self) -> Iterator[_FilePart]:
        try:
            in_matroska = is_matroska(self._path)
        except OSError as error:
            raise AudioUnreadable(f"{self._path.name} cannot be read: {error.strerror}") from error
        if not in_matroska:
            yield from _recording(self._path)
            return
        for fragment in fragments(self._path):
            yield _FilePart(fragment.header_bytes, fragment.cluster, fragment.timecode_ms, fragment.tags)


def _recording(path: Path) -> Iterator[_FilePart]:
    """As `earwitness stream` would send it."""
    source = recordings([path])
    header = write_header([pcm_track(number=TRACK, rate=source.rate, channels=source.channels)])
    for fragment in cut(source, start_ms=0):
        yield _FilePart(header, fragment.media, fragment.timecode_ms, {})
