"""What stands before the first cluster: the time scale and the tracks, read from a whole header.

What belongs here: reading the values. What must never: judging whether the audio can be decoded (`audio/channel.py`).
"""

import struct
from dataclasses import dataclass

from earwitness.audio.matroska import ids
from earwitness.audio.matroska.ebml import (
    UNKNOWN_SIZE,
    read_children,
    read_element,
    read_float,
    read_text,
    read_unsigned,
)
from earwitness.errors import MatroskaInvalid

AUDIO_TRACK = 2
"""TrackType of audio."""

TRACKS_MAX = 3
"""Tracks of a stream, as PutMedia has it."""

PCM_CODEC_ID = "A_PCM/INT/LIT"
ACM_CODEC_ID = "A_MS/ACM"
G711_TAGS = (6, 7)
"""A-law and µ-law, as a WAVEFORMATEX numbers them."""

_SCALE_NS = 1_000_000
"""TimestampScale where none is written."""

_RATES = range(1, 1_000_000)
"""Sampling frequencies out of which a duration is computed. Others are no audio's."""

_WAVE_FORMAT = struct.Struct("<HHIIHH")


@dataclass(frozen=True, kw_only=True)
class WaveFormat:
    """The WAVEFORMATEX that a track of codec id A_MS/ACM has as its CodecPrivate."""

    #: 1 is PCM; see G711_TAGS.
    tag: int
    channels: int
    rate: int
    #: Of a sample.
    bits: int


@dataclass(frozen=True, kw_only=True)
class Track:
    """One TrackEntry. None stands for what the stream does not state."""

    number: int
    type: int
    codec_id: str
    name: str = ""
    codec_private: bytes = b""
    sampling_frequency: float | None = None
    """In hertz, as written."""

    channels: int | None = None
    bit_depth: int | None = None
    default_duration_ns: int | None = None
    """How long each frame lasts."""

    encoded: bool = False
    """Its frames are compressed or encrypted by the container (ContentEncodings)."""

    @property
    def wave_format(self) -> WaveFormat | None:
        """What CodecPrivate says of a track of codec id A_MS/ACM; None for others, or when it is too short."""
        if self.codec_id != ACM_CODEC_ID or len(self.codec_private) < _WAVE_FORMAT.size:
            return None
        tag, channels, rate, _, _, bits = _WAVE_FORMAT.unpack_from(self.codec_private)
        # AWS's C producer leaves the bits of G.711 0; they are always 8.
        return WaveFormat(tag=tag, channels=channels, rate=rate, bits=8 if tag in G711_TAGS else bits)

    @property
    def bytes_per_second(self) -> int | None:
        """Of uncompressed audio, whose frames last as long as they are; None for anything else."""
        rate = self.sampling_frequency
        if rate is None or int(rate) not in _RATES:
            return None
        if self.codec_id == PCM_CODEC_ID:
            bits = self.bit_depth or 16
        elif (wave := self.wave_format) is not None and wave.tag in (1, *G711_TAGS):
            bits = wave.bits
        else:
            return None
        return int(rate) * (self.channels or 1) * bits // 8 or None


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a stream says before its first cluster."""

    raw: bytes
    """Every byte of it, from the EBML header on, verbatim."""

    timestamp_scale_ns: int
    """Nanoseconds of one tick of the stream's timestamps."""

    tracks: tuple[Track, ...]
    """In the order written. Of more than are allowed, one more than that: enough to refuse it."""


def parse_header(raw: bytes) -> Header:
    """Read everything before the first cluster. Raises MatroskaInvalid when it breaks the format or has no track."""
    scale, tracks = _SCALE_NS, None
    stop = len(raw)
    for element_id, start, end in read_children(raw, segment_start(raw), stop):
        if element_id == ids.INFO:
            scale = _parse_info(raw, start, end)
        elif element_id == ids.TRACKS:
            if tracks is not None:
                raise MatroskaInvalid("the header has two lists of tracks; send one")
            tracks = _parse_tracks(raw, start, end)
    if not tracks:
        raise MatroskaInvalid("the header has no track; send Tracks before the first Cluster")
    return Header(raw=raw, timestamp_scale_ns=scale, tracks=tracks)


