"""Matroska on disk: a stream as GetMedia gave it, or as a producer wrote it.

What belongs here: a file's fragments, one channel of them as samples, and whether FFmpeg must read the file instead.
What must never: numbering fragments.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from earwitness.audio.channel import (
    CONNECT_TRACKS,
    OTHER_CODECS,
    MediaType,
    ReferencedDecoder,
    audio_tracks,
    call_of,
    connect_channel,
    media_type_of,
    own_encoding,
)
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
from earwitness.audio.matroska.tracks import PCM_CODEC_ID, Header, Track
from earwitness.audio.pcm import Encoding
from earwitness.audio.recording import Recording, choose_channel, codec_named
from earwitness.errors import AudioUnreadable, ChannelNotChosen, MatroskaInvalid
from earwitness.voice.embedding import Samples

_EBML = b"\x1a\x45\xdf\xa3"
_READ_BYTES = 64 * 1024
_HEADER_BYTES_MAX = 1 << 20
_DECLARED_RATE = 8_000
"""Of a track that states none: what Kinesis Video Streams' telephony producers send."""

_ENCODINGS = {Encoding.S16LE: "16-bit PCM", Encoding.MULAW: "µ-law", Encoding.ALAW: "A-law"}


@dataclass(frozen=True, kw_only=True)
class FileFragment:
    """One fragment of a file."""

    #: Of the stream that it is in.
    header: Header
    #: The same as bytes, without the service's tags in it.
    header_bytes: bytes = field(repr=False)
    cluster: bytes = field(repr=False)
    timecode_ms: int
    duration_ms: int
    #: The producer's and the service's, those in front of the fragment and those behind it.
    tags: Mapping[str, str] = field(repr=False)


class _Assembly:
    """Puts fragments together from what the reader reports: their tags come in front of them and behind them."""

    def __init__(self) -> None:
        self._header: Header | None = None
        self._header_bytes = b""
        self._tags: dict[str, str] = {}
        self._tags_raw = b""
        self._fragment: FragmentReceived | None = None
        #: Of the fragments so far: a consumer that connects again saves some twice.
        self._numbers: set[str] = set()

    def take(self, event: MatroskaEvent) -> Iterator[FileFragment]:
        """Give the fragment that is known to be whole now, with all its tags."""
        if isinstance(event, TagsReceived):
            if FRAGMENT_NUMBER in event.tags.values:  # another chunk begins
                yield from self.finish()
            self._tags_raw = event.tags.raw
            self._tags |= event.tags.values
        elif isinstance(event, HeaderReceived):
            self._header, self._header_bytes = event.header, event.header.raw.removesuffix(self._tags_raw)
        elif isinstance(event, FragmentReceived):
            yield from self.finish()
            self._fragment = event

    def finish(self) -> Iterator[FileFragment]:
        """Give the fragment that waits for its last tags, if there is one and it was not there before."""
        fragment, self._fragment = self._fragment, None
        if fragment is None or self._header is None:
            return
        tags, self._tags = self._tags, {}
        number = tags.get(FRAGMENT_NUMBER)
        if number is not None and number in self._numbers:
            return
        self._numbers.add(number or "")
        yield FileFragment(
            header=self._header,
            header_bytes=self._header_bytes,
            cluster=fragment.cluster,
            timecode_ms=fragment.timecode_ms,
            duration_ms=fragment.duration_ms,
            tags=tags,
        )


def is_matroska(path: Path) -> bool:
    """Whether the file begins as Matroska does. Raises OSError when it cannot be read."""
    with path.open("rb") as file:
        return file.read(len(_EBML)) == _EBML


def needs_libav(path: Path) -> bool:
    """Whether our own reader cannot decode the audio because of its codec. A stream's own faults do not count.

    Raises OSError when the file cannot be read.
    """
    header = _header(path)
    if header is None:
        return True
    if not any(_is_foreign(track) for track in audio_tracks(header)):
        return False
    try:
        first = next(fragments(path), None)
    except MatroskaInvalid:
        return True
    # A media type in the tags is believed before the codec id.
    return first is None or media_type_of(first.tags) is None


