"""What following a call counts and times: the numbers are those of the call."""

import asyncio
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from following import RATE, Line, Office, cut_off, fragments_of, run
from store_examples import MINE

from earwitness.engine.engine import Engine
from earwitness.errors import StreamGone
from earwitness.metrics.instruments import Group
from earwitness.metrics.reported import InferenceStep
from earwitness.voice.task_status import StopReason

pytestmark = pytest.mark.slow

SECONDS = [second * RATE for second in range(1, 36)]
LATE = timedelta(seconds=100)


def counted(group: Group) -> dict[str, float]:
    """All samples that are not 0, by name and label values."""
    return {
        ":".join((sample.name.removeprefix("earwitness_"), *sample.labels.values())): sample.value
        for metric in group.collect()
        for sample in metric.samples
        if sample.value and not sample.name.endswith("_bucket")
    }


def test_a_call_that_is_heard_late_has_the_delay_that_its_caller_felt(
    tmp_path: Path, engine: Engine, call: np.ndarray
) -> None:
    async def play(office: Office) -> None:
        office.line = Line(fragments_of(call, SECONDS))  # the nth second begins to arrive n seconds after the start
        task = office.new_task()
        office.clock.advance(LATE)
        await office.follow(task)
        now = counted(office.metrics)
        assert now["result_delay_seconds_count"] == 1.0
        # The tenth second of speech lies between the tenth and the thirtieth of the call.
        assert 100.0 - 31.0 <= now["result_delay_seconds_sum"] <= 100.0 - 10.0
        assert now["task_results_total:no_match"] == now["task_voiceprints_total:made"] == 1.0
        assert now["net_speech_seconds_total"] == pytest.approx(20.0, abs=0.1)
        for step in (InferenceStep.EMBEDDING, InferenceStep.SEARCH, InferenceStep.VOICEPRINT):
            assert now[f"inference_seconds_count:{step.value}"] == 1.0
        assert now["inference_seconds_count:hear"] >= 20.0

    run(tmp_path, engine, play)


def test_media_that_came_all_at_once_are_not_late(tmp_path: Path, engine: Engine, call: np.ndarray) -> None:
    async def play(office: Office) -> None:
        office.line = Line(fragments_of(call, SECONDS))
        await office.follow(office.new_task())
        assert 0.0 < counted(office.metrics)["result_delay_seconds_sum"] < 1.0  # the clock makes a millisecond a look

    run(tmp_path, engine, play)


def test_a_result_is_counted_once_though_the_process_was_killed(
    tmp_path: Path, engine: Engine, call: np.ndarray
) -> None:
    async def play(office: Office) -> None:
        task, fragments = office.new_task(), fragments_of(call, SECONDS)
        await cut_off(office, task, fragments[:24])  # behind the first result
        office.line = Line(fragments)
        await office.follow(task)
        now = counted(office.metrics)
        assert now["task_results_total:no_match"] == now["task_voiceprints_total:made"] == 1.0
        assert now["result_delay_seconds_count"] == 1.0

    run(tmp_path, engine, play)


def test_too_little_speech_and_failures_are_results(tmp_path: Path, engine: Engine, call: np.ndarray) -> None:
    async def play(office: Office) -> None:
        office.line = Line(fragments_of(call[: 5 * RATE], SECONDS[:4]))
        task = office.new_task()
        following = asyncio.ensure_future(office.follow(task))
        await office.line.exhausted.wait()
        office.stop_pipeline(task)
        await following
        now = counted(office.metrics)
        assert now["task_results_total:too_little_speech"] == 1.0
        assert now["task_voiceprints_total:too_little_speech"] == 1.0

        office.line = Line([], then=StreamGone("the stream was deleted"))
        await office.follow(office.new_task(domain_id=task.domain_id))
        now = counted(office.metrics)
        assert now["task_results_total:failed"] == now["task_voiceprints_total:failed"] == 1.0
        assert "result_delay_seconds_count" not in now

    run(tmp_path, engine, play)


def test_a_stop_by_the_caller_owes_nothing_and_counts_nothing(tmp_path: Path, engine: Engine, call: np.ndarray) -> None:
    async def play(office: Office) -> None:
        office.line = Line(fragments_of(call[: 5 * RATE], SECONDS[:4]))
        task = office.new_task()
        following = asyncio.ensure_future(office.follow(task))
        await office.line.exhausted.wait()
        office.store.write(
            lambda unit: unit.tasks.request_stop(
                MINE, task.task_id, reason=StopReason.CALLER, pipeline_id=task.pipeline_id
            )
        )
        office.changed.set()
        await following
        assert not any(name.startswith("task_") for name in counted(office.metrics))

    run(tmp_path, engine, play)
