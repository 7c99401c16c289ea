"""An opened recording: one of its channels, ready to be decoded in blocks.

What belongs here: what all containers have in common. What must never: what a container's bytes mean.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from earwitness.errors import AudioUnreadable, ChannelNotChosen
from earwitness.voice.embedding import Samples
from earwitness.voice.line import Codec

BLOCK_SECONDS = 1
"""About so much is decoded at a time, so that a two-hour file costs no more memory than a short one."""


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One channel of an opened file."""

    path: Path
    rate: int
    #: Interleaved channels, or tracks of one participant each.
    channels: int
    #: The chosen one.
    channel: int
    #: The container and encoding in words, for people.
    format: str
    #: The encoding alone.
    codec: Codec
    #: Length the header declares, 0 when it does not; of raw PCM and Matroska, the length of the file.
    seconds: float
    #: Decodes this recording, with the reference or without.
    decode: Callable[["Recording", bool], Iterator[Samples]]

    def blocks(self, *, reference: bool = False) -> Iterator[Samples]:
        """Give the channel's samples in order, about a second at a time, of Matroska a fragment.

        Shape (n,); with `reference`, of two channels, (n, 2): the other one, by which leakage is told, is beside it.

        Raises AudioTruncated when they end too early, AudioUnreadable when they change their rate, MatroskaInvalid when
        Matroska breaks off.
        """
        return self.decode(self, reference and self.channels == 2)


_CODECS = {
    "ulaw": Codec.MULAW,
    "mulaw": Codec.MULAW,
    "pcm_mulaw": Codec.MULAW,
    "alaw": Codec.ALAW,
    "pcm_alaw": Codec.ALAW,
    "gsm": Codec.GSM,
    "amr": Codec.AMR,
    "mp3": Codec.MP3,
    "mpeg_layer_iii": Codec.MP3,
    "opus": Codec.OPUS,
    "s16le": Codec.PCM,
    "pcm_": Codec.PCM,
    "float": Codec.PCM,
    "double": Codec.PCM,
    "flac": Codec.PCM,
    "alac": Codec.PCM,
}
"""By the beginning of its name, the longer ones of two first: as we write it, or libsndfile, or FFmpeg."""


def codec_named(name: str) -> Codec:
    """Return the codec that a name of ours, of libsndfile or of FFmpeg stands for."""
    lower = name.lower()
    return next((codec for beginning, codec in _CODECS.items() if lower.startswith(beginning)), Codec.UNKNOWN)


def columns(channels: int, channel: int, *, reference: bool) -> int | list[int]:
    """Return what to take of frames of all channels: the channel, and with `reference` the other one, if it is two."""
    return [channel, 1 - channel] if reference and channels == 2 else channel


def choose_channel(channels: int, channel: int | None) -> int:
    """Return the channel to listen to. Of several one must be chosen, because each is another person."""
    if channel is None:
        if channels > 1:
            raise ChannelNotChosen(
                f"the recording has {channels} channels; choose one participant with --channel 0 to "
                f"--channel {channels - 1}"
            )
        return 0
    if not 0 <= channel < channels:
        raise ChannelNotChosen(
            f"there is no channel {channel}; the recording has {channels} "
            f"({'channel 0' if channels == 1 else f'channels 0 to {channels - 1}'})"
        )
    return channel


def changes_on_the_way(path: Path) -> AudioUnreadable:
    """Return the error of a file whose parts differ."""
    return AudioUnreadable(
        f"{path.name} changes its sample rate or channels on the way; give each part as its own file"
    )
