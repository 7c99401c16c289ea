"""A leg's fragments as Matroska: what a Voice Connector would send to Kinesis Video Streams. Pure functions."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from earwitness.audio.matroska.tags import VALUE_BYTES_MAX, write_tags
from earwitness.audio.matroska.tracks import G711_TAGS
from earwitness.audio.matroska.writer import g711_track, pcm_track, write_block, write_cluster, write_header
from earwitness.doors.events import AudioCoding, Leg
from earwitness.doors.leg import LegFragment

_FRAME_SECONDS = 0.1
_TRACK = 1
_ALAW, _MULAW = G711_TAGS


def leg_header(leg: Leg) -> bytes:
    """Return what stands before a leg's clusters. G.711 is announced as A_MS/ACM, samples of 16 bits as PCM."""
    match leg.coding:
        case AudioCoding.PCMU:
            track = g711_track(tag=_MULAW, rate=leg.rate)
        case AudioCoding.PCMA:
            track = g711_track(tag=_ALAW, rate=leg.rate)
        case AudioCoding.L16:
            track = pcm_track(rate=leg.rate)
    return write_header([track])


def leg_cluster(leg: Leg, fragment: LegFragment, *, begins: datetime) -> bytes:
    """Return a fragment as a cluster in frames of 0.1 s; its timestamp is the time of its first sample, in UTC."""
    silence, sample_bytes = leg.coding.silence, leg.coding.sample_bytes
    data = fragment.data or silence * fragment.samples
    frame = round(leg.rate * _FRAME_SECONDS)
    blocks = (
        write_block(
            _TRACK, round(1_000 * first / leg.rate), data[first * sample_bytes : (first + frame) * sample_bytes]
        )
        for first in range(0, fragment.samples, frame)
    )
    return write_cluster(round(1_000 * spoken_at(leg, fragment, begins=begins).timestamp()), blocks)


def spoken_at(leg: Leg, fragment: LegFragment, *, begins: datetime) -> datetime:
    """Return the time of a fragment's first sample, in a leg whose place 0 is at `begins`."""
    return begins + timedelta(seconds=fragment.first / leg.rate)


def leg_tags(values: Mapping[str, str]) -> bytes:
    """Return a Tags element. Values that are longer than a tag may be are cut, empty ones are left out."""
    return write_tags(
        {
            name: value.encode("utf-8", "replace")[:VALUE_BYTES_MAX].decode("utf-8", "ignore")
            for name, value in values.items()
            if value
        }
    )
