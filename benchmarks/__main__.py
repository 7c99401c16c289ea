"""`python -m benchmarks [NAME ...]`: run benchmarks, all by default; exit with 1 when one failed or missed a target."""

import argparse
import sys
from collections.abc import Sequence
from subprocess import CalledProcessError

from rich.markup import escape
from rich.table import Table

from benchmarks import (
    accuracy,
    audit,
    backup,
    capacity,
    cluster,
    codecs,
    doors,
    fragments,
    ingest,
    live,
    master_key,
    matroska,
    memory,
    pages,
    pipeline,
    repeats,
    resemblyzer,
    scrape,
    search,
    several_voices,
    startup,
    testing_start,
    unseen,
    wire,
)
from benchmarks.benchmark import ROOT, SkippedError
from benchmarks.machine import load
from benchmarks.report import Verdict, fill_page, verdicts, write_page, write_result
from earwitness.cli.output import note, out
from earwitness.errors import EarwitnessError

BENCHMARKS = {
    module.BENCHMARK.name: module.BENCHMARK
    for module in (
        unseen,
        accuracy,
        codecs,
        several_voices,
        repeats,
        pipeline,
        matroska,
        fragments,
        search,
        memory,
        ingest,
        doors,
        live,
        capacity,
        cluster,
        startup,
        scrape,
        pages,
        audit,
        master_key,
        backup,
        testing_start,
        resemblyzer,
        wire,
    )
}


def main(arguments: Sequence[str]) -> int:
    """Run them one after the other; each result is written as soon as it is there."""
    names = _parse(arguments)
    command = " ".join(["python -m benchmarks", *arguments])
    found: dict[str, list[Verdict]] = {}
    failed: list[str] = []
    for name in names:
        benchmark = BENCHMARKS[name]
        note.print(f"[bold]{name}[/bold]: {benchmark.question}")
        load_before = load()
        try:
            numbers = benchmark.measure()
        except SkippedError as reason:
            note.print(f"skipped: {reason}", soft_wrap=True)
            continue
        except (EarwitnessError, CalledProcessError) as error:
            note.print(f"[red]failed[/red]: {escape(str(error))}", soft_wrap=True)
            failed.append(name)
            continue
        write_result(benchmark, numbers, command=command, load_before=load_before)
        found[name] = verdicts(benchmark, numbers)
    for name in write_page(list(BENCHMARKS.values())):
        note.print(f"left out of the page: {name}, measured by an older version of its benchmark; run it again")
    for page in ("accuracy.md", "scaling.md"):
        fill_page(ROOT / "docs" / page, list(BENCHMARKS.values()))
    _print(found)
    note.print("wrote benchmarks/results/README.md")
    return int(bool(failed) or not all(verdict.met for each in found.values() for verdict in each))


def _parse(arguments: Sequence[str]) -> list[str]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", nargs="*", metavar="NAME", help=f"which ones: {', '.join(BENCHMARKS)}")
    names: list[str] = parser.parse_args(arguments).name or list(BENCHMARKS)
    if unknown := [name for name in names if name not in BENCHMARKS]:
        parser.error(f"there is no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    return names


def _print(found: dict[str, list[Verdict]]) -> None:
    table = Table("benchmark", "what", "measured", "target", "")
    for name, each in found.items():
        for verdict in each:
            colour = "green" if verdict.met else "red"
            word = f"[{colour}]{verdict.word}[/{colour}]"
            table.add_row(name, verdict.says, verdict.measured, verdict.wanted, word)
    if table.row_count:
        out.print(table)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
