"""A call that goes on after a crash: the same answers to the bit, and what was silent is not heard again."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from following import RATE, Line, Office, cut_off, fragments_of, fragments_of_bytes, run
from store_examples import MINE

from earwitness.engine.engine import Engine
from earwitness.tasks.replay import FragmentSlice

pytestmark = pytest.mark.slow

STEP = RATE * 2


async def result(office: Office, task: Any) -> tuple[Any, bytes]:
    found = office.store.task_voiceprints.get(MINE, task.task_id)
    assert found is not None
    return office.now(task).identification, found.voiceprint.vector


async def uninterrupted(office: Office, fragments: list[Any]) -> tuple[Any, bytes]:
    office.line = Line(fragments)
    task = office.new_task()
    await office.follow(task)
    return await result(office, task)


@pytest.mark.parametrize(
    ("step_bytes", "rest"),
    [(2 * STEP, 0), (26_014, 0), (26_015, 0), (2 * STEP, 1)],
    ids=["seconds", "odd", "every other one begins inside a sample", "all but the first begin inside a sample"],
)
def test_killed_at_every_fragment_it_finds_the_same(
    tmp_path: Path, engine: Engine, halting: np.ndarray, step_bytes: int, rest: int
) -> None:
    """And no place is kept in a fragment that begins inside a sample, where nobody could begin to decode."""
    edges = list(range(step_bytes + rest, 2 * len(halting), step_bytes))
    fragments = fragments_of_bytes(halting, edges)
    divided = {str(number) for number, edge in enumerate(edges, start=2) if edge % 2}
    places: set[str] = set()

    async def killed(office: Office) -> tuple[Any, bytes]:
        task = office.new_task()
        for count in range(1, len(fragments) + 1):
            await cut_off(office, task, fragments[:count])
            now = office.now(task)
            if now.ended_at is not None:
                break
            places.update(numbers_in(now.checkpoint))
        assert office.now(task).attempt > 20
        return await result(office, task)

    for name in ("plain", "killed"):
        (tmp_path / name).mkdir()
    assert run(tmp_path / "killed", engine, killed) == run(
        tmp_path / "plain", engine, lambda office: uninterrupted(office, fragments)
    )
    assert not places & divided
    assert len(places) > 3 or len(divided) == len(fragments) - 1


def numbers_in(document: Any) -> set[str]:
    """The fragments of all places of a checkpoint."""
    places = [document["listening"], *(place for each in document["speech"] for place in each.values())]
    return {place["number"] for place in places}


def test_joined_ranges_are_heard_again_with_the_silence_between_them(
    tmp_path: Path, engine: Engine, halting: np.ndarray, heard: list[FragmentSlice], monkeypatch: pytest.MonkeyPatch
) -> None:
    fragments = fragments_of(halting, list(range(STEP, len(halting), STEP)))
    for name in ("plain", "joined"):
        (tmp_path / name).mkdir()
    expected = run(tmp_path / "plain", engine, lambda office: uninterrupted(office, fragments))
    monkeypatch.setattr("earwitness.tasks.checkpoints.RANGES_MAX", 1)

    async def joined(office: Office) -> tuple[Any, bytes]:
        task = office.new_task()
        await cut_off(office, task, fragments[:25])
        kept = office.now(task).checkpoint
        assert kept is not None
        speech = kept["speech"]
        assert isinstance(speech, list)
        (only,) = speech
        first, last = int(only["from"]["number"]), int(only["to"]["number"])
        assert (first, last > 14) == (1, True)  # from the first words to the second, 12 s of silence between them
        heard.clear()
        office.line = Line(fragments)
        await office.follow(task)
        assert {str(number) for number in range(first, last + 1)} <= {piece.fragment.number for piece in heard}
        return await result(office, task)

    assert run(tmp_path / "joined", engine, joined) == expected


def test_silence_is_not_heard_again(
    tmp_path: Path, engine: Engine, halting: np.ndarray, heard: list[FragmentSlice]
) -> None:
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
