"""A stream's frames to one participant's samples: which track, which of its channels, which encoding.

What belongs here: what Kinesis Video Streams' producers write and how it is told apart. What must never: resampling
(`audio/canonical.py`), or asking who the participant is.
"""

from collections.abc import Iterable
from typing import NoReturn

from earwitness.audio.matroska.frames import Frame
from earwitness.audio.matroska.tracks import ACM_CODEC_ID, AUDIO_TRACK, PCM_CODEC_ID, Header, Track
from earwitness.audio.pcm import Encoding, PcmDecoder
from earwitness.errors import MediaIncompatible
from earwitness.voice.embedding import Samples

CONNECT_TRACKS = ("AUDIO_FROM_CUSTOMER", "AUDIO_TO_CUSTOMER")
"""Names of Amazon Connect's two tracks, by the channel id that stands for each."""

CHANNELS_MAX = 8
"""Interleaved channels of a track; more are no call, and a sample of each must come before any is decoded."""

RATE_MAX = 1_000_000

_WAVE_ENCODINGS = {(1, 16): Encoding.S16LE, (6, 8): Encoding.ALAW, (7, 8): Encoding.MULAW}
"""By the tag and the bits per sample of a WAVEFORMATEX."""

_OTHER_CODECS = (
    "A_AAC",
    "A_AC3",
    "A_ALAC",
    "A_ATRAC",
    "A_DTS",
    "A_EAC3",
    "A_FLAC",
    "A_MLP",
    "A_MPEG",
    "A_OPUS",
    "A_PCM/FLOAT",
    "A_PCM/INT/BIG",
    "A_QUICKTIME",
    "A_REAL",
    "A_TRUEHD",
    "A_TTA1",
    "A_VORBIS",
    "A_WAVPACK4",
)
"""Beginnings of codec ids that are known to be something else than 16-bit little-endian PCM."""


class ChannelDecoder:
    """Feed the frames of each fragment, in order; take the samples of one channel.

    `rate` is the one to use: the stream's own where it states one, the declared one otherwise.
    """

    def __init__(
        self, header: Header, *, channel: int, declared_rate: int, declared_channels: int = 1, pcm_declared: bool = True
    ) -> None:
        """`channel` is the ChannelId of the API; on a mono track it only names the participant.

        `declared_*` are what the API says of the stream, used for what the stream does not state; `pcm_declared` lets a
        single audio track of an unknown codec id be read as raw 16-bit little-endian PCM.
        Raises MediaIncompatible when there is no such channel, or its encoding is not one of `Encoding`.
        """
        tracks = sorted((track for track in header.tracks if track.type == AUDIO_TRACK), key=lambda each: each.number)
        track = _choose_track(tracks, channel)
        encoding = _encoding_of(track, raw_allowed=pcm_declared and len(tracks) == 1)
        channels = _stated_channels(track) or declared_channels
        index = _choose_index(channels, channel, alone=len(tracks) == 1)
        self._track_number = track.number
        self.rate = _stated_rate(track) or declared_rate
        self.declared_rate = declared_rate
        self._decoder = PcmDecoder(encoding, channels=channels, channel=index)

    @property
    def rate_differs(self) -> bool:
        """The stream states another rate than the declared one: worth one line in the log, with both."""
        return self.rate != self.declared_rate

    @property
    def rest_bytes(self) -> int:
        """Bytes of a sample that waits for its other half in the next frame."""
        return self._decoder.rest_bytes

    def feed(self, frames: Iterable[Frame]) -> Samples:
        """The samples that these frames complete, shape (n,); frames of other tracks are passed over."""
        return self._decoder.feed(b"".join(frame.data for frame in frames if frame.track_number == self._track_number))


def _choose_track(tracks: list[Track], channel: int) -> Track:
    """The only one; of Amazon Connect's the one with the channel's name; of others the one in the channel's place."""
    if not tracks:
        _refuse("it has no audio track; send audio")
    named = {track.name: track for track in tracks if track.name in CONNECT_TRACKS}
    if named:
        name = CONNECT_TRACKS[channel] if channel < len(CONNECT_TRACKS) else ""
        return named.get(name) or _refuse(f"it has no track for channel {channel}; choose another channel")
    if len(tracks) == 1:
        return tracks[0]
    return tracks[channel] if channel < len(tracks) else _refuse(f"it has {len(tracks)} audio tracks; choose another")


def _choose_index(channels: int, channel: int, *, alone: bool) -> int:
    """Which of the track's interleaved channels."""
    if channels == 1:
        return 0
    if channels > CHANNELS_MAX or not alone:
        _refuse("one of its tracks interleaves more channels than expected; send one or two channels in one track")
    if channel >= channels:
        _refuse(f"it has {channels} channels and none with the index {channel}; choose another channel")
    return channel


def _encoding_of(track: Track, *, raw_allowed: bool) -> Encoding:
    wave = track.wave_format
    if track.encoded:
        _refuse("its track is compressed or encrypted by the container; send it without ContentEncodings")
    if track.codec_id == PCM_CODEC_ID and track.bit_depth in (None, 16):
        return Encoding.S16LE
    if wave is not None and (encoding := _WAVE_ENCODINGS.get((wave.tag, wave.bits))) is not None:
        return encoding
    known = track.codec_id in (PCM_CODEC_ID, ACM_CODEC_ID) or track.codec_id.startswith(_OTHER_CODECS)
    if known or not raw_allowed:
        _refuse("its codec is none of 16-bit little-endian PCM, A-law and µ-law; send one of these")
    return Encoding.S16LE


def _stated_channels(track: Track) -> int | None:
    return track.channels or (track.wave_format.channels if track.wave_format else None)


def _stated_rate(track: Track) -> int | None:
    rate = track.sampling_frequency or (track.wave_format.rate if track.wave_format else None)
    if not rate:
        return None
    if not 1 <= rate < RATE_MAX:
        _refuse("it states a sampling frequency that is none; write it in hertz")
    return round(rate)


def _refuse(reason: str) -> NoReturn:
    raise MediaIncompatible(f"the stream's audio cannot be used: {reason}")
