"""Files that only FFmpeg's libraries decode: M4A, AMR, WMA, WebM and the like, through PyAV, which is optional.

What belongs here: the first frame's rate, the samples of one channel, and PyAV's errors as ours. PyAV is the extra
`formats`: 100 MB installed, its own code BSD, FFmpeg's LGPL (its wheels also hold x264 and x265, which are GPL and
never used here).
"""

import contextlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from earwitness.audio.containers import Container, how_to_read, to_convert
from earwitness.audio.pcm import choose_channel, columns
from earwitness.errors import AudioTruncated, AudioUnreadable
from earwitness.voice.embedding import Samples

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.codec.codec import Codec
    from av.container import InputContainer

_BLOCK_SECONDS = 1
_CODECS = (
    "aac", "ac3", "adpcm_", "alac", "amr", "eac3", "flac", "g722", "g723", "g726", "g729", "gsm", "mp2", "mp3", "opus",
    "pcm_", "speex", "truespeech", "vorbis", "wavpack", "wma",
)  # fmt: skip
"""Beginnings of the names of decoders that recordings of speech need; the others' mistakes are not ours to meet."""

_LENGTH_KNOWN = ("mov", "asf", "matroska")
"""Demultiplexers that read the length from a header; the others guess it from the bit rate."""

_MISSING_SECONDS = 1.0
_MISSING_SHARE = 0.05
"""A file is cut short when it lacks more than both: encoders round lengths, and frames are up to 0.1 s long."""


@dataclass(frozen=True, kw_only=True)
class LibavFile:
    """What is known of a file's audio after its first frame."""

    rate: int
    channels: int
    """Of the only stream of audio, or how many streams there are, a participant each."""

    channel: int
    codec: str
    seconds: float
    """Of the audio, not of a picture beside it; 0 when the container does not say."""


def open_libav_file(path: Path, container: Container, *, channel: int | None) -> LibavFile:
    """Decode the first frame and choose a channel.

    Raises AudioUnreadable without PyAV, and for files that it cannot decode; ChannelNotChosen for several channels and
    no choice.
    """
    if find_spec("av") is None:
        raise AudioUnreadable(f"{path.name} is {container.name}, which is not read here: {how_to_read(path)}")
    with _opened(path, container) as (opened, streams):
        codec = _codec_of(streams[0])
        alone = len(streams) == 1
        chosen = choose_channel(streams[0].codec_context.channels if alone else len(streams), channel)
        stream = streams[0 if alone else chosen]
        frame = next(_decoded(opened, stream), None)
        if frame is None:
            raise AudioUnreadable(f"{path.name} holds no audio")
        return LibavFile(
            rate=frame.sample_rate,
            channels=frame.layout.nb_channels if alone else len(streams),
            channel=chosen,
            codec=f"{opened.format.name.partition(',')[0]} {codec}",
            seconds=_seconds(opened, stream) if container.demuxer in _LENGTH_KNOWN else 0.0,
        )


def libav_blocks(path: Path, container: Container, found: LibavFile, *, reference: bool = False) -> Iterator[Samples]:
    """The samples of one channel, about a second at a time. AudioTruncated when they end too early.

    With `reference` the other one of two interleaved channels lies beside it.
    """
    read, pieces, waiting = 0, list[Samples](), 0
    with _opened(path, container) as (opened, streams):
        alone = len(streams) == 1
        for samples in _channel(
            opened, streams[0 if alone else found.channel], found, path, alone=alone, reference=reference
        ):
            pieces.append(samples)
            waiting += len(samples)
            read += len(samples)
            if waiting >= found.rate * _BLOCK_SECONDS:
                yield np.concatenate(pieces)
                pieces, waiting = [], 0
    if pieces:
        yield np.concatenate(pieces)
    missing = found.seconds - read / found.rate
    if missing > max(_MISSING_SECONDS, _MISSING_SHARE * found.seconds):
        raise AudioTruncated(
            f"{path.name} declares {found.seconds:.1f} s but ends after {read / found.rate:.1f} s; copy it again"
        )


def _channel(
    opened: "InputContainer", stream: "AudioStream", found: LibavFile, path: Path, *, alone: bool, reference: bool
) -> Iterator[Samples]:
    from av.audio.resampler import AudioResampler

    as_float = AudioResampler(format="fltp")
    taken = columns(found.channels, found.channel, reference=reference) if alone else 0
    for frame in _decoded(opened, stream):
        if frame.sample_rate != found.rate or (alone and frame.layout.nb_channels != found.channels):
            raise AudioUnreadable(
                f"{path.name} changes its sample rate or channels on the way; give each part as its own file"
            )
        for converted in as_float.resample(frame):
            yield np.ascontiguousarray(converted.to_ndarray()[taken].T, np.float32)


def _decoded(opened: "InputContainer", stream: "AudioStream") -> "Iterator[AudioFrame]":
    stream.codec_context.thread_count = 1
    return opened.decode(stream)


def _seconds(opened: "InputContainer", stream: "AudioStream") -> float:
    """How long the stream is; the file's own length counts only where there is nothing else in it."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return (opened.duration or 0) / 1_000_000 if len(opened.streams) == 1 else 0.0


def _codec_of(stream: "AudioStream") -> str:
    """FFmpeg's name of its decoder, empty when it has none."""
    codec: Codec | None = getattr(stream.codec_context, "codec", None)  # no context without a decoder
    return codec.name if codec else ""


@contextlib.contextmanager
def _opened(path: Path, container: Container) -> "Generator[tuple[InputContainer, tuple[AudioStream, ...]]]":
    """The file and its streams of audio; whatever PyAV says inside becomes AudioUnreadable."""
    import av
    from av.error import FFmpegError

    # A demultiplexer and a file object of ours, and no protocol: nothing in a file can make FFmpeg open another one.
    options = {"protocol_whitelist": "none"}
    try:
        with path.open("rb") as file, av.open(file, "r", format=container.demuxer, options=options) as opened:
            streams = opened.streams.audio
            if not streams:
                raise AudioUnreadable(f"{path.name} is {container.name} without audio")
            for stream in streams:
                codec = _codec_of(stream)
                if not codec.startswith(_CODECS):
                    raise AudioUnreadable(
                        f"{path.name} is {container.name}, and its codec ({codec or 'unknown'}) is not read here; "
                        f"{to_convert(path)}"
                    )
            yield opened, streams
    except (FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise AudioUnreadable(
            f"{path.name} is {container.name} and cannot be decoded ({reason}); it may be damaged: copy it again"
        ) from error
