"""A task whose voice models are still being fetched: it notices a stop, and loses nothing by waiting."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from following import Line, Office, fragments_of, run
from store_examples import MINE

from earwitness.engine.engine import Engine
from earwitness.voice.task_status import StopReason, TaskStatus

pytestmark = pytest.mark.slow


class Fetching:
    """Models that are open when the test says so."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.open = asyncio.Event()

    async def __call__(self) -> None:
        self.asked.set()
        await self.open.wait()


def scene(folder: Path, engine: Engine, play: Any) -> None:
    """Play with a task that has begun to wait for the models."""

    async def begun(office: Office) -> None:
        office.models_opened = models = Fetching()
        task = office.new_task()
        following = asyncio.ensure_future(office.follow(task))
        await models.asked.wait()
        await play(office, task, models, following)

    run(folder, engine, begun)


def test_a_stop_ends_it(tmp_path: Path, engine: Engine) -> None:
    async def play(office: Office, task: Any, models: Fetching, following: Any) -> None:
        office.store.write(lambda unit: unit.tasks.request_stop(MINE, task.task_id, reason=StopReason.CALLER))
        office.changed.set()
        await following
        assert not models.open.is_set()
        assert office.now(task).status is TaskStatus.STOPPED

    scene(tmp_path, engine, play)


def test_a_deleted_domain_fails_it(tmp_path: Path, engine: Engine) -> None:
    async def play(office: Office, task: Any, models: Fetching, following: Any) -> None:
        office.store.write(lambda unit: unit.domains.delete(MINE, task.domain_id))
        office.changed.set()
        await following
        assert not models.open.is_set()
        assert office.now(task).status is TaskStatus.FAILED

    scene(tmp_path, engine, play)


def test_after_the_end_of_the_audio_all_of_it_is_heard(tmp_path: Path, engine: Engine, call: np.ndarray) -> None:
    async def play(office: Office, task: Any, models: Fetching, following: Any) -> None:
        office.line = Line(fragments_of(call, list(range(8_000, len(call), 8_000))))
        office.stop_pipeline(task)
        models.open.set()
        await following
        assert [detail["detailStatus"] for detail in office.details(task)] == [
            "IdentificationNoMatchesFound",  # nobody is enrolled
            "VoiceprintGenerationSuccess",
        ]

    scene(tmp_path, engine, play)
