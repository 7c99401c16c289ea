"""Recordings on disk: WAV, FLAC, MP3, OGG, GSM and G.711 in WAV through libsndfile, Matroska as Kinesis
Video Streams has it, headerless PCM, and whatever else PyAV decodes where it is installed.

Read in blocks, so that a two-hour file costs no more memory than a short one.
"""

import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import soundfile

from earwitness.audio import sound_file
from earwitness.audio.containers import container_of
from earwitness.audio.libav_file import libav_blocks, open_libav_file
from earwitness.audio.linked_blocks import linked_blocks, read_head
from earwitness.audio.links import links_of
from earwitness.audio.matroska_codec import needs_libav
from earwitness.audio.media_file import is_matroska, media_file_blocks, open_media_file
from earwitness.audio.pcm import Encoding, PcmDecoder, choose_channel
from earwitness.errors import AudioTruncated, AudioUnreadable
from earwitness.voice.embedding import Samples

_BLOCK_SECONDS = 1


@dataclass(frozen=True, kw_only=True)
class RawFormat:
    """What a headerless file cannot say itself."""

    encoding: Encoding
    rate: int
    channels: int = 1


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One channel of an opened file."""

    path: Path
    rate: int
    channels: int
    channel: int
    format: str
    """The container and encoding in words, for people."""

    seconds: float
    """Length the header declares, 0 when it does not; of raw PCM, the length of the file."""

    decode: Callable[..., Iterator[Samples]]
    """Takes `reference`, as `blocks` does."""

    def blocks(self, *, reference: bool = False) -> Iterator[Samples]:
        """The channel's samples in order, about a second at a time, of Matroska a fragment.

        Shape (n,); with `reference`, of two channels, (n, 2): the other one, by which leakage is told, is beside it.

        AudioTruncated when they end too early, AudioUnreadable when they change their rate, MatroskaInvalid when
        Matroska breaks off.
        """
        return self.decode(reference=reference and self.channels == 2)


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
            return _headerless(path, raw, status.st_size, channel=channel)
        if not is_matroska(path):
            return _with_header(path, channel=channel)
        return _by_libav(path, channel=channel) if needs_libav(path) else _in_matroska(path, channel=channel)
    except OSError as error:
        raise AudioUnreadable(f"{path} cannot be read: {error.strerror}") from error


def readable_formats() -> dict[str, str]:
    """Containers that the installed libsndfile knows, with their names in words."""
    return soundfile.available_formats()


def _headerless(path: Path, raw: RawFormat, size: int, *, channel: int | None) -> Recording:
    chosen = choose_channel(raw.channels, channel)
    return Recording(
        path=path,
        rate=raw.rate,
        channels=raw.channels,
        channel=chosen,
        format=f"raw {raw.encoding}",
        seconds=size / (raw.encoding.sample_bytes * raw.channels * raw.rate),
        decode=partial(_raw_blocks, path, raw, chosen),
    )


def _raw_blocks(path: Path, raw: RawFormat, channel: int, *, reference: bool = False) -> Iterator[Samples]:
    decoder = PcmDecoder(raw.encoding, channels=raw.channels, channel=channel, reference=reference)
    with path.open("rb") as file:
        while data := file.read(raw.rate * raw.channels * raw.encoding.sample_bytes * _BLOCK_SECONDS):
            yield decoder.feed(data)
    if decoder.rest_bytes:
        raise AudioTruncated(
            f"{path.name} ends in the middle of a sample; check that it really is --raw {raw.encoding} with "
            f"{raw.channels} channel(s)"
        )


def _in_matroska(path: Path, *, channel: int | None) -> Recording:
    found = open_media_file(path, channel=channel)
    return Recording(
        path=path,
        rate=found.rate,
        channels=found.channels,
        channel=found.channel,
        format=f"Matroska {found.codec}",
        seconds=found.seconds,
        decode=partial(media_file_blocks, path, channel=found.channel),
    )


def _with_header(path: Path, *, channel: int | None) -> Recording:
    links = links_of(path)
    try:
        heads = [read_head(path, link) for link in links]
    except sound_file.ERRORS as error:
        return _by_libav(path, channel=channel, otherwise=error)
    chosen = choose_channel(heads[0].channels, channel)
    return Recording(
        path=path,
        rate=heads[0].rate,
        channels=heads[0].channels,
        channel=chosen,
        format=heads[0].format,
        seconds=sum(head.seconds for head in heads),
        decode=partial(linked_blocks, path, links, channel=chosen),
    )


def _by_libav(path: Path, *, channel: int | None, otherwise: Exception | None = None) -> Recording:
    """What neither libsndfile nor our own reader takes; `otherwise` is what is wrong if FFmpeg does not either."""
    container = container_of(path)
    if container is None:
        raise AudioUnreadable(
            f"{path.name} is not audio that can be read here ({_reason(otherwise)}); WAV, FLAC, MP3, OGG, "
            f"GSM in WAV and Matroska of PCM or G.711 are, and headerless PCM with --raw"
        ) from otherwise
    found = open_libav_file(path, container, channel=channel)
    return Recording(
        path=path,
        rate=found.rate,
        channels=found.channels,
        channel=found.channel,
        format=found.codec,
        seconds=found.seconds,
        decode=partial(libav_blocks, path, container, found),
    )


def _reason(error: Exception | None) -> str:
    if isinstance(error, soundfile.LibsndfileError):
        return error.error_string.rstrip(".")
    return "it has no header"
