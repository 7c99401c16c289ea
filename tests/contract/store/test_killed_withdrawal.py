"""A withdrawal in a process that is killed in its middle: nothing of it is done, or the next start goes on with it."""

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import pytest
from consent_examples import SUBJECT
from search_examples import add_task, adopted, end
from store_examples import MINE, add_domain, opened
from test_store_withdrawals import Call, withdraw

import started
from earwitness.errors import Unavailable
from earwitness.fragments.log import FragmentLog
from earwitness.media.streams import MediaLimits, MediaStreams
from earwitness.store.store import Store
from earwitness.tasks.withdrawing import Withdrawing
from earwitness.voice.withdrawal import WithdrawalState
from patience import PATIENCE_SECONDS

_ResultT = TypeVar("_ResultT")

_KILLED = """
import os, signal, sys
sys.path[:0] = sys.argv[3:]
from sqlalchemy import Engine, event
from store_examples import opened
from test_killed_withdrawal import withdraw_or_go_on
left = int(sys.argv[2])
def count(_connection, _cursor, statement, *_):
    global left
    left -= statement.lstrip().upper().startswith(("INSERT", "UPDATE", "DELETE"))
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
store = opened(sys.argv[1])
event.listen(Engine, "after_cursor_execute", count)
withdraw_or_go_on(store)
store.close()
"""
"""A process that kills itself in a transaction, behind so many writes and one more."""


class _House:
    keeps_house = True


def withdraw_or_go_on(store: Store) -> None:
    """What an admin asks for, unless it is begun, and what a service then does by itself."""
    if store.consents.withdrawn_at(MINE, store.subject_digest(MINE, SUBJECT)) is None:
        withdraw(store)

    async def in_turn(work: Callable[[], _ResultT]) -> _ResultT:
        return work()

    def not_open() -> FragmentLog:
        raise Unavailable("no media are kept here")

    streams = MediaStreams(store, log=not_open, limits=MediaLimits())
    asyncio.run(Withdrawing(store, streams, in_turn, _House()).work())


def _killed_behind(writes: int, url: str) -> bool:
    """Whether it was killed there; False when it had fewer writes left, and ended."""
    here = Path(__file__).parent
    command = [sys.executable, "-c", _KILLED, url, str(writes), str(here), str(here.parents[1])]
    with started.process(command, stderr=subprocess.PIPE, text=True) as process:
        _, said = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode in (0, -9), said
        return process.returncode != 0


def _is_begun(store: Store) -> bool:
    """Whether a withdrawal is begun; all that was made for the subject is gone then, and there before."""
    digest = store.subject_digest(MINE, SUBJECT)
    held = store.subjects.held(MINE, digest)
    is_begun = store.consents.withdrawn_at(MINE, digest) is not None
    left = 0 if is_begun else 1
    assert (len(held.consents), len(held.profiles), len(held.tasks), held.votes) == (left, left, left, left)
    return is_begun


@pytest.mark.slow
def test_a_withdrawal_that_is_killed_goes_on_at_the_next_start(url: str) -> None:
    with closing(opened(url)) as store:
        domain_id = store.write(add_domain).domain_id
        profile_id = Call(store, domain_id).profile.profile_id
        naming = {"outcome": "match", "candidates": [{"profile_id": profile_id, "score": 0.7}]}
        others: list[str] = []
        for number in range(3):
            stream = f"arn:other-{number}"
            task = store.write(lambda unit, stream=stream: add_task(unit, domain_id, stream_arn=stream))
            task = adopted(store, task)
            result = {"attempt": task.attempt, "identification": naming}
            store.write(
                lambda unit, task=task, result=result: unit.attempts.conclude_identification(
                    MINE, task.task_id, **result
                )
            )
            others.append(end(store, task).task_id)
    writes, kills = 0, Counter[bool]()
    while _killed_behind(writes, url):
        with closing(opened(url)) as store:
            is_begun = _is_begun(store)
            assert bool(store.withdrawals.open(limit=9)) == is_begun
        writes = 0 if is_begun and not kills[True] else 2 * writes + 1
        kills[is_begun] += 1
    assert min(kills[False], kills[True]) > 1
    with closing(opened(url)) as store:
        assert _is_begun(store)
        assert store.withdrawals.open(limit=9) == ()
        for task_id in others:
            task = store.tasks.get(MINE, task_id)
            assert task is not None
            assert task.identification is None
        deletions = store.deletions.list(MINE, limit=99).items
        ids = {one.request_id for one in deletions if one.request_id.startswith("withdrawal-")}
        assert [store.withdrawals.get(MINE, one).state for one in ids] == [WithdrawalState.DONE]  # type: ignore[union-attr]
