"""Recordings on disk: WAV, FLAC, MP3, OGG, GSM and G.711 in WAV through libsndfile, Matroska as Kinesis
Video Streams has it, headerless PCM, and whatever else PyAV decodes where it is installed.
"""

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import soundfile

from earwitness.audio import sound_file
from earwitness.audio.libav_file import container_of, open_libav_file
from earwitness.audio.matroska_file import is_matroska, needs_libav, open_matroska_file
from earwitness.audio.pcm import Encoding, PcmDecoder
from earwitness.audio.recording import BLOCK_SECONDS, Recording, choose_channel, codec_named
from earwitness.errors import AudioTruncated, AudioUnreadable
from earwitness.voice.embedding import Samples


@dataclass(frozen=True, kw_only=True)
class RawFormat:
    """What a headerless file cannot say itself."""

    encoding: Encoding
    rate: int
    channels: int = 1


def open_recording(path: Path, *, channel: int | None = None, raw: RawFormat | None = None) -> Recording:
    """Look at a file's header and choose a channel; at most its first frame is decoded.

    Raises AudioUnreadable for files that are missing, empty, no audio or no files, ChannelNotChosen for several
    channels and no choice; of Matroska also MatroskaInvalid and MediaIncompatible.
    """
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise AudioUnreadable(f"{path} is a folder; give an audio file")
        if not stat.S_ISREG(status.st_mode):
            raise AudioUnreadable(f"{path} is a pipe or a device; save the audio to a file and give that")
        if status.st_size == 0:
            raise AudioUnreadable(f"{path.name} is empty")
        if raw is not None:
            return _open_headerless(path, raw, status.st_size, channel=channel)
        if is_matroska(path):
            return (_open_by_libav if needs_libav(path) else open_matroska_file)(path, channel=channel)
        try:
            return sound_file.open_sound_file(path, channel=channel)
        except sound_file.ERRORS as error:
            return _open_by_libav(path, channel=channel, otherwise=error)
    except OSError as error:
        raise AudioUnreadable(f"{path} cannot be read: {error.strerror}") from error


def readable_formats() -> dict[str, str]:
    """Return the containers that the installed libsndfile knows, with their names in words."""
    return soundfile.available_formats()


def _open_headerless(path: Path, raw: RawFormat, size: int, *, channel: int | None) -> Recording:
    return Recording(
        path=path,
        rate=raw.rate,
        channels=raw.channels,
        channel=choose_channel(raw.channels, channel),
        format=f"raw {raw.encoding}",
        codec=codec_named(raw.encoding),
        seconds=size / (raw.encoding.sample_bytes * raw.channels * raw.rate),
        decode=partial(_raw_blocks, raw.encoding),
    )


def _raw_blocks(encoding: Encoding, recording: Recording, reference: bool) -> Iterator[Samples]:
    path, channels = recording.path, recording.channels
    decoder = PcmDecoder(encoding, channels=channels, channel=recording.channel, reference=reference)
    with path.open("rb") as file:
        while data := file.read(recording.rate * channels * encoding.sample_bytes * BLOCK_SECONDS):
            yield decoder.feed(data)
    if decoder.rest_bytes:
        raise AudioTruncated(
            f"{path.name} ends in the middle of a sample; check that it really is --raw {encoding} with "
            f"{channels} channel(s)"
        )


def _open_by_libav(path: Path, *, channel: int | None, otherwise: Exception | None = None) -> Recording:
    """Open what neither libsndfile nor our own reader takes.

    `otherwise` is what is wrong with the file if FFmpeg does not read it either.
    """
    container = container_of(path)
    if container is None:
        known = isinstance(otherwise, soundfile.LibsndfileError)
        reason = otherwise.error_string.rstrip(".") if known else "it has no header"
        raise AudioUnreadable(
            f"{path.name} is not audio that can be read here ({reason}); WAV, FLAC, MP3, OGG, "
            f"GSM in WAV and Matroska of PCM or G.711 are, and headerless PCM with --raw"
        ) from otherwise
    return open_libav_file(path, container, channel=channel)
