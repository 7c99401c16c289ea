"""Recordings in Matroska: a GetMedia stream that was saved, a producer's stream, libavformat's file."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import soundfile
from test_matroska_libavformat import their_file
from tests.fuzz.streams import acm_track

from earwitness.audio.channel import CONNECT_TRACKS
from earwitness.audio.files import open_recording
from earwitness.audio.matroska.get_media import get_media_chunk, get_media_error
from earwitness.audio.matroska.tags import write_tags
from earwitness.audio.matroska.tracks import Track
from earwitness.audio.matroska.writer import pcm_track, write_block, write_cluster, write_header
from earwitness.audio.pcm import Encoding, decode
from earwitness.errors import AudioError, AudioUnreadable, ChannelNotChosen, MatroskaInvalid, MediaIncompatible

RATE = 8_000
TIME = datetime(2026, 1, 1, tzinfo=UTC)
SECONDS = 3
SPEECH = np.random.default_rng(3).integers(-9_000, 9_000, (SECONDS * RATE, 2)).astype("<i2")


def as_samples(pcm: np.ndarray) -> np.ndarray:
    return pcm.astype(np.float32) / 32_768


def read(path: Path, *, channel: int | None = None) -> np.ndarray:
    return np.concatenate(list(open_recording(path, channel=channel).blocks()))


def blocks(number: int, data: bytes, *, count: int) -> list[bytes]:
    size = len(data) // count
    return [
        write_block(number, 1_000 * index // count, data[size * index : size * (index + 1)]) for index in range(count)
    ]


def saved(
    tracks: list[Track],
    frames: list[dict[int, bytes]],
    *,
    first: int = 1,
    count: int = 1,
    tags: Mapping[str, str] | None = None,
    end: bytes = b"",
) -> bytes:
    """What GetMedia sends of these fragments of a second each, `count` frames of each track in it."""
    header = write_header(tracks)
    chunks = [
        get_media_chunk(
            header,
            write_cluster(1_000 * second, [block for track in each.items() for block in blocks(*track, count=count)]),
            producer_tags=b"".join(write_tags({name: value}) for name, value in (tags or {}).items()),
            fragment_number=f"{second + first:047d}",
            server_timestamp=TIME,
            producer_timestamp=TIME,
            millis_behind_now=1_000 * second,
            continuation_token=str(second),
        )
        for second, each in enumerate(frames)
    ]
    return b"".join(chunks) + end


def stereo(*, end: bytes = b"") -> bytes:
    frames = [{1: piece.tobytes()} for piece in np.split(SPEECH, SECONDS)]
    return saved([pcm_track(rate=RATE, channels=2)], frames, end=end)


def test_a_get_media_stream_that_was_saved(tmp_path: Path) -> None:
    path = tmp_path / "call.mkv"
    path.write_bytes(stereo())
    with pytest.raises(ChannelNotChosen):
        open_recording(path)
    found = open_recording(path, channel=1)
    assert (found.rate, found.channels, found.channel, found.seconds) == (RATE, 2, 1, SECONDS)
    assert found.format == "Matroska A_PCM/INT/LIT"
    for channel in range(2):
        np.testing.assert_array_equal(read(path, channel=channel), as_samples(SPEECH[:, channel]))


def test_an_error_of_the_service_at_the_end_costs_nothing_before_it(tmp_path: Path) -> None:
    header = write_header([pcm_track(rate=RATE, channels=2)])
    error = get_media_error(header, fragment_number="9", error_id=3_002, error_code="STREAM_READ_ERROR")
    path = tmp_path / "call.mkv"
    path.write_bytes(stereo(end=error))
    np.testing.assert_array_equal(read(path, channel=0), as_samples(SPEECH[:, 0]))


def test_tracks_of_amazon_connect_are_channels(tmp_path: Path) -> None:
    to_customer, from_customer = (
        pcm_track(number=number, rate=RATE, name=name) for number, name in enumerate(reversed(CONNECT_TRACKS), start=1)
    )
    frames = [{1: piece[:, 1].tobytes(), 2: piece[:, 0].tobytes()} for piece in np.split(SPEECH, SECONDS)]
    path = tmp_path / "call.mkv"
    path.write_bytes(saved([to_customer, from_customer], frames))
    with pytest.raises(ChannelNotChosen):
        open_recording(path)
    for channel in range(2):
        np.testing.assert_array_equal(read(path, channel=channel), as_samples(SPEECH[:, channel]))


@pytest.mark.parametrize(("tag", "subtype"), [(6, "ALAW"), (7, "ULAW")])
def test_g711_sounds_as_it_does_in_wav(tmp_path: Path, tag: int, subtype: str) -> None:
    codes = np.random.default_rng(1).integers(0, 256, RATE).astype(np.uint8).tobytes()
    raw = {"format": "RAW", "subtype": subtype, "channels": 1, "samplerate": RATE}
    (tmp_path / "codes").write_bytes(codes)
    expected, _ = soundfile.read(tmp_path / "codes", dtype="float32", **raw)
    path = tmp_path / "call.mkv"
    path.write_bytes(saved([acm_track(tag)], [{1: codes}]))
    np.testing.assert_array_equal(read(path), expected)


def test_a_file_of_libavformat(tmp_path: Path) -> None:
    path = tmp_path / "call.mka"
    with path.open("wb") as file:
        their_file(SPEECH, rate=RATE, into=file)  # type: ignore[arg-type]
    np.testing.assert_array_equal(read(path, channel=1), as_samples(SPEECH[:, 1]))


def test_what_is_no_call_is_an_error_that_says_so(tmp_path: Path) -> None:
    path, media = tmp_path / "call.mkv", stereo()
    opus = Track(number=1, type=2, codec_id="A_OPUS", sampling_frequency=48_000.0, channels=1)
    video = Track(number=1, type=1, codec_id="V_MPEG4/ISO/AVC")
    for content, error in (
        (media[: len(media) // 2], MatroskaInvalid),
        (write_header([pcm_track(rate=RATE)]), AudioError),
        (saved([opus], [{1: b"opus"}]), AudioUnreadable),
        (saved([video], [{1: b"a picture"}]), MediaIncompatible),
        (b"\x1a\x45\xdf\xa3" + bytes(100), AudioError),
    ):
        path.write_bytes(content)
        with pytest.raises(error):
            open_recording(path, channel=0)


def test_a_rate_that_changes_on_the_way(tmp_path: Path) -> None:
    slow, fast = (saved([pcm_track(rate=rate)], [{1: bytes(2 * rate)}], first=rate) for rate in (RATE, 2 * RATE))
    path = tmp_path / "call.mkv"
    path.write_bytes(slow + fast)
    with pytest.raises(AudioUnreadable, match="sample rate"):
        read(path)


CONNECT_TAGS = {"ContactId": "one", "MimeType": "audio/L16;rate=8000;channels=1;", "AUDIO_FROM_CUSTOMER": "1"}


def connect_tracks(*numbers: int, names: tuple[str, ...] = CONNECT_TRACKS) -> list[Track]:
    """Tracks as Amazon Connect announces them: AAC at 48 kHz, which is not true."""
    return [
        Track(number=number, type=2, codec_id="A_AAC", name=names[number - 1], codec_private=bytes.fromhex("1190"))
        for number in numbers
    ]


def connect_call(announced: list[tuple[int, ...]], *, first: int = 1, contact: str = "one") -> bytes:
    """A second of SPEECH for each entry, which says which tracks the fragment announces."""
    return b"".join(
        saved(
            connect_tracks(*numbers),
            [{number: SPEECH[RATE * second : RATE * (second + 1), number - 1].tobytes() for number in numbers}],
            first=first + second,
            count=50,
            tags={**CONNECT_TAGS, "ContactId": contact},
        )
        for second, numbers in enumerate(announced)
    )


def test_amazon_connects_pcm_behind_the_name_of_aac(tmp_path: Path) -> None:
    path = tmp_path / "call.mkv"
    path.write_bytes(connect_call([(1, 2)] * SECONDS))
    found = open_recording(path, channel=0)
    assert (found.rate, found.channels, found.seconds) == (RATE, 2, SECONDS)
    assert found.format == "Matroska A_AAC, in truth 16-bit PCM"
    for channel in range(2):
        np.testing.assert_array_equal(read(path, channel=channel), as_samples(SPEECH[:, channel]))


def test_the_tag_is_believed_before_an_announcement_of_aac_with_a_rate(tmp_path: Path) -> None:
    """What a live task hears of such a stream, a saved one gives too."""
    path = tmp_path / "call.mkv"
    track = Track(number=1, type=2, codec_id="A_AAC", sampling_frequency=48_000.0)
    content = SPEECH[:, 0].tobytes()
    path.write_bytes(saved([track], [{1: content}], first=1, tags={"MimeType": CONNECT_TAGS["MimeType"]}))
    assert open_recording(path).format == "Matroska A_AAC, in truth 16-bit PCM"
    np.testing.assert_array_equal(read(path), as_samples(SPEECH[:, 0]))


def test_where_a_participants_track_is_absent_time_goes_on_in_silence(tmp_path: Path) -> None:
    path = tmp_path / "call.mkv"
    path.write_bytes(connect_call([(2,), (1, 2), (1,)]))
    customer, agent = as_samples(SPEECH[:, 0]).copy(), as_samples(SPEECH[:, 1]).copy()
    customer[:RATE] = 0
    agent[2 * RATE :] = 0
    np.testing.assert_array_equal(read(path, channel=0), customer)
    np.testing.assert_array_equal(read(path, channel=1), agent)


@pytest.mark.parametrize("channel", [0, 1])
def test_one_of_amazon_connects_tracks_alone_needs_no_choice(tmp_path: Path, channel: int) -> None:
    path = tmp_path / "call.mkv"
    path.write_bytes(connect_call([(channel + 1,)] * SECONDS))
    for chosen in (None, channel):
        assert open_recording(path, channel=chosen).channel == channel
        np.testing.assert_array_equal(read(path, channel=chosen), as_samples(SPEECH[:, channel]))
    with pytest.raises(ChannelNotChosen, match=rf"no channel {1 - channel}; the recording has channel {channel} "):
        open_recording(path, channel=1 - channel)


def test_a_fragment_that_comes_again_under_its_number_counts_once(tmp_path: Path) -> None:
    path, call = tmp_path / "call.mkv", connect_call([(1,)] * SECONDS)
    path.write_bytes(call + call)
    assert open_recording(path).seconds == SECONDS
    np.testing.assert_array_equal(read(path), as_samples(SPEECH[:, 0]))


def test_a_file_of_several_calls_says_so_and_names_none(tmp_path: Path) -> None:
    path = tmp_path / "calls.mkv"
    path.write_bytes(connect_call([(1,)] * 2, contact="secret-1") + connect_call([(1,)], first=3, contact="secret-2"))
    with pytest.raises(AudioUnreadable, match=r"several calls: another one begins after 2\.0 s") as refused:
        open_recording(path)
    assert "secret" not in str(refused.value)


def test_g711_of_the_c_producer_whose_bits_are_0(tmp_path: Path) -> None:
    """An 18-byte WAVEFORMATEX as its `mkvgenGeneratePcmCpd` writes it, and an Audio element without BitDepth."""
    private = bytes.fromhex("06000100401f0000e80300000100000000000000")[:18]
    track = replace(acm_track(6), codec_private=private, bit_depth=None)
    codes = bytes(range(256)) * 4
    path = tmp_path / "call.mkv"
    path.write_bytes(saved([track], [{1: codes}]))
    assert open_recording(path).seconds == len(codes) / RATE
    np.testing.assert_array_equal(read(path), decode(Encoding.ALAW, codes))
