"""What a producer sends: a header, clusters of frames; pure functions from values to bytes.

What belongs here: the layout of a stream as PutMedia takes it. What must never: encoding samples, clocks, sockets.
Tags are in `tags.write_tags`; GetMedia's chunks in `get_media`.
"""

import struct
from collections.abc import Iterable, Sequence

from earwitness.audio.matroska import ids
from earwitness.audio.matroska.ebml import (
    write_element,
    write_float,
    write_id,
    write_integer,
    write_text,
    write_unknown_size,
    write_unsigned,
)
from earwitness.audio.matroska.tracks import ACM_CODEC_ID, AUDIO_TRACK, PCM_CODEC_ID, Track

MILLISECOND_NS = 1_000_000
"""The time scale of Kinesis Video Streams' own producers."""

RELATIVE_TICKS_MAX = 0x7FFF
"""How far a frame may lie behind its cluster's timestamp: 32 s in milliseconds."""

_APPLICATION = "earwitness"
_KEY_FRAME = 0x80


def pcm_track(*, number: int = 1, rate: int, channels: int = 1, name: str = "") -> Track:
    """Return a track of signed 16-bit little-endian PCM, interleaved."""
    return Track(
        number=number,
        type=AUDIO_TRACK,
        codec_id=PCM_CODEC_ID,
        name=name,
        sampling_frequency=float(rate),
        channels=channels,
        bit_depth=16,
    )


def g711_track(*, number: int = 1, tag: int, rate: int, name: str = "") -> Track:
    """Return a track of one channel of G.711. `tag` is one of G711_TAGS."""
    channels, bits, extra_bytes = 1, 8, 0
    return Track(
        number=number,
        type=AUDIO_TRACK,
        codec_id=ACM_CODEC_ID,
        name=name,
        codec_private=struct.pack("<HHIIHHH", tag, channels, rate, rate, channels, bits, extra_bytes),
        sampling_frequency=float(rate),
        channels=channels,
        bit_depth=bits,
    )


def write_header(tracks: Sequence[Track], *, timestamp_scale_ns: int = MILLISECOND_NS) -> bytes:
    """Return the EBML header, the begin of a Segment of unknown size, Info and Tracks."""
    info = write_element(
        ids.INFO,
        write_unsigned(ids.TIMESTAMP_SCALE, timestamp_scale_ns)
        + write_text(ids.MUXING_APP, _APPLICATION)
        + write_text(ids.WRITING_APP, _APPLICATION),
    )
    entries = write_element(ids.TRACKS, b"".join(map(_write_track, tracks)))
    return write_ebml_header() + write_segment_begin() + info + entries


def write_ebml_header() -> bytes:
    """Return what every Matroska file begins with."""
    return write_element(
        ids.EBML,
        write_unsigned(ids.EBML_VERSION, 1)
        + write_unsigned(ids.EBML_READ_VERSION, 1)
        + write_unsigned(ids.EBML_MAX_ID_LENGTH, 4)
        + write_unsigned(ids.EBML_MAX_SIZE_LENGTH, 8)
        + write_text(ids.DOC_TYPE, "matroska")
        + write_unsigned(ids.DOC_TYPE_VERSION, 4)
        + write_unsigned(ids.DOC_TYPE_READ_VERSION, 2),
    )


def write_segment_begin() -> bytes:
    """Return a Segment that ends with the stream; its size field has 8 bytes, as GetMedia's."""
    return write_id(ids.SEGMENT) + write_unknown_size(width=8)


def write_cluster(ticks: int, blocks: Iterable[bytes], *, size_known: bool = True) -> bytes:
    """Return a fragment: its timestamp in ticks of the stream, then blocks as `write_block` makes them.

    Of unknown size it can be sent while it grows: the pieces are this function's result and more blocks after it.
    """
    payload = write_unsigned(ids.TIMESTAMP, ticks) + b"".join(blocks)
    if size_known:
        return write_element(ids.CLUSTER, payload)
    return write_id(ids.CLUSTER) + write_unknown_size(width=8) + payload


def write_block(track_number: int, relative_ticks: int, frame: bytes) -> bytes:
    """Return a SimpleBlock of one frame; `relative_ticks` counts from the cluster's timestamp.

    Raises ValueError when that is beyond -32,768 to 32,767: begin another cluster before it gets that far.
    """
    if not -RELATIVE_TICKS_MAX - 1 <= relative_ticks <= RELATIVE_TICKS_MAX:
        raise ValueError(f"a frame cannot lie {relative_ticks} ticks from its cluster's timestamp; begin a cluster")
    head = write_integer(track_number) + relative_ticks.to_bytes(2, "big", signed=True) + bytes([_KEY_FRAME])
    return write_element(ids.SIMPLE_BLOCK, head + frame)


def _write_track(track: Track) -> bytes:
    parts = [
        write_unsigned(ids.TRACK_NUMBER, track.number),
        write_unsigned(ids.TRACK_UID, track.number),
        write_unsigned(ids.TRACK_TYPE, track.type),
        write_text(ids.CODEC_ID, track.codec_id),
    ]
    if track.name:
        parts.append(write_text(ids.TRACK_NAME, track.name))
    if track.codec_private:
        parts.append(write_element(ids.CODEC_PRIVATE, track.codec_private))
    if track.default_duration_ns is not None:
        parts.append(write_unsigned(ids.DEFAULT_DURATION, track.default_duration_ns))
    if audio := _write_audio(track):
        parts.append(write_element(ids.AUDIO, audio))
    return write_element(ids.TRACK_ENTRY, b"".join(parts))


def _write_audio(track: Track) -> bytes:
    parts: list[bytes] = []
    if track.sampling_frequency is not None:
        parts.append(write_float(ids.SAMPLING_FREQUENCY, track.sampling_frequency))
    if track.channels is not None:
        parts.append(write_unsigned(ids.CHANNELS, track.channels))
    if track.bit_depth is not None:
        parts.append(write_unsigned(ids.BIT_DEPTH, track.bit_depth))
    return b"".join(parts)
