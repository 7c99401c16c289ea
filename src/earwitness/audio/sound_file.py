"""Files through libsndfile, read from the first sample to the last: its quirks and its errors stay here.

What belongs here: a file's links, opened and decoded in order, as one recording. What must never: where the links lie
(`links.py`).
"""

import contextlib
import ctypes
import os
import shlex
import sys
import threading
from collections.abc import Generator, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import soundfile

from earwitness.audio.links import FileParts, Link, links_of
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

ERRORS = (soundfile.LibsndfileError, TypeError)
"""What opening raises for a file that libsndfile does not know; TypeError: a suffix that means headerless audio."""

_BLOCK_SAMPLES_MAX = 1 << 20
"""Of all channels together, so that a header that states a thousand channels costs no memory."""

_SAMPLE_MAX = 64.0
"""Floating-point samples may pass full scale a little; these are numbers of another scale."""

_MPEG_PADDING = 2 * 1_152
"""Samples: an encoder's delay and the rest of its last frame, which a WAV's header counts and no decoder gives."""


class _Sequential(soundfile.SoundFile):
    """Reads in order only.

    soundfile seeks to the present place after each read of a file that can seek; libsndfile cannot do that at the end
    of FLAC whose length is unknown, and in compressed formats it costs time.
    """

    def seekable(self) -> bool:
        return False


def open_sound_file(path: Path, *, channel: int | None) -> Recording:
    """Read the headers of a file's links and choose a channel.

    Raises ERRORS when libsndfile does not know the file, OSError when it cannot be read, AudioUnreadable as `links_of`,
    ChannelNotChosen for several channels and no choice.
    """
    links = links_of(path)
    headers: list[soundfile.SoundFile] = []
    for link in links:
        with _opened(path, link) as file:
            headers.append(file)  # what the header says stays readable when the file is closed
    first = headers[0]
    return Recording(
        path=path,
        rate=first.samplerate,
        channels=first.channels,
        channel=choose_channel(first.channels, channel),
        format=f"{first.format} {first.subtype}",
        codec=codec_named(first.subtype),
        seconds=sum(_declared_frames(file, link) / file.samplerate for file, link in zip(headers, links, strict=True)),
        decode=partial(_blocks, links),
    )


def _blocks(links: Sequence[Link], recording: Recording, reference: bool) -> Iterator[Samples]:
    """Decode all links in order.

    Raises AudioTruncated when a link ends before its header says, AudioUnreadable when the links differ in their rate
    or channels, or hold samples of another scale.
    """
    path = recording.path
    for link in links:
        try:
            with _opened(path, link) as file:
                if (file.samplerate, file.channels) != (recording.rate, recording.channels):
                    raise changes_on_the_way(path)
                yield from _link_blocks(file, link, recording, reference=reference)
        except soundfile.LibsndfileError as error:
            raise AudioTruncated(
                f"{path.name} breaks off in the middle ({error.error_string}); copy it again"
            ) from error
        except OSError as error:
            raise AudioUnreadable(f"{path.name} cannot be read: {error.strerror}") from error


def _link_blocks(file: soundfile.SoundFile, link: Link, recording: Recording, *, reference: bool) -> Iterator[Samples]:
    declared, read, rate, name = _declared_frames(file, link), 0, recording.rate, recording.path.name
    count = max(1, min(rate * BLOCK_SECONDS, _BLOCK_SAMPLES_MAX // file.channels))
    taken = columns(file.channels, recording.channel, reference=reference)
    while True:
        with _quiet():
            block = file.read(count, dtype="float32", always_2d=True)
        if not len(block):
            break
        if np.abs(block).max() > _SAMPLE_MAX:
            raise AudioUnreadable(f"{name} holds samples far above full scale; export it again as 16-bit PCM")
        read += len(block)
        yield np.ascontiguousarray(block[:, taken], np.float32)
    if declared > read + max(rate // 10, _MPEG_PADDING if file.subtype.startswith("MPEG") else 0):
        raise AudioTruncated(
            f"{name} declares {declared / rate:.1f} s but ends after {read / rate:.1f} s; "
            f"copy it again, or keep what is there with `ffmpeg -i {shlex.quote(name)} whole.wav`"
        )


@contextlib.contextmanager
def _opened(path: Path, link: Link) -> Generator[soundfile.SoundFile]:
    """Open a link of a file, to be read in order. Raises ERRORS and OSError."""
    with contextlib.ExitStack() as stack:
        # As bytes, so that file names in any encoding pass; libsndfile takes them, its stub does not say so.
        source = stack.enter_context(FileParts(path, link.parts)) if link.parts else os.fsencode(path)
        with _quiet():
            file = stack.enter_context(_Sequential(source))  # pyright: ignore[reportArgumentType]
        yield file


def _declared_frames(file: soundfile.SoundFile, link: Link) -> float:
    """Return the frames that the header promises, of all that was there before a file was cut; 0 when unknown."""
    return file.frames / link.present if 0 < file.frames < np.iinfo(np.int64).max else 0.0


_STDERR_NAMES = {"linux": "stderr", "darwin": "__stderrp"}


class _CErrors:
    """Sends what C code prints on its `stderr` to nowhere while at least one thread asks for it.

    libmpg123, inside libsndfile, prints a line for each odd frame of an MP3, and nothing that libsndfile offers stops
    it. In glibc and on macOS `stderr` is a variable: pointing it to another FILE for the moment of a read leaves file
    descriptor 2, and with it Python's own `sys.stderr`, the logs and every other thread's writes alone. Elsewhere (musl
    keeps it in read-only memory) the lines stay.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asking = 0
        self._variable = self._nowhere = self._own = None
        name = _STDERR_NAMES.get(sys.platform)
        if name is None or (sys.platform == "linux" and not _is_glibc()):
            return
        process = ctypes.CDLL(None)
        process.fopen.restype = ctypes.c_void_p
        self._variable = ctypes.c_void_p.in_dll(process, name)
        self._nowhere = process.fopen(os.devnull.encode(), b"w")

    @contextlib.contextmanager
    def quiet(self) -> Generator[None]:
        if self._variable is None or not self._nowhere:
            yield
            return
        with self._lock:
            if self._asking == 0:
                self._own, self._variable.value = self._variable.value, self._nowhere
            self._asking += 1
        try:
            yield
        finally:
            with self._lock:
                self._asking -= 1
                if self._asking == 0:
                    self._variable.value = self._own


def _is_glibc() -> bool:
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") is not None
    except (ValueError, OSError):
        return False


_quiet = _CErrors().quiet
"""A context in which C code's lines do not reach the terminal or the log."""
