"""Files that only FFmpeg's libraries decode: M4A, AMR, WMA, WebM and the like, through PyAV, which is optional.

What belongs here: telling such containers by their first bytes, the samples of one channel, and PyAV's errors as ours.
PyAV is the extra `formats`: 100 MB installed, its own code BSD, FFmpeg's LGPL (its wheels also hold x264 and x265,
which are GPL and never used here).
"""

import contextlib
import re
import shlex
from collections.abc import Generator, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from earwitness.audio.recording import (
    BLOCK_SECONDS,
    Recording,
    changes_on_the_way,
    choose_channel,
    codec_named,
    columns,
)
from earwitness.errors import AudioTruncated, AudioUnreadable
from earwitness.voice.embedding import Samples

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.codec.codec import Codec
    from av.container import InputContainer

_HEAD_BYTES = 4096
_WAVE_TAG = re.compile(rb"fmt [\x10-\xff]\x00\x00\x00(..)", re.DOTALL)
_MATROSKA_CODEC = re.compile(rb"\x86([\x83-\x9e])(A_[A-Z0-9/_]{1,28})")
"""The element CodecID: its id, its length and what begins as audio's do."""

_MP4_CODECS = {b"mp4a": "AAC", b"alac": "ALAC", b"samr": "AMR-NB", b"sawb": "AMR-WB", b"ac-3": "AC-3", b"Opus": "Opus"}
_OGG_CODECS = {b"Speex   ": "Speex", b"\x7fFLAC": "FLAC"}
_WAVE_CODECS = {
    0x0022: "TrueSpeech",
    0x0042: "G.723.1",
    0x0045: "G.726",
    0x0064: "G.726",
    0x0057: "AMR-NB",
    0x0058: "AMR-WB",
    0x0083: "G.729",
    0x0133: "G.729A",
    0x0160: "WMA 1",
    0x0161: "WMA 2",
    0x00FF: "AAC",
    0x028F: "G.722",
    0x1600: "AAC",
}
_MAGIC = (
    (b"#!AMR", "AMR", "amr"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "Windows Media Audio", "asf"),
    (b"wvpk", "WavPack", "wv"),
    (b"\x0b\x77", "AC-3", "ac3"),
)
"""How a file begins, its name in words, and FFmpeg's name."""

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


class Container(NamedTuple):
    """A kind of file that PyAV can decode."""

    #: Container and codec in words, as far as the first bytes tell.
    name: str
    #: FFmpeg's name. It is always given, because FFmpeg's own guess also takes playlists, which name other files.
    demuxer: str


