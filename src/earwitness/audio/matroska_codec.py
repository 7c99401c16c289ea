"""Whether Matroska on disk is a stream as producers of Kinesis Video Streams send it, or of another codec.

What belongs here: the choice between our own reader and FFmpeg's. A stream's own faults stay our reader's to tell.
"""

from pathlib import Path

from earwitness.audio.fragment_tags import media_type_of
from earwitness.audio.matroska.events import HeaderReceived, StreamRefused
from earwitness.audio.matroska.reader import MatroskaReader
from earwitness.audio.matroska.tracks import ACM_CODEC_ID, AUDIO_TRACK, PCM_CODEC_ID, Header, Track
from earwitness.audio.media_file import fragments
from earwitness.audio.track_audio import OTHER_CODECS
from earwitness.errors import MatroskaInvalid

_READ_BYTES = 64 * 1024
_HEADER_BYTES_MAX = 1 << 20
_PCM, _ALAW, _MULAW = 1, 6, 7
"""Tags of a WAVEFORMATEX."""


def needs_libav(path: Path) -> bool:
    """Whether our own reader cannot decode the audio because of its codec. OSError when the file cannot be read."""
    header = _header(path)
    if header is None:
        return True
    foreign = any(_is_foreign(track) for track in header.tracks if track.type == AUDIO_TRACK)
    return foreign and not _is_told_otherwise(path)


def _header(path: Path) -> Header | None:
    """What stands before the first cluster, or None when it is more than a producer's."""
    reader = MatroskaReader()
    with path.open("rb") as file:
        for _ in range(_HEADER_BYTES_MAX // _READ_BYTES):
            for event in reader.feed(file.read(_READ_BYTES)):
                if isinstance(event, HeaderReceived):
                    return event.header
                if isinstance(event, StreamRefused):
                    return None
    return None


def _is_told_otherwise(path: Path) -> bool:
    """Whether the first fragment's tags name audio that we decode, as they are believed before the codec id."""
    try:
        first = next(fragments(path), None)
    except MatroskaInvalid:
        return False
    return first is not None and media_type_of(first.tags) is not None


def _is_foreign(track: Track) -> bool:
    if track.codec_id == PCM_CODEC_ID:
        return track.bit_depth not in (None, 16)
    if track.codec_id == ACM_CODEC_ID and (wave := track.wave_format) is not None:
        return wave.tag not in (_ALAW, _MULAW) and (wave.tag, wave.bits) != (_PCM, 16)
    if track.codec_id == "A_AAC":
        return track.sampling_frequency is not None  # Amazon Connect states none, and sends 16-bit PCM
    return track.codec_id.startswith(OTHER_CODECS)
