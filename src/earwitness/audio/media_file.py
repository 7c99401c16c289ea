"""Matroska on disk: a stream as GetMedia gave it, or as a producer wrote it.

What belongs here: a file's fragments, and one channel of them as samples. What must never: numbering fragments
(`media/file.py`), other containers (`audio/files.py`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from earwitness.audio.channel import ChannelDecoder, audio_tracks
from earwitness.audio.fragment_tags import MediaType, call_of, media_type_of
from earwitness.audio.matroska.events import (
    FragmentReceived,
    HeaderReceived,
    MatroskaEvent,
    StreamRefused,
    TagsReceived,
)
from earwitness.audio.matroska.frames import read_frames
from earwitness.audio.matroska.get_media import FRAGMENT_NUMBER
from earwitness.audio.matroska.reader import MatroskaReader
from earwitness.audio.matroska.tracks import Header
from earwitness.audio.pcm import Encoding, choose_channel
from earwitness.audio.reference import ReferencedDecoder
from earwitness.audio.track_audio import CONNECT_TRACKS, connect_channel
from earwitness.errors import AudioUnreadable, ChannelNotChosen, MatroskaInvalid
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

    codec: str
    """The codec id, and what the frames really hold where that is something else."""

    seconds: float
    """Of all fragments together."""


@dataclass(frozen=True, kw_only=True)
class FileFragment:
    """One fragment of a file."""

    header: Header
    """Of the stream that it is in."""

    header_bytes: bytes = field(repr=False)
    """The same as bytes, without the service's tags in it."""

    cluster: bytes = field(repr=False)
    timecode_ms: int
    duration_ms: int
    tags: Mapping[str, str] = field(repr=False)
    """The producer's and the service's, those in front of the fragment and those behind it."""


class _Assembly:
    """Puts fragments together from what the reader tells: their tags come in front of them and behind them."""

    def __init__(self) -> None:
        self._header: Header | None = None
        self._header_bytes = b""
        self._tags: dict[str, str] = {}
        self._tags_raw = b""
        self._fragment: FragmentReceived | None = None
        self._numbers: set[str] = set()
        """Of the fragments so far: a consumer that connects again saves some twice."""

    def take(self, event: MatroskaEvent) -> FileFragment | None:
        """The fragment that is known to be whole now, with all its tags."""
        if isinstance(event, TagsReceived):
            begins_chunk = FRAGMENT_NUMBER in event.tags.values
            whole = self.finish() if begins_chunk else None
            self._tags_raw = event.tags.raw
            self._tags |= event.tags.values
            return whole
        if isinstance(event, HeaderReceived):
            self._header, self._header_bytes = event.header, event.header.raw.removesuffix(self._tags_raw)
        if isinstance(event, FragmentReceived):
            whole = self.finish()
            self._fragment = event
            return whole
        return None

    def finish(self) -> FileFragment | None:
        """The fragment that waits for its last tags, if there is one and it was not there before."""
        fragment, self._fragment = self._fragment, None
        if fragment is None or self._header is None:
            return None
        tags, self._tags = self._tags, {}
        number = tags.get(FRAGMENT_NUMBER)
        if number is not None and number in self._numbers:
            return None
        self._numbers.add(number or "")
        return FileFragment(
            header=self._header,
            header_bytes=self._header_bytes,
            cluster=fragment.cluster,
            timecode_ms=fragment.timecode_ms,
            duration_ms=fragment.duration_ms,
            tags=tags,
        )


def is_matroska(path: Path) -> bool:
    """Whether the file begins as Matroska does. OSError when it cannot be read."""
    with path.open("rb") as file:
        return file.read(len(_EBML)) == _EBML


def fragments(path: Path) -> Iterator[FileFragment]:
    """Each fragment once: a number that comes again is passed over.

    Raises AudioUnreadable when the file cannot be read, MatroskaInvalid for anything that is no stream of fragments,
    one that breaks off in the middle of a fragment too; what was whole has been given then.
    """
    reader, assembly = MatroskaReader(), _Assembly()
    for data in _pieces(path):
        for event in reader.feed(data) if data else reader.close():
            refused = isinstance(event, StreamRefused)
            if fragment := assembly.finish() if refused else assembly.take(event):
                yield fragment
            if refused:
                raise MatroskaInvalid(f"{path.name} is no stream of fragments: {event.reason}")
    if fragment := assembly.finish():
        yield fragment


