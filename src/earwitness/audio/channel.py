"""A stream's frames to one participant's samples: which track, and which of its channels.

What belongs here: finding the participant. What must never: what a track's frames hold (`audio/track_audio.py`),
resampling (`audio/canonical.py`), or asking who the participant is.
"""

from collections.abc import Iterable

import numpy as np

from earwitness.audio.fragment_tags import MediaType
from earwitness.audio.matroska.frames import Frame
from earwitness.audio.matroska.put_media import FRAGMENT_MS_MAX
from earwitness.audio.matroska.tracks import AUDIO_TRACK, Header, Track
from earwitness.audio.pcm import PcmDecoder
from earwitness.audio.track_audio import CONNECT_TRACKS, TrackAudio, audio_of, connect_channel, incompatible
from earwitness.voice.embedding import Samples

CHANNELS_MAX = 8
"""Interleaved channels of a track; more are no call, and a sample of each must come before any is decoded."""


class ChannelDecoder:
    """Feed the frames of each fragment, in order; take the samples of one channel.

    Amazon Connect leaves a participant's track out of fragments in which there is nothing of them: a prompt before the
    caller, a mute. Time goes on there: such a fragment gives digital silence, as long as the other track's audio in it.
    """

    def __init__(
        self,
        header: Header,
        *,
        channel: int,
        declared_rate: int,
        declared_channels: int = 1,
        pcm_declared: bool = True,
        media_type: MediaType | None = None,
    ) -> None:
        """`channel` is the ChannelId of the API; on a mono track it only names the participant.

        `declared_*` are what the API says of the stream, used for what the stream does not state; `pcm_declared` lets a
        single audio track of an unknown codec id be read as raw 16-bit little-endian PCM; `media_type` is what the
        fragment's tags say.
        Raises MediaIncompatible when there is no such channel, or its encoding is not one of `Encoding`.
        """
        tracks = audio_tracks(header)
        connect = {number: track for track in tracks if (number := connect_channel(track)) is not None}
        track = _connect_track(connect, channel) if connect else _track_in_place(tracks, channel)
        audio = audio_of(track, media_type=media_type, raw_allowed=pcm_declared and len(tracks) == 1)
        channels = audio.channels or declared_channels
        index = _choose_index(channels, channel, alone=len(tracks) == 1)
        self.rate = audio.rate or declared_rate
        """The one to use, in Hz: the stream's own where it states one, the declared one otherwise."""

        self.declared_rate = declared_rate
        self.audio: TrackAudio = audio
        """How the track is decoded."""

        self.participants = len(CONNECT_TRACKS if connect else tracks) if connect or len(tracks) > 1 else channels
        """Tracks of participants, or interleaved channels."""

        self._track_number = None if connect and channel not in connect else track.number
        self._other_numbers = {each.number for each in connect.values()} - {self._track_number}
        self._bytes_per_second = self.rate * channels * audio.encoding.sample_bytes
        self._decoder = PcmDecoder(audio.encoding, channels=channels, channel=index)

    @property
    def rate_differs(self) -> bool:
        """The stream states another rate than the declared one: worth one line in the log, with both."""
        return self.rate != self.declared_rate

    @property
    def rest_bytes(self) -> int:
        """Bytes of a sample that waits for its other half in the next frame."""
        return self._decoder.rest_bytes

    def feed(self, frames: Iterable[Frame]) -> Samples:
        """The samples that these frames complete, shape (n,), of all frames of a fragment."""
        own: list[memoryview] = []
        other_bytes = 0
        for frame in frames:
            if frame.track_number == self._track_number:
                own.append(frame.data)
            elif frame.track_number in self._other_numbers:
                other_bytes += len(frame.data)
        if own or not other_bytes:
            return self._decoder.feed(b"".join(own))
        longest = self.rate * FRAGMENT_MS_MAX // 1_000
        return np.zeros(min(other_bytes * self.rate // self._bytes_per_second, longest), np.float32)


def audio_tracks(header: Header) -> list[Track]:
    """The header's audio tracks, by number."""
    return sorted((track for track in header.tracks if track.type == AUDIO_TRACK), key=lambda each: each.number)


def _connect_track(tracks: dict[int, Track], channel: int) -> Track:
    """Amazon Connect's track of the channel's name; where it is absent the other, by which time goes on."""
    if channel >= len(CONNECT_TRACKS):
        incompatible(f"it has no track for channel {channel}; choose 0, the customer, or 1, what they hear")
    return tracks.get(channel) or next(iter(tracks.values()))


def _track_in_place(tracks: list[Track], channel: int) -> Track:
    """The only one, or the one in the channel's place."""
    if not tracks:
        incompatible("it has no audio track; send audio")
    if len(tracks) == 1:
        return tracks[0]
    if channel >= len(tracks):
        incompatible(f"it has {len(tracks)} audio tracks; choose another")
    return tracks[channel]


def _choose_index(channels: int, channel: int, *, alone: bool) -> int:
    """Which of the track's interleaved channels."""
    if channels == 1:
        return 0
    if channels > CHANNELS_MAX or not alone:
        incompatible("one of its tracks interleaves more channels than expected; send one or two channels in one track")
    if channel >= channels:
        incompatible(f"it has {channels} channels and none with the index {channel}; choose another channel")
    return channel
