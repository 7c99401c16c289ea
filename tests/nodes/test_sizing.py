"""How much so many calls take: the numbers are those of the benchmarks, and more calls never take less."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from earwitness.cli.main import app
from earwitness.nodes import sizing as measured
from earwitness.nodes.sizing import Load, sizing

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"

LOAD = Load(
    calls=10_000,
    call_seconds=180,
    voices=1,
    bytes_per_second=16_000,
    profiles=20_000,
    retention_hours=24,
    cores_per_machine=8,
)


def numbers(benchmark: str) -> dict[str, Any]:
    return json.loads((RESULTS / f"{benchmark}.json").read_text())["numbers"]


def test_what_it_calculates_with_was_measured() -> None:
    capacity = numbers("capacity")
    assert pytest.approx(capacity["call_cpu_s_200"], rel=0.01) == measured.RESULT_CPU_SECONDS
    assert pytest.approx(capacity["ingest_cores_200"] / 200, rel=0.01) == measured.MEDIA_CORES
    assert pytest.approx(capacity["mb_per_call_200"] * 1e6, rel=0.01) == measured.CALL_BYTES
    assert pytest.approx(numbers("memory")["settled_mib"] * 2**20, rel=0.01) == measured.PROCESS_BYTES


def test_ten_thousand_calls() -> None:
    found = sizing(LOAD)
    assert found.searches_per_second == pytest.approx(55.6, abs=0.1)
    assert found.cores * measured.USE >= found.model_cores + found.media_cores
    assert (found.machines - 1) * 8 >= found.cores
    assert (found.machines - 1) * found.processes_per_machine * measured.CALLS_OF_A_PROCESS >= LOAD.calls
    assert found.disk_bytes == pytest.approx(10_000 * 16_000 * 86_400)


@given(
    calls=st.integers(1, 10**6),
    more=st.integers(1, 10**6),
    cores=st.integers(1, 256),
    voices=st.integers(1, 4),
)
def test_more_calls_never_take_less(calls: int, more: int, cores: int, voices: int) -> None:
    load = replace(LOAD, calls=calls, cores_per_machine=cores, voices=voices)
    less, greater = asdict(sizing(load)), asdict(sizing(replace(load, calls=calls + more)))
    totals = "cores", "machines", "disk_bytes", "network_bytes_per_second", "searches_per_second"
    assert all(less[name] <= greater[name] for name in totals)
    assert less["machines"] >= 2
    assert less["processes"] * measured.CALLS_OF_A_PROCESS >= calls * voices


def test_the_command_shows_it() -> None:
    shown = CliRunner().invoke(app, ["sizing", "--calls", "10000", "--json"])
    assert json.loads(shown.stdout)["sizing"]["machines"] == sizing(replace(LOAD, retention_hours=0)).machines
    table = CliRunner().invoke(app, ["sizing", "--calls", "10000"]).stdout
    assert "serve --processes 3 on each" in table
    assert CliRunner().invoke(app, ["sizing", "--calls", "0"]).exit_code == 2
