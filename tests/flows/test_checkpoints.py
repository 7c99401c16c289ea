"""A call that goes on after a crash: the same answers to the bit, and what was silent is not heard again."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from following import RATE, Line, Office, cut_off, fragments_of, run
from store_examples import MINE

from earwitness.flows.engine import Engine
from earwitness.flows.reading import Piece

pytestmark = pytest.mark.slow

STEP = RATE * 2


async def result(office: Office, task: Any) -> tuple[Any, bytes]:
    found = office.store.task_voiceprints.get(MINE, task.task_id)
    assert found is not None
    return office.now(task).identification, found.voiceprint.vector


@pytest.mark.parametrize("cuts", ["seconds", "odd"])
def test_killed_at_every_fragment_it_finds_the_same(
    tmp_path: Path, engine: Engine, halting: np.ndarray, heard: list[Piece], cuts: str
) -> None:
    step = STEP if cuts == "seconds" else 13_007
    edges = list(range(step, len(halting), step))

    async def plain(office: Office) -> tuple[Any, bytes]:
        office.line = Line(fragments_of(halting, edges))
        task = office.new_task()
        await office.follow(task)
        return await result(office, task)

    async def killed(office: Office) -> tuple[Any, bytes]:
        fragments = fragments_of(halting, edges)
        task = office.new_task()
        for count in range(1, len(fragments) + 1):
            await cut_off(office, task, fragments[:count])
            if office.now(task).ended_at is not None:
                break
        assert office.now(task).attempt > 20
        return await result(office, task)

    expected = run(tmp_path / "plain", engine, plain) if (tmp_path / "plain").mkdir() is None else None
    heard.clear()
    (tmp_path / "killed").mkdir()
    assert run(tmp_path / "killed", engine, killed) == expected


def test_silence_is_not_heard_again(tmp_path: Path, engine: Engine, halting: np.ndarray, heard: list[Piece]) -> None:
    async def play(office: Office) -> None:
        fragments = fragments_of(halting, list(range(STEP, len(halting), STEP)))
        task = office.new_task()
        await cut_off(office, task, fragments[:25])
        kept = office.now(task).checkpoint
        assert kept is not None
        assert kept["version"] == 2
        heard.clear()
        await cut_off(office, task, fragments[:25])
        assert 0 < len(heard) < 18
        assert office.line.starts[0].first_number == "1"

    run(tmp_path, engine, play)
