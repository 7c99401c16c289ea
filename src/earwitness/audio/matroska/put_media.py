"""What PutMedia asks of a producer's stream besides the format: tracks, times and tags.

Sizes are limited for everybody, in `reader.py`.
"""

from earwitness.audio.matroska.ebml import Data
from earwitness.audio.matroska.events import MediaFault
from earwitness.audio.matroska.reader import MatroskaReader, OpenFragment, RuleBroken
from earwitness.audio.matroska.tags import NAME_BYTES_MAX, RESERVED_PREFIX, TAGS_MAX, VALUE_BYTES_MAX, TagsElement
from earwitness.audio.matroska.tracks import TRACKS_MAX, Header
from earwitness.errors import MatroskaInvalid

FRAGMENT_MS_MAX = 20_000
"""The longest fragment. There is no shortest one: the last of a call is short."""


class PutMediaReader(MatroskaReader):
    """Reads a producer's stream, and refuses what breaks PutMedia's rules."""

    def __init__(self) -> None:
        super().__init__()
        self._latest = _Latest()

    def _check_header(self, header: Header) -> None:
        if len(header.tracks) > TRACKS_MAX:
            raise RuleBroken(MediaFault.MORE_THAN_ALLOWED_TRACKS_FOUND)

    def _check_next_stream(self) -> None:
        raise MatroskaInvalid("a second stream begins; send one Segment in a request")

    def _open_fragment(self, header: Header) -> OpenFragment:
        return _ProducerFragment(header, self._latest)

    def _take_header_tags(self, tags: TagsElement) -> None:
        if any(name.startswith(RESERVED_PREFIX) for name, _ in tags.pairs):
            raise MatroskaInvalid("a tag in the header has a name that begins with AWS; choose another name")


class _Latest:
    """The latest fragment that was not refused: its time, and ticks of each track's last frame."""

    def __init__(self) -> None:
        self.timecode_ms = 0
        self.ticks: dict[int, int] = {}


class _ProducerFragment(OpenFragment):
    """Raises RuleBroken with the first element that breaks a rule."""

    def __init__(self, header: Header, latest: _Latest) -> None:
        super().__init__(header)
        self._latest = latest
        self._ticks_max = FRAGMENT_MS_MAX * 1_000_000 // self._scale_ns
        self._tags = 0

    def take_timestamp(self, ticks: int, *, size: int) -> int:
        timecode_ms = super().take_timestamp(ticks, size=size)
        if timecode_ms < self._latest.timecode_ms:
            raise RuleBroken(MediaFault.FRAGMENT_TIMECODE_LESSER_THAN_PREVIOUS)
        return timecode_ms

    def take_block(self, data: Data, start: int, stop: int, duration: int | None = None) -> int:
        tracks_before = len(self.spans)
        number = super().take_block(data, start, stop, duration)
        span = self.spans[number]
        if len(self.spans) > tracks_before:
            if number not in self._tracks:
                raise RuleBroken(MediaFault.TRACK_NUMBER_MISMATCH)
            if number in self._latest.ticks and span.first <= self._latest.ticks[number]:
                raise RuleBroken(MediaFault.FRAGMENT_TIMECODE_LESSER_THAN_PREVIOUS)
        if span.last - self._first > self._ticks_max:
            raise RuleBroken(MediaFault.MAX_FRAGMENT_DURATION_REACHED)
        return number

    def finish(self) -> int:
        duration_ms = super().finish()
        if self._tracks.keys() - self.spans.keys():
            raise RuleBroken(MediaFault.FRAMES_MISSING_FOR_TRACK)
        if duration_ms > FRAGMENT_MS_MAX:
            raise RuleBroken(MediaFault.MAX_FRAGMENT_DURATION_REACHED)
        self._latest.ticks.update({number: span.last for number, span in self.spans.items()})
        self._latest.timecode_ms = self.timecode_ms or 0
        return duration_ms

    def take_tags(self, tags: TagsElement) -> None:
        if self._tags + len(tags.own) > TAGS_MAX:
            raise RuleBroken(MediaFault.FRAGMENT_METADATA_LIMIT_REACHED)
        for name, value in tags.own:
            if len(name.encode()) > NAME_BYTES_MAX or len(value.encode()) > VALUE_BYTES_MAX:
                raise RuleBroken(MediaFault.FRAGMENT_METADATA_LIMIT_REACHED)
            if not name or name.startswith(RESERVED_PREFIX):
                raise RuleBroken(MediaFault.INVALID_FRAGMENT_METADATA)
        self._tags += len(tags.own)
