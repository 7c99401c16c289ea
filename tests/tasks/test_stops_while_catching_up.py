"""A stop, or a deletion, while a task hears again what it had heard before the service was restarted."""

from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from following import Line, Office, cut_off, fragments_of, run
from store_examples import MINE

from earwitness.engine.engine import Engine
from earwitness.errors import StreamGone
from earwitness.media.source import StartPosition, StreamFragment
from earwitness.store.records import SpeakerSearchTask
from earwitness.tasks.replay import FragmentSlice
from earwitness.voice.task_status import StopReason, TaskStatus

pytestmark = pytest.mark.slow

STEP = 8_000
BEFORE, STOP_AT = 34, 6
"""Fragments of a second: so many were heard before the restart, and behind so many of them the stop comes."""


class Interrupted(Line):
    """Something happens while it is read."""

    def __init__(self, fragments: Sequence[StreamFragment], happens: dict[int, Callable[[], None]]) -> None:
        super().__init__(fragments)
        self._happens = happens

    async def fragments(self, start: StartPosition) -> AsyncGenerator[StreamFragment]:
        async for one in super().fragments(start):
            if int(one.number) in self._happens:
                self._happens[int(one.number)]()
            yield one


def caller(office: Office, task: SpeakerSearchTask) -> None:
    office.store.write(lambda unit: unit.tasks.request_stop(MINE, task.task_id, reason=StopReason.CALLER))
    office.changed.set()


def pause(office: Office, task: SpeakerSearchTask) -> None:
    def work(unit: Any) -> None:
        office.moves.pause(unit, MINE, unit.pipelines.get(MINE, task.pipeline_id))

    office.store.write(work)
    office.changed.set()


def domain(office: Office, task: SpeakerSearchTask) -> None:
    office.store.write(lambda unit: unit.domains.delete(MINE, task.domain_id))
    office.changed.set()


def pipeline_record(office: Office, task: SpeakerSearchTask) -> None:
    office.store.write(lambda unit: unit.pipelines.delete(MINE, task.pipeline_id))
    office.changed.set()


def stream(office: Office, task: SpeakerSearchTask) -> None:
    raise StreamGone("the Kinesis video stream was deleted; start another task on another stream")


def of_task(office: Office, task: SpeakerSearchTask) -> list[str]:
    return [detail["detailStatus"] for detail in office.details(task)]


async def restarted(office: Office, halting: np.ndarray, happens: Callable[[Office, SpeakerSearchTask], None]) -> Any:
    """A task that is taken up again, and then this happens."""
    fragments = fragments_of(halting, list(range(STEP, len(halting), STEP)))
    task = office.new_task()
    await cut_off(office, task, fragments[:BEFORE])
    kept = office.now(task).checkpoint
    assert kept is not None
    assert kept["speech"]
    office.line = Interrupted(fragments, {STOP_AT: lambda: happens(office, task)})
    return task


@pytest.mark.parametrize(
    ("happens", "status", "events"),
    [
        (caller, TaskStatus.STOPPED, []),
        (pause, TaskStatus.STOPPED, []),
        (domain, TaskStatus.FAILED, ["VoiceprintGenerationFailure"]),
        (stream, TaskStatus.FAILED, ["VoiceprintGenerationFailure"]),
    ],
)
def test_nothing_more_is_heard(
    tmp_path: Path,
    engine: Engine,
    halting: np.ndarray,
    heard: list[FragmentSlice],
    happens: Any,
    status: Any,
    events: list[str],
) -> None:
    """Not even the fragment that came with the news, so a stop waits for one fragment at most."""

    async def play(office: Office) -> None:
        task = await restarted(office, halting, happens)
        heard.clear()
        before = of_task(office, task)
        await office.follow(task)
        assert [int(piece.fragment.number) for piece in heard] == list(range(1, STOP_AT))
        assert office.now(task).status is status
        assert of_task(office, task) == before + events

    run(tmp_path, engine, play)


def test_a_task_whose_pipeline_is_gone_is_dropped(
    tmp_path: Path, engine: Engine, halting: np.ndarray, heard: list[FragmentSlice]
) -> None:
    async def play(office: Office) -> None:
        task = await restarted(office, halting, pipeline_record)
        heard.clear()
        await office.follow(task)
        assert len(heard) == STOP_AT - 1
        assert office.store.tasks.get(MINE, task.task_id) is None

    run(tmp_path, engine, play)


def test_a_stop_does_not_wait_for_a_stream_that_gives_nothing(
    tmp_path: Path, engine: Engine, halting: np.ndarray
) -> None:
    """As one at AWS does while it is being connected."""

    async def play(office: Office) -> None:
        task = await restarted(office, halting, caller)
        office.line = silent = Silent(lambda: caller(office, task))
        await office.follow(task)
        assert silent.asked
        assert office.now(task).status is TaskStatus.STOPPED

    run(tmp_path, engine, play)


class Silent(Line):
    def __init__(self, happens: Callable[[], None]) -> None:
        super().__init__([])
        self._happens = happens
        self.asked = False

    async def fragments(self, start: StartPosition) -> AsyncGenerator[StreamFragment]:
        self.asked = True
        self._happens()
        async for one in super().fragments(start):
            yield one


def test_the_end_of_a_pipeline_loses_nothing_that_came_before(
    tmp_path: Path, engine: Engine, halting: np.ndarray, heard: list[FragmentSlice]
) -> None:
    """DeleteMediaPipeline declares the audio to have ended: what came before it is heard, restarted or not."""

    async def play(office: Office) -> list[str]:
        task = await restarted(office, halting, lambda office, task: office.stop_pipeline(task))
        await office.follow(task)
        assert office.now(task).status is TaskStatus.STOPPED
        pipeline = office.store.pipelines.get(MINE, task.pipeline_id)
        assert pipeline is not None
        assert pipeline.status == "Stopped"
        return of_task(office, task)

    assert run(tmp_path, engine, play) == ["IdentificationNoMatchesFound", "VoiceprintGenerationSuccess"]


@pytest.mark.parametrize("then", [domain, pipeline_record])
def test_a_deletion_ends_what_a_stopped_pipeline_still_hears(
    tmp_path: Path, engine: Engine, halting: np.ndarray, heard: list[FragmentSlice], then: Any
) -> None:
    async def play(office: Office) -> None:
        task = await restarted(office, halting, lambda office, task: office.stop_pipeline(task))
        office.line = Interrupted(
            office.line.all, {2: lambda: office.stop_pipeline(task), STOP_AT: lambda: then(office, task)}
        )
        heard.clear()
        await office.follow(task)
        assert len(heard) == STOP_AT - 1  # the one that came with the stop too, for it came before
        left = office.store.tasks.get(MINE, task.task_id)
        assert left is None or left.status is TaskStatus.FAILED

    run(tmp_path, engine, play)
