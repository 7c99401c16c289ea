"""ffmpeg as a producer: its pipe is the body of PutMedia while it runs, and what comes back is what went in.

Where ffmpeg is not installed, its muxer in PyAV takes its place, for PCM only, because it writes no G.711 from there.
"""

import io
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any

import av
import numpy as np
import pytest
import soundfile
from media_client import Producer, fragments, new_stream
from serving import Served

import started
from earwitness.audio.matroska.tracks import Track
from patience import PATIENCE_SECONDS

FFMPEG = shutil.which("ffmpeg")
QUIET = ("-hide_banner", "-loglevel", "error", "-nostdin")
LIVE = ("-f", "matroska", "-live", "1", "-cluster_time_limit", "1000", "-flush_packets", "1", "pipe:1")
SECONDS = 4.3
PIPE_BYTES = 8_192
"""Read at once: half a second of a telephone channel, so that a fragment comes in several pieces."""

needs_ffmpeg = pytest.mark.skipif(FFMPEG is None, reason="ffmpeg is not installed; PyAV's muxer is tested instead")

G711 = {"pcm_mulaw": 7, "pcm_alaw": 6}
"""ffmpeg's names, and the tags of the WAVEFORMATEX that tells the two apart in A_MS/ACM."""


@pytest.fixture
def url(served: Served) -> str:
    return served.url


def noise(*, rate: int, channels: int) -> bytes:
    """16-bit samples, nowhere the same."""
    count = round(SECONDS * rate) * channels
    return np.random.default_rng(rate + channels).integers(-32_768, 32_768, count).astype("<i2").tobytes()


def raw(codec: str, *, rate: int, channels: int) -> tuple[str, ...]:
    """How ffmpeg is told of headerless audio."""
    return ("-f", codec.removeprefix("pcm_"), "-ar", str(rate), "-ac", str(channels))


@contextmanager
def ffmpeg(*arguments: str) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """A running ffmpeg's standard input and output; it must end without a complaint."""
    assert FFMPEG is not None
    with started.process(
        [FFMPEG, *QUIET, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        yield process.stdin, process.stdout
        assert (process.stderr.read(), process.wait(timeout=PATIENCE_SECONDS)) == (b"", 0)


def converted(data: bytes, *arguments: str) -> bytes:
    """What ffmpeg makes of this, in one go."""
    assert FFMPEG is not None
    command = [FFMPEG, *QUIET, *arguments]
    return subprocess.run(command, input=data, capture_output=True, check=True, timeout=PATIENCE_SECONDS).stdout


def feed(into: IO[bytes], data: bytes, *, at: int, wait: threading.Event) -> None:
    """Write the beginning; the rest once the test has seen what came of it."""
    with into:
        into.write(data[:at])
        wait.wait(15)
        for first in range(at, len(data), 65_536):
            into.write(data[first : first + 65_536])


def sent_live(url: str, stream: str, write: Callable[[IO[bytes], threading.Event], None], pipe: Any) -> int:
    """Stream what comes out of the pipe as it comes; how many fragments were kept.

    The writer holds the rest of the audio back until a fragment of its beginning is durable: nothing can have been
    muxed beforehand.
    """
    stdin, stdout = pipe
    first_is_kept = threading.Event()
    writer = threading.Thread(target=write, args=(stdin, first_is_kept))
    writer.start()
    with Producer(url, stream, timecodes="RELATIVE", start="1790000000") as producer:
        producer.opened()
        acks: list[dict[str, Any]] = []

        def listen() -> None:
            for ack in producer.acks():
                acks.append(ack)
                if ack["EventType"] == "PERSISTED":
                    first_is_kept.set()

        listener = threading.Thread(target=listen)
        listener.start()
        while data := os.read(stdout.fileno(), PIPE_BYTES):
            producer.send(data)
        producer.finish()
        listener.join(15)
    writer.join(15)
    assert first_is_kept.is_set()
    assert {ack["EventType"] for ack in acks} <= {"BUFFERING", "RECEIVED", "PERSISTED", "IDLE"}
    return sum(ack["EventType"] == "PERSISTED" for ack in acks)


def received(url: str, stream: str, *, count: int) -> tuple[Track, bytes]:
    """The stream's track, and one Matroska stream of all its fragments, from stock boto3."""
    found = fragments(url, stream, at_most=count)
    assert len(found) == count >= SECONDS - 1
    (track,) = found[0].header.tracks
    return track, found[0].header.raw + b"".join(fragment.cluster for fragment in found)


def decoded_by_pyav(matroska: bytes) -> bytes:
    with av.open(io.BytesIO(matroska), "r", format="matroska") as container:
        frames = list(container.decode(container.streams.audio[0]))
        return b"".join(frame.to_ndarray().astype("<i2").tobytes() for frame in frames)


def decoded_by_ffmpeg(matroska: bytes) -> bytes:
    return converted(matroska, "-f", "matroska", "-i", "pipe:0", "-f", "s16le", "pipe:1")


@needs_ffmpeg
@pytest.mark.slow
@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (16_000, 2)])
def test_pcm(url: str, rate: int, channels: int) -> None:
    stream, samples = new_stream(url), noise(rate=rate, channels=channels)
    half = len(samples) // 2
    with ffmpeg(*raw("pcm_s16le", rate=rate, channels=channels), "-i", "pipe:0", "-c:a", "copy", *LIVE) as pipe:
        count = sent_live(url, stream, lambda into, wait: feed(into, samples, at=half, wait=wait), pipe)
    track, matroska = received(url, stream, count=count)
    assert (track.codec_id, track.sampling_frequency, track.channels) == ("A_PCM/INT/LIT", rate, channels)
    assert decoded_by_ffmpeg(matroska) == samples
    assert decoded_by_pyav(matroska) == samples


