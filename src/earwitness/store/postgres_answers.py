"""Whether PostgreSQL answers at all.

A server that is stopped, or whose disk hangs, keeps its connections, and its machine acknowledges every packet, so that
no timeout of the network or of the server ends a wait.

The first calls wait their time out. From then on one call at a time tries, and all others are refused at once, so that
no thread waits that somebody else needs. A call that waited in vain does not try a second time.
"""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from threading import Lock, get_ident

from earwitness.errors import StoreUnavailable

SILENT = "PostgreSQL does not answer; look whether its processes and its disk stand still"


class Answers:
    """What is known of one server; shared by all connections to it, and used from any thread."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = Lock()
        self._silent_since: float | None = None
        self._trying: int | None = None  # the thread that tries
        self._closed = False

    def close(self) -> None:
        """Ask nothing any more on new connections."""
        self._closed = True

    def require_open(self) -> None:
        """Raise StoreUnavailable after `close`."""
        if self._closed:
            raise StoreUnavailable("the store is closed; open it again")

    def heard(self) -> None:
        """Note that the server answered something."""
        if self._silent_since is not None:
            with self._lock:
                self._silent_since = None

    def missed(self) -> None:
        """Note that an answer did not come in time; the thread that tried has had its turn."""
        with self._lock:
            if self._silent_since is None:
                self._silent_since = self._monotonic()
            self._end_to_try()

    def require(self) -> None:
        """Raise StoreUnavailable while the server does not answer, but for the thread that tries."""
        since = self._silent_since
        if since is not None and self._trying != get_ident():
            raise StoreUnavailable(f"{SILENT} (for {self._monotonic() - since:.0f} s)")

    @contextmanager
    def asking(self) -> Generator[None]:
        """Ask the server something. Raise StoreUnavailable while it does not answer and another thread tries."""
        tries = self._begin_to_try()
        try:
            self.require()
            yield
        finally:
            if tries:
                with self._lock:
                    self._end_to_try()

    def _end_to_try(self) -> None:
        if self._trying == get_ident():  # another thread may have begun meanwhile
            self._trying = None

    def _begin_to_try(self) -> bool:
        if self._silent_since is None:
            return False
        with self._lock:
            if self._trying is None:
                self._trying = get_ident()
                return True
            return False
