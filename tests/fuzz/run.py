"""Cases one after the other, each under a time limit."""

import random
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import TypeAlias

from tests.fuzz.judge import judge
from tests.fuzz.mutate import Mutator
from tests.fuzz.streams import seeds

Judges: TypeAlias = Callable[[bytes, random.Random], str | None]

CASE_SECONDS_MAX = 5.0
"""A case takes under a millisecond; one that takes this long hangs."""


class HangError(BaseException):
    """A case takes too long. Not an Exception, so that nothing on the way takes it for a case's own."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A case that broke a promise."""

    case: int
    data: bytes
    says: str


def run(*, seed: int, first: int, cases: int) -> Iterator[Finding | None]:
    """Judge `cases` cases from number `first` on; one result per case, None where all is well."""
    mutator = Mutator(seeds())
    with alarm():
        for case in range(first, first + cases):
            rng = random.Random(seed * 1_000_000_007 + case)
            data = mutator.case(rng)
            says = judge_in_time(data, rng)
            yield None if says is None else Finding(case=case, data=data, says=says)


def judge_in_time(data: bytes, rng: random.Random) -> str | None:
    """`judge`, and a finding when it takes too long. Needs `run`'s alarm, or gives no time limit."""
    return judged_in_time(judge, data, rng)


def judged_in_time(judges: Judges, data: bytes, rng: random.Random) -> str | None:
    """Return what a judge says, or that it takes too long. Needs an alarm, or gives no time limit."""
    signal.setitimer(signal.ITIMER_REAL, CASE_SECONDS_MAX)
    try:
        return judges(data, rng)
    except HangError:
        return f"takes longer than {CASE_SECONDS_MAX:g} s"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


class alarm:  # noqa: N801  # used as a function
    """While it lasts, a case that takes too long is interrupted."""

    def __enter__(self) -> None:
        self._before = signal.signal(signal.SIGALRM, _hang)

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGALRM, self._before)


def _hang(_: int, __: FrameType | None) -> None:
    raise HangError
