"""From a call to a vote, with real audio: written with the answer of the search, once for each task."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from following import RATE, Line, Office, cut_off, fragments_of, run
from store_examples import MINE

from earwitness.engine.engine import Engine
from earwitness.voice.line import Codec, LineState

pytestmark = pytest.mark.slow

SECONDS = [second * RATE for second in range(1, 36)]


def test_a_call_votes_with_its_answer_and_names_its_line(tmp_path: Path, engine: Engine, call: np.ndarray) -> None:
    async def play(office: Office) -> None:
        office.line = Line(fragments_of(call, SECONDS))
        task = office.new_task()
        await office.follow(task)
        (vote,) = office.store.lines.votes(MINE, task.domain_id, Codec.PCM)
        assert (vote.encoder_id, vote.net_speech_seconds) == (engine.encoder.encoder_id, 10.0)
        identification: Any = office.now(task).identification
        assert identification["basis"]["line_state"] == LineState.UNKNOWN
        monitor = office.store.lines.monitor(MINE, task.domain_id, Codec.PCM)
        assert monitor is not None
        assert (monitor.searches, monitor.callers_mean) == (0, None)  # nobody is enrolled

    run(tmp_path, engine, play)


def test_a_task_that_is_taken_up_again_votes_once(tmp_path: Path, engine: Engine, call: np.ndarray) -> None:
    fragments = fragments_of(call, SECONDS)

    async def play(office: Office) -> None:
        task = office.new_task()
        votes: list[int] = []
        for count in range(1, len(fragments) + 1):
            await cut_off(office, task, fragments[:count])
            votes.append(len(office.store.lines.votes(MINE, task.domain_id, Codec.PCM)))
            if office.now(task).ended_at is not None:
                break
        assert office.now(task).attempt > 10
        assert votes == sorted(votes)
        assert votes[-1] == 1
        other = office.new_task(task.domain_id)  # the same caller again
        office.line = Line(fragments)
        await office.follow(other)
        assert office.now(other).identification is not None
        assert len(office.store.lines.votes(MINE, task.domain_id, Codec.PCM)) == 1

    run(tmp_path, engine, play)


def test_a_profile_that_is_made_of_the_call_takes_its_vote_along(
    tmp_path: Path, engine: Engine, call: np.ndarray
) -> None:
    async def play(office: Office) -> None:
        office.line = Line(fragments_of(call, SECONDS))
        task = office.new_task()
        await office.follow(task)
        office.store.write(
            lambda unit: unit.profiles.create_from_task(
                MINE,
                task_id=task.task_id,
                profile_id="vp-1",
                arn="arn:vp-1",
                voiceprint_id="1",
                expires_at=unit.now + timedelta(days=1),
            )
        )
        assert len(office.store.lines.votes(MINE, task.domain_id, Codec.PCM)) == 1
        office.store.write(lambda unit: unit.profiles.delete(MINE, "vp-1"))
        assert office.store.lines.votes(MINE, task.domain_id, Codec.PCM) == ()

    run(tmp_path, engine, play)
