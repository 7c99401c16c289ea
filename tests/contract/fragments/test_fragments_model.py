"""Whatever is done in whatever order, the log holds what a list of fragments would hold."""

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fragments_examples import MEDIA, START, World, everything, next_of
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from earwitness.fragments.interface import Earliest, Fragment, Retention, TimeAxis
from earwitness.fragments.stream import FragmentReader, FragmentStream

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 (a folder of our own is made in it; its syncs cost nothing)


@dataclass
class Kept:
    """What the model remembers of a fragment."""

    number: str
    server: datetime
    media: bytes
    tags: bytes


class LogMachine(RuleBasedStateMachine):
    medium = "disk"

    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        parent = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None
        self._folder = Path(tempfile.mkdtemp(prefix="earwitness-log-", dir=parent))
        self.kept: list[Kept] = []
        self.retention = Retention(hours=2)
        self.highest = ""

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._runner.run(work)

    @initialize()
    def begin(self) -> None:
        self.world = World(MEDIA[self.medium](self._folder))
        self.run(self.world.open())
        self._open_stream()

    def _open_stream(self) -> None:
        self.stream: FragmentStream = self.run(self.world.stream(retention=self.retention))
        self._forget_old()
        self.reader: FragmentReader = self.run(self.stream.read(Earliest()))
        self.delivered = ""

    def _forget_old(self) -> None:
        oldest = self.world.now - timedelta(hours=self.retention.hours)
        self.kept = [each for each in self.kept if each.server >= oldest]

    @rule(size=st.integers(0, 300), minutes=st.integers(0, 50), tags=st.binary(max_size=4))
    def append(self, size: int, minutes: int, tags: bytes) -> None:
        server = self.world.now
        media = bytes([len(self.kept) % 256]) * size
        number = self.run(self.world.append(self.stream, media, lasting=timedelta(minutes=minutes), tags=tags))
        assert number > self.highest
        self.highest = number
        self.kept.append(Kept(number=number, server=server, media=media, tags=tags))

    @rule()
    def give_a_number_up(self) -> None:
        number = self.run(self.stream.reserve()).number
        assert number > self.highest
        self.highest = number

    @precondition(lambda self: self.kept)
    @rule(place=st.integers(0, 1_000), tags=st.binary(max_size=20))
    def append_tags(self, place: int, tags: bytes) -> None:
        chosen = self.kept[place % len(self.kept)]
        self.run(self.stream.append_tags(chosen.number, tags))
        chosen.tags += tags

    @rule(minutes=st.integers(0, 90))
    def expire(self, minutes: int) -> None:
        self.world.now += timedelta(minutes=minutes)
        self.run(self.world.log.expire(self.world.now))
        self._forget_old()

    @rule(hours=st.integers(1, 4))
    def set_retention(self, hours: int) -> None:
        self.retention = Retention(hours=hours)
        self.run(self.stream.set_retention(self.retention))
        self._forget_old()

    @rule()
    def reopen(self) -> None:
        self.run(self.world.reopen())
        self._open_stream()

    @precondition(lambda self: any(each.number > self.delivered for each in self.kept))
    @rule()
    def read_on(self) -> None:
        delivery = self.run(next_of(self.reader))
        expected = next(each for each in self.kept if each.number > self.delivered)
        assert delivery.fragment.info.number == expected.number
        self.delivered = expected.number

    @invariant()
    def the_log_holds_what_the_model_holds(self) -> None:
        found: list[Fragment] = [delivery.fragment for delivery in self.run(everything(self.stream))]
        told = [Kept(f.info.number, f.info.server_timestamp, f.cluster, f.tags) for f in found]
        assert told == self.kept
        listed = self.run(self.stream.list(TimeAxis.SERVER, start=START, end=self.world.now))
        assert [info.number for info in listed] == [each.number for each in self.kept]

    def teardown(self) -> None:
        self.run(self.world.close())
        self._runner.close()
        shutil.rmtree(self._folder)


@pytest.mark.slow
@pytest.mark.parametrize("medium", sorted(MEDIA))
def test_the_log_behaves_as_a_list(medium: str) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    machine = type("Machine", (LogMachine,), {"medium": medium})
    run_state_machine_as_test(machine, settings=settings(max_examples=40, stateful_step_count=30, deadline=None))
