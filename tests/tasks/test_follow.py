"""Following a call: the same answers however it was cut and after a crash, written once, and computed off the loop."""

import asyncio
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from following import RATE, Line, Office, fragment, fragments_of, run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from search_examples import STREAM
from store_examples import MINE

from earwitness.engine.engine import Engine
from earwitness.errors import StreamGone
from earwitness.store.audit_records import SERVICE
from earwitness.tasks.attempt import SEARCH_CALL
from earwitness.voice.task_status import StopReason, TaskStatus, VoiceprintStatus

pytestmark = pytest.mark.slow

SECONDS = [second * RATE for second in range(1, 36)]
LONGEST = {12 * RATE, 24 * RATE}
"""Fragments hold at most 20 s."""


def told(office: Office, task: Any) -> list[str]:
    return [detail["detailStatus"] for detail in office.details(task)]


BOTH = ["IdentificationNoMatchesFound", "VoiceprintGenerationSuccess"]
NEITHER = ["IdentificationFailure", "VoiceprintGenerationFailure"]


async def heard(office: Office, call: np.ndarray, cuts: list[int]) -> tuple[Any, bytes]:
    """A call that is followed to its end: what was found, and the voiceprint."""
    office.line = Line(fragments_of(call, cuts))
    task = office.new_task()
    await office.follow(task)
    assert told(office, task) == BOTH
    found = office.store.task_voiceprints.get(MINE, task.task_id)
    assert found is not None
    return office.now(task).identification, found.voiceprint.vector


def test_a_call_is_followed_to_its_two_results(tmp_path: Path, engine: Engine, call: np.ndarray) -> None:
    async def play(office: Office) -> None:
        office.line = Line(fragments_of(call, SECONDS))
        task = office.new_task()
        await office.follow(task)
        now = office.now(task)
        assert (now.status, now.stop_reason, now.checkpoint) == (TaskStatus.STOPPED, None, None)
        assert now.voiceprint_status is VoiceprintStatus.SUCCESS
        assert told(office, task) == BOTH
        assert all(detail["streamArn"] == STREAM for detail in office.details(task))
        pipeline = office.store.pipelines.get(MINE, task.pipeline_id)
        assert pipeline is not None
        assert pipeline.status == "InProgress"
        assert office.engine.names
        assert all(name.startswith("inference") for name in office.engine.names)
        assert threading.current_thread().name not in office.engine.names
        await office.follow(task)  # over: nothing more is done
        assert told(office, task) == BOTH
        searches = [one for one in office.store.audit.list(MINE, limit=99).items if one.operation == SEARCH_CALL]
        assert [(one.key_id, one.resource_arn, one.request_id) for one in searches] == [
            (SERVICE, now.domain_arn, task.task_id)
        ]

    run(tmp_path, engine, play)


@pytest.fixture(scope="module")
def plainly(tmp_path_factory: pytest.TempPathFactory, engine: Engine, call: np.ndarray) -> tuple[Any, bytes]:
    """What is heard of the call in fragments of a second."""
    return run(tmp_path_factory.mktemp("plain"), engine, lambda office: heard(office, call, SECONDS))


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(cuts=st.sets(st.integers(1, 30 * RATE), min_size=1, max_size=40))
def test_how_it_is_cut_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, engine: Engine, call: np.ndarray, plainly: Any, cuts: set[int]
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    assert run(folder, engine, lambda office: heard(office, call, sorted(cuts | LONGEST))) == plainly


@pytest.mark.parametrize("heard_before", [3, 18])
def test_a_new_attempt_begins_where_the_first_did_and_finds_the_same(
    tmp_path: Path, engine: Engine, call: np.ndarray, plainly: Any, heard_before: int
) -> None:
    async def play(office: Office) -> None:
        fragments = fragments_of(call, SECONDS)
        office.line = first = Line(fragments[2 : 2 + heard_before])
        task = office.new_task()
        before = asyncio.ensure_future(office.follow(task))
        await first.exhausted.wait()
        office.line = second = Line(fragments)
        office.changed = asyncio.Event()
        await office.follow(task)  # another worker: the first was thought dead
        assert told(office, task) == BOTH
        office.changed.set()
        assert second.starts[0].first_number == fragments[2].number
        first_worker_changed.set()
        await before  # it hears that it is superseded, and writes nothing
        assert told(office, task) == BOTH
        assert office.now(task).attempt == 2

    first_worker_changed = asyncio.Event()

    async def with_first_event(office: Office) -> None:
        office.changed = first_worker_changed
        await play(office)

    run(tmp_path, engine, with_first_event)


def test_a_restart_in_the_middle_finds_the_same(tmp_path: Path, engine: Engine, call: np.ndarray, plainly: Any) -> None:
    async def play(office: Office) -> tuple[Any, bytes]:
        fragments = fragments_of(call, SECONDS)
        office.line = first = Line(fragments[:20])
        task = office.new_task()
        before = asyncio.ensure_future(office.follow(task))
        await first.exhausted.wait()
        before.cancel()  # as a stop of the service does
        await asyncio.wait({before})
        assert before.cancelled()
        assert office.now(task).status is TaskStatus.IN_PROGRESS
        office.line = Line(fragments)
        await office.follow(task)
        assert told(office, task) == BOTH
        found = office.store.task_voiceprints.get(MINE, task.task_id)
        assert found is not None
        return office.now(task).identification, found.voiceprint.vector

    assert run(tmp_path, engine, play) == plainly


