"""Frames to one participant's samples: track, channel, encoding and rate, as producers announce them."""

from contextlib import suppress
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fuzz import streams

from earwitness.audio.channel import ChannelDecoder, MediaType, media_type_of
from earwitness.audio.matroska.frames import Frame
from earwitness.audio.matroska.tracks import Header, Track
from earwitness.audio.matroska.writer import pcm_track
from earwitness.audio.pcm import Encoding, decode
from earwitness.errors import MediaIncompatible

STEREO = np.array([[1, -1], [2, -2], [3, -3]], "<i2")
MONO_TRACK, STEREO_TRACK = pcm_track(rate=8000), pcm_track(rate=8000, channels=2)


def header(*tracks: Track) -> Header:
    return Header(raw=b"", timestamp_scale_ns=1_000_000, tracks=tracks)


def decoder(*tracks: Track, channel: int = 0, **declared: int | bool) -> ChannelDecoder:
    return ChannelDecoder(header(*tracks), channel=channel, **{"declared_rate": 8000, **declared})


def frame(data: bytes, track: int = 1) -> Frame:
    return Frame(track, 0, memoryview(data))


def integers(samples: np.ndarray) -> list[int]:
    return [round(float(sample) * 32768) for sample in samples]


def test_a_channel_of_an_interleaved_track() -> None:
    for channel, expected in ((0, [1, 2, 3]), (1, [-1, -2, -3])):
        samples = decoder(STEREO_TRACK, channel=channel).feed([frame(STEREO.tobytes())])
        assert samples.dtype == np.float32
        assert integers(samples) == expected
    with pytest.raises(MediaIncompatible, match="2 channels and none with the index 2"):
        decoder(STEREO_TRACK, channel=2)


def test_on_a_mono_track_the_channel_is_only_a_name() -> None:
    assert integers(decoder(MONO_TRACK, channel=1).feed([frame(b"\x07\x00")])) == [7]


def test_amazon_connects_tracks_are_found_by_name() -> None:
    to_customer = pcm_track(number=1, rate=8000, name="AUDIO_TO_CUSTOMER")
    from_customer = pcm_track(number=2, rate=8000, name="AUDIO_FROM_CUSTOMER")
    frames = [frame(b"\x01\x00", 1), frame(b"\x02\x00", 2), frame(b"\x03\x00", 1)]
    assert integers(decoder(to_customer, from_customer, channel=0).feed(frames)) == [2]
    assert integers(decoder(to_customer, from_customer, channel=1).feed(frames)) == [1, 3]
    lower = replace(from_customer, name=" audio_from_customer ")
    assert integers(decoder(to_customer, lower, channel=0).feed(frames)) == [2]
    # The customer must not be taken for the agent, but time goes on.
    assert integers(decoder(from_customer, channel=1).feed(frames)) == [0]
    assert integers(decoder(to_customer, from_customer, channel=0).feed(frames[:1])) == [0]
    with pytest.raises(MediaIncompatible, match="no track for channel 2"):
        decoder(to_customer, from_customer, channel=2)


def test_of_other_tracks_the_one_in_the_channels_place_is_heard() -> None:
    video = Track(number=1, type=1, codec_id="V_MPEG4/ISO/AVC")
    second, third = pcm_track(number=3, rate=8000), pcm_track(number=2, rate=8000)
    frames = [frame(b"\x01\x00", 1), frame(b"\x02\x00", 2), frame(b"\x03\x00", 3)]
    assert integers(decoder(video, second, third, channel=1).feed(frames)) == [3]
    with pytest.raises(MediaIncompatible, match="2 audio tracks"):
        decoder(video, second, third, channel=2)
    with pytest.raises(MediaIncompatible, match="no audio track"):
        decoder(video)
    with pytest.raises(MediaIncompatible, match="interleaves"):
        decoder(replace(STEREO_TRACK, number=2), MONO_TRACK, channel=1)


@pytest.mark.parametrize(("tag", "encoding"), [(6, Encoding.ALAW), (7, Encoding.MULAW)])
def test_g711_in_a_wave_format(tag: int, encoding: Encoding) -> None:
    codes = bytes(range(256))
    np.testing.assert_array_equal(decoder(streams.acm_track(tag)).feed([frame(codes)]), decode(encoding, codes))
    pcm = streams.acm_track(1, bits=16, channels=2)
    assert integers(decoder(pcm, channel=1).feed([frame(STEREO.tobytes())])) == [-1, -2, -3]


def test_what_the_audio_element_does_not_state_the_wave_format_does() -> None:
    track = replace(streams.acm_track(7, rate=16000, channels=2), sampling_frequency=None, channels=None)
    heard = decoder(track, channel=1)
    assert (heard.rate, heard.declared_rate, heard.rate_differs) == (16000, 8000, True)
    assert len(heard.feed([frame(b"abcd")])) == 2


def test_an_unknown_codec_is_raw_pcm_where_the_api_says_so() -> None:
    track = Track(number=1, type=2, codec_id="A_VOICE_CONNECTOR", channels=2)
    heard = decoder(track, channel=1, declared_rate=16000)
    assert (heard.rate, heard.rate_differs) == (16000, False)
    assert integers(heard.feed([frame(STEREO.tobytes())])) == [-1, -2, -3]
    with pytest.raises(MediaIncompatible, match="codec"):
        decoder(track, pcm_declared=False)
    with pytest.raises(MediaIncompatible, match="codec"):
        decoder(track, replace(track, number=2))


