"""Somebody else's other half: libavformat writes what we read, and reads what we write."""

import io

import av
import numpy as np
import pytest
from tests.fuzz import streams

from earwitness.audio.channel import ChannelDecoder
from earwitness.audio.matroska.events import FragmentReceived, HeaderReceived
from earwitness.audio.matroska.frames import read_frames
from earwitness.audio.matroska.get_media import ConsumedFragment, GetMediaReader
from earwitness.audio.matroska.put_media import PutMediaReader
from earwitness.audio.matroska.tags import write_tags
from earwitness.audio.matroska.tracks import Header, Track
from earwitness.audio.matroska.writer import pcm_track, write_block, write_cluster, write_header


class Pipe(io.RawIOBase):
    """Somewhere to write that cannot go back."""

    def __init__(self) -> None:
        self.written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:  # type: ignore[override]
        self.written += bytes(data)  # type: ignore[call-overload]
        return len(bytes(data))  # type: ignore[call-overload]


def noise(*, channels: int, rate: int, seconds: float = 2.5) -> np.ndarray:
    """Shape (samples, channels), int16."""
    return np.random.default_rng(7).integers(-32768, 32768, (round(seconds * rate), channels)).astype("<i2")


def their_file(samples: np.ndarray, *, rate: int, into: io.RawIOBase | io.BytesIO) -> None:
    layout = "stereo" if samples.shape[1] == 2 else "mono"
    with av.open(into, "w", format="matroska") as container:
        stream = container.add_stream("pcm_s16le", rate=rate, layout=layout)
        for first in range(0, len(samples), rate // 50):
            part = samples[first : first + rate // 50].reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(part), format="s16", layout=layout)
            frame.sample_rate, frame.pts = rate, first
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def their_samples(data: bytes, *, stream: int = 0) -> tuple[np.ndarray, int]:
    with av.open(io.BytesIO(data), "r", format="matroska") as container:
        chosen = container.streams.audio[stream]
        channels = chosen.channels
        parts = [frame.to_ndarray().reshape(-1, channels) for frame in container.decode(chosen)]
        return np.concatenate(parts), chosen.rate


def our_samples(data: bytes, *, channel: int, chunk: int = 1000) -> np.ndarray:
    reader = PutMediaReader()
    events = [event for first in range(0, len(data), chunk) for event in reader.feed(data[first : first + chunk])]
    heard: list[np.ndarray] = []
    decoder: ChannelDecoder | None = None
    for event in [*events, *reader.close()]:
        if isinstance(event, HeaderReceived):
            decoder = ChannelDecoder(event.header, channel=channel, declared_rate=1)
        elif isinstance(event, FragmentReceived) and decoder is not None:
            heard.append(decoder.feed(read_frames(event.cluster)))
    return np.concatenate(heard)


@pytest.mark.parametrize("seekable", [False, True])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [8000, 48000])
def test_we_read_what_they_write(seekable: bool, channels: int, rate: int) -> None:
    samples, into = noise(channels=channels, rate=rate), io.BytesIO() if seekable else Pipe()
    their_file(samples, rate=rate, into=into)
    data = into.getvalue() if isinstance(into, io.BytesIO) else bytes(into.written)
    for channel in range(channels):
        np.testing.assert_array_equal(our_samples(data, channel=channel) * 32768, samples[:, channel])


def our_file(track: Track, payload: bytes, *, bytes_per_frame: int, size_known: bool = True) -> bytes:
    """Frames of 20 ms, fifty to a fragment, tags after each."""
    frames = [payload[first : first + bytes_per_frame] for first in range(0, len(payload), bytes_per_frame)]
    parts = [write_header([track])]
    for first in range(0, len(frames), 50):
        blocks = [write_block(track.number, 20 * index, each) for index, each in enumerate(frames[first : first + 50])]
        parts += [write_cluster(20 * first, blocks, size_known=size_known), write_tags({"CallId": "c"})]
    return b"".join(parts)


@pytest.mark.parametrize("size_known", [True, False])
@pytest.mark.parametrize("channels", [1, 2])
def test_they_read_what_we_write(size_known: bool, channels: int) -> None:
    samples = noise(channels=channels, rate=8000)
    track = pcm_track(rate=8000, channels=channels, name="caller")
    data = our_file(track, samples.tobytes(), bytes_per_frame=320 * channels, size_known=size_known)
    theirs, rate = their_samples(data)
    assert rate == 8000
    np.testing.assert_array_equal(theirs, samples)
    np.testing.assert_array_equal(our_samples(data, channel=channels - 1) * 32768, samples[:, channels - 1])


@pytest.mark.parametrize("tag", [6, 7])
@pytest.mark.parametrize("channels", [1, 2])
def test_they_hear_our_g711_as_we_do(tag: int, channels: int) -> None:
    """libavformat writes no G.711 into Matroska, so it is the judge of our writing and decoding only."""
    codes = np.random.default_rng(1).integers(0, 256, 16_000 * channels).astype(np.uint8)
    data = our_file(streams.acm_track(tag, channels=channels), codes.tobytes(), bytes_per_frame=160 * channels)
    theirs, _ = their_samples(data)
    for channel in range(channels):
        np.testing.assert_array_equal(our_samples(data, channel=channel) * 32768, theirs[:, channel])


def test_they_read_our_two_tracks_and_every_lacing() -> None:
    data = streams.two_tracks()
    for stream, channel in ((0, 1), (1, 0)):
        theirs, _ = their_samples(data, stream=stream)
        ours = our_samples(data, channel=channel)
        assert len(theirs) == len(ours) or len(theirs) == len(ours) - 2  # they drop a half sample at each frame's end
    with av.open(io.BytesIO(streams.corners()), "r", format="matroska") as container:
        packets = [bytes(packet) for packet in container.demux() if packet.size]
    events = PutMediaReader().feed(streams.corners())
    frames = [bytes(f.data) for e in events if isinstance(e, FragmentReceived) for f in read_frames(e.cluster)]
    assert packets == [frame for frame in frames if frame]


def test_they_read_a_chunk_of_get_media() -> None:
    [*fragments] = GetMediaReader().feed(streams.get_media())
    first = fragments[0]
    assert isinstance(first, ConsumedFragment)
    assert isinstance(first.header, Header)
    data = streams.get_media()
    with av.open(io.BytesIO(data[: data.index(first.header.raw, 1)]), "r", format="matroska") as container:
        packets = [bytes(packet) for packet in container.demux() if packet.size]
    assert packets == [bytes(frame.data) for frame in read_frames(first.cluster)]
