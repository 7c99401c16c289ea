"""What a track's frames hold: encoding, rate and channels, from the most reliable place that says so.

What belongs here: what producers of Kinesis Video Streams write, and how it is told apart. What must never: which
track is listened to (`audio/channel.py`).
"""

from dataclasses import dataclass
from typing import NoReturn

from earwitness.audio.fragment_tags import MediaType
from earwitness.audio.matroska.tracks import ACM_CODEC_ID, PCM_CODEC_ID, Track
from earwitness.audio.pcm import Encoding
from earwitness.errors import MediaIncompatible

CONNECT_TRACKS = ("AUDIO_FROM_CUSTOMER", "AUDIO_TO_CUSTOMER")
"""Names of Amazon Connect's two tracks, by the channel id that stands for each."""

RATE_MAX = 1_000_000

_CONNECT_CODEC_PRIVATE = bytes.fromhex("1190")
"""AAC at 48 kHz in stereo, says Amazon Connect, and sends 16-bit PCM at 8 kHz in mono (captured streams)."""

_CONNECT_AUDIO = MediaType(encoding=Encoding.S16LE, rate=8_000, channels=1)

_WAVE_ENCODINGS = {(1, 16): Encoding.S16LE, (6, 8): Encoding.ALAW, (7, 8): Encoding.MULAW}
"""By the tag and the bits per sample of a WAVEFORMATEX."""

OTHER_CODECS = (
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


@dataclass(frozen=True, kw_only=True)
class TrackAudio:
    """How to decode a track. None stands for what the stream does not state."""

    encoding: Encoding
    rate: int | None
    channels: int | None


def audio_of(track: Track, *, media_type: MediaType | None, raw_allowed: bool) -> TrackAudio:
    """How to decode a track's frames.

    The media type in the fragment's tags is believed first: Amazon Connect's CodecID and CodecPrivate are not true.
    Then the codec id and its WAVEFORMATEX count. `raw_allowed`: audio of an unknown codec id is 16-bit PCM.
    Raises MediaIncompatible for audio that cannot be decoded.
    """
    if track.encoded:
        incompatible("its track is compressed or encrypted by the container; send it without ContentEncodings")
    told = media_type or (_CONNECT_AUDIO if _is_connects_pcm(track) else None)
    if told is not None:
        return TrackAudio(
            encoding=told.encoding, rate=told.rate or _stated_rate(track), channels=told.channels or track.channels
        )
    wave = track.wave_format
    return TrackAudio(
        encoding=_encoding_of(track, raw_allowed=raw_allowed),
        rate=_stated_rate(track),
        channels=track.channels or (wave.channels if wave else None),
    )


def connect_channel(track: Track) -> int | None:
    """The channel id that a track of Amazon Connect stands for, by its name in any case; None for other tracks."""
    name = track.name.strip().upper()
    return CONNECT_TRACKS.index(name) if name in CONNECT_TRACKS else None


def incompatible(reason: str) -> NoReturn:
    """Raise MediaIncompatible; `reason` says what is wrong and what to do."""
    raise MediaIncompatible(f"the stream's audio cannot be used: {reason}")


def _is_connects_pcm(track: Track) -> bool:
    """Whether this is Amazon Connect's untrue announcement of AAC, should the tag that says so be missing."""
    return (
        track.codec_id == "A_AAC"
        and track.codec_private == _CONNECT_CODEC_PRIVATE
        and track.sampling_frequency is None
        and connect_channel(track) is not None
    )


def _encoding_of(track: Track, *, raw_allowed: bool) -> Encoding:
    wave = track.wave_format
    if track.codec_id == PCM_CODEC_ID and track.bit_depth in (None, 16):
        return Encoding.S16LE
    if wave is not None and (encoding := _WAVE_ENCODINGS.get((wave.tag, wave.bits))) is not None:
        return encoding
    other = next((name for name in OTHER_CODECS if track.codec_id.startswith(name)), None)
    if other is None and raw_allowed and track.codec_id not in (PCM_CODEC_ID, ACM_CODEC_ID):
        return Encoding.S16LE
    found = f"{other}, which is none" if other else "none"
    incompatible(f"its codec is {found} of 16-bit little-endian PCM, A-law and µ-law; send one of these")


def _stated_rate(track: Track) -> int | None:
    rate = track.sampling_frequency or (track.wave_format.rate if track.wave_format else None)
    if not rate:
        return None
    if not 1 <= rate < RATE_MAX:
        incompatible("it states a sampling frequency that is none; write it in hertz")
    return round(rate)
