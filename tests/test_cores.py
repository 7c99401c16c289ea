"""How many cores a process may use: those it is bound to, and the quota of its control group."""

import os
from pathlib import Path

import pytest

from earwitness.cores import usable_cores


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: set(range(8)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)


@pytest.mark.usefixtures("eight_cores")
@pytest.mark.parametrize(
    ("written", "cores"),
    [("max 100000", 8), ("150000 100000", 2), ("50000 100000", 1), ("6400000 100000", 8), ("", 8), ("1 0", 8)],
)
def test_a_quota_counts_where_there_is_one(tmp_path: Path, written: str, cores: int) -> None:
    cpu_max = tmp_path / "cpu.max"
    cpu_max.write_text(written + "\n", encoding="ascii")
    assert usable_cores(cpu_max) == cores


@pytest.mark.usefixtures("eight_cores")
def test_without_a_control_group_the_cores_it_is_bound_to_count(tmp_path: Path) -> None:
    assert usable_cores(tmp_path / "absent") == 8


def test_a_system_that_binds_no_process_counts_its_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert usable_cores(tmp_path / "absent") == 3
