"""Small streams in the dialects of real producers, and in corners of Matroska that few write, to be broken."""

import struct
from datetime import UTC, datetime
from itertools import pairwise

from earwitness.audio.matroska import ids
from earwitness.audio.matroska.ebml import write_element, write_id, write_integer, write_unknown_size, write_unsigned
from earwitness.audio.matroska.get_media import get_media_chunk, get_media_error
from earwitness.audio.matroska.tags import END_OF_FRAGMENT, write_tags
from earwitness.audio.matroska.tracks import ACM_CODEC_ID, AUDIO_TRACK, Track
from earwitness.audio.matroska.writer import (
    pcm_track,
    write_block,
    write_cluster,
    write_ebml_header,
    write_header,
    write_segment_begin,
)

XIPH, FIXED, EBML = 0x02, 0x04, 0x06


def frame(length: int, first: int = 0) -> bytes:
    """Bytes that tell their place."""
    return bytes((first + index) % 251 for index in range(length))


def acm_track(tag: int, *, rate: int = 8000, channels: int = 1, bits: int = 8) -> Track:
    """A track as the C producer announces G.711: an 18-byte WAVEFORMATEX in CodecPrivate."""
    block = channels * bits // 8
    private = struct.pack("<HHIIHHH", tag, channels, rate, rate * block, block, bits, 0)
    return Track(
        number=1,
        type=AUDIO_TRACK,
        codec_id=ACM_CODEC_ID,
        name="audio",
        codec_private=private,
        sampling_frequency=float(rate),
        channels=channels,
        bit_depth=bits,
    )


