"""What is kept of a call for those who watch: peaks of half seconds, a minute of them, and where speech was."""

from dataclasses import fields

import numpy as np
import pytest

from earwitness.engine.engine import Engine
from earwitness.tasks.hear import gatherer_of
from earwitness.tasks.heard import LEVEL_MIN_DBFS, STEPS_MAX, HeardSoFar, net_speech_kept
from earwitness.tasks.level_strip import LevelStrip
from earwitness.voice.embedding import Samples
from earwitness.voice.speech import SpeechSegment

RATE = 8_000


def strip_of(samples: Samples, *, chunk: int) -> HeardSoFar:
    strip = LevelStrip(RATE)
    for first in range(0, len(samples), chunk):
        strip.feed(samples[first : first + chunk])
    return strip.so_far(net_speech_seconds=1.0, segments=[SpeechSegment(0, 8_000)])


def test_levels_are_peaks_whatever_the_chunks() -> None:
    samples = np.repeat(np.array([1.0, 0.1, -0.5, 0.0, 1e-9], np.float32), RATE // 2)
    for chunk in (1, 999, 4_000, len(samples)):
        found = strip_of(samples, chunk=chunk)
        assert found.levels == (0, -20, -6, LEVEL_MIN_DBFS, LEVEL_MIN_DBFS)
        assert (found.audio_seconds, found.levels_start_seconds) == (2.5, 0.0)


def test_a_minute_is_kept() -> None:
    found = strip_of(np.ones(70 * RATE + 17, np.float32), chunk=5_000)
    assert len(found.levels) == STEPS_MAX
    assert found.levels_start_seconds == 10.0
    assert found.audio_seconds == pytest.approx(70 + 17 / RATE)
    assert found.speech == ()  # it was before that minute


def test_no_audio_is_no_level() -> None:
    found = strip_of(np.zeros(0, np.float32), chunk=1)
    assert (found.levels, found.audio_seconds) == ((), 0.0)
    assert {field.name for field in fields(found)} == {
        "net_speech_seconds",
        "audio_seconds",
        "levels_start_seconds",
        "levels",
        "speech",
    }  # no samples


@pytest.mark.slow
def test_where_speech_is_said_to_be_is_where_it_was_gathered(engine: Engine, call: Samples) -> None:
    gatherer = gatherer_of(engine, rate=RATE)
    for first in range(0, len(call), RATE):
        gatherer.feed(call[first : first + RATE])
        assert gatherer.segments == gatherer.speech().segments
    marked = sum(one.end - one.start for one in gatherer.segments) / 16_000
    assert marked == pytest.approx(gatherer.seconds, abs=0.5)


@pytest.mark.parametrize(
    ("kept", "seconds"),
    [(7.5, 7.5), (0, 0.0), (None, None), ("7", None), (-1, None), (float("nan"), None), (10**400, None), ([], None)],
)
def test_what_a_checkpoint_says_of_speech_is_a_number_or_nothing(kept: object, seconds: float | None) -> None:
    assert net_speech_kept({"netSpeechSeconds": kept}) == seconds
    assert net_speech_kept({}) is None
