"""Calls as they go: what is said of each before any number, and the progress that its node tells."""

from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime

import pytest
from console_examples import DOMAIN, MATCH, SEVERAL, SHORT, STRANGER, WEAK, task_id
from console_visit import REGION, SCOPE, Visit
from live import Live

from earwitness.console.live_calls import state_of
from earwitness.console.pictures import STRIP_WIDTH, progress_width, strip
from earwitness.console.tasks import progress_mark
from earwitness.rest.models import (
    HeardAnswer,
    SpeechStretchAnswer,
    TaskAnswer,
    TaskDomainAnswer,
    TaskStreamAnswer,
)
from earwitness.rest.tasks import decision_answer
from earwitness.tasks.heard import STEP_SECONDS, STEPS_MAX, HeardSoFar, SpeechStretch
from earwitness.tasks.lag import Lags
from earwitness.voice.decision import Decision
from earwitness.voice.task_status import TaskStatus

WHEN = datetime(2026, 1, 1, tzinfo=UTC)


def heard(seconds: float, *, levels: tuple[int, ...] = (), speech: tuple[tuple[float, float], ...] = ()) -> HeardAnswer:
    return HeardAnswer(
        net_speech_seconds=seconds,
        is_of_now=True,
        audio_seconds=60.0,
        levels_start_seconds=0.0,
        levels=list(levels),
        speech=[SpeechStretchAnswer(start_seconds=start, end_seconds=end) for start, end in speech],
    )


def task(status: TaskStatus, decision: Decision | None = None, spoken: float | None = None) -> TaskAnswer:
    return TaskAnswer(
        task_id="task",
        pipeline_id="pipeline",
        status=status,
        attempt=1,
        stop_reason=None,
        status_message=None,
        stream=TaskStreamAnswer(arn="arn", channel_id=0),
        domain=TaskDomainAnswer(id="vpd-1", arn="arn"),
        created_at=WHEN,
        updated_at=WHEN,
        started_at=WHEN,
        ended_at=None,
        identification=None if decision is None else decision_answer(asdict(decision)),
        voiceprint=None,
        profile_id=None,
        repeats_task_id=None,
        lag_seconds=None,
        heard=None if spoken is None else heard(spoken),
    )


@pytest.mark.parametrize(
    ("shown", "words", "needs"),
    [
        (task(TaskStatus.NOT_STARTED), "waiting", None),
        (task(TaskStatus.INITIALIZING), "listening", None),
        (task(TaskStatus.IN_PROGRESS, spoken=0.0), "listening", None),
        (task(TaskStatus.IN_PROGRESS, spoken=6.5), "inconclusive", 3.5),
        (task(TaskStatus.IN_PROGRESS, spoken=10.1), "searching", None),
        (task(TaskStatus.IN_PROGRESS, MATCH, spoken=13.0), "match", None),
        (task(TaskStatus.STOPPED, STRANGER), "stranger", None),
        (task(TaskStatus.STOPPED, WEAK), "weak match", None),
        (task(TaskStatus.STOPPED, SEVERAL), "several voices", None),
        (task(TaskStatus.STOPPED, SHORT), "not enough speech", None),
        (task(TaskStatus.STOPPED), "not enough speech", None),
        (task(TaskStatus.FAILED), "failed", None),
    ],
)
def test_a_state_comes_before_numbers(shown: TaskAnswer, words: str, needs: float | None) -> None:
    state = state_of(shown)
    assert (state.words, state.needs_seconds) == (words, needs)


def test_speech_is_marked_where_it_was() -> None:
    drawn = strip(heard(1.0, levels=(0, -60, -30, -20), speech=((0.0, 0.5), (1.0, 1.5))))
    assert drawn.speech_seconds == 2 * STEP_SECONDS
    assert drawn.shown_seconds == 4 * STEP_SECONDS
    assert drawn.speech == f"M{STRIP_WIDTH - 7} 0.0v40.0M{STRIP_WIDTH - 3} 10.0v20.0"
    assert strip(heard(0.0)).rest == ""
    whole = strip(heard(1.0, levels=(-10,) * STEPS_MAX))
    assert whole.rest.startswith("M1 ")
    assert len(whole.rest) < 2_000


@pytest.mark.parametrize(("seconds", "width"), [(0.0, 0.0), (10.0, 50.0), (20.0, 100.0), (31.0, 100.0)])
def test_progress_is_of_twenty_seconds(seconds: float, width: float) -> None:
    assert progress_width(seconds) == width


