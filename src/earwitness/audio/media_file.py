"""Matroska on disk: a stream as GetMedia gave it, or as a producer wrote it.

What belongs here: a file's fragments, and one channel of them as samples. What must never: numbering fragments
(`sources/file.py`), other containers (`audio/files.py`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from earwitness.audio.channel import ChannelDecoder
from earwitness.audio.matroska.events import FragmentReceived, HeaderReceived, Refused, TagsReceived
from earwitness.audio.matroska.frames import read_frames
from earwitness.audio.matroska.reader import FragmentReader
from earwitness.audio.matroska.tracks import AUDIO_TRACK, Header
from earwitness.audio.pcm import choose_channel
from earwitness.errors import AudioUnreadable, MatroskaInvalid
from earwitness.voice.embedding import Samples

_EBML = b"\x1a\x45\xdf\xa3"
_READ_BYTES = 64 * 1024
_DECLARED_RATE = 8_000
"""Of a track that states none: what Kinesis Video Streams' telephony producers send."""


@dataclass(frozen=True, kw_only=True)
class MediaFile:
    """What is known of a file's audio before any of it is decoded."""

    rate: int
    channels: int
    """Interleaved in one track, or tracks, as many participants as there are."""

    channel: int
    """The chosen one."""

    codec_id: str
    seconds: float
    """Of all fragments together."""


def is_matroska(path: Path) -> bool:
    """Whether the file begins as Matroska does. OSError when it cannot be read."""
    with path.open("rb") as file:
        return file.read(len(_EBML)) == _EBML


def fragments(path: Path) -> Iterator[tuple[Header, bytes, FragmentReceived]]:
    """Each fragment with the header before it, and that header's bytes without the service's tags in it.

    Raises AudioUnreadable when the file cannot be read, MatroskaInvalid for anything that is no stream of fragments,
    one that breaks off in the middle of a fragment too; what was whole has been given then.
    """
    reader, tags = FragmentReader(of_get_media=True), b""
    header: tuple[Header, bytes] | None = None
    for data in _pieces(path):
        for event in reader.feed(data) if data else reader.close():
            if isinstance(event, Refused):
                raise MatroskaInvalid(f"{path.name} is no stream of fragments: {event.reason}")
            if isinstance(event, TagsReceived):
                tags = event.tags.raw
            elif isinstance(event, HeaderReceived):
                header = event.header, event.header.raw.removesuffix(tags)
            elif isinstance(event, FragmentReceived) and header is not None:
                yield *header, event


def open_media_file(path: Path, *, channel: int | None) -> MediaFile:
    """Walk a file once and choose a channel; no sample is decoded.

    Raises what `fragments` raises, AudioUnreadable for a file without fragments, MediaIncompatible for audio that
    cannot be decoded, ChannelNotChosen for several channels and no choice.
    """
    first: Header | None = None
    duration_ms = 0
    for header, _, fragment in fragments(path):
        first = first or header
        duration_ms += fragment.duration_ms
    if first is None:
        raise AudioUnreadable(f"{path.name} holds no fragment of a stream; save it again")
    audio = [track for track in first.tracks if track.type == AUDIO_TRACK]
    wave = audio[0].wave_format if audio else None
    alone = (audio[0].channels or (wave.channels if wave else 1)) if len(audio) == 1 else 0
    channels = alone or max(1, len(audio))
    chosen = choose_channel(channels, channel)
    return MediaFile(
        rate=_decoder(first, chosen).rate,
        channels=channels,
        channel=chosen,
        codec_id=audio[0].codec_id,
        seconds=duration_ms / 1_000,
    )


def media_file_blocks(path: Path, *, channel: int) -> Iterator[Samples]:
    """The samples of one channel, fragment by fragment. AudioUnreadable when their rate changes on the way."""
    tracks, decoder = None, None
    for header, _, fragment in fragments(path):
        if decoder is None or header.tracks != tracks:
            following = _decoder(header, channel)
            if decoder is not None and following.rate != decoder.rate:
                raise AudioUnreadable(f"{path.name} changes its sample rate on the way; give each part as its own file")
            tracks, decoder = header.tracks, following
        yield decoder.feed(read_frames(fragment.cluster))


def _decoder(header: Header, channel: int) -> ChannelDecoder:
    return ChannelDecoder(header, channel=channel, declared_rate=_DECLARED_RATE, pcm_declared=False)


def _pieces(path: Path) -> Iterator[bytes]:
    """The file's bytes, and an empty piece at its end."""
    try:
        with path.open("rb") as file:
            data = b"-"
            while data:
                data = file.read(_READ_BYTES)
                yield data
    except OSError as error:
        raise AudioUnreadable(f"{path.name} cannot be read: {error.strerror}") from error