def container_of(path: Path) -> Container | None:
    """Return what the file is, if it is one of these. Raises OSError when it cannot be read."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free"):
            file.seek(max(0, path.stat().st_size - 64 * 1024))
            tail = file.read(64 * 1024)
            codec = next((name for code, name in _MP4_CODECS.items() if code in head or code in tail), None)
            return Container(f"MPEG-4 with {codec}" if codec else "MPEG-4", "mov")
    if head[:4] == b"\x1a\x45\xdf\xa3":
        kind = "WebM" if b"webm" in head[:64] else "Matroska"
        found = _MATROSKA_CODEC.search(head)
        codec = found[2][: found[1][0] & 0x7F].decode() if found else ""
        return Container(f"{kind} with {codec}" if codec else kind, "matroska")
    if head[:4] == b"RIFF" and (tag := _WAVE_TAG.search(head)):
        codec = _WAVE_CODECS.get(int.from_bytes(tag[1], "little"))
        return Container(f"WAV with {codec}", "wav") if codec else None
    if head[:4] == b"OggS" and (name := next((each for mark, each in _OGG_CODECS.items() if mark in head[:64]), None)):
        return Container(f"Ogg with {name}", "ogg")
    if head[:4] == b"caff" and head[28:32] == b"alac":
        return Container("CAF with ALAC", "caf")
    if head[:1] == b"\xff" and len(head) > 1 and head[1] & 0xF6 == 0xF0:
        return Container("AAC (ADTS)", "aac")
    return next((Container(name, demuxer) for magic, name, demuxer in _MAGIC if head.startswith(magic)), None)


def open_libav_file(path: Path, container: Container, *, channel: int | None) -> Recording:
    """Decode the first frame and choose a channel.

    Raises AudioUnreadable without PyAV, and for files that it cannot decode; ChannelNotChosen for several channels and
    no choice.
    """
    if find_spec("av") is None:
        raise AudioUnreadable(
            f"{path.name} is {container.name}, which is not read here: {_to_convert(path)}, or let earwitness read it "
            f"after `pip install 'earwitness[formats]'`"
        )
    with _opened(path, container) as (opened, streams):
        alone = len(streams) == 1
        chosen = choose_channel(streams[0].codec_context.channels if alone else len(streams), channel)
        stream = streams[0 if alone else chosen]
        frame = next(_decoded(opened, stream), None)
        if frame is None:
            raise AudioUnreadable(f"{path.name} holds no audio")
        return Recording(
            path=path,
            rate=frame.sample_rate,
            channels=frame.layout.nb_channels if alone else len(streams),
            channel=chosen,
            format=f"{opened.format.name.partition(',')[0]} {_codec_of(streams[0])}",
            codec=codec_named(_codec_of(streams[0])),
            seconds=_seconds(opened, stream) if container.demuxer in _LENGTH_KNOWN else 0.0,
            decode=partial(_blocks, container),
        )


def _blocks(container: Container, recording: Recording, reference: bool) -> Iterator[Samples]:
    """Decode one channel. Raises AudioTruncated when it ends too early."""
    read, pieces, waiting, rate = 0, list[Samples](), 0, recording.rate
    with _opened(recording.path, container) as (opened, streams):
        for samples in _channel(opened, streams, recording, reference=reference):
            pieces.append(samples)
            waiting += len(samples)
            read += len(samples)
            if waiting >= rate * BLOCK_SECONDS:
                yield np.concatenate(pieces)
                pieces, waiting = [], 0
    if pieces:
        yield np.concatenate(pieces)
    declared = recording.seconds
    if declared - read / rate > max(_MISSING_SECONDS, _MISSING_SHARE * declared):
        raise AudioTruncated(
            f"{recording.path.name} declares {declared:.1f} s but ends after {read / rate:.1f} s; copy it again"
        )


def _channel(
    opened: "InputContainer", streams: "tuple[AudioStream, ...]", recording: Recording, *, reference: bool
) -> Iterator[Samples]:
    from av.audio.resampler import AudioResampler

    as_float, alone = AudioResampler(format="fltp"), len(streams) == 1
    stream = streams[0 if alone else recording.channel]
    taken = columns(recording.channels, recording.channel, reference=reference) if alone else 0
    for frame in _decoded(opened, stream):
        if frame.sample_rate != recording.rate or (alone and frame.layout.nb_channels != recording.channels):
            raise changes_on_the_way(recording.path)
        for converted in as_float.resample(frame):
            yield np.ascontiguousarray(converted.to_ndarray()[taken].T, np.float32)


def _decoded(opened: "InputContainer", stream: "AudioStream") -> "Iterator[AudioFrame]":
    stream.codec_context.thread_count = 1
    return opened.decode(stream)


def _seconds(opened: "InputContainer", stream: "AudioStream") -> float:
    """Return how long the stream is; the file's own length counts only where there is nothing else in it."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return (opened.duration or 0) / 1_000_000 if len(opened.streams) == 1 else 0.0


def _codec_of(stream: "AudioStream") -> str:
    """Return FFmpeg's name of its decoder, empty when it has none."""
    codec: Codec | None = getattr(stream.codec_context, "codec", None)  # no context without a decoder
    return codec.name if codec else ""


@contextlib.contextmanager
def _opened(path: Path, container: Container) -> "Generator[tuple[InputContainer, tuple[AudioStream, ...]]]":
    """Open the file; give it with its streams of audio. Whatever PyAV raises inside becomes AudioUnreadable."""
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
                        f"{_to_convert(path)}"
                    )
            yield opened, streams
    except (FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise AudioUnreadable(
            f"{path.name} is {container.name} and cannot be decoded ({reason}); it may be damaged: copy it again"
        ) from error


def _to_convert(path: Path) -> str:
    """Return the line that makes a WAV of any file, with all its channels: two people must not be mixed into one."""
    source, target = (shlex.quote(name) for name in (path.name, f"{path.stem}.converted.wav"))
    return f"convert it with `ffmpeg -i {source} -ar 16000 {target}`"