@pytest.mark.slow
def test_progress_of_this_process_and_of_others(live: Live, visit: Callable[..., Visit]) -> None:
    browser = visit("reader")
    before = {one["task"]["taskId"]: one for one in browser.get(f"{REGION}/live.json").json()["calls"]}
    assert before[task_id(6)]["task"]["heard"] is None  # nothing is made up
    assert before[task_id(0)]["state"]["words"] == "match"
    live.store.write(
        lambda unit: unit.attempts.write_progress(
            SCOPE, task_id(6), attempt=1, checkpoint={"netSpeechSeconds": 4.5, "version": 2}
        )
    )
    elsewhere = browser.get(f"{REGION}/live").text
    assert "5 s more" in elsewhere or "6 s more" in elsewhere
    assert "by another node" in elsewhere
    assert '<path class="speech"' not in elsewhere
    so_far = HeardSoFar(
        net_speech_seconds=7.0, audio_seconds=9.0, levels_start_seconds=0.0, levels=(-10,) * 18, speech=()
    )
    live.service.lags.heard(task_id(6), so_far=so_far)
    here = browser.get(f"{REGION}/live").text
    assert "3 s more" in here
    assert "by another node" not in here
    assert '<path class="speech"' in here
    live.store.write(lambda unit: unit.attempts.end(SCOPE, task_id(6), attempt=1))
    after = {one["task"]["taskId"]: one for one in browser.get(f"{REGION}/live.json").json()["calls"]}
    assert after[task_id(6)]["task"]["heard"] is None
    assert after[task_id(6)]["state"]["words"] == "not enough speech"


@pytest.mark.slow
def test_of_a_result_that_went_with_its_domain_nothing_is_made_up(live: Live, visit: Callable[..., Visit]) -> None:
    browser = visit("reader")
    live.store.write(lambda unit: unit.domains.delete(SCOPE, DOMAIN))
    said = {one["task"]["taskId"]: one["state"]["words"] for one in browser.get(f"{REGION}/live.json").json()["calls"]}
    assert said[task_id(0)] == "no result; the domain was deleted"  # it was a match
    assert "not enough speech" not in said.values()


@pytest.mark.slow
def test_an_open_page_of_a_call_shows_what_was_written_and_what_is_heard(
    live: Live, visit: Callable[..., Visit]
) -> None:
    call = task_id(6)
    with visit("reader").client.stream("GET", f"{REGION}/tasks/{call}.stream") as answer:
        lines = answer.iter_lines()

        def until_it_says(words: str) -> None:
            """Read on; nobody has said that something was written, as when another node wrote it."""
            assert any(words in line for line in lines), words

        until_it_says("Listening")
        checkpoint = {"netSpeechSeconds": 4.5, "version": 2}
        live.store.write(lambda unit: unit.attempts.write_progress(SCOPE, call, attempt=1, checkpoint=checkpoint))
        until_it_says("by another node")
        live.service.lags.heard(call, so_far=so_far(7.0))
        until_it_says("<strong>7.0")
        live.service.lags.heard(call, so_far=so_far(9.5))
        until_it_says("<strong>9.5")
        live.store.write(lambda unit: unit.attempts.end(SCOPE, call, attempt=1))
        until_it_says("No result")


def test_a_call_in_which_nobody_speaks_looks_the_same() -> None:
    lags = Lags(monotonic=lambda: 0.0)

    def heard_now(heard: HeardSoFar) -> object:
        lags.heard("task", so_far=heard)
        return progress_mark(lags, "task")

    assert progress_mark(lags, "task") is None
    silence = heard_now(so_far(7.0))
    assert heard_now(so_far(7.0, second=61.0)) == silence
    assert heard_now(so_far(7.5, second=61.0)) != silence
    louder = replace(so_far(7.0), levels=(*[-60] * (STEPS_MAX - 1), -20))
    assert heard_now(louder) != silence
    spoken = replace(so_far(7.0), speech=(SpeechStretch(start_seconds=10.0, end_seconds=11.0),))
    assert heard_now(spoken) != silence
    assert heard_now(replace(spoken, levels_start_seconds=1.0)) != heard_now(spoken)  # it moves to the left
    shown = heard_now(spoken)
    lags.hears("task", behind_seconds=0.04)
    assert progress_mark(lags, "task") == shown
    lags.hears("task", behind_seconds=1.0)
    assert progress_mark(lags, "task") != shown


def so_far(seconds: float, *, second: float = 60.0) -> HeardSoFar:
    """Somebody who said nothing within the last minute."""
    return HeardSoFar(
        net_speech_seconds=seconds,
        audio_seconds=second,
        levels_start_seconds=second - 60.0,
        levels=(-60,) * STEPS_MAX,
        speech=(),
    )
