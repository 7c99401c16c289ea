"""What a line learns, from voices drawn as real ones lie, and what attackers can make of it."""

import dataclasses
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earwitness.engine.compensation import Vectors, unit_length
from earwitness.engine.gallery import Gallery
from earwitness.engine.line import (
    DAY_DISTANCE_MAX,
    DISTANCE_MAX,
    PastMean,
    a_day_before,
    is_due,
    is_new,
    learn,
    learn_at_once,
    may_vote,
    new_voices,
)
from earwitness.engine.space import UNKNOWN_LINE, Line, Space
from earwitness.voice.band import CANONICAL_RATE, Band
from earwitness.voice.embedding import Embedding, Vector, Voiceprint
from earwitness.voice.line import LineState
from earwitness.voice.speech import NetSpeech
from earwitness.voice.speech_quality import SpeechQuality
from spaces import DIMENSION, SHIPPED, elsewhere, embedded, voices

NOW = datetime(2026, 11, 26, tzinfo=UTC)


def mean_of(line: Line) -> Vector:
    assert line.mean is not None
    return line.mean


def distance(line: Line, other: Vector = SHIPPED.shipped.mean) -> float:
    return float(np.linalg.norm(mean_of(line) - other))


def strangers_named(space: Space, *, enrolled: Vectors, callers: Vectors) -> float:
    """The share of callers, none of whom is enrolled, that reach the threshold."""
    gallery = Gallery(space)
    for number, embedding in enumerate(embedded(enrolled)):
        gallery.add(Voiceprint(profile_id=f"p{number:03}", voiceprint_id="1", embedding=embedding))
    threshold = space.calibration.threshold(
        gallery_size=len(gallery), strangers_named_percent=1.0, net_seconds=10.0, line_unknown=space.line.unknown
    )
    best = [gallery.search(caller, count=1)[0].score for caller in embedded(callers)]
    return float(np.mean(np.array(best) >= threshold.score))


def test_the_line_is_found_from_few_voices() -> None:
    mean = elsewhere(1, distance=0.25)
    # Unit length pulls all voices a little to where they began.
    truth = voices(4_000, seed=2, line=mean).mean(axis=0)
    off = [distance(learn(SHIPPED, embedded(voices(count, seed=3, line=mean))), truth) for count in (10, 50)]
    untouched = float(np.linalg.norm(truth - SHIPPED.shipped.mean))
    assert off[0] < untouched
    assert off[1] < 0.6 * untouched


def test_batches_come_to_what_all_together_would() -> None:
    votes = embedded(voices(50, seed=4, line=elsewhere(1, distance=0.3)))
    space = SHIPPED
    for first in range(0, 50, 10):
        assert is_due(space.line, votes=10)
        space = space.on(learn(space, votes[first : first + 10]))
    at_once = learn(SHIPPED, votes)
    assert (space.line.voices, space.line.version, space.line.state) == (50, 5, LineState.LEARNT)
    assert (at_once.voices, at_once.version) == (50, 1)
    assert distance(space.line, mean_of(at_once)) < 0.03
    assert not is_due(space.line, votes=1_000)


def test_recordings_of_a_line_far_away_are_told_apart_about_its_own_mean() -> None:
    far = embedded(voices(40, seed=60, line=elsewhere(1, distance=0.6)))
    line = learn_at_once(SHIPPED, far)
    assert line is not None
    assert line.voices > len(new_voices(far, SHIPPED))
    again = learn_at_once(SHIPPED.on(line), far)
    assert again is not None
    np.testing.assert_array_equal(again.mean, line.mean)
    assert learn_at_once(SHIPPED, far[:9]) is None


def test_below_ten_voices_there_is_no_mean() -> None:
    assert not is_due(UNKNOWN_LINE, votes=9)
    with pytest.raises(ValueError, match="at least 10"):
        learn(SHIPPED, embedded(voices(9, seed=5)))


def test_the_margin_goes_with_what_is_known_and_comes_back_when_the_line_is_off() -> None:
    line = learn(SHIPPED, embedded(voices(10, seed=6)))
    assert (UNKNOWN_LINE.unknown, line.unknown) == (1.0, pytest.approx(5 / 15))
    assert learn(SHIPPED, embedded(voices(50, seed=6))).unknown == pytest.approx(5 / 55)
    assert dataclasses.replace(line, is_off=True).unknown == 1.0
    assert dataclasses.replace(line, mean=None).unknown == 1.0