def segment_start(raw: bytes) -> int:
    """Return where the segment's first child begins. Raises MatroskaInvalid when no segment begins in `raw`."""
    position = 0
    while (element := read_element(raw, position, len(raw))) is not None:
        element_id, size, start = element
        if element_id == ids.SEGMENT:
            return start
        if size == UNKNOWN_SIZE:
            break
        position = start + size
    raise MatroskaInvalid("the header has no Segment; send a whole Matroska stream")


def check_ebml_header(data: bytes | bytearray, start: int, stop: int) -> None:
    """Raise MatroskaInvalid unless the payload of the EBML element announces what this package reads."""
    for element_id, first, end in read_children(data, start, stop):
        if element_id == ids.DOC_TYPE and read_text(data[first:end]) not in ("matroska", "webm"):
            raise MatroskaInvalid("the EBML document is neither matroska nor webm; send Matroska")
        limit = _READABLE_MAX.get(element_id)
        if limit is not None and read_unsigned(data[first:end]) > limit:
            raise MatroskaInvalid("the EBML header asks for a newer reader, or longer ids or sizes; send EBML 1")


_READABLE_MAX = {ids.EBML_READ_VERSION: 1, ids.EBML_MAX_ID_LENGTH: 4, ids.EBML_MAX_SIZE_LENGTH: 8}


def _parse_info(raw: bytes, start: int, stop: int) -> int:
    scale = _SCALE_NS
    for element_id, first, end in read_children(raw, start, stop):
        if element_id == ids.TIMESTAMP_SCALE:
            scale = read_unsigned(raw[first:end])
    if not scale:
        raise MatroskaInvalid("TimestampScale is 0; send nanoseconds per tick, usually 1,000,000")
    return scale


def _parse_tracks(raw: bytes, start: int, stop: int) -> tuple[Track, ...]:
    tracks: dict[int, Track] = {}
    for element_id, first, end in read_children(raw, start, stop):
        if element_id == ids.TRACK_ENTRY:
            track = _parse_track(raw, first, end)
            if track.number in tracks:
                raise MatroskaInvalid("two tracks have the same number; number them apart")
            tracks[track.number] = track
            if len(tracks) > TRACKS_MAX:
                break
    return tuple(tracks.values())


def _parse_track(raw: bytes, start: int, stop: int) -> Track:
    entry = _payloads(raw, start, stop)
    audio = entry.get(ids.AUDIO, b"")
    audio_entry = _payloads(audio, 0, len(audio))
    number = read_unsigned(entry.get(ids.TRACK_NUMBER, b""))
    if not number:
        raise MatroskaInvalid("a track has no number; number tracks from 1")
    frequency = audio_entry.get(ids.SAMPLING_FREQUENCY)
    return Track(
        number=number,
        type=read_unsigned(entry.get(ids.TRACK_TYPE, b"")),
        codec_id=read_text(entry.get(ids.CODEC_ID, b"")),
        name=read_text(entry.get(ids.TRACK_NAME, b"")),
        codec_private=entry.get(ids.CODEC_PRIVATE, b""),
        sampling_frequency=None if frequency is None else read_float(frequency),
        channels=_optional(audio_entry.get(ids.CHANNELS)),
        bit_depth=_optional(audio_entry.get(ids.BIT_DEPTH)),
        default_duration_ns=_optional(entry.get(ids.DEFAULT_DURATION)),
        encoded=ids.CONTENT_ENCODINGS in entry,
    )


def _payloads(raw: bytes, start: int, stop: int) -> dict[int, bytes]:
    return {element_id: raw[first:end] for element_id, first, end in read_children(raw, start, stop)}


def _optional(payload: bytes | None) -> int | None:
    return None if payload is None else read_unsigned(payload)