def open_media_file(path: Path, *, channel: int | None) -> MediaFile:
    """Walk a file once and choose a channel; no sample is decoded.

    Raises what `fragments` raises, AudioUnreadable for a file without fragments or of several calls, MediaIncompatible
    for audio that cannot be decoded, ChannelNotChosen for several channels and no choice.
    """
    first: FileFragment | None = None
    present: set[int] = set()
    call: str | None = None
    duration_ms = 0
    for fragment in fragments(path):
        first = first or fragment
        present |= {number for track in audio_tracks(fragment.header) if (number := connect_channel(track)) is not None}
        following = call_of(fragment.tags) or call
        if call is not None and following != call:
            raise AudioUnreadable(
                f"{path.name} holds several calls: another one begins after {duration_ms / 1_000:.1f} s (the tag that "
                "names the call changes there); save each into a file of its own"
            )
        call = following
        duration_ms += fragment.duration_ms
    if first is None:
        raise AudioUnreadable(f"{path.name} holds no fragment of a stream; save it again")
    chosen = _connect_choice(present, channel) if present else choose_channel(_interleaved(first), channel)
    decoder = _decoder(first.header, chosen, media_type_of(first.tags)).own
    return MediaFile(
        rate=decoder.rate,
        channels=len(present) or _interleaved(first),
        channel=chosen,
        codec=_codec(first, decoder),
        seconds=duration_ms / 1_000,
    )


def media_file_blocks(path: Path, *, channel: int, reference: bool = False) -> Iterator[Samples]:
    """The samples of one channel, fragment by fragment, with its reference if that is asked for.

    AudioUnreadable when their rate changes on the way.
    """
    decoder: ReferencedDecoder | None = None
    told: tuple[object, MediaType | None] = (None, None)
    for fragment in fragments(path):
        telling = fragment.header.tracks, media_type_of(fragment.tags) or told[1]
        if decoder is None or telling != told:
            following = _decoder(fragment.header, channel, telling[1])
            if decoder is not None and following.own.rate != decoder.own.rate:
                raise AudioUnreadable(f"{path.name} changes its sample rate on the way; give each part as its own file")
            told, decoder = telling, following
        frames = list(read_frames(fragment.cluster))
        yield decoder.feed(frames) if reference else decoder.own.feed(frames)


def _decoder(header: Header, channel: int, media_type: MediaType | None) -> ReferencedDecoder:
    return ReferencedDecoder(
        header, channel=channel, declared_rate=_DECLARED_RATE, pcm_declared=False, media_type=media_type
    )


def _connect_choice(present: set[int], channel: int | None) -> int:
    """The channel to listen to of those whose tracks of Amazon Connect are in the file: the only one without a word."""
    if channel in present:
        return channel
    if channel is None and len(present) == 1:
        return next(iter(present))
    named = " and ".join(f"channel {each} ({CONNECT_TRACKS[each]})" for each in sorted(present))
    asked = "choose one participant" if channel is None else f"there is no channel {channel}"
    raise ChannelNotChosen(f"{asked}; the recording has {named}: give one with --channel")


def _interleaved(first: FileFragment) -> int:
    """Channels of a file that is not Amazon Connect's: those of its only track, or its tracks."""
    tracks = audio_tracks(first.header)
    if len(tracks) != 1:
        return max(1, len(tracks))
    wave, told = tracks[0].wave_format, media_type_of(first.tags)
    return (told.channels if told else None) or tracks[0].channels or (wave.channels if wave else 1)


def _codec(first: FileFragment, decoder: ChannelDecoder) -> str:
    codec_id = audio_tracks(first.header)[0].codec_id
    plain = codec_id.startswith(("A_PCM", "A_MS/ACM"))
    return codec_id if plain else f"{codec_id}, in truth {_words(decoder.audio.encoding)}"


def _words(encoding: Encoding) -> str:
    return {Encoding.S16LE: "16-bit PCM", Encoding.MULAW: "µ-law", Encoding.ALAW: "A-law"}[encoding]


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
