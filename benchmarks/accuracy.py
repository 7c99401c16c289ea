"""Accuracy: error rates on the development speech, by `earwitness evaluate` itself."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from benchmarks.benchmark import (
    RESULTS,
    ROOT,
    Benchmark,
    Numbers,
    Table,
    Target,
    number,
    script,
    speech_folder,
    with_interval,
)
from benchmarks.engine import require_models

_CONDITIONS = ("telephone", "gsm", "gsm>telephone", "noise10", "reverb", "clean")
_MIXED = ("gsm", "gsm>telephone", "noise10", "reverb")
"""Enrolled under one channel, tested under another, and noisy or reverberant tests."""

_GROUPS = {"adults": _CONDITIONS, "children": ("telephone",)}

_RATES = {
    "eer_percent": "EER, %",
    "min_dcf": "minDCF(0.01)",
    "cllr": "Cllr, bits",
    "top1_percent": "top-1, %",
    "found_percent": "found, %",
    "false_alarm_percent": "strangers named, %",
}

_COUNTS = {
    "speakers": "speakers",
    "targets": "same-speaker pairs",
    "nontargets": "different-speaker pairs",
    "searches": "searches of enrolled",
    "stranger_searches": "searches of strangers",
    "not_heard": "too little speech",
}


def measure() -> Numbers:
    """Rates with their intervals (`.low`, `.high`) and counts, by group and condition."""
    manifest = speech_folder() / "manifest.csv"
    require_models()
    numbers: Numbers = {}
    for group, conditions in _GROUPS.items():
        plots = RESULTS / "plots" if group == "adults" else None
        found = _evaluate(manifest, group=group, conditions=conditions, plots=plots)
        for condition, result in found["conditions"].items():
            numbers |= {f"{group}.{condition}.{name}": value for name, value in _flat(result).items()}
    return numbers


def tables(numbers: Numbers) -> list[Table]:
    """Rates with intervals, then counts; a condition a row."""
    rows = [(group, condition) for group, conditions in _GROUPS.items() for condition in conditions]
    rates = [
        (f"{group}, {condition}", *(with_interval(numbers, f"{group}.{condition}.{rate}") for rate in _RATES))
        for group, condition in rows
    ]
    counts = [
        (f"{group}, {condition}", *(number(numbers[f"{group}.{condition}.{count}"]) for count in _COUNTS))
        for group, condition in rows
    ]
    return [
        Table(columns=("rate [95 % interval by speaker]", *_RATES.values()), rows=tuple(rates)),
        Table(columns=("counts", *_COUNTS.values()), rows=tuple(counts)),
    ]


# `Any`: JSON of the product's own command, here and below.
def _evaluate(manifest: Path, *, group: str, conditions: Sequence[str], plots: Path | None) -> dict[str, Any]:
    command: list[str | Path] = [script("earwitness"), "evaluate", manifest, "--speakers", group, "--json", "-"]
    for condition in conditions:
        command += ["--condition", condition]
    if plots is not None:
        command += ["--plots", plots.relative_to(ROOT)]
    finished = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    document: dict[str, Any] = json.loads(finished.stdout)
    return document


def _flat(result: dict[str, Any]) -> Numbers:
    """The rates and counts of one condition; a rate that could not be measured is NaN."""
    numbers: Numbers = {name: result[name] for name in _COUNTS}
    for rate in _RATES:
        low, high = result["intervals"][rate]
        for name, value in ((rate, result[rate]), (f"{rate}.low", low), (f"{rate}.high", high)):
            numbers[name] = float("nan") if value is None else value
    return numbers


def _target(condition: str, rate: str, sign: Literal["<=", ">="], bound: float, aim: float | None = None) -> Target:
    says = f"{_RATES[rate]}: {condition}"
    return Target(number=f"adults.{condition}.{rate}", says=says, sign=sign, bound=bound, aim=aim)


_METHOD = """\
`earwitness evaluate` on the development speech: 20 s of net speech enrolled, 10 s searched for, adults and children
apart. `telephone` is 8 kHz, 300 to 3400 Hz, G.711; the other conditions are enrolled by telephone and tested under GSM
06.10 with another handset, four talkers and pink noise at 10 dB, or a room; `gsm>telephone` is enrolled by GSM; `clean`
is wideband. *Found* and *strangers named* are what the engine answers at its own threshold.

Read these with three things in mind. The shipped channel compensation and calibration were fitted on the adults of this
set (`scripts/fit_engine.py`), so they are not new to it: expect more errors, and above all more strangers named, with
people it has never heard, and measure on your own calls. The speech is read, most speakers in one session, and the
channels are simulated. And the set is small: where no error was seen, the interval of a percentage is what so many
speakers without one can exclude, and those of minDCF and Cllr are too narrow."""

BENCHMARK = Benchmark(
    name="accuracy",
    question="How often is the answer right?",
    method=_METHOD,
    measure=measure,
    targets=(
        _target("telephone", "eer_percent", "<=", 0.2),
        _target("gsm", "eer_percent", "<=", 0.5),
        _target("gsm>telephone", "eer_percent", "<=", 0.5),
        _target("telephone", "found_percent", ">=", 97.0),
        *(_target(condition, "found_percent", ">=", 80.0, aim=93.0) for condition in _MIXED),
        *(_target(condition, "cllr", "<=", 0.05) for condition in _MIXED),
    ),
    tables=tables,
    pictures=("plots/det.png", "plots/galleries.png"),
)
