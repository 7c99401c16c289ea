"""A fragment in the making: what its frames say about time and tracks, and PutMedia's rules on both.

What belongs here: a few numbers per track, updated block by block. What must never: the fragment's bytes, or where it
ends; the reader has those.
"""

from dataclasses import dataclass

from earwitness.audio.matroska.ebml import Data
from earwitness.audio.matroska.faults import MediaFault
from earwitness.audio.matroska.frames import LACING, read_block, read_group, split_laces
from earwitness.audio.matroska.tracks import Header, Track
from earwitness.errors import MatroskaInvalid

FRAGMENT_MS_MAX = 20_000
"""The longest fragment, as PutMedia has it. There is no shortest one: the last of a call is short."""

TIMESTAMP_MS_MAX = 253_402_300_799_999
"""The end of the year 9999, beyond which a timestamp is no date."""


@dataclass(slots=True)
class _Span:
    """The frames of one track so far, in ticks of the stream."""

    first: int
    last: int
    gap: int
    """Between the two latest frames."""

    frames: int
    """Frames in the latest block."""

    frame_bytes: int
    """Bytes of the latest block's frames."""

    duration: int | None
    """Ticks of the latest block, where it says so itself."""


class OpenFragment:
    """Feed a cluster's elements in order; each gives the fault it brings, or None."""

    def __init__(self, header: Header, *, last_ticks: dict[int, int] | None) -> None:
        """`last_ticks`: each track's latest frame before this fragment; None when only the format is to be checked."""
        self._scale_ns = header.timestamp_scale_ns
        self._tracks = {track.number: track for track in header.tracks}
        self._last_ticks = last_ticks
        self._ticks_max = FRAGMENT_MS_MAX * 1_000_000 // self._scale_ns
        self._spans: dict[int, _Span] = {}
        self._first = 0
        self._cluster_ticks: int | None = None

    @property
    def timecode_ms(self) -> int | None:
        """The cluster's timestamp; None as long as it is not known."""
        return None if self._cluster_ticks is None else self._cluster_ticks * self._scale_ns // 1_000_000

    def take_timestamp(self, ticks: int) -> MediaFault | None:
        """The cluster's own timestamp. Raises MatroskaInvalid when it has one already."""
        if self._cluster_ticks is not None:
            raise MatroskaInvalid("a Cluster has two Timestamps; write one")
        if ticks * self._scale_ns // 1_000_000 > TIMESTAMP_MS_MAX:
            return MediaFault.INVALID_PRODUCER_TIMESTAMP
        self._cluster_ticks = ticks
        return None

    def take_group(self, data: Data, start: int, stop: int) -> MediaFault | None:
        """The payload of a BlockGroup. Raises MatroskaInvalid."""
        return self.take_block(data, *read_group(data, start, stop))

    def take_block(self, data: Data, start: int, stop: int, duration: int | None = None) -> MediaFault | None:
        """The payload of a Block or SimpleBlock. Raises MatroskaInvalid, also when no timestamp came before it."""
        if self._cluster_ticks is None:
            raise MatroskaInvalid("a block comes before the Timestamp of its Cluster; write the Timestamp first")
        block = read_block(data, start, stop)
        frames, frame_bytes = 1, stop - block.start
        if block.flags & LACING:
            laces = split_laces(data, block, stop)
            frames, frame_bytes = len(laces), sum(end - first for first, end in laces)
        ticks = self._cluster_ticks + block.relative_ticks
        span = self._spans.get(block.track_number)
        if span is None:
            span = self._spans[block.track_number] = _Span(ticks, ticks, 0, frames, frame_bytes, duration)
            return self._begin_track(block.track_number, span)
        if ticks >= span.last:
            span.gap, span.last = ticks - span.last, ticks
            span.frames, span.frame_bytes, span.duration = frames, frame_bytes, duration
        elif ticks < span.first:  # frames in decoding order, as pictures have them
            span.first = ticks
            self._first = min(self._first, ticks)
        if self._last_ticks is not None and span.last - self._first > self._ticks_max:
            return MediaFault.MAX_FRAGMENT_DURATION_REACHED
        return None

    def _begin_track(self, number: int, span: _Span) -> MediaFault | None:
        self._first = span.first if len(self._spans) == 1 else min(self._first, span.first)
        if self._last_ticks is None:
            return None
        if number not in self._tracks:
            return MediaFault.TRACK_NUMBER_MISMATCH
        if number in self._last_ticks and span.first <= self._last_ticks[number]:
            return MediaFault.FRAGMENT_TIMECODE_LESSER_THAN_PREVIOUS
        if span.last - self._first > self._ticks_max:
            return MediaFault.MAX_FRAGMENT_DURATION_REACHED
        return None

    def finish(self) -> int | MediaFault:
        """The fragment's duration in milliseconds, from its first frame's begin to its last one's end; or a fault.

        The last frame's own duration is that of its block, of the track, of its bytes if they are PCM, or of the frame
        before it. Raises MatroskaInvalid when no timestamp came.
        """
        if self._cluster_ticks is None:
            raise MatroskaInvalid("a Cluster has no Timestamp; write one, before its blocks")
        ends_ns = [self._end_ns(number, span) for number, span in self._spans.items()]
        duration_ms = round((max(ends_ns, default=0) - self._first * self._scale_ns) / 1_000_000)
        if self._last_ticks is None:
            return duration_ms
        if self._tracks.keys() - self._spans.keys():
            return MediaFault.FRAMES_MISSING_FOR_TRACK
        if duration_ms > FRAGMENT_MS_MAX:
            return MediaFault.MAX_FRAGMENT_DURATION_REACHED
        self._last_ticks.update({number: span.last for number, span in self._spans.items()})
        return duration_ms

    def _end_ns(self, number: int, span: _Span) -> int:
        return span.last * self._scale_ns + self._last_block_ns(self._tracks.get(number), span)

    def _last_block_ns(self, track: Track | None, span: _Span) -> int:
        if span.duration is not None:
            return span.duration * self._scale_ns
        if track is not None and track.default_duration_ns:
            return track.default_duration_ns * span.frames
        if track is not None and (rate := track.bytes_per_second):
            return 1_000_000_000 * span.frame_bytes // rate
        return span.gap * self._scale_ns
