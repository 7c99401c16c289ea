"""Hearing a call: the same answers however it was cut, and nothing enrolled that would spoil a profile."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from following import fragment

from earwitness.audio.matroska.writer import pcm_track, write_block, write_cluster, write_header
from earwitness.audio.passages import PassageGatherer
from earwitness.engine.engine import Engine
from earwitness.errors import NotEnoughSpeech, SpeechTooPoor
from earwitness.samples import first_call
from earwitness.tasks.hear import ChannelListener, gatherer_of, probe_of, voiceprint_of
from earwitness.tasks.replay import FragmentSlice
from earwitness.voice.durations import IDENTIFY_SECONDS
from earwitness.voice.embedding import Samples

RATE = 8_000


def heard(engine: Engine, samples: Samples, *, step: int) -> PassageGatherer:
    voice = gatherer_of(engine, rate=RATE)
    for first in range(0, len(samples), step):
        voice.feed(samples[first : first + step])
    return voice


def probe_vector(engine: Engine, gatherer: PassageGatherer) -> np.ndarray:
    return probe_of(engine, gatherer)[0].embedding.vector


def the_other(name: str) -> Samples:
    samples, _ = soundfile.read(first_call(name), dtype="float32")
    return np.asarray(samples, np.float32)


@pytest.mark.slow
def test_the_answers_do_not_depend_on_the_fragments(engine: Engine, call: Samples) -> None:
    one, other = heard(engine, call, step=RATE), heard(engine, call, step=1_777)
    assert one.complete
    assert other.complete
    np.testing.assert_array_equal(
        probe_of(engine, one)[0].embedding.vector, probe_of(engine, other)[0].embedding.vector
    )
    np.testing.assert_array_equal(voiceprint_of(engine, one)[0].vector, voiceprint_of(engine, other)[0].vector)


@pytest.mark.slow
def test_a_probe_is_the_same_early_and_late(engine: Engine, call: Samples) -> None:
    early = gatherer_of(engine, rate=RATE)
    for first in range(0, len(call), RATE):
        early.feed(call[first : first + RATE])
        if early.seconds >= IDENTIFY_SECONDS:
            break
    assert early.seconds < 12.0
    np.testing.assert_array_equal(
        probe_of(engine, early)[0].embedding.vector,
        probe_of(engine, heard(engine, call, step=RATE))[0].embedding.vector,
    )


def test_too_little_speech_gives_neither(engine: Engine, call: Samples) -> None:
    voice = heard(engine, call[: 6 * RATE], step=RATE)
    voice.finish()
    assert voice.seconds < IDENTIFY_SECONDS
    with pytest.raises(NotEnoughSpeech):
        probe_of(engine, voice)


@pytest.mark.slow
def test_two_voices_are_not_enrolled_as_one(engine: Engine, call: Samples) -> None:
    first = heard(engine, call, step=RATE)
    turn = next(
        second for second in range(len(call) // RATE) if heard(engine, call[: second * RATE], step=RATE).seconds > 9.0
    )
    voice = heard(engine, np.concatenate([call[: turn * RATE], the_other("russell")]), step=RATE)
    assert voice.complete
    with pytest.raises(SpeechTooPoor, match="more than one voice"):
        voiceprint_of(engine, voice)
    assert voiceprint_of(engine, first)[0].net_speech_seconds == 20.0


@pytest.mark.slow
def test_a_loop_is_not_enrolled(engine: Engine, call: Samples) -> None:
    voice = heard(engine, np.tile(call[10_000 : 10_000 + 3 * RATE], 12), step=RATE)
    assert voice.complete
    assert len(probe_of(engine, voice)) == 1
    with pytest.raises(SpeechTooPoor, match="the speech repeats itself: only"):
        voiceprint_of(engine, voice)


@pytest.mark.slow
def test_clipped_speech_is_not_enrolled(engine: Engine, call: Samples) -> None:
    voice = heard(engine, np.clip(40.0 * call, -1.0, 1.0), step=RATE)
    with pytest.raises(SpeechTooPoor, match="clipped"):
        voiceprint_of(engine, voice)


@pytest.mark.parametrize("after_gap", [True, False])
def test_behind_a_gap_no_half_of_a_sample_is_left_over(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, after_gap: bool
) -> None:
    fed: list[Samples] = []
    monkeypatch.setattr(PassageGatherer, "feed", lambda _, samples: fed.append(samples))
    ear = ChannelListener(engine, channel=0, declared_rate=RATE)
    pcm = np.full(400, 0x0102, "<i2").tobytes()
    first, second = (
        fragment(number, cluster=write_cluster(100 * number, [write_block(1, 0, data)]))
        for number, data in ((1, pcm + b"\x02"), (2, pcm if after_gap else b"\x01" + pcm))
    )
    ear.hear(FragmentSlice(fragment=first, begins=True))
    ear.hear(FragmentSlice(fragment=replace(second, after_gap=after_gap)))
    np.testing.assert_array_equal(np.concatenate(fed), 0x0102 / 32_768)


@pytest.mark.parametrize(
    ("stated", "declared", "names", "remarked"),
    [
        (2, 1, ("",), True),
        (1, 2, ("",), True),
        (1, 1, ("",), False),
        (2, 2, ("",), False),
        (2, None, ("",), False),
        (1, 1, ("AUDIO_FROM_CUSTOMER", "AUDIO_TO_CUSTOMER"), False),  # the stream itself says who is who
    ],
)
def test_other_channels_than_the_pipeline_says_are_remarked_upon(
    engine: Engine,
    caplog: pytest.LogCaptureFixture,
    stated: int,
    declared: int | None,
    names: tuple[str, ...],
    remarked: bool,
) -> None:
    tracks = [
        pcm_track(number=number, rate=RATE, channels=stated, name=name) for number, name in enumerate(names, start=1)
    ]
    silence = write_cluster(0, [write_block(1, 0, bytes(2 * stated * RATE))])
    ear = ChannelListener(engine, channel=0, declared_rate=RATE, declared_channels=declared)
    assert ear.remark is None
    with caplog.at_level(logging.WARNING, "earwitness.hear"):
        ear.hear(FragmentSlice(fragment=fragment(1, cluster=silence, header=write_header(tracks)), begins=True))
    said = f"the stream's channels are {stated} and not {declared}, as its pipeline says, so channel 0"
    assert (ear.remark or "").startswith(said if remarked else "")
    assert (ear.remark is not None, len(caplog.records)) == (remarked, int(remarked))
