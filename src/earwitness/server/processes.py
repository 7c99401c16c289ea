"""Several processes behind one port: started, started again when one ends, and stopped together.

The kernel gives each new connection to one of them, by SO_REUSEPORT. What belongs here: their lives. What must never:
what they serve, which each process builds for itself.
"""

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

SETTLED_SECONDS = 60.0
"""A process that lived so long is started again at once; others wait, each time twice as long."""

PAUSE_SECONDS_MAX = 30.0

_SPARE_SECONDS = 5.0
"""What the processes get beyond their own time for stopping, before they are killed."""

_log = logging.getLogger("earwitness.server")

_spawning = get_context("spawn")  # a fork would take along the locks of this process's threads


@dataclass(slots=True)
class _Place:
    """One of the processes, whichever has its place at the moment."""

    number: int
    process: BaseProcess | None = None
    started_at: float = 0.0
    #: How often it ended before it had settled, one after the other.
    failures: int = 0
    #: When it is started again.
    due_at: float | None = None


class Told:
    """What a process tells the one that started it. It is sent along, so it holds one end of a pipe."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def started(self) -> None:
        """Say that it answers."""
        self._connection.send_bytes(b"started")


Run = Callable[..., None]
"""What a process does: called in it with its number (from 1), whether this is its first start, `Told`, and more."""


class Processes:
    """So many processes, each of which runs the same with a number of its own."""

    def __init__(
        self,
        count: int,
        run: Run,
        arguments: Sequence[object],
        *,
        stop_seconds_max: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`run` and `arguments` are pickled. `stop_seconds_max`: after it a process that shall end is killed."""
        self._places = [_Place(number) for number in range(1, count + 1)]
        self._run = run
        self._arguments = tuple(arguments)
        self._stop_seconds_max = stop_seconds_max + _SPARE_SECONDS
        self._monotonic = monotonic

    def serve(self, *, on_started: Callable[[], None]) -> int:
        """Run them until SIGINT or SIGTERM; return the exit code.

        The first one starts alone: it makes what all need, and when it fails nothing is served, with its exit code.
        `on_started` is called when all have answered, or ended, once. One that ends later is started again.
        """
        with _stop_signals() as stopping:
            try:
                code = self._start_first(stopping)
                if code is not None:
                    return code
                starting = [self._start(place, first=True) for place in self._places[1:]]
                self._keep(stopping, starting, on_started)
                return 0
            finally:
                self._stop()

    def _start_first(self, stopping: socket.socket) -> int | None:
        """Return None when the first process answers, otherwise what this one ends with."""
        first = self._places[0]
        told = self._start(first, first=True)
        process = first.process
        if process is None:
            raise AssertionError("it was just started")
        ready = wait([process.sentinel, told, stopping])
        if stopping in ready:
            return 0
        try:
            told.recv_bytes()
        except EOFError:  # it ended, or is about to
            process.join(self._stop_seconds_max)
            return process.exitcode or 0
        finally:
            told.close()
        return None

    def _start(self, place: _Place, *, first: bool = False) -> Connection:
        """Start a process; return where it says that it answers."""
        told, telling = _spawning.Pipe(duplex=False)
        arguments = (self._run, place.number, first, Told(telling), self._arguments)
        # A daemon: it does not outlive this process, should that fail.
        process = _spawning.Process(target=_child, args=arguments, name=f"earwitness {place.number}", daemon=True)
        process.start()
        telling.close()
        place.process, place.started_at, place.due_at = process, self._monotonic(), None
        return told

    def _keep(self, stopping: socket.socket, starting: list[Connection], on_started: Callable[[], None]) -> None:
        """Start again what ends, until this process shall stop. Those that are starting have said nothing yet."""
        while True:
            living = {place.process.sentinel: place for place in self._places if place.process is not None}
            due = [place.due_at for place in self._places if place.due_at is not None]
            timeout = max(0.0, min(due) - self._monotonic()) if due else None
            ready = wait([*living, *starting, stopping], timeout)
            if stopping in ready:
                return
            for told in [each for each in starting if each in ready]:
                starting.remove(told)
                told.close()
                if not starting:
                    on_started()
            for sentinel in ready:
                if isinstance(sentinel, int):
                    self._note_end(living[sentinel])
            for place in self._places:
                if place.due_at is not None and place.due_at <= self._monotonic():
                    self._start(place).close()

    def _note_end(self, place: _Place) -> None:
        process, now = place.process, self._monotonic()
        if process is None:
            raise AssertionError("a place without a process cannot end")
        process.join()
        settled = now - place.started_at >= SETTLED_SECONDS
        place.failures = 0 if settled else place.failures + 1
        pause = 0.0 if settled else min(PAUSE_SECONDS_MAX, 2.0 ** (place.failures - 1))
        place.process, place.due_at = None, now + pause
        context = {"number": place.number, "exit_code": process.exitcode, "pause_seconds": pause}
        _log.error("a process ended, and is started again", extra=context)

    def _stop(self) -> None:
        """Have all of them end, and wait for it."""
        processes = [place.process for place in self._places if place.process is not None]
        for process in processes:
            process.terminate()
        give_up = self._monotonic() + self._stop_seconds_max
        for process in processes:
            process.join(max(0.0, give_up - self._monotonic()))
            if process.exitcode is None:
                _log.error("a process did not end in time and is killed", extra={"label": process.name})
                process.kill()
                process.join()


def _child(run: Run, number: int, first: bool, told: Told, arguments: tuple[object, ...]) -> None:
    """Begin a process: Ctrl-C in a terminal goes to its parent alone, and it stops when that is gone."""
    os.setsid()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up after a polite kill as after Ctrl-C
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), name="earwitness parent", daemon=True).start()
    run(number, first, told, *arguments)


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def _stop_signals() -> Generator[socket.socket]:
    """Yield what becomes readable when this process shall stop."""
    stopping, telling = socket.socketpair()
    telling.setblocking(False)

    def tell(number: int, frame: object) -> None:  # noqa: ARG001  as signal handlers are called
        telling.send(b"!")

    before = {number: signal.signal(number, tell) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        stopping.close()
        telling.close()