@needs_ffmpeg
@pytest.mark.slow
@pytest.mark.parametrize("codec", G711)
@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (16_000, 2)])
def test_g711(url: str, codec: str, rate: int, channels: int) -> None:
    """Encoded by ffmpeg on the way in; the codes come back as they were, and are decoded as ffmpeg decodes them."""
    stream, samples = new_stream(url), noise(rate=rate, channels=channels)
    given, coded = raw("pcm_s16le", rate=rate, channels=channels), raw(codec, rate=rate, channels=channels)
    codes = converted(samples, *given, "-i", "pipe:0", *coded, "pipe:1")
    expected = converted(codes, *coded, "-i", "pipe:0", "-f", "s16le", "pipe:1")
    half = len(samples) // 2
    with ffmpeg(*given, "-i", "pipe:0", "-c:a", codec, *LIVE) as pipe:
        count = sent_live(url, stream, lambda into, wait: feed(into, samples, at=half, wait=wait), pipe)
    track, matroska = received(url, stream, count=count)
    assert track.codec_id == "A_MS/ACM"
    assert track.wave_format is not None
    assert (track.wave_format.tag, track.wave_format.rate, track.wave_format.channels) == (G711[codec], rate, channels)
    assert decoded_by_ffmpeg(matroska) == expected
    assert decoded_by_pyav(matroska) == expected
    assert converted(matroska, "-f", "matroska", "-i", "pipe:0", "-c:a", "copy", *coded[:2], "pipe:1") == codes


@needs_ffmpeg
@pytest.mark.slow
def test_a_wav_that_comes_down_a_pipe(url: str) -> None:
    stream, samples = new_stream(url), noise(rate=8_000, channels=1)
    wav = io.BytesIO()
    soundfile.write(wav, np.frombuffer(samples, "<i2"), 8_000, format="WAV", subtype="PCM_16")
    with ffmpeg("-f", "wav", "-i", "pipe:0", "-c:a", "copy", *LIVE) as pipe:
        count = sent_live(url, stream, lambda into, wait: feed(into, wav.getvalue(), at=40_000, wait=wait), pipe)
    _, matroska = received(url, stream, count=count)
    assert decoded_by_ffmpeg(matroska) == decoded_by_pyav(matroska) == samples


@pytest.mark.slow
@pytest.mark.skipif(FFMPEG is not None, reason="ffmpeg itself is tested")
def test_its_muxer_in_pyav(url: str) -> None:
    stream, samples = new_stream(url), noise(rate=8_000, channels=1)
    read, write = os.pipe()

    def mux(into: IO[bytes], wait: threading.Event) -> None:
        with av.open(into, "w", format="matroska", options={"live": "1", "cluster_time_limit": "1000"}) as container:
            track = container.add_stream("pcm_s16le", rate=8_000, layout="mono")
            for first in range(0, len(samples) // 2, 800):
                if first == 16_000:
                    wait.wait(15)
                part = np.frombuffer(samples, "<i2")[None, first : first + 800]
                frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(part), format="s16", layout="mono")
                frame.sample_rate, frame.pts = 8_000, first
                container.mux(track.encode(frame))
            container.mux(track.encode(None))
        into.close()

    with os.fdopen(read, "rb", buffering=0) as out, os.fdopen(write, "wb", buffering=0) as into:
        count = sent_live(url, stream, mux, (into, out))
    _, matroska = received(url, stream, count=count)
    assert decoded_by_pyav(matroska) == samples
