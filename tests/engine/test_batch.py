"""Many recordings at once: their line is learnt from them, and their answers are about it."""

from dataclasses import replace

import numpy as np
import pytest

from earwitness.engine.batch import BatchLine, advice_for, answers_on, line_of, watched
from earwitness.engine.compensation import Vectors
from earwitness.engine.engine import Engine, Identified, Voice, search_again
from earwitness.engine.gallery import Gallery
from earwitness.engine.monitor import NO_SCORES, PROFILES_MIN
from earwitness.engine.space import UNKNOWN_LINE
from earwitness.voice.band import Band
from earwitness.voice.embedding import Voiceprint
from earwitness.voice.line import LineHealth, LineLearning, LineState
from earwitness.voice.speech import NetSpeech
from earwitness.voice.speech_quality import SpeechQuality
from spaces import elsewhere, embedded, voices

GOOD = SpeechQuality(speech_level_dbfs=-25.0, peak_dbfs=-3.0, clipped_percent=0.0, snr_db=20.0, bandwidth_hz=3_900.0)
FAR = elsewhere(1, distance=0.45)
MARGIN = 0.1


@pytest.fixture(scope="module")
def careful(engine: Engine) -> Engine:
    """An engine whose thresholds are higher on a line that is not known."""
    calibration = replace(engine.calibration, unknown_line_margin=MARGIN)
    return replace(engine, space=replace(engine.space, calibration=calibration))


def gallery_of(engine: Engine, vectors: Vectors) -> Gallery:
    return engine.gallery(
        [
            Voiceprint(profile_id=f"p{number:02}", voiceprint_id="1", embedding=embedding)
            for number, embedding in enumerate(embedded(vectors))
        ]
    )


def found(engine: Engine, gallery: Gallery, vectors: Vectors, *, snr_db: float = 20.0) -> list[Identified]:
    speech = NetSpeech(
        samples=np.zeros(0, np.float32),
        seconds=10.0,
        band=Band.TELEPHONE,
        segments=(),
        quality=replace(GOOD, snr_db=snr_db),
        heard_seconds=12.0,
    )
    made = []
    for embedding in embedded(vectors):
        heard = (Voice(embedding=embedding, seconds=10.0, level_dbfs=-25.0),)
        decision = engine.search_voices(heard, gallery)
        made.append(
            Identified(
                decision=decision, speech=speech, voices=heard, all_voices=heard, heard_seconds=12.0, to_the_end=True
            )
        )
    return made


def scores(answers: list[Identified]) -> list[float]:
    return [one.decision.candidates[0].score for one in answers]


def test_the_line_is_learnt_and_the_margin_goes(careful: Engine) -> None:
    gallery = gallery_of(careful, voices(20, seed=1, line=FAR))
    before = found(careful, gallery, voices(30, seed=2, line=FAR))
    line = line_of(careful, before)
    assert line is not None
    assert line.state is LineState.LEARNING
    on_line = watched(gallery.under(careful.space.on(line)), before)
    assert on_line.health is LineHealth.WELL
    assert advice_for(on_line, LineLearning.ON) is None
    after = answers_on(careful, gallery, on_line.line, before)
    assert np.mean(scores(after)) < np.mean(scores(before)) - 0.1
    margins = [one.decision.threshold.line_margin for one in (before[0], after[0]) if one.decision.threshold]
    assert margins == pytest.approx([MARGIN, MARGIN * line.unknown])
    assert after[0].decision.basis is not None
    assert after[0].decision.basis.line_voices == line.voices


def test_a_line_that_is_off_is_told_and_keeps_the_margin(careful: Engine) -> None:
    gallery = gallery_of(careful, voices(PROFILES_MIN + 1, seed=1, line=FAR))
    before = found(careful, gallery, voices(12, seed=2, line=FAR))
    off = watched(gallery, before)
    assert off.health is LineHealth.OFF
    assert off.line.unknown == 1.0
    assert off.strangers.mean > 0.1
    told = [
        advice_for(off, LineLearning.ON),
        advice_for(off, LineLearning.OFF),
        advice_for(replace(off, line=replace(off.line, mean=FAR, voices=20)), LineLearning.ON),
    ]
    for advice, words in zip(told, ("ten or more", "line on", "line reset"), strict=True):
        assert advice is not None
        assert words in advice


def test_few_voices_and_poor_ones_teach_nothing(careful: Engine) -> None:
    gallery = gallery_of(careful, voices(5, seed=3))
    assert line_of(careful, found(careful, gallery, voices(9, seed=4))) is None
    assert line_of(careful, found(careful, gallery, voices(30, seed=4), snr_db=1.0)) is None
    nothing = watched(gallery, found(careful, gallery, voices(30, seed=4), snr_db=1.0))
    assert nothing.health is LineHealth.TOO_FEW
    assert nothing.strangers == NO_SCORES


def test_a_few_people_who_sound_alike_are_no_line(careful: Engine) -> None:
    caller, *alike = voices(40, seed=5)
    compare = careful.space.shipped
    alike.sort(key=lambda vector: -float(compare.apply(vector[None])[0] @ compare.apply(caller[None])[0]))
    gallery = gallery_of(careful, np.stack([caller, *alike[: PROFILES_MIN - 1]]))
    again = watched(gallery, found(careful, gallery, np.stack([caller] * 30)))
    assert (again.health, again.strangers) == (LineHealth.TOO_FEW, NO_SCORES)
    gallery = gallery_of(careful, np.stack([caller, *alike[:PROFILES_MIN]]))
    assert watched(gallery, found(careful, gallery, np.stack([caller] * 30))).strangers.searches == 30


def test_without_a_line_the_answers_are_the_same_to_the_bit(careful: Engine) -> None:
    gallery = gallery_of(careful, voices(20, seed=5))
    before = found(careful, gallery, voices(5, seed=6))
    same = BatchLine(line=UNKNOWN_LINE, health=LineHealth.WELL, strangers=NO_SCORES, callers_mean=None)
    assert [one.decision for one in answers_on(careful, gallery, same.line, before)] == [one.decision for one in before]
    again = [search_again(careful, gallery.under(careful.space.on(UNKNOWN_LINE)), one) for one in before]
    assert [one.decision for one in again] == [one.decision for one in before]
