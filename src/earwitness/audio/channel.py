"""A stream's frames to one participant's samples: which track, what its frames hold, which of its channels.

What belongs here: what producers of Kinesis Video Streams write, in headers and in a fragment's tags, and how it is
told apart. What must never: resampling (`canonical.py`), or asking who the participant is.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from earwitness.audio.leakage import beside
from earwitness.audio.matroska.frames import Frame
from earwitness.audio.matroska.put_media import FRAGMENT_MS_MAX
from earwitness.audio.matroska.tracks import ACM_CODEC_ID, AUDIO_TRACK, PCM_CODEC_ID, Header, Track
from earwitness.audio.pcm import Encoding, PcmDecoder
from earwitness.errors import MediaIncompatible
from earwitness.voice.embedding import Samples

MEDIA_TYPE_TAG = "MimeType"
"""Amazon Connect writes `audio/L16;rate=8000;channels=1;` here, and something untrue into CodecID and CodecPrivate."""

CALL_TAGS = ("ContactId", "TransactionId")
"""What names a call: Amazon Connect's tag, and the Voice Connector's. Both take streams from a pool and use them again
for later calls, so readers have to stop when the value changes."""

CONNECT_TRACKS = ("AUDIO_FROM_CUSTOMER", "AUDIO_TO_CUSTOMER")
"""Names of Amazon Connect's two tracks, by the channel id that stands for each."""

CHANNELS_MAX = 8
"""Interleaved channels of a track; more are no call, and a sample of each must come before any is decoded."""

OTHER_CODECS = (
    "A_AAC", "A_AC3", "A_ALAC", "A_ATRAC", "A_DTS", "A_EAC3", "A_FLAC", "A_MLP", "A_MPEG", "A_OPUS", "A_PCM/FLOAT",
    "A_PCM/INT/BIG", "A_QUICKTIME", "A_REAL", "A_TRUEHD", "A_TTA1", "A_VORBIS", "A_WAVPACK4",
)  # fmt: skip
"""Beginnings of codec ids that are known to be something else than 16-bit little-endian PCM."""

_RATE_MAX = 1_000_000
_ENCODINGS = {"audio/l16": Encoding.S16LE, "audio/pcmu": Encoding.MULAW, "audio/pcma": Encoding.ALAW}
"""By media type in lower case. RFC 3551 has L16 in network byte order; in Kinesis Video Streams it is little-endian, as
all of AWS's readers take it."""

_WAVE_ENCODINGS = {(1, 16): Encoding.S16LE, (6, 8): Encoding.ALAW, (7, 8): Encoding.MULAW}
"""By the tag and the bits per sample of a WAVEFORMATEX."""

_NUMBER = re.compile(r"[0-9]{1,7}")


@dataclass(frozen=True, kw_only=True)
class MediaType:
    """How to decode audio, as a media type or a track describes it. None stands for what it does not say."""

    encoding: Encoding
    rate: int | None
    channels: int | None


_CONNECT_CODEC_PRIVATE = bytes.fromhex("1190")
"""AAC at 48 kHz in stereo, says Amazon Connect, and sends 16-bit PCM at 8 kHz in mono (captured streams)."""

_CONNECT_AUDIO = MediaType(encoding=Encoding.S16LE, rate=8_000, channels=1)


def media_type_of(tags: Mapping[str, str]) -> MediaType | None:
    """Return the media type in a fragment's tags; None for none, or one that says nothing of audio we decode."""
    essence, *parameters = tags.get(MEDIA_TYPE_TAG, "").split(";")
    encoding = _ENCODINGS.get(essence.strip().lower())
    if encoding is None:
        return None
    values = {name.strip().lower(): value.strip() for name, _, value in (each.partition("=") for each in parameters)}
    return MediaType(encoding=encoding, rate=_number(values.get("rate")), channels=_number(values.get("channels")))


def call_of(tags: Mapping[str, str]) -> str | None:
    """Return what names the call in a fragment's tags; None when nothing does."""
    return next((tags[name] for name in CALL_TAGS if tags.get(name)), None)


def audio_tracks(header: Header) -> list[Track]:
    """Return the header's audio tracks, by number."""
    return sorted((track for track in header.tracks if track.type == AUDIO_TRACK), key=lambda each: each.number)


def connect_channel(track: Track) -> int | None:
    """Return the channel id that a track of Amazon Connect stands for, by its name in any case; None for others."""
    name = track.name.strip().upper()
    return CONNECT_TRACKS.index(name) if name in CONNECT_TRACKS else None


def own_encoding(track: Track) -> Encoding | None:
    """Return how a track's samples are written, as its codec id says; None for what is not decoded here."""
    if track.codec_id == PCM_CODEC_ID:
        return Encoding.S16LE if track.bit_depth in (None, 16) else None
    wave = track.wave_format
    return None if wave is None else _WAVE_ENCODINGS.get((wave.tag, wave.bits))


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
        pcm_declared: bool = True,
        media_type: MediaType | None = None,
    ) -> None:
        """`channel` is the ChannelId of the API; on a mono track it only names the participant.

        `declared_rate` is what the API says of the stream, used where the stream states none; `pcm_declared` lets a
        single audio track of an unknown codec id be read as raw 16-bit little-endian PCM; `media_type` is what the
        fragment's tags say.
        Raises MediaIncompatible when there is no such channel, or its encoding is not one of `Encoding`.
        """
        tracks = audio_tracks(header)
        connect = {number: track for track in tracks if (number := connect_channel(track)) is not None}
        track = _connect_track(connect, channel) if connect else _track_in_place(tracks, channel)
        audio = _audio_of(track, media_type=media_type, raw_allowed=pcm_declared and len(tracks) == 1)
        channels = audio.channels or 1
        index = _choose_index(channels, channel, alone=len(tracks) == 1)
        #: The one to use, in Hz: the stream's own where it states one, the declared one otherwise.
        self.rate = audio.rate or declared_rate
        self.declared_rate = declared_rate
        #: How the track is decoded.
        self.audio = audio
        #: Tracks of participants, or interleaved channels.
        self.participants = len(CONNECT_TRACKS if connect else tracks) if connect or len(tracks) > 1 else channels
        #: Whether the stream itself says by names which track is whose.
        self.names_participants = bool(connect)
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
        """Return the samples that these frames complete, shape (n,), of all frames of a fragment."""
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


