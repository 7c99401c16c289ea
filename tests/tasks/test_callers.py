"""The last callers of a line: different ones, of a day, and none whose profile is deleted."""

from datetime import timedelta

import numpy as np
import pytest
from store_examples import MINE, START

from earwitness.engine.monitor import CALLERS_MAX, SEARCHES_MIN
from earwitness.tasks.callers import KEPT, RecentCallers
from earwitness.tasks.lines import LineName
from earwitness.voice.embedding import Embedding
from earwitness.voice.line import Codec
from spaces import plain_space

DIMENSION = 192
SPACE = plain_space("voices-1", DIMENSION)
LINE = LineName(MINE, "vpd-1", Codec.PCM)


def voices(count: int, *, shift: float = 0.0, seed: int = 0) -> list[Embedding]:
    """Different people; the mean score between two is about shift² / (1 + shift²)."""
    made = np.random.default_rng(seed).standard_normal((count, DIMENSION)) / np.sqrt(DIMENSION)
    made[:, 0] += shift
    made = (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)
    return [Embedding(vector=vector, encoder_id="voices-1", net_speech_seconds=10.0) for vector in made]


def hear(
    callers: RecentCallers,
    heard: list[Embedding],
    *,
    profile_id: str | None = None,
    enrolled: frozenset[str] = frozenset(),
    after: timedelta = timedelta(0),
) -> float | None:
    mean = None
    for voice in heard:
        mean = callers.hear(LINE, voice, space=SPACE, profile_id=profile_id, enrolled=enrolled, at=START + after)
    return mean


def test_the_mean_is_said_from_ten_callers_on() -> None:
    callers = RecentCallers()
    assert hear(callers, voices(SEARCHES_MIN - 1)) is None
    assert hear(callers, voices(1, seed=1)) == pytest.approx(0.0, abs=0.03)


def test_the_last_twenty_count() -> None:
    callers = RecentCallers()
    hear(callers, voices(60))
    assert hear(callers, voices(CALLERS_MAX, shift=0.65, seed=1)) == pytest.approx(0.3, abs=0.04)


def test_one_who_calls_a_hundred_times_counts_once() -> None:
    callers = RecentCallers()
    (again,) = voices(1, seed=2)
    assert hear(callers, [again] * 100) is None
    assert hear(callers, [*voices(SEARCHES_MIN), *[again] * 20]) == pytest.approx(0.0, abs=0.03)


def test_callers_of_yesterday_are_dropped() -> None:
    callers = RecentCallers()
    hear(callers, voices(SEARCHES_MIN))
    assert hear(callers, voices(1, seed=1), after=KEPT) is None
    callers.forget(before=START)
    assert callers._lines
    callers.forget(before=START + KEPT)
    assert not callers._lines


def test_what_is_deleted_goes_without_a_search() -> None:
    callers = RecentCallers()
    known, stranger = voices(2)
    hear(callers, [known], profile_id="vp-1", enrolled=frozenset({"vp-1"}))
    hear(callers, [stranger], enrolled=frozenset({"vp-1"}))
    callers.forget_deleted(lambda _line, profile_ids: set(profile_ids))
    assert [one.voice for one in callers._lines[LINE]] == [known, stranger]
    callers.forget_deleted(lambda _line, _profile_ids: set())
    assert [one.voice for one in callers._lines[LINE]] == [stranger]
    callers.forget_deleted(lambda _line, _profile_ids: None)
    assert not callers._lines


def test_a_withdrawal_takes_the_voices_of_its_subject_and_of_nobody_else() -> None:
    callers = RecentCallers()
    first, second, nobodys = heard = voices(3)
    hear(callers, heard)
    for voice, digest in ((first, b"first"), (second, b"second"), (nobodys, None)):
        callers.written(LINE, voice, subject_digest=digest)
    callers.forget_withdrawn(lambda _line, digests: {b"first"} & set(digests))
    assert [one.voice for one in callers._lines[LINE]] == [second, nobodys]


def test_a_caller_whose_search_is_not_written_goes() -> None:
    callers = RecentCallers()
    written, unwritten = heard = voices(2)
    hear(callers, heard)
    callers.written(LINE, written, subject_digest=None)
    callers.forget_unwritten(before=START - timedelta(seconds=1))
    assert [one.voice for one in callers._lines[LINE]] == [written, unwritten]
    callers.forget_unwritten(before=START)
    assert [one.voice for one in callers._lines[LINE]] == [written]


def test_a_deleted_profile_takes_its_voice() -> None:
    callers = RecentCallers()
    known, (stranger,) = voices(SEARCHES_MIN), voices(1, seed=1)
    hear(callers, known, profile_id="vp-1", enrolled=frozenset({"vp-1"}))
    assert hear(callers, [stranger], enrolled=frozenset({"vp-1"})) is not None
    assert hear(callers, [stranger]) is None
    assert [one.voice for one in callers._lines[LINE]] == [stranger]