@pytest.mark.parametrize(
    "track",
    [
        Track(number=1, type=2, codec_id="A_AAC"),
        Track(number=1, type=2, codec_id="A_OPUS"),
        Track(number=1, type=2, codec_id="A_PCM/INT/BIG"),
        Track(number=1, type=2, codec_id="A_MS/ACM"),
        streams.acm_track(0x55),
        streams.acm_track(1, bits=24),
        replace(MONO_TRACK, bit_depth=24),
        replace(MONO_TRACK, encoded=True),
        replace(MONO_TRACK, channels=9),
        replace(MONO_TRACK, channels=1 << 60),
        replace(MONO_TRACK, sampling_frequency=-8000.0),
        replace(MONO_TRACK, sampling_frequency=1e30),
    ],
)
def test_audio_that_cannot_be_decoded_is_a_clear_error(track: Track) -> None:
    with pytest.raises(MediaIncompatible, match=r"the stream's audio cannot be used: .*; "):
        decoder(track)


def test_the_streams_own_rate_wins_and_both_are_known() -> None:
    heard = decoder(MONO_TRACK, declared_rate=48000)
    assert (heard.rate, heard.declared_rate, heard.rate_differs) == (8000, 48000, True)
    silent = decoder(replace(MONO_TRACK, sampling_frequency=None), declared_rate=48000)
    assert (silent.rate, silent.rate_differs) == (48000, False)


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=200), cuts=st.lists(st.integers(0, 200), max_size=8))
def test_a_sample_may_be_cut_by_a_frame_or_by_a_fragment(data: bytes, cuts: list[int]) -> None:
    whole = decoder(STEREO_TRACK, channel=1).feed([frame(data)])
    heard = decoder(STEREO_TRACK, channel=1)
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    frames = [frame(data[low:high]) for low, high in pairwise(edges)]
    half = len(frames) // 2
    np.testing.assert_array_equal(np.concatenate([heard.feed(frames[:half]), heard.feed(frames[half:])]), whole)
    assert heard.rest_bytes == len(data) % 4


AAC = Track(number=1, type=2, codec_id="A_AAC", name="AUDIO_FROM_CUSTOMER", codec_private=bytes.fromhex("1190"))


def media_type(value: str) -> MediaType | None:
    return media_type_of({"MimeType": value})


def test_the_media_type_is_believed_before_the_codec_id() -> None:
    pcm = media_type("audio/L16;rate=16000;channels=1;")
    heard = ChannelDecoder(header(replace(AAC, name="any")), channel=0, declared_rate=8000, media_type=pcm)
    assert (heard.rate, integers(heard.feed([frame(b"\x07\x00")]))) == (16000, [7])
    mulaw = ChannelDecoder(header(AAC), channel=0, declared_rate=8000, media_type=media_type("Audio/PCMU"))
    assert mulaw.audio == MediaType(encoding=Encoding.MULAW, rate=None, channels=None)


def test_amazon_connects_announcement_is_known_without_its_tag() -> None:
    heard = decoder(AAC, declared_rate=48000)
    assert (heard.rate, integers(heard.feed([frame(b"\x07\x00")]))) == (8000, [7])


@pytest.mark.parametrize(
    "track",
    [
        replace(AAC, name="audio"),
        replace(AAC, codec_private=bytes.fromhex("1588")),
        replace(AAC, sampling_frequency=48_000.0),
    ],
)
def test_real_aac_is_refused_by_its_name(track: Track) -> None:
    with pytest.raises(MediaIncompatible, match="its codec is A_AAC, which is none of 16-bit"):
        decoder(track)
    with pytest.raises(MediaIncompatible, match="A_AAC"):
        ChannelDecoder(header(track), channel=0, declared_rate=8000, media_type=media_type("audio/aac"))


@pytest.mark.parametrize(
    ("value", "rate", "channels"),
    [
        ("audio/L16;rate=8000;channels=1;", 8000, 1),
        ("AUDIO/l16 ; RATE = 8000", 8000, None),
        ("audio/L16", None, None),
        ("audio/L16;rate=0;channels=-1", None, None),
        ("audio/L16;rate=99999999999999999999;channels=one", None, None),
        ("audio/L16;rate=\u0663;;;=;rate", None, None),
    ],
)
def test_media_types_are_read_and_what_is_no_number_is_left_out(
    value: str, rate: int | None, channels: int | None
) -> None:
    assert media_type(value) == MediaType(encoding=Encoding.S16LE, rate=rate, channels=channels)


def test_a_media_type_of_something_else_says_nothing() -> None:
    assert [media_type(value) for value in ("", ";", "video/h264", "audio/aac", "audio")] == [None] * 5
    assert media_type_of({}) is None


@settings(max_examples=200, deadline=None)
@given(value=st.text(max_size=60), rate=st.text(max_size=12), data=st.binary(max_size=50))
def test_no_media_type_breaks_the_decoder(value: str, rate: str, data: bytes) -> None:
    """Whatever the tag says: samples, or an error that says what is wrong."""
    for text in (value, f"audio/L16;rate={rate}", f"audio/pcma;channels={rate}"):
        with suppress(MediaIncompatible):
            heard = ChannelDecoder(header(AAC), channel=0, declared_rate=8000, media_type=media_type(text))
            assert len(heard.feed([frame(data)])) <= len(data)
            assert heard.rate >= 1


def test_silence_for_an_absent_track_is_bounded() -> None:
    heard = decoder(replace(AAC, name="AUDIO_TO_CUSTOMER"), channel=0)
    assert len(heard.feed([frame(bytes(16_000 * 3600))])) == 20 * 8000
