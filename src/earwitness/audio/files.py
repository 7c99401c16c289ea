"""Recordings on disk: WAV, FLAC, MP3, OGG, GSM and G.711 in WAV through libsndfile, Matroska as Kinesis
Video Streams has it, and headerless PCM.

Read in blocks, so that a two-hour file costs no more memory than a short one.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from earwitness.audio.media_file import is_matroska, media_file_blocks, open_media_file
from earwitness.audio.pcm import Encoding, PcmDecoder, choose_channel
from earwitness.errors import AudioTruncated, AudioUnreadable
from earwitness.voice.embedding import Samples

_BLOCK_SECONDS = 1
_BLOCK_SAMPLES_MAX = 2_000_000
"""Of all channels together, 8 MB: a header may declare a thousand channels at any rate."""

_DATA_SIZES = re.compile(r"^data : (\d+) \(should be (\d+)\)", re.MULTILINE)
_SAMPLE_MAX = 64.0
"""Floating-point samples may pass full scale a little; these are numbers of another scale."""

_SIZE_UNKNOWN = {0, 0x7FFFFFFF, 0xFFFFFFFF}
"""Sizes that a recorder writes when it cannot go back to the header, as ffmpeg does into a pipe."""


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
    """Length the header declares; of raw PCM, the length of the file."""

    raw: RawFormat | None
    in_matroska: bool = False

    def blocks(self) -> Iterator[Samples]:
        """The channel's samples in order, about a second at a time, of Matroska a fragment.

        AudioTruncated when they end too early, MatroskaInvalid when Matroska does.
        """
        if self.in_matroska:
            return media_file_blocks(self.path, channel=self.channel)
        return self._raw_blocks(self.raw) if self.raw else self._decoded_blocks()

    def _raw_blocks(self, raw: RawFormat) -> Iterator[Samples]:
        decoder = PcmDecoder(raw.encoding, channels=raw.channels, channel=self.channel)
        with self.path.open("rb") as file:
            while data := file.read(raw.rate * raw.channels * raw.encoding.sample_bytes * _BLOCK_SECONDS):
                yield decoder.feed(data)
        if decoder.rest_bytes:
            raise AudioTruncated(
                f"{self.path.name} ends in the middle of a sample; check that it really is --raw {raw.encoding} with "
                f"{raw.channels} channel(s)"
            )

    def _decoded_blocks(self) -> Iterator[Samples]:
        try:
            with _open(self.path) as file:
                declared, read = _declared_frames(file), 0
                frames = max(1, min(file.samplerate * _BLOCK_SECONDS, _BLOCK_SAMPLES_MAX // file.channels))
                while True:
                    block = file.read(frames, dtype="float32", always_2d=True)
                    if not len(block):
                        break
                    if np.abs(block).max() > _SAMPLE_MAX:
                        raise AudioUnreadable(
                            f"{self.path.name} holds samples far above full scale; export it again as 16-bit PCM"
                        )
                    read += len(block)
                    yield np.ascontiguousarray(block[:, self.channel], np.float32)
        except soundfile.LibsndfileError as error:
            raise AudioTruncated(
                f"{self.path.name} breaks off in the middle ({error.error_string}); copy it again"
            ) from error
        if declared > read + self.rate // 10:
            raise AudioTruncated(
                f"{self.path.name} declares {declared / self.rate:.1f} s but ends after {read / self.rate:.1f} s; "
                f"copy it again, or keep what is there with `ffmpeg -i {self.path.name} whole.wav`"
            )


def open_recording(path: Path, *, channel: int | None = None, raw: RawFormat | None = None) -> Recording:
    """Look at a file's header and choose a channel; nothing is decoded yet.

    Raises AudioUnreadable for files that are missing, empty or no audio, ChannelNotChosen for several channels and no
    choice; of Matroska also MatroskaInvalid and MediaIncompatible.
    """
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise AudioUnreadable(f"{path} is a folder; give an audio file")
        in_matroska = is_matroska(path)
    except OSError as error:
        raise AudioUnreadable(f"{path} cannot be read: {error.strerror}") from error
    if size == 0:
        raise AudioUnreadable(f"{path.name} is empty")
    if raw is not None:
        return Recording(
            path=path,
            rate=raw.rate,
            channels=raw.channels,
            channel=choose_channel(raw.channels, channel),
            format=f"raw {raw.encoding}",
            seconds=size / (raw.encoding.sample_bytes * raw.channels * raw.rate),
            raw=raw,
        )
    if in_matroska:
        return _in_matroska(path, channel=channel)
    try:
        with _open(path) as file:
            return Recording(
                path=path,
                rate=file.samplerate,
                channels=file.channels,
                channel=choose_channel(file.channels, channel),
                format=f"{file.format} {file.subtype}",
                seconds=_declared_frames(file) / file.samplerate,
                raw=None,
            )
    except (soundfile.LibsndfileError, TypeError) as error:  # TypeError: a suffix that means headerless audio
        raise AudioUnreadable(
            f"{path.name} is not audio that can be read here ({_reason(error)}); WAV, FLAC, MP3, OGG, "
            f"GSM in WAV and Matroska of PCM or G.711 are, and headerless PCM with --raw"
        ) from error
    except OSError as error:
        raise AudioUnreadable(f"{path} cannot be read: {error.strerror}") from error


def _in_matroska(path: Path, *, channel: int | None) -> Recording:
    found = open_media_file(path, channel=channel)
    return Recording(
        path=path,
        rate=found.rate,
        channels=found.channels,
        channel=found.channel,
        format=f"Matroska {found.codec}",
        seconds=found.seconds,
        raw=None,
        in_matroska=True,
    )


def _open(path: Path) -> soundfile.SoundFile:
    # As bytes, so that file names in any encoding pass; libsndfile takes them, its stub does not say so.
    return soundfile.SoundFile(os.fsencode(path))  # pyright: ignore[reportArgumentType]


def _reason(error: Exception) -> str:
    if isinstance(error, soundfile.LibsndfileError):
        return error.error_string.rstrip(".")
    return "it has no header"


def readable_formats() -> dict[str, str]:
    """Containers that the installed libsndfile knows, with their names in words."""
    return soundfile.available_formats()


def _declared_frames(file: soundfile.SoundFile) -> int:
    """Frames the header promises; libsndfile itself trims the number of a WAV that was cut to what is there."""
    if sizes := _DATA_SIZES.search(file.extra_info):
        declared, present = int(sizes[1]), int(sizes[2])
        if declared not in _SIZE_UNKNOWN and present > 0:
            return file.frames * declared // present
    return file.frames if 0 < file.frames < np.iinfo(np.int64).max else 0
