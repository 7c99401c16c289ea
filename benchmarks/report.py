"""Results on disk: a JSON file per benchmark, and one page for people made of all of them."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.benchmark import NOT_MEASURED, RESULTS, Benchmark, Numbers, Table, number
from benchmarks.machine import machine, versions

_INTRODUCTION = """# Results

Made by `python -m benchmarks` (`make bench` runs all of them) from the JSON files beside this page, which hold every
number. What was measured where stands under each section.
"""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One target and what was measured."""

    says: str
    measured: str
    wanted: str
    met: bool

    @property
    def word(self) -> str:
        """Nothing for what was not measured."""
        if self.measured == NOT_MEASURED:
            return ""
        return "pass" if self.met else "missed"


def verdicts(benchmark: Benchmark, numbers: Numbers) -> list[Verdict]:
    """Every target of a benchmark."""
    return [
        Verdict(
            says=target.says,
            measured=number(numbers.get(target.number, math.nan)),
            wanted=f"{_SIGNS[target.sign]} {target.bound:g}" + (f" (aim {target.aim:g})" if target.aim else ""),
            met=target.met(numbers),
        )
        for target in benchmark.targets
    ]


def write_result(benchmark: Benchmark, numbers: Numbers, *, command: str, load_before: float) -> None:
    """results/NAME.json. `load_before` says how busy the machine was with other work."""
    document = {
        "benchmark": benchmark.name,
        "date": date.today().isoformat(),
        "command": command,
        "machine": machine(),
        "load_before": load_before,
        "versions": versions(),
        "targets": [
            {
                "number": target.number,
                "sign": target.sign,
                "bound": target.bound,
                "aim": target.aim,
                "met": target.met(numbers),
            }
            for target in benchmark.targets
        ],
        "numbers": {name: None if math.isnan(value) else value for name, value in numbers.items()},
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{benchmark.name}.json"
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def fill_page(path: Path, benchmarks: Sequence[Benchmark]) -> None:
    """Replace what stands between `<!-- made by: NAME -->` and `<!-- end -->` by the tables of benchmark NAME.

    A benchmark without a result, or with one that lacks a number of today's, leaves what is there.
    """
    page = path.read_text(encoding="utf-8")
    for benchmark in benchmarks:
        begin, end = f"<!-- made by: {benchmark.name} -->", "<!-- end -->"
        if begin not in page or (document := _read(benchmark)) is None:
            continue
        try:
            tables = "\n".join(_markdown(table) for table in benchmark.tables(document["numbers"]))
        except KeyError:
            continue
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(end)
        page = f"{before}{begin}\n\n{tables}\n{end}{after}"
    path.write_text(page, encoding="utf-8")


def write_page(benchmarks: Sequence[Benchmark]) -> list[str]:
    """results/README.md, of all benchmarks with a result; the names of those whose result lacks a number of today's."""
    rows: list[tuple[str, ...]] = []
    sections: list[str] = []
    outdated: list[str] = []
    for benchmark in benchmarks:
        if (document := _read(benchmark)) is None:
            continue
        try:
            section, judged = _section(benchmark, document), verdicts(benchmark, document["numbers"])
        except KeyError:
            outdated.append(benchmark.name)
            continue
        sections.append(section)
        rows += [(benchmark.name, each.says, each.measured, each.wanted, each.word) for each in judged]
    summary = Table(columns=("benchmark", "what", "measured", "target", ""), rows=tuple(rows), text_columns=2)
    page = "\n".join([_INTRODUCTION, _markdown(summary), *sections])
    (RESULTS / "README.md").write_text(page, encoding="utf-8")
    return outdated


# `Any`: our own JSON.
def _read(benchmark: Benchmark) -> dict[str, Any] | None:
    path = RESULTS / f"{benchmark.name}.json"
    if not path.is_file():
        return None
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    document["numbers"] = {
        name: float("nan") if value is None else value for name, value in document["numbers"].items()
    }
    return document


def _section(benchmark: Benchmark, document: dict[str, Any]) -> str:
    lines = [f"## {benchmark.name}: {benchmark.question}", "", benchmark.method, ""]
    lines += [_markdown(table) for table in benchmark.tables(document["numbers"])]
    lines += [f"![{benchmark.name}]({picture})\n" for picture in benchmark.pictures]
    packages = ", ".join(f"{name} {version}" for name, version in document["versions"].items())
    host = document["machine"]
    lines += [
        f"{document['date']}, `{document['command']}`: {host['cpu']}, {host['cores']} cores, {host['memory']}, "
        f"{host['os']}, load before {document['load_before']:g}; {packages}.",
        "",
    ]
    return "\n".join(lines)


def _markdown(table: Table) -> str:
    def row(cells: Iterable[str]) -> str:
        return f"| {' | '.join(cells)} |"

    texts = table.text_columns
    rule = ["---"] * texts + ["---:"] * (len(table.columns) - texts)
    return "\n".join([row(table.columns), row(rule), *(row(cells) for cells in table.rows), ""])


_SIGNS = {"<=": "≤", ">=": "≥"}