@pytest.mark.parametrize("restarted", [False, True])
def test_the_end_of_the_audio(tmp_path: Path, engine: Engine, call: np.ndarray, restarted: bool) -> None:
    """With 13 s of a call: what was heard is searched, what is missing is told; after a crash too."""

    async def play(office: Office) -> None:
        office.line = line = Line(fragments_of(call[: 16 * RATE], SECONDS[:15]))
        task = office.new_task()
        if not restarted:
            following = asyncio.ensure_future(office.follow(task))
            await line.exhausted.wait()
            office.stop_pipeline(task)
            await following
        else:
            office.stop_pipeline(task)  # while nobody runs it
            office.changed.clear()
            await office.follow(task)
        assert told(office, task) == ["IdentificationNoMatchesFound", "VoiceprintGenerationFailure"]
        assert "20 s are needed" in office.details(task)[1]["statusMessage"]
        assert office.now(task).status is TaskStatus.STOPPED
        pipeline = office.store.pipelines.get(MINE, task.pipeline_id)
        assert pipeline is not None
        assert pipeline.status == "Stopped"

    run(tmp_path, engine, play)


@pytest.mark.slow
def test_a_loop_ends_without_a_voiceprint_and_with_the_reason(tmp_path: Path, engine: Engine, call: np.ndarray) -> None:
    async def play(office: Office) -> None:
        loop = np.tile(call[10_000 : 10_000 + 3 * RATE], 12)
        office.line = Line(fragments_of(loop, [second * RATE for second in range(1, 36)]))
        task = office.new_task()
        await office.follow(task)
        assert told(office, task) == ["IdentificationNoMatchesFound", "VoiceprintGenerationFailure"]
        now = office.now(task)
        assert (now.status, now.voiceprint_status) == (TaskStatus.STOPPED, VoiceprintStatus.FAILURE)
        assert now.status_message is not None
        assert now.status_message.startswith("the speech repeats itself: only")
        assert office.details(task)[1]["statusMessage"] == now.status_message

    run(tmp_path, engine, play)


@pytest.mark.parametrize("is_told", [True, False], ids=["told by the source", "not told"])
def test_audio_that_is_missing_is_told(
    tmp_path: Path, engine: Engine, call: np.ndarray, is_told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def play(office: Office) -> None:
        pieces = fragments_of(call[: 16 * RATE], SECONDS[:15])
        gap = replace(pieces[6], after_gap=True)
        pieces = [*pieces[:5], gap, *pieces[7:]] if is_told else [*pieces[:5], *pieces[6:]]
        office.line = line = Line(pieces)
        task = office.new_task()
        following = asyncio.ensure_future(office.follow(task))
        await line.exhausted.wait()
        office.stop_pipeline(task)
        await following
        message = office.details(task)[-1]["statusMessage"]
        assert ("some of the audio was missing from the stream" in message) == is_told

    run(tmp_path, engine, play)
    assert ("audio is missing from a stream" in caplog.text) == is_told


def test_a_stop_by_its_caller_tells_nothing(tmp_path: Path, engine: Engine, call: np.ndarray) -> None:
    async def play(office: Office) -> None:
        office.line = line = Line(fragments_of(call[: 5 * RATE], []))
        task = office.new_task()
        following = asyncio.ensure_future(office.follow(task))
        await line.exhausted.wait()
        office.store.write(lambda unit: unit.tasks.request_stop(MINE, task.task_id, reason=StopReason.CALLER))
        office.changed.set()
        await following
        assert office.now(task).status is TaskStatus.STOPPED
        assert told(office, task) == []

    run(tmp_path, engine, play)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (lambda: Line([fragment(1, header=b"\x00" * 40, cluster=b"")]), ""),
        (lambda: Line([fragment(1, cluster=b"\x1f\x43\xb6\x75\x84\xff\xff\xff\xff")]), ""),
        (lambda: Line([], then=StreamGone("the Kinesis video stream was deleted; start another task")), "was deleted"),
    ],
    ids=["no header", "no cluster", "no stream"],
)
def test_what_cannot_be_heard_fails(tmp_path: Path, engine: Engine, line: Any, said: str) -> None:
    async def play(office: Office) -> None:
        office.line = line()
        task = office.new_task()
        await office.follow(task)
        now = office.now(task)
        assert now.status is TaskStatus.FAILED
        assert now.status_message
        assert said in now.status_message
        assert told(office, task) == NEITHER
        assert {detail["statusMessage"] for detail in office.details(task)} == {now.status_message}

    run(tmp_path, engine, play)


def test_a_deleted_domain_fails_it(tmp_path: Path, engine: Engine, call: np.ndarray) -> None:
    async def play(office: Office) -> None:
        office.line = line = Line(fragments_of(call[: 3 * RATE], []))
        task = office.new_task()
        following = asyncio.ensure_future(office.follow(task))
        await line.exhausted.wait()
        office.store.write(lambda unit: unit.domains.delete(MINE, task.domain_id))
        office.changed.set()
        await following
        assert office.now(task).status is TaskStatus.FAILED
        assert told(office, task) == NEITHER

    run(tmp_path, engine, play)