def test_without_a_line_everything_is_as_shipped() -> None:
    space = SHIPPED.on(UNKNOWN_LINE)
    assert space.compensation is SHIPPED.shipped
    assert space.id == SHIPPED.calibration.encoder_id
    gallery = Gallery(SHIPPED)
    for number, embedding in enumerate(embedded(voices(30, seed=7))):
        gallery.add(Voiceprint(profile_id=str(number), voiceprint_id="1", embedding=embedding))
    (probe,) = embedded(voices(1, seed=8))
    assert gallery.under(space).search(probe, count=30) == gallery.search(probe, count=30)


vectors = st.builds(
    lambda seed, count, length, spread: unit_length(
        SHIPPED.shipped.mean
        + length * unit_length(np.random.default_rng(seed).standard_normal((1, DIMENSION)))
        + spread * unit_length(np.random.default_rng(seed + 1).standard_normal((count, DIMENSION)))
    ),
    st.integers(0, 1_000),
    st.integers(10, 60),
    st.floats(0, 30),
    st.floats(0, 2),
)


@settings(deadline=None, max_examples=50)
@given(batches=st.lists(vectors, min_size=1, max_size=4), day=st.integers(0, 100))
def test_whatever_votes_the_mean_stays_within_its_bounds(batches: list[Vectors], day: int) -> None:
    space, moved_from = SHIPPED, elsewhere(day, distance=0.2)
    for votes in batches:
        line = learn(space, embedded(votes), moved_from=moved_from)
        assert distance(line) <= DISTANCE_MAX + 1e-5
        assert distance(line, moved_from) <= DAY_DISTANCE_MAX + 1e-5
        assert (line.voices, line.version) == (space.line.voices + len(votes), space.line.version + 1)
        assert 0.0 < line.unknown < 1.0
        space = space.on(line)


@settings(deadline=None, max_examples=30)
@given(votes=vectors, order=st.randoms(use_true_random=False))
def test_the_order_of_votes_does_not_matter(votes: Vectors, order: np.random.Generator) -> None:
    shuffled = embedded(votes)
    order.shuffle(shuffled)
    one, other = (mean_of(learn(SHIPPED, each)) for each in (shuffled, embedded(votes)))
    np.testing.assert_allclose(one, other, atol=1e-5)


@settings(deadline=None, max_examples=30)
@given(votes=vectors, seed=st.integers(0, 1_000))
def test_whatever_was_learnt_no_score_is_higher_than_the_shipped_mean_gives_it(votes: Vectors, seed: int) -> None:
    learnt = SHIPPED.on(learn(SHIPPED, embedded(votes)))
    enrolled, (caller,) = voices(20, seed=seed), embedded(voices(1, seed=seed + 1))
    gallery = Gallery(SHIPPED)
    for number, embedding in enumerate(embedded(enrolled)):
        gallery.add(Voiceprint(profile_id=str(number), voiceprint_id="1", embedding=embedding))
    shipped = {hit.profile_id: hit.score for hit in gallery.search(caller, count=20)}
    hits = gallery.under(learnt).search(caller, count=20)
    assert len(hits) == 20
    assert all(hit.score <= shipped[hit.profile_id] for hit in hits)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


@pytest.mark.parametrize("reach", [0.3, 1.0, 5.0])
def test_attackers_among_others_move_the_mean_little(reach: float) -> None:
    """Twenty of them and thirty others; moved far, they sound alike, and are few votes."""
    honest, attackers = voices(30, seed=9), voices(20, seed=10, line=elsewhere(2, distance=reach))
    alone = learn_at_once(SHIPPED, embedded(honest))
    attacked = learn_at_once(SHIPPED, embedded(np.concatenate([attackers, honest])))
    assert alone is not None
    assert attacked is not None
    assert distance(attacked, mean_of(alone)) < 0.2


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "reach"), [(20, 0.3), (21, 0.6), (22, 1.5)])
def test_sixty_attackers_in_a_fresh_domain_get_no_stranger_named(seed: int, reach: float) -> None:
    """They choose a direction and vote as they please, in one day; others then call, and so do they."""
    enrolled, callers = voices(40, seed=seed), voices(100, seed=seed + 100)
    attackers = voices(60, seed=seed + 200, line=elsewhere(seed, distance=reach))
    space, votes, waiting = SHIPPED, list[Embedding](), list[Embedding]()
    for voice in embedded(attackers):
        if is_new(voice, votes, space):
            votes, waiting = [*votes, voice], [*waiting, voice]
        if is_due(space.line, votes=len(waiting)):
            space, waiting = space.on(learn(space, waiting, moved_from=SHIPPED.shipped.mean)), []
    if space.line.mean is not None:
        assert distance(space.line) <= DAY_DISTANCE_MAX + 1e-5
    else:
        assert reach > 1.0  # they sound alike
    for strangers in (callers, attackers):
        before = strangers_named(SHIPPED, enrolled=enrolled, callers=strangers)
        assert strangers_named(space, enrolled=enrolled, callers=strangers) <= before
    assert strangers_named(space, enrolled=enrolled, callers=callers) <= 0.02