def laced_block(lacing: int, frames: list[bytes], *, track: int = 1, ticks: int = 0, group: bool = False) -> bytes:
    """A block of several frames, in a BlockGroup with a duration if asked."""
    sizes = [len(each) for each in frames[:-1]]
    if lacing == XIPH:
        table = b"".join(b"\xff" * (size // 255) + bytes([size % 255]) for size in sizes)
    elif lacing == EBML:
        deltas = [high - low for low, high in pairwise(sizes)]
        table = write_integer(sizes[0], width=2)
        table += b"".join(write_integer(delta + (1 << 13) - 1, width=2) for delta in deltas)
    else:
        table = b""
    head = write_integer(track) + ticks.to_bytes(2, "big", signed=True) + bytes([lacing, len(frames) - 1])
    payload = head + table + b"".join(frames)
    if not group:
        return write_element(ids.SIMPLE_BLOCK, payload)
    duration = write_unsigned(ids.BLOCK_DURATION, 40)
    return write_element(ids.BLOCK_GROUP, write_element(ids.BLOCK, payload) + duration)


def c_producer(*, fragments: int = 3) -> bytes:
    """The C producer: sizes of 8 bytes, a segment and clusters of unknown size, tags after each cluster."""
    header = write_header([pcm_track(rate=8000, name="kvs_audio_track")])
    header = header.replace(write_segment_begin(), write_id(ids.SEGMENT) + write_unknown_size(width=1))
    parts = [header]
    for number in range(fragments):
        parts.append(write_id(ids.CLUSTER) + write_unknown_size(width=8))
        parts.append(write_unsigned(ids.TIMESTAMP, 1000 * number, width=8))
        parts.append(write_unsigned(0xA7, 0))
        for ticks in (0, 20, 40):
            payload = b"\x81" + ticks.to_bytes(2, "big", signed=True) + b"\x80" + frame(30, ticks)
            parts.append(write_element(ids.SIMPLE_BLOCK, payload, size_width=8))
        parts.append(write_tags({"CallId": f"call-{number}", "TransactionId": "t"}, size_width=8))
    parts.append(write_tags({END_OF_FRAGMENT: ""}, size_width=8))
    return b"".join(parts)


def libavformat(*, fragments: int = 3) -> bytes:
    """ffmpeg to a pipe: SeekHead and Void, checksums, tags in the header, clusters of known size."""
    checksum = write_element(ids.CRC_32, bytes(4))
    head = write_ebml_header() + write_segment_begin()
    head += write_element(ids.SEEK_HEAD, checksum + frame(8)) + write_element(ids.VOID, bytes(20), size_width=8)
    track = pcm_track(rate=16000, channels=2)
    info_and_tracks = write_header([track]).removeprefix(write_ebml_header() + write_segment_begin())
    parts = [head, info_and_tracks, write_tags({"ENCODER": "Lavf"})]
    for number in range(fragments):
        blocks = b"".join(write_block(1, ticks, frame(64, ticks)) for ticks in (-3, 0, 1))
        payload = checksum + write_unsigned(ids.TIMESTAMP, 1000 * number) + blocks
        parts.append(write_element(ids.CLUSTER, payload))
    parts.append(write_element(ids.CUES, frame(12)))
    return b"".join(parts)


def corners() -> bytes:
    """A segment of known size, three tracks, another time scale, groups, every lacing, unknown elements."""
    tracks = [pcm_track(number=number, rate=8000, name=f"track {number}") for number in (1, 2, 200)]
    body = write_header(tracks, timestamp_scale_ns=100_000).removeprefix(write_ebml_header() + write_segment_begin())
    for number in range(2):
        blocks = [
            laced_block(XIPH, [frame(300), frame(5), frame(7)], track=1),
            laced_block(EBML, [frame(9), frame(3), frame(11)], track=2, ticks=5, group=True),
            laced_block(FIXED, [frame(4), frame(4, 9)], track=200, ticks=9),
            write_element(ids.VOID, frame(3)),
            write_element(0x5854, frame(2)),
            write_block(1, 400, b""),
        ]
        body += write_cluster(10_000 * number, blocks, size_known=number == 0)
        body += write_element(ids.VOID, b"") + write_tags({"a": "b"})
    return write_ebml_header() + write_element(ids.SEGMENT, body) + write_element(ids.VOID, b"x")


def two_tracks() -> bytes:
    """Amazon Connect's tracks."""
    tracks = [
        pcm_track(number=1, rate=8000, name="AUDIO_TO_CUSTOMER"),
        pcm_track(number=2, rate=8000, name="AUDIO_FROM_CUSTOMER"),
    ]
    parts = [write_header(tracks)]
    for number in range(2):
        blocks = [write_block(track, ticks, frame(33, track)) for ticks in (0, 2) for track in (1, 2)]
        parts.append(write_cluster(1_700_000_000_000 + 1000 * number, blocks, size_known=False))
    return b"".join(parts)


def g711() -> bytes:
    """µ-law in two fragments, sent by ABSOLUTE timecodes that begin in 1970."""
    clusters = (write_cluster(100 * n, [write_block(1, 0, frame(40)), write_block(1, 5, frame(40))]) for n in range(2))
    return write_header([acm_track(7)]) + b"".join(clusters)


def get_media(*, error: bool = False) -> bytes:
    """A consumer's payload."""
    header = write_header([pcm_track(rate=8000)])
    parts: list[bytes] = []
    for number in range(3):
        chunk = get_media_chunk(
            header,
            write_cluster(1000 * number, [write_block(1, 0, frame(40)), write_block(1, 5, frame(41))]),
            producer_tags=write_tags({"CallId": "c"}) if number else b"",
            fragment_number=f"9134385233318150663{number}",
            server_timestamp=datetime(2024, 1, 1, 0, 0, number, 123_000, UTC),
            producer_timestamp=datetime(2024, 1, 1, 0, 0, number, tzinfo=UTC),
            millis_behind_now=120 - number,
            continuation_token=f"9134385233318150663{number}",
        )
        parts.append(chunk)
    if error:
        parts.append(get_media_error(header, fragment_number="7", error_id=5000, error_code="INTERNAL_ERROR"))
    return b"".join(parts)


def seeds() -> dict[str, bytes]:
    """All of them, by name."""
    return {
        "c_producer": c_producer(),
        "libavformat": libavformat(),
        "corners": corners(),
        "two_tracks": two_tracks(),
        "g711": g711(),
        "get_media": get_media(),
        "get_media_error": get_media(error=True),
    }
