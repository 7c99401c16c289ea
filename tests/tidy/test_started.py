"""What tests start ends with them, whatever happens."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import started
from patience import until

pytestmark = pytest.mark.slow

TESTS = Path(__file__).parents[1]
A_PARENT_AND_A_CHILD = "sleep 1000 & echo $!; exec sleep 1000"
STARTS_AND_WAITS = f"""
import subprocess, sys, time
import started
process = started.start(["sh", "-c", {A_PARENT_AND_A_CHILD!r}], stdout=subprocess.PIPE, text=True)
print(process.pid, process.stdout.readline().strip(), flush=True)
time.sleep(1000)
"""


def is_running(process_id: int) -> bool:
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_nothing_outlives_a_test_process_that_is_killed() -> None:
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    command = [sys.executable, "-c", STARTS_AND_WAITS]
    with started.process(command, env=environment, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        ids = [int(word) for word in killed.stdout.readline().split()]
        assert len(ids) == 2
        assert all(is_running(one) for one in ids)
        os.kill(killed.pid, signal.SIGKILL)
        until(lambda: not any(is_running(one) for one in ids))


def test_a_start_that_fails_leaves_nothing() -> None:
    command = ["sh", "-c", "echo no port is free >&2; exec 2>&-; exec sleep 1000"]
    process = started.start(command, stderr=subprocess.PIPE, text=True)
    with pytest.raises(AssertionError, match="no port is free"):
        started.first_match(process, "answers at")
    assert not is_running(process.pid)
    assert process not in started.running()


def test_an_error_after_the_start_leaves_nothing() -> None:
    process = started.start(["sleep", "1000"])
    with pytest.raises(RuntimeError), started.ended_if_it_fails(process):
        raise RuntimeError
    assert not is_running(process.pid)
