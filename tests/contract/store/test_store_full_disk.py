"""Records on a disk without one free byte, a real one: what ends or deletes something works, what is new is refused."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from search_examples import add_task, adopted, end, voiceprint
from store_examples import MINE, Clock, add_domain, add_pipeline, opened

from earwitness.errors import StoreFull
from earwitness.store.store import Store, Unit
from earwitness.tasks.events import EventPublisher
from earwitness.tasks.expire import expire
from earwitness.tasks.pipelines import PipelineMoves
from earwitness.voice.task_status import StopReason, TaskStatus

DISK_BYTES = 64 * 2**20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system may be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(disk: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr("earwitness.store.sqlite._SHARE", 4)  # 16 MiB, as on a disk of usual size
    with closing(opened(f"sqlite:///{disk / 'records.db'}", clock=clock)) as store:
        store.keep_reserve()
        yield store


def fill(disk: Path) -> None:
    """Take the last byte."""
    with (disk / "other").open("wb", buffering=0) as other, pytest.raises(OSError, match="No space left"):
        while True:
            other.write(bytes(4_096))


def require_full(store: Store) -> None:
    """Whatever is written anew is refused, and stays so while the reserve is given up."""
    with pytest.raises(StoreFull):
        for number in range(1_000):  # SQLite reuses what its files have
            store.write(lambda unit, name=f"filler-{number}": add_domain(unit, domain_id=name))


def steering() -> PipelineMoves:
    return PipelineMoves(
        EventPublisher(targets_of=lambda *_: ("arn:q",), new_id=lambda: "event"), pipeline_changed=lambda _: None
    )


@pytest.mark.slow
def test_a_task_and_its_pipeline_end(store: Store, disk: Path) -> None:
    domain, pipeline = store.write(add_domain), store.write(add_pipeline)
    tasks = [
        adopted(
            store,
            store.write(
                lambda unit, number=number: add_task(unit, domain.domain_id, pipeline.pipeline_id, channel_id=number)
            ),
        )
        for number in range(2)
    ]
    fill(disk)
    require_full(store)
    store.write(lambda unit: unit.tasks.request_stop(MINE, tasks[0].task_id, reason=StopReason.CALLER))
    require_full(store)

    def stop(unit: Unit) -> None:
        there = unit.pipelines.get(MINE, pipeline.pipeline_id)
        assert there
        steering().stop(unit, MINE, there)

    store.write(stop)
    for task in tasks:
        store.write(lambda unit, task=task: unit.attempts.end(MINE, task.task_id, attempt=task.attempt))

    def end_pipeline(unit: Unit) -> None:
        there = unit.pipelines.get(MINE, pipeline.pipeline_id)
        assert there
        steering().end_if_idle(unit, MINE, there)

    store.write(end_pipeline)
    require_full(store)
    states = [store.tasks.get(MINE, task.task_id) for task in tasks]
    assert [state and state.status for state in states] == [TaskStatus.STOPPED] * 2
    ended = store.pipelines.get(MINE, pipeline.pipeline_id)
    assert ended
    assert ended.status == "Stopped"


@pytest.mark.slow
def test_all_that_is_due_expires(store: Store, disk: Path, clock: Clock) -> None:
    """Much more than the reserve holds in one transaction: kept audio is overwritten when it is deleted."""
    domain, pipeline = store.write(add_domain), store.write(add_pipeline)
    heard = replace(voiceprint(0.28, 0.96), audio=bytes(400_000))
    for number in range(20):
        task = adopted(
            store,
            store.write(
                lambda unit, number=number: add_task(unit, domain.domain_id, pipeline.pipeline_id, channel_id=number)
            ),
        )
        store.write(
            lambda unit, task=task: unit.attempts.conclude_voiceprint(MINE, task.task_id, attempt=1, voiceprint=heard)
        )
        end(store, task)
    fill(disk)
    require_full(store)
    late: datetime = clock() + timedelta(days=400)
    done = expire(store, now=late)
    assert (done["task voiceprints"], done["tasks"]) == (20, 20)
    with_audio = expire(store, now=late)
    assert not any(with_audio.values())


@pytest.mark.slow
def test_a_request_token_that_is_there_frees_nothing(store: Store, disk: Path) -> None:
    """A creation looks for an expired token first, to delete it: that alone does not open the reserve to it."""
    fill(disk)
    require_full(store)

    def create(unit: Unit, number: int) -> None:
        unit.idempotency.claim(MINE, operation="o", token=f"t-{number}", request=b"r", reference="r")
        add_domain(unit, domain_id=f"more-{number}")

    with pytest.raises(StoreFull):
        for number in range(1_000):
            store.write(lambda unit, number=number: create(unit, number))
