"""Several processes behind one port: how they start, are started again and end. Real processes that do little."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from earwitness.server.processes import Processes, Told
from patience import PATIENCE_SECONDS, until

PARENT = """
import sys
from pathlib import Path
from test_processes import serving
sys.exit(serving(Path(sys.argv[1]), sys.argv[2]))
"""


def note_start(number: int, first: bool, told: Told, folder: Path, how: str) -> None:
    """A process that writes down that it runs."""
    if how == "first fails" and number == 1:
        sys.exit(7)
    if how == "second fails" and number == 2 and first:
        sys.exit(7)
    (folder / f"process-{number}").write_text(str(os.getpid()))
    told.started()
    try:
        if how == "stubborn":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.pause()
    except KeyboardInterrupt:
        (folder / f"ended-{number}").touch()


def serving(folder: Path, how: str) -> int:
    """What the parent of three does."""
    processes = Processes(3, note_start, (folder, how), stop_seconds_max=-4.0 if how == "stubborn" else 30.0)
    return processes.serve(on_started=(folder / "all").touch)


def begin(folder: Path, how: str = "") -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", PARENT, str(folder), how]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(command, env=environment, start_new_session=True)


def process_of(folder: Path, number: int) -> int:
    """Return the id of a process; 0 before it has started."""
    file = folder / f"process-{number}"
    return int(file.read_text() or 0) if file.exists() else 0


def lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_all_end_with_the_one_that_started_them(tmp_path: Path, number: int) -> None:
    parent = begin(tmp_path)
    until((tmp_path / "all").exists)
    assert len({process_of(tmp_path, each) for each in (1, 2, 3)}) == 3
    os.killpg(parent.pid, number)  # as a terminal does: the children are in sessions of their own
    assert parent.wait(PATIENCE_SECONDS) == 0
    assert all((tmp_path / f"ended-{each}").exists() for each in (1, 2, 3))


def test_all_end_when_the_one_that_started_them_is_killed(tmp_path: Path) -> None:
    parent = begin(tmp_path)
    until((tmp_path / "all").exists)
    parent.kill()
    parent.wait()
    until(lambda: all((tmp_path / f"ended-{each}").exists() for each in (1, 2, 3)))


def test_one_that_is_killed_is_started_again(tmp_path: Path) -> None:
    parent = begin(tmp_path)
    until((tmp_path / "all").exists)
    before = [process_of(tmp_path, each) for each in (1, 2, 3)]
    for each in (1, 3):
        os.kill(process_of(tmp_path, each), signal.SIGKILL)
    until(lambda: all(process_of(tmp_path, each) not in (0, before[each - 1]) for each in (1, 3)))
    assert process_of(tmp_path, 2) == before[1]
    parent.terminate()
    assert parent.wait(PATIENCE_SECONDS) == 0


def test_when_the_first_one_fails_none_is_started(tmp_path: Path) -> None:
    assert begin(tmp_path, "first fails").wait(PATIENCE_SECONDS) == 7
    assert not any(process_of(tmp_path, each) for each in (1, 2, 3))


def test_a_later_one_that_fails_is_tried_again(tmp_path: Path) -> None:
    parent = begin(tmp_path, "second fails")
    until(lambda: (tmp_path / "all").exists() and process_of(tmp_path, 2))
    parent.terminate()
    assert parent.wait(PATIENCE_SECONDS) == 0


def test_one_that_does_not_end_is_killed(tmp_path: Path) -> None:
    parent = begin(tmp_path, "stubborn")
    until((tmp_path / "all").exists)
    processes = [process_of(tmp_path, each) for each in (1, 2, 3)]
    began = time.monotonic()
    parent.terminate()
    assert parent.wait(PATIENCE_SECONDS) == 0
    assert time.monotonic() - began < PATIENCE_SECONDS
    assert not any(lives(process) for process in processes)
