"""Turns at computing: calls in progress go first, then recordings, one account after the other.

A call has to keep up with somebody who speaks; whoever sent a recording can wait. So a recording gives its turn back
after every block of a second, and a call that wants one waits for a block at most, whatever is being decoded. Among
recordings the accounts take turns, however many recordings one of them has sent.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from threading import Event, Lock


class Turns:
    """A bounded number of turns at a time. For threads; no event loop may wait here."""

    def __init__(self, count: int) -> None:
        """`count` is how many compute at once: the number of cores."""
        self._count = count
        self._free = count
        self._calls: deque[Event] = deque()
        self._recordings: OrderedDict[str, deque[Event]] = OrderedDict()
        self._lock = Lock()

    @contextmanager
    def call(self) -> Generator[None]:
        """Compute for a call in progress, before all recordings."""
        self._begin(self._calls.append)
        try:
            yield
        finally:
            self._end()

    @contextmanager
    def recording(self, account_id: str) -> Generator[Callable[[], None]]:
        """Compute for a recording of an account. Call what this gives after each block, to let others go first."""
        self._begin(lambda turn: self._queue(account_id, turn))
        try:
            yield lambda: self._let_others_go_first(account_id)
        finally:
            self._end()

    @property
    def busy_count(self) -> int:
        """How many compute."""
        with self._lock:
            return self._count - self._free

    @property
    def waiting_count(self) -> int:
        """How many wait for a turn."""
        with self._lock:
            return len(self._calls) + sum(len(waiting) for waiting in self._recordings.values())

    def _begin(self, wait_in: Callable[[Event], None]) -> None:
        with self._lock:
            if self._free:  # then nobody waits
                self._free -= 1
                return
            turn = Event()
            wait_in(turn)
        turn.wait()

    def _end(self) -> None:
        with self._lock:
            self._pass_on()

    def _let_others_go_first(self, account_id: str) -> None:
        with self._lock:
            if not self._calls and not self._recordings:
                return
            turn = Event()
            self._queue(account_id, turn)
            self._pass_on()
        turn.wait()

    def _queue(self, account_id: str, turn: Event) -> None:
        self._recordings.setdefault(account_id, deque()).append(turn)

    def _pass_on(self) -> None:
        """Give the turn that has ended to whoever is next."""
        if self._calls:
            self._calls.popleft().set()
        elif self._recordings:
            account_id, waiting = self._recordings.popitem(last=False)
            waiting.popleft().set()
            if waiting:
                self._recordings[account_id] = waiting  # at the end: all other accounts go before its next one
        else:
            self._free += 1
