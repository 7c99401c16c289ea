"""A call that goes on after a crash: the same answers to the bit, and what was silent is not heard again."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from following import RATE, Line, Office, fragments_of, run
from store_examples import MINE

from earwitness.flows.engine import Engine
from earwitness.flows.hear import ChannelEar
from earwitness.flows.reading import Piece

pytestmark = pytest.mark.slow

STEP = RATE * 2


@pytest.fixture
def halting(call: np.ndarray) -> np.ndarray:
    """A call with long silences: 11 s of it, 12 s without a word, 6 s, 22 s, then the rest."""
    silence = np.random.default_rng(1).standard_normal(22 * RATE).astype(np.float32) * 1e-4
    return np.concatenate(
        [call[: 11 * RATE], silence[: 12 * RATE], call[11 * RATE : 17 * RATE], silence, call[17 * RATE :]]
    )


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The fragments of which something was heard, again or for the first time."""
    seen: list[str] = []
    hear = ChannelEar.hear

    def noting(ear: ChannelEar, piece: Piece) -> None:
        seen.append(piece.fragment.number)
        hear(ear, piece)

    monkeypatch.setattr(ChannelEar, "hear", noting)
    return seen


async def result(office: Office, task: Any) -> tuple[Any, bytes]:
    found = office.store.task_voiceprints.get(MINE, task.task_id)
    assert found is not None
    return office.now(task).identification, found.voiceprint.vector


async def cut_off(office: Office, task: Any, fragments: list[Any]) -> None:
    """An attempt that hears these fragments and is killed."""
    office.line = line = Line(fragments)
    before = asyncio.ensure_future(office.follow(task))
    exhausted = asyncio.ensure_future(line.exhausted.wait())
    await asyncio.wait({before, exhausted}, return_when=asyncio.FIRST_COMPLETED)
    before.cancel()
    await asyncio.wait({before, exhausted} - ({exhausted} if not exhausted.done() else set()))
    exhausted.cancel()


@pytest.mark.parametrize("cuts", ["seconds", "odd"])
def test_killed_at_every_fragment_it_finds_the_same(
    tmp_path: Path, engine: Engine, halting: np.ndarray, heard: list[str], cuts: str
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


def test_silence_is_not_heard_again(tmp_path: Path, engine: Engine, halting: np.ndarray, heard: list[str]) -> None:
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
