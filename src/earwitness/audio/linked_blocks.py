"""A file's links decoded one after the other, as one recording."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from earwitness.audio import sound_file
from earwitness.audio.file_parts import Link
from earwitness.audio.pcm import columns
from earwitness.errors import AudioTruncated, AudioUnreadable
from earwitness.voice.embedding import Samples

_BLOCK_SECONDS = 1
_BLOCK_SAMPLES_MAX = 1 << 20
"""Of all channels together, so that a header that states a thousand channels costs no memory."""

_SAMPLE_MAX = 64.0
"""Floating-point samples may pass full scale a little; these are numbers of another scale."""


_MPEG_PADDING = 2 * 1_152
"""Samples: an encoder's delay and the rest of its last frame, which a WAV's header counts and no decoder gives."""


@dataclass(frozen=True, kw_only=True)
class Head:
    """What the header of a link says."""

    rate: int
    channels: int
    format: str
    seconds: float
    """0 when it does not know."""


def read_head(path: Path, link: Link) -> Head:
    """`sound_file.ERRORS` when libsndfile does not know the file, OSError when it cannot be read."""
    with sound_file.opened(path, link) as file:
        return Head(
            rate=file.samplerate,
            channels=file.channels,
            format=f"{file.format} {file.subtype}",
            seconds=sound_file.frames_of(file) / link.present / file.samplerate,
        )


def linked_blocks(path: Path, links: Sequence[Link], *, channel: int, reference: bool = False) -> Iterator[Samples]:
    """One channel of all links in order, about a second at a time, with its reference if that is asked for.

    Raises AudioTruncated when a link ends before its header says, AudioUnreadable when the links differ in their rate
    or channels, or hold samples of another scale.
    """
    shape: tuple[int, int] | None = None
    for link in links:
        try:
            with sound_file.opened(path, link) as file:
                if shape not in (None, (file.samplerate, file.channels)):
                    raise AudioUnreadable(
                        f"{path.name} changes its sample rate or channels on the way; give each part as its own file"
                    )
                shape = file.samplerate, file.channels
                yield from _link_blocks(path, file, link, channel=channel, reference=reference)
        except soundfile.LibsndfileError as error:
            raise AudioTruncated(
                f"{path.name} breaks off in the middle ({error.error_string}); copy it again"
            ) from error
        except OSError as error:
            raise AudioUnreadable(f"{path.name} cannot be read: {error.strerror}") from error


def _link_blocks(
    path: Path, file: soundfile.SoundFile, link: Link, *, channel: int, reference: bool
) -> Iterator[Samples]:
    declared, read, rate = sound_file.frames_of(file) / link.present, 0, file.samplerate
    count = max(1, min(rate * _BLOCK_SECONDS, _BLOCK_SAMPLES_MAX // file.channels))
    taken = columns(file.channels, channel, reference=reference)
    while True:
        with sound_file.quiet():
            block = file.read(count, dtype="float32", always_2d=True)
        if not len(block):
            break
        if np.abs(block).max() > _SAMPLE_MAX:
            raise AudioUnreadable(f"{path.name} holds samples far above full scale; export it again as 16-bit PCM")
        read += len(block)
        yield np.ascontiguousarray(block[:, taken], np.float32)
    if declared > read + max(rate // 10, _MPEG_PADDING if file.subtype.startswith("MPEG") else 0):
        raise AudioTruncated(
            f"{path.name} declares {declared / rate:.1f} s but ends after {read / rate:.1f} s; "
            f"copy it again, or keep what is there with `ffmpeg -i {shlex.quote(path.name)} whole.wav`"
        )