def fragments(path: Path) -> Iterator[FileFragment]:
    """Give each fragment once: a number that comes again is passed over.

    Raises AudioUnreadable when the file cannot be read, MatroskaInvalid for anything that is no stream of fragments,
    one that breaks off in the middle of a fragment too; what was whole has been given then.
    """
    assembly = _Assembly()
    for event in _events(path):
        if isinstance(event, StreamRefused):
            yield from assembly.finish()
            raise MatroskaInvalid(f"{path.name} is no stream of fragments: {event.reason}")
        yield from assembly.take(event)
    yield from assembly.finish()


def open_matroska_file(path: Path, *, channel: int | None) -> Recording:
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
    return Recording(
        path=path,
        rate=decoder.rate,
        channels=len(present) or _interleaved(first),
        channel=chosen,
        format=f"Matroska {_codec(first, decoder.audio.encoding)}",
        codec=codec_named(decoder.audio.encoding),
        seconds=duration_ms / 1_000,
        decode=_blocks,
    )


def _blocks(recording: Recording, reference: bool) -> Iterator[Samples]:
    """Decode fragment by fragment. Raises AudioUnreadable when the rate changes on the way."""
    decoder: ReferencedDecoder | None = None
    told: tuple[object, MediaType | None] = (None, None)
    for fragment in fragments(recording.path):
        telling = fragment.header.tracks, media_type_of(fragment.tags) or told[1]
        if decoder is None or telling != told:
            told, decoder = telling, _decoder(fragment.header, recording.channel, telling[1])
            if decoder.own.rate != recording.rate:
                name = recording.path.name
                raise AudioUnreadable(f"{name} changes its sample rate on the way; give each part as its own file")
        frames = list(read_frames(fragment.cluster))
        yield decoder.feed(frames) if reference else decoder.own.feed(frames)


def _decoder(header: Header, channel: int, media_type: MediaType | None) -> ReferencedDecoder:
    return ReferencedDecoder(
        header, channel=channel, declared_rate=_DECLARED_RATE, pcm_declared=False, media_type=media_type
    )


def _connect_choice(present: set[int], channel: int | None) -> int:
    """Return the channel to listen to of those whose tracks of Amazon Connect are in the file.

    The only one need not be named.
    """
    if channel in present:
        return channel
    if channel is None and len(present) == 1:
        return next(iter(present))
    named = " and ".join(f"channel {each} ({CONNECT_TRACKS[each]})" for each in sorted(present))
    asked = "choose one participant" if channel is None else f"there is no channel {channel}"
    raise ChannelNotChosen(f"{asked}; the recording has {named}: give one with --channel")


def _interleaved(first: FileFragment) -> int:
    """Return the channels of a file that is not Amazon Connect's: those of its only track, or its tracks."""
    tracks = audio_tracks(first.header)
    if len(tracks) != 1:
        return max(1, len(tracks))
    wave, told = tracks[0].wave_format, media_type_of(first.tags)
    return (told.channels if told else None) or tracks[0].channels or (wave.channels if wave else 1)


def _codec(first: FileFragment, encoding: Encoding) -> str:
    """Return the codec id, and what the frames really hold where that is something else."""
    codec_id = audio_tracks(first.header)[0].codec_id
    plain = codec_id.startswith(("A_PCM", "A_MS/ACM"))
    return codec_id if plain else f"{codec_id}, in truth {_ENCODINGS[encoding]}"


def _header(path: Path) -> Header | None:
    """Return what stands before the first cluster, or None when it is more than a producer's."""
    reader = MatroskaReader()
    with path.open("rb") as file:
        for _ in range(_HEADER_BYTES_MAX // _READ_BYTES):
            for event in reader.feed(file.read(_READ_BYTES)):
                if isinstance(event, HeaderReceived):
                    return event.header
                if isinstance(event, StreamRefused):
                    return None
    return None


def _is_foreign(track: Track) -> bool:
    if track.codec_id == PCM_CODEC_ID or track.wave_format is not None:
        return own_encoding(track) is None
    if track.codec_id == "A_AAC":
        return track.sampling_frequency is not None  # Amazon Connect states none, and sends 16-bit PCM
    return track.codec_id.startswith(OTHER_CODECS)


def _events(path: Path) -> Iterator[MatroskaEvent]:
    reader = MatroskaReader()
    try:
        with path.open("rb") as file:
            while data := file.read(_READ_BYTES):
                yield from reader.feed(data)
    except OSError as error:
        raise AudioUnreadable(f"{path.name} cannot be read: {error.strerror}") from error
    yield from reader.close()