@pytest.mark.slow
def test_a_slow_drift_after_a_reset_ends_within_the_bounds() -> None:
    """Ten attackers a day drag the mean one way for as long as it can be dragged."""
    enrolled, callers = voices(40, seed=30), voices(60, seed=31)
    before = strangers_named(SHIPPED, enrolled=enrolled, callers=callers)
    versions = [PastMean(created_at=NOW, mean=None, asked_for=True)]
    space, drift = SHIPPED, []
    for day in range(1, 8):
        now = NOW + timedelta(days=day, minutes=1)
        if is_due(space.line, votes=10):
            votes = embedded(voices(10, seed=40 + day, line=elsewhere(3, distance=0.4 * day)))
            line = learn(space, votes, moved_from=a_day_before(versions, space, now=now))
            versions.insert(0, PastMean(created_at=now, mean=line.mean, asked_for=False))
            space = space.on(line)
            drift.append(distance(line))
            assert strangers_named(space, enrolled=enrolled, callers=callers) <= before
    assert len(drift) == 5
    assert drift[0] <= DAY_DISTANCE_MAX + 1e-5
    assert max(drift) <= DISTANCE_MAX + 1e-5


def test_a_caller_a_hundred_times_is_one_vote() -> None:
    (voice,) = voices(1, seed=50)
    calls = embedded(unit_length(voice + 0.15 * voices(100, seed=51)))
    assert len(new_voices(calls, SHIPPED)) == 1
    others = embedded(voices(12, seed=52))
    assert len(new_voices([*calls, *others], SHIPPED)) == 13
    assert is_new(others[0], [], SHIPPED)
    assert not is_new(calls[5], [others[0], calls[0]], SHIPPED)


def test_no_more_than_fifty_voices_vote() -> None:
    assert len(new_voices(embedded(voices(80, seed=53)), SHIPPED)) == 50


def speech(seconds: float, **quality: float | None) -> NetSpeech:
    good = SpeechQuality(
        speech_level_dbfs=-25.0, peak_dbfs=-3.0, clipped_percent=0.0, snr_db=20.0, bandwidth_hz=3_900.0
    )
    return NetSpeech(
        samples=np.zeros(round(seconds * CANONICAL_RATE), np.float32),
        seconds=seconds,
        band=Band.TELEPHONE,
        segments=(),
        quality=dataclasses.replace(good, **quality),
        heard_seconds=seconds,
    )


def test_poor_audio_little_speech_and_several_voices_do_not_vote() -> None:
    assert may_vote(speech(10.0), voices=1)
    assert not may_vote(speech(10.0), voices=2)
    assert not may_vote(speech(4.9), voices=1)
    assert not may_vote(speech(10.0, clipped_percent=5.0), voices=1)
    assert not may_vote(speech(10.0, snr_db=1.0), voices=1)


def test_where_the_mean_was_a_day_before() -> None:
    means = [elsewhere(number, distance=0.1) for number in range(3)]

    def version(hours_ago: float, mean: Vector | None, *, asked_for: bool = False) -> PastMean:
        return PastMean(created_at=NOW - timedelta(hours=hours_ago), mean=mean, asked_for=asked_for)

    learnt = [version(1, means[0]), version(23, means[1]), version(25, means[2])]
    assert a_day_before(learnt, SHIPPED, now=NOW) is means[2]
    assert a_day_before(learnt[:2], SHIPPED, now=NOW) is SHIPPED.shipped.mean
    assert a_day_before([], SHIPPED, now=NOW) is SHIPPED.shipped.mean
    reset = [learnt[0], version(2, None, asked_for=True), learnt[2]]
    assert a_day_before(reset, SHIPPED, now=NOW) is SHIPPED.shipped.mean
    reverted = [learnt[0], version(2, means[1], asked_for=True), learnt[2]]
    assert a_day_before(reverted, SHIPPED, now=NOW) is means[1]
