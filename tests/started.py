"""Processes that tests start end with the tests: when a test is over, when a start fails, and when pytest is killed.

A watchdog, one for each pytest process, reads from a pipe which process groups there are. The pipe closes when pytest
is gone, whatever ended it; then the watchdog ends the groups that are left. Each process leads a group of its own, so
that its children end with it.
"""

import atexit
import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, Any

from patience import PATIENCE_SECONDS

_WATCHDOG = """
import os, shutil, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
running, folders = {}, set()
for line in sys.stdin:
    word, value, number = line.rstrip("\\n").split("\\t")
    if word == "started":
        running[int(value)] = int(number)
    elif word == "ended":
        running.pop(int(value), None)
    elif word == "folder":
        folders.add(value)
for group, kind in running.items():
    try:
        os.killpg(group, kind)
    except ProcessLookupError:
        pass
for folder in folders:
    shutil.rmtree(folder, ignore_errors=True)
"""

_running: dict[subprocess.Popen[Any], signal.Signals] = {}
_read_by_threads: set[IO[Any]] = set()
_said: dict[int, tuple[threading.Thread, list[str]]] = {}
"""By process id: the thread that reads its standard error, and the lines so far."""


def start(
    command: Collection[str | Path], *, last_signal: signal.Signals = signal.SIGKILL, **options: Any
) -> subprocess.Popen[Any]:
    """Start a process that ends with the test. `last_signal` is what ends its group where nobody ends it politely."""
    process = subprocess.Popen([str(part) for part in command], start_new_session=True, **options)
    _running[process] = last_signal
    _tell("started", process.pid, last_signal)
    return process


def end(process: subprocess.Popen[Any]) -> None:
    """End what is left of a process and of its children, and close its pipes."""
    last_signal = _running.pop(process, None)
    if last_signal is None:
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, last_signal)
    process.wait()
    _tell("ended", process.pid)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None and pipe not in _read_by_threads:
            pipe.close()


@contextmanager
def ended_if_it_fails(process: subprocess.Popen[Any]) -> Iterator[None]:
    """For the time between a start and the moment when somebody owns the process."""
    try:
        yield
    except BaseException:
        end(process)
        raise


@contextmanager
def process(command: Collection[str | Path], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """Start a process, and end it where the block has not."""
    started = start(command, **options)
    try:
        yield started
    finally:
        end(started)


def is_read(pipe: IO[Any]) -> None:
    """Say that a thread reads this pipe, and closes it at its end."""
    _read_by_threads.add(pipe)


def running() -> frozenset[subprocess.Popen[Any]]:
    """Return the processes that were started and not ended."""
    return frozenset(_running)


def end_all_but(owned: Collection[subprocess.Popen[Any]]) -> None:
    """End every process but these."""
    for process in running() - set(owned):
        end(process)


def remove_at_the_end(folder: Path) -> None:
    """Have the watchdog remove a folder, should pytest not live to do it."""
    _tell("folder", folder)


def first_match(process: subprocess.Popen[str], pattern: str) -> re.Match[str]:
    """Wait until the process says something like this on standard error; return what matched.

    From then on a thread reads what it says, so that its pipe never fills. Raise AssertionError, with everything it
    said, when it ends without such a line.
    """
    assert process.stderr
    lines: list[str] = []
    found: list[re.Match[str]] = []
    told = threading.Event()
    pipe = process.stderr
    is_read(pipe)

    def read() -> None:
        with pipe:
            for line in pipe:
                lines.append(line)
                if not found and (match := re.search(pattern, line)):
                    found.append(match)
                    told.set()
        told.set()

    with ended_if_it_fails(process):
        thread = threading.Thread(target=read, daemon=True, name=f"stderr of {process.pid}")
        thread.start()
        _said[process.pid] = thread, lines
        assert told.wait(PATIENCE_SECONDS), f"it neither starts nor ends: {''.join(lines)}"
        assert found, f"it did not start: {''.join(lines)}"
    return found[0]


def all_said(process: subprocess.Popen[str]) -> str:
    """Return what a process that has ended said on standard error, from the start that `first_match` waited for."""
    thread, lines = _said[process.pid]
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()
    return "".join(lines)


@cache
def _watchdog() -> IO[str]:
    command = [sys.executable, "-S", "-E", "-c", _WATCHDOG]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdin
    atexit.register(process.wait)
    atexit.register(process.stdin.close)  # the last that is registered runs first
    return process.stdin


def _tell(word: str, value: object, number: int = 0) -> None:
    pipe = _watchdog()
    pipe.write(f"{word}\t{value}\t{int(number)}\n")
    pipe.flush()