class ReferencedDecoder:
    """Decodes one channel, and where exactly two people share the stream and its clock, the other one as well.

    The other one is the reference by which leakage is told (`leakage.py`).
    """

    def __init__(
        self,
        header: Header,
        *,
        channel: int,
        declared_rate: int,
        pcm_declared: bool = True,
        media_type: MediaType | None = None,
    ) -> None:
        """Take what ChannelDecoder takes. Raises MediaIncompatible for the chosen channel only."""
        decoder = partial(
            ChannelDecoder, header, declared_rate=declared_rate, pcm_declared=pcm_declared, media_type=media_type
        )
        #: The chosen channel's.
        self.own = decoder(channel=channel)
        self._other: ChannelDecoder | None = None
        if self.own.participants == 2:
            try:
                other = decoder(channel=1 - channel)
            except MediaIncompatible:
                return  # nobody listens to that channel; without it leakage is told by its level alone
            self._other = other if other.rate == self.own.rate else None

    @property
    def rest_bytes(self) -> int:
        """Bytes of samples that wait for their other half in the next frame."""
        return self.own.rest_bytes + (self._other.rest_bytes if self._other is not None else 0)

    def feed(self, frames: Sequence[Frame]) -> Samples:
        """Return the samples that these frames complete, of all frames of a fragment.

        Shape (n, 2), or (n,) where there is no other channel. Both begin with the fragment.
        """
        own = self.own.feed(frames)
        return own if self._other is None else beside(own, self._other.feed(frames))


def _connect_track(tracks: dict[int, Track], channel: int) -> Track:
    """Return Amazon Connect's track of the channel's name; where it is absent the other, by which time goes on."""
    if channel >= len(CONNECT_TRACKS):
        raise _incompatible(f"it has no track for channel {channel}; choose 0, the customer, or 1, what they hear")
    return tracks.get(channel) or next(iter(tracks.values()))


def _track_in_place(tracks: list[Track], channel: int) -> Track:
    """Return the only one, or the one in the channel's place."""
    if not tracks:
        raise _incompatible("it has no audio track; send audio")
    if len(tracks) == 1:
        return tracks[0]
    if channel >= len(tracks):
        raise _incompatible(f"it has {len(tracks)} audio tracks; choose another")
    return tracks[channel]


def _choose_index(channels: int, channel: int, *, alone: bool) -> int:
    """Return which of the track's interleaved channels is the participant's."""
    if channels == 1:
        return 0
    if channels > CHANNELS_MAX or not alone:
        raise _incompatible(
            "one of its tracks interleaves more channels than expected; send one or two channels in one track"
        )
    if channel >= channels:
        raise _incompatible(f"it has {channels} channels and none with the index {channel}; choose another channel")
    return channel


def _audio_of(track: Track, *, media_type: MediaType | None, raw_allowed: bool) -> MediaType:
    """Return how to decode a track's frames.

    The media type in the fragment's tags is believed first: Amazon Connect's CodecID and CodecPrivate are not true.
    Then the codec id and its WAVEFORMATEX count. `raw_allowed`: audio of an unknown codec id is 16-bit PCM.
    """
    if track.encoded:
        raise _incompatible("its track is compressed or encrypted by the container; send it without ContentEncodings")
    told = media_type or (_CONNECT_AUDIO if _is_connects_pcm(track) else None)
    if told is not None:
        return MediaType(
            encoding=told.encoding, rate=told.rate or _stated_rate(track), channels=told.channels or track.channels
        )
    wave = track.wave_format
    return MediaType(
        encoding=_encoding_of(track, raw_allowed=raw_allowed),
        rate=_stated_rate(track),
        channels=track.channels or (wave.channels if wave else None),
    )


def _is_connects_pcm(track: Track) -> bool:
    """Whether this is Amazon Connect's untrue announcement of AAC, should the tag that says so be missing."""
    return (
        track.codec_id == "A_AAC"
        and track.codec_private == _CONNECT_CODEC_PRIVATE
        and track.sampling_frequency is None
        and connect_channel(track) is not None
    )


def _encoding_of(track: Track, *, raw_allowed: bool) -> Encoding:
    if (encoding := own_encoding(track)) is not None:
        return encoding
    other = next((name for name in OTHER_CODECS if track.codec_id.startswith(name)), None)
    if other is None and raw_allowed and track.codec_id not in (PCM_CODEC_ID, ACM_CODEC_ID):
        return Encoding.S16LE
    found = f"{other}, which is none" if other else "none"
    raise _incompatible(f"its codec is {found} of 16-bit little-endian PCM, A-law and µ-law; send one of these")


def _stated_rate(track: Track) -> int | None:
    rate = track.sampling_frequency or (track.wave_format.rate if track.wave_format else None)
    if not rate:
        return None
    if not 1 <= rate < _RATE_MAX:
        raise _incompatible("it states a sampling frequency that is none; write it in hertz")
    return round(rate)


def _number(text: str | None) -> int | None:
    return int(text) if text and _NUMBER.fullmatch(text) and int(text) else None


def _incompatible(reason: str) -> MediaIncompatible:
    return MediaIncompatible(f"the stream's audio cannot be used: {reason}")
