"""A call that is an earlier one played again is told from one in which the same person says something else."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from following import RATE, Line, Office, fragments_of, run
from scipy import signal
from store_examples import MINE

from earwitness.engine.engine import Engine
from earwitness.engine.repeats import REPEAT_LIKENESS_MIN, fingerprint_of, likeness
from earwitness.samples import second_call
from earwitness.store.records import SpeakerSearchTask
from earwitness.store.repeats import Repeat
from earwitness.voice.band import Band
from earwitness.voice.retention import RetentionSchedule
from earwitness.voice.speech import NetSpeech, SpeechSegment
from earwitness.voice.speech_quality import SpeechQuality
from earwitness.voice.task_status import VoiceprintStatus

SECONDS = [second * RATE for second in range(1, 60)]


async def heard(office: Office, call: np.ndarray, domain_id: str) -> tuple[SpeakerSearchTask, Repeat | None]:
    office.line = Line(fragments_of(call, [cut for cut in SECONDS if cut < len(call)]))
    task = office.new_task(domain_id)
    await office.follow(task)
    assert office.now(task).voiceprint_status is VoiceprintStatus.SUCCESS
    return task, office.store.repeats.get(MINE, task.task_id)


def played(call: np.ndarray, *, cut: float) -> np.ndarray:
    """The call through a loudspeaker: its start missing, quieter, dull, with noise."""
    random = np.random.default_rng(0)
    dull = np.asarray(signal.lfilter(*signal.butter(2, 2_000, fs=RATE), call[round(cut * RATE) :]))
    return (0.3 * dull + 0.0005 * random.standard_normal(len(dull))).astype(np.float32)


@pytest.mark.slow
def test_a_recording_that_is_played_again_is_told(tmp_path: Path, engine: Engine, call: np.ndarray) -> None:
    other, _ = soundfile.read(second_call("sally"), dtype="float32")

    async def play(office: Office) -> None:
        first, repeat = await heard(office, call, "")
        assert repeat is None
        domain_id = first.domain_id
        _, other_words = await heard(office, np.concatenate([other, other[::-1]]), domain_id)
        assert other_words is None
        _, again = await heard(office, played(call, cut=1.3), domain_id)
        assert again is not None
        assert again.of_task_id == first.task_id
        assert again.likeness >= REPEAT_LIKENESS_MIN
        # Not beyond the domain, nor beyond the time that voiceprints are kept.
        _, elsewhere = await heard(office, call, "")
        assert elsewhere is None
        schedule = RetentionSchedule(voiceprint_hours=1)
        office.store.write(lambda unit: unit.retention.put(MINE, domain_id, schedule, key_id="admin"))
        now = office.clock()
        office.store.write(lambda unit: unit.task_voiceprints.purge(kept_until=now.replace(year=2100), limit=100))
        _, forgotten = await heard(office, call, domain_id)
        assert forgotten is None

    run(tmp_path, engine, play)


def speech_of(samples: np.ndarray, *segments: tuple[int, int]) -> NetSpeech:
    quality = SpeechQuality(
        speech_level_dbfs=-26.0, peak_dbfs=-3.0, clipped_percent=0.0, snr_db=None, bandwidth_hz=3_400.0
    )
    return NetSpeech(
        samples=samples.astype(np.float32),
        seconds=len(samples) / 16_000,
        band=Band.TELEPHONE,
        segments=tuple(SpeechSegment(*one) for one in segments),
        quality=quality,
        heard_seconds=len(samples) / 16_000,
    )


def noise(seconds: float, *, seed: int) -> np.ndarray:
    """Noise whose level goes up and down as that of speech does."""
    random = np.random.default_rng(seed)
    levels = np.repeat(random.uniform(0.01, 1.0, round(seconds * 8)), 2_000)
    return 0.3 * levels * random.standard_normal(len(levels))


def test_a_fingerprint_is_like_itself_and_no_other() -> None:
    one, other = (fingerprint_of(speech_of(noise(20, seed=seed), (0, 320_000))) for seed in (1, 2))
    assert likeness(one, one) == pytest.approx(1.0)
    assert likeness(one, other) == pytest.approx(likeness(other, one))
    assert likeness(one, other) < 0.5


def test_a_start_that_is_cut_off_costs_nothing() -> None:
    whole = noise(20, seed=1)
    cut = whole[round(3.21 * 16_000) :]
    one, other = fingerprint_of(speech_of(whole, (0, 320_000))), fingerprint_of(speech_of(cut, (0, len(cut))))
    assert likeness(one, other) > 0.9


def test_too_short_a_stretch_says_nothing() -> None:
    one = fingerprint_of(speech_of(noise(20, seed=1), (0, 320_000)))
    for seconds in (0.0, 0.05, 5.0):
        short = noise(5, seed=1)[: round(seconds * 16_000)]
        assert likeness(one, fingerprint_of(speech_of(short, (0, len(short))))) == -1.0


def test_silence_and_long_pauses_are_bounded() -> None:
    samples = noise(20, seed=1)
    hour = 3_600 * 16_000
    apart = speech_of(samples, (0, 160_000), (hour, hour + 160_000))
    assert len(fingerprint_of(apart)) <= 6_400
    silent = fingerprint_of(speech_of(np.zeros(320_000), (0, 320_000)))
    assert -1.0 <= likeness(silent, silent) <= 1.0
