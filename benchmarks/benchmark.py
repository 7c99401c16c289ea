"""What a benchmark is: a question, a function that answers it in plain numbers, targets, and tables to read."""

import math
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).resolve().parent / "results"

NOT_MEASURED = "not measured"
"""How a number is written that is not there."""

Numbers = dict[str, float]
"""What was measured, by name; units are in the names."""


class SkippedError(Exception):
    """The benchmark cannot run here; the message says what is missing. Not a failure."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A bound that one number should keep."""

    number: str
    """Its name among the numbers."""

    says: str
    """What is bounded, in words with the unit."""

    sign: Literal["<=", ">="]
    bound: float
    aim: float | None = None
    """Where the number should go; missing it is not a failure."""

    def met(self, numbers: Numbers) -> bool:
        """Whether the bound holds. A number that was not measured (absent, or NaN) does not keep it."""
        measured = numbers.get(self.number, math.nan)
        return measured <= self.bound if self.sign == "<=" else measured >= self.bound


@dataclass(frozen=True, kw_only=True)
class Table:
    """Measured numbers as people read them."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text_columns: int = 1
    """Columns from the left that hold words; the others hold numbers."""


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """One question about the product."""

    name: str
    question: str
    method: str
    """How it is measured and how to read it; a paragraph of the results page."""

    measure: Callable[[], Numbers]
    """Run it. Raises SkippedError when something it needs is not there."""

    targets: tuple[Target, ...]
    tables: Callable[[Numbers], list[Table]]
    pictures: tuple[str, ...] = ()
    """Files in results/ that it draws."""


def speech_folder() -> Path:
    """The development speech: a folder with manifest.csv. SkippedError when it is not there."""
    folder = Path(os.environ.get("EARWITNESS_SPEECH_DIR", ROOT.parent / "shared" / "speech")).resolve()
    if not (folder / "manifest.csv").is_file():
        raise SkippedError("there is no development speech; set EARWITNESS_SPEECH_DIR to a folder with a manifest.csv")
    return folder


def script(name: str) -> Path:
    """A program of the environment that runs the benchmarks."""
    return Path(sys.executable).with_name(name)


def number(value: float, digits: int = 3) -> str:
    """A number with this many significant digits, thousands separated, never in powers of ten."""
    if value != value:
        return NOT_MEASURED
    if abs(value) >= 100:
        return f"{value:,.0f}"
    rounded = float(f"{value:.{digits}g}")
    return f"{rounded:.10f}".rstrip("0").rstrip(".")


def with_interval(numbers: Numbers, name: str) -> str:
    """A number with its interval, `.low` to `.high`."""
    value, low, high = (number(numbers[key]) for key in (name, f"{name}.low", f"{name}.high"))
    return f"{value} [{low}, {high}]"
