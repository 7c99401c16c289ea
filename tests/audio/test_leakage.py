"""Leakage of the other channel: told by levels, never gathered, and nothing depends on how the samples come."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from earwitness.audio.channel import ReferencedDecoder
from earwitness.audio.files import RawFormat, open_recording
from earwitness.audio.leakage import LeakageDetector, beside
from earwitness.audio.matroska.frames import Frame
from earwitness.audio.matroska.tracks import Header, Track
from earwitness.audio.matroska.writer import pcm_track
from earwitness.audio.net_speech import gather
from earwitness.audio.passages import PassageEnd, PassageGatherer
from earwitness.audio.pcm import Encoding
from earwitness.models.sessions import ModelSession
from earwitness.samples import first_call
from earwitness.voice.band import Band
from earwitness.voice.embedding import Samples
from earwitness.voice.speech import NetSpeech

RATE = 8_000
FRAME = 256


def talk(seconds: float, *, db: float = -20.0, seed: int = 1) -> Samples:
    return (np.random.default_rng(seed).standard_normal(round(seconds * RATE)) * 10 ** (db / 20)).astype(np.float32)


def silence(seconds: float) -> Samples:
    return talk(seconds, db=-75.0, seed=2)


def echo(agent: Samples, *, db: float, delay_ms: int = 120) -> Samples:
    late = np.concatenate([np.zeros(delay_ms * RATE // 1_000, np.float32), agent])[: len(agent)]
    return late * np.float32(10 ** (db / 20))


def leaks(pair: Samples, *groups: int) -> list[bool]:
    detector, found, start = LeakageDetector(), list[bool](), 0
    for count in groups or (len(pair) // FRAME,):
        piece = pair[start * FRAME : (start + count) * FRAME]
        found += detector.feed(piece, np.arange(len(piece) // FRAME) * FRAME).tolist()
        start += count
    return found


@pytest.mark.parametrize("delay_ms", [0, 40, 300])
@pytest.mark.parametrize("db", [-20, -30, -40])
def test_an_echo_is_leakage_for_as_long_as_it_lasts(db: int, delay_ms: int) -> None:
    agent = np.concatenate([talk(2), silence(2)])
    found = np.array(leaks(beside(echo(agent, db=db, delay_ms=delay_ms) + silence(4), agent)))
    assert found[:62].all()
    assert found[62 : (2_000 + delay_ms) // 32 - 1].all()
    assert not found[62 + 20 :].any()


def test_whoever_talks_at_the_same_time_is_no_leakage() -> None:
    agent = talk(4)
    assert not any(leaks(beside(talk(4, db=-30, seed=3) + echo(agent, db=-30), agent)))


def test_hum_and_an_offset_on_the_other_line_hide_nobody() -> None:
    time = np.arange(4 * RATE) / RATE
    hum = (0.5 + 0.4 * np.sin(2 * np.pi * 50 * time)).astype(np.float32)
    assert not any(leaks(beside(talk(4, db=-35), hum)))


def test_a_reference_that_is_short_silent_or_not_finite_is_nobody() -> None:
    own = talk(1, db=-50)
    for other in (own[:0], np.zeros(RATE, np.float32), np.full(2 * RATE, np.nan, np.float32), own):
        assert not any(leaks(beside(own, other)))


@settings(max_examples=40, deadline=None)
@given(groups=st.lists(st.integers(0, 30), max_size=20))
def test_how_frames_are_grouped_changes_nothing(groups: list[int]) -> None:
    agent = np.tile(np.concatenate([talk(0.4), silence(1.2)]), 2)
    pair = beside(echo(agent, db=-25) + talk(3.2, db=-55, seed=3), agent)
    whole = leaks(pair)
    assert {True, False} == set(whole)
    assert leaks(pair, *groups, len(pair) // FRAME) == whole


@pytest.fixture(scope="module")
def stereo() -> Samples:
    """The customer's channel beside the agent's: he is heard 25 dB down, falls silent, she answers, both talk."""
    agent, customer = (
        np.asarray(soundfile.read(first_call(name), dtype="float32")[0], np.float32) for name in ("russell", "sally")
    )
    said = np.concatenate([agent[: 9 * RATE], silence(12), agent[9 * RATE : 14 * RATE]])
    answer = np.concatenate([silence(9), silence(5), customer[: 5 * RATE], silence(2), customer[5 * RATE : 10 * RATE]])
    return beside(answer + echo(said, db=-25, delay_ms=180), said)


def gathered(vad: ModelSession, chunks: list[Samples]) -> NetSpeech:
    return gather(chunks, vad=vad, band=Band.TELEPHONE, rate=RATE, target_seconds=None)


def test_the_agents_leakage_is_not_gathered_and_the_customer_is(vad: ModelSession, stereo: Samples) -> None:
    with_agent, alone = gathered(vad, [stereo]), gathered(vad, [stereo[:, 0]])
    assert alone.segments[0].start_seconds < 5.0
    assert with_agent.segments[0].start_seconds > 13.5
    customer = gathered(vad, [np.concatenate([silence(14), stereo[14 * RATE :, 0]])])
    assert with_agent.seconds == pytest.approx(customer.seconds, rel=0.1)


def passages(vad: ModelSession, chunks: list[Samples]) -> tuple[NetSpeech, list[PassageEnd]]:
    gatherer = PassageGatherer(vad, band=Band.TELEPHONE, rate=RATE, target_seconds=20.0)
    for chunk in chunks:
        gatherer.feed(chunk)
    gatherer.finish()
    return gatherer.speech(), gatherer.take_ends()


@pytest.mark.slow
@pytest.mark.parametrize("size", [97, 1_777, 20_000])
def test_passages_are_the_same_for_every_chunking(vad: ModelSession, stereo: Samples, size: int) -> None:
    whole, ends = passages(vad, [stereo])
    speech, found = passages(vad, [stereo[at : at + size] for at in range(0, len(stereo), size)])
    np.testing.assert_array_equal(speech.samples, whole.samples)
    assert (speech.segments, found) == (whole.segments, ends)


@pytest.mark.slow
def test_where_passages_end_does_not_depend_on_the_reference_and_leakage_alone_is_not_heard_again(
    vad: ModelSession, stereo: Samples
) -> None:
    whole, ends = passages(vad, [stereo])
    _, alone = passages(vad, [stereo[:, 0]])
    assert [end.position for end in ends] == [end.position for end in alone]
    assert (ends[0].spoken, alone[0].spoken) == (False, True)
    again = PassageGatherer(vad, band=Band.TELEPHONE, rate=RATE, target_seconds=20.0)
    again.feed(stereo[ends[0].position :])
    again.finish()
    np.testing.assert_array_equal(again.speech().samples, whole.samples)


def decoded(*tracks: Track, channel: int, frames: list[Frame]) -> list[list[int]]:
    header = Header(raw=b"", timestamp_scale_ns=1_000_000, tracks=tracks)
    samples = ReferencedDecoder(header, channel=channel, declared_rate=RATE).feed(frames)
    return np.rint(samples * 32_768).astype(int).tolist()


def frame(data: bytes, track: int = 1) -> Frame:
    return Frame(track, 0, memoryview(data))


def test_the_other_channel_of_a_stream_lies_beside_the_chosen_one() -> None:
    interleaved = np.array([[1, -1], [2, -2]], "<i2").tobytes()
    track = pcm_track(rate=RATE, channels=2)
    assert decoded(track, channel=1, frames=[frame(interleaved)]) == [[-1, 1], [-2, 2]]
    names = ("AUDIO_FROM_CUSTOMER", "AUDIO_TO_CUSTOMER")
    connect = [pcm_track(number=number, rate=RATE, name=name) for number, name in enumerate(names, start=1)]
    both = [frame(b"\x01\x00\x02\x00", 1), frame(b"\x05\x00", 2)]
    assert decoded(*connect, channel=0, frames=both) == [[1, 5], [2, 0]]
    assert decoded(*connect, channel=1, frames=both) == [[5, 1]]
    assert decoded(connect[1], channel=0, frames=[frame(b"\x05\x00", 2)]) == [[0, 5]]


def test_there_is_no_reference_where_there_are_not_two_of_one_clock() -> None:
    one = [frame(b"\x07\x00")]
    assert decoded(pcm_track(rate=RATE), channel=1, frames=one) == [7]
    tracks = [pcm_track(number=number, rate=RATE) for number in (1, 2, 3)]
    assert decoded(*tracks, channel=0, frames=one) == [7]
    assert decoded(tracks[0], pcm_track(number=2, rate=16_000), channel=0, frames=one) == [7]
    assert decoded(tracks[0], pcm_track(number=2, rate=RATE, channels=2), channel=0, frames=one) == [7]


@pytest.mark.parametrize("form", ["call.wav", "call.flac", "call.raw"])
def test_the_other_channel_of_a_file(tmp_path: Path, stereo: Samples, form: str) -> None:
    path, raw = tmp_path / form, None
    if form == "call.raw":
        path.write_bytes(np.rint(stereo * 32_768).astype("<i2").tobytes())
        raw = RawFormat(encoding=Encoding.S16LE, rate=RATE, channels=2)
    else:
        soundfile.write(path, stereo, RATE)
    recording = open_recording(path, channel=1, raw=raw)
    pair = np.concatenate(list(recording.blocks(reference=True)))
    np.testing.assert_allclose(pair, stereo[:, ::-1], atol=1 / 32_000)
    np.testing.assert_array_equal(np.concatenate(list(recording.blocks())), pair[:, 0])


def test_a_file_of_three_channels_has_no_reference(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "three.wav", np.zeros((800, 3)), RATE)
    assert next(open_recording(tmp_path / "three.wav", channel=1).blocks(reference=True)).shape == (800,)
