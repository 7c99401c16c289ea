"""Connections that last, each held by the key or token that opened it: they end with it, whichever process disables it.

What belongs here: which keys are in use, looking whether they still may be, and how long a rotated one goes on. What
must never: what a connection does when it ends. Lives on the event loop.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from earwitness.errors import EarwitnessError, Unauthorized
from earwitness.log import Recurring, frames_of
from earwitness.store.store import Store
from earwitness.threads import RunInThread
from earwitness.wire.exchange import Principal

ResultT = TypeVar("ResultT")

LOOK_SECONDS = 1.0
"""How often the keys of all connections are looked up, with one query."""

ROTATED_SECONDS = 300.0
"""How long connections go on that were opened with the secret before: a rotation is no alarm, and callers need the time
to change over. `earwitness keys disable` ends them at once."""

_DISABLED = "the access key or token was disabled while the connection lasted; use another one"
_SIGNED_OUT = "somebody signed out where the connection was opened; sign in again"
_ROTATED = f"the access key has had a new secret for {ROTATED_SECONDS:.0f} s; connect again with that one"

_log = logging.getLogger("earwitness.access")


class HeldKey:
    """The hold of one connection on the key that opened it."""

    def __init__(self, principal: Principal, *, session_id: str = "") -> None:
        self.principal = principal
        self.session_id = session_id
        self._waits: list[asyncio.Timeout] = []
        self._ended_because = ""

    @property
    def has_ended(self) -> bool:
        """Whether the connection has to end."""
        return bool(self._ended_because)

    def require(self) -> None:
        """Raise Unauthorized when the connection has to end."""
        if self._ended_because:
            raise Unauthorized(self._ended_because)

    def end(self, reason: str) -> None:
        """Let the connection end; what it waits for is given up."""
        self._ended_because = reason
        for wait in self._waits:
            wait.reschedule(asyncio.get_running_loop().time())

    async def unless_it_ends(self, coming: Callable[[], Awaitable[ResultT]]) -> ResultT | None:
        """Return what comes; None when the key ends first."""
        if self._ended_because:
            return None
        wait = asyncio.timeout(None)
        self._waits.append(wait)
        try:
            async with wait:
                return await coming()
        except TimeoutError:
            if wait.expired():
                return None
            raise
        finally:
            self._waits.remove(wait)


class HeldKeys:
    """All connections of this process, and the keys that hold them."""

    def __init__(self, store: Store, *, monotonic: Callable[[], float]) -> None:
        self._store = store
        self._monotonic = monotonic
        self._held: set[HeldKey] = set()
        self._rotated_at: dict[HeldKey, float] = {}

    @contextmanager
    def holding(self, principal: Principal, *, session_id: str = "") -> Generator[HeldKey]:
        """Hold a connection by a key that was just proved, and by a sign-in of the console where it has one."""
        held = HeldKey(principal, session_id=session_id)
        self._held.add(held)
        try:
            yield held
        finally:
            self._held.discard(held)
            self._rotated_at.pop(held, None)

    async def look(self, run_in_thread: RunInThread) -> None:
        """End the connections whose keys may not be used any more, or whose sign-in was ended.

        Raise StoreUnavailable and Unavailable.
        """
        held = [one for one in self._held if not one.has_ended]
        if not held:
            return
        ids = {one.principal.key_id for one in held}
        enabled = await run_in_thread(lambda: self._store.credentials.enabled(ids))
        disabled = [one for one in held if _name(one) not in enabled]
        rotated = [one for one in held if enabled.get(_name(one), b"") != one.principal.version]
        self._end(disabled, _DISABLED)
        self._end([one for one in rotated if self._is_over(one)], _ROTATED)
        sessions = {(one.principal.account_id, one.session_id) for one in held if one.session_id}
        if sessions:
            ended = await run_in_thread(lambda: self._store.ended_sessions.among(sessions))
            self._end([one for one in held if (one.principal.account_id, one.session_id) in ended], _SIGNED_OUT)

    async def look_again_and_again(
        self, run_in_thread: RunInThread, *, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    ) -> None:
        """Look for ever. While the records are away connections go on."""
        failing = Recurring(_log)
        while True:
            try:
                await self.look(run_in_thread)
            except EarwitnessError as error:
                failing.tell(logging.WARNING, "the keys of connections cannot be looked up now", reason=str(error))
            except Exception as error:  # connections would outlive their keys until the next start
                context = {"error": type(error).__name__, "frames": frames_of(error)}
                failing.tell(logging.ERROR, "the keys of connections cannot be looked up now", **context)
            await sleep(LOOK_SECONDS)

    def _is_over(self, held: HeldKey) -> bool:
        """Return whether a connection has had its time since its key was found rotated."""
        now = self._monotonic()
        return not held.has_ended and now - self._rotated_at.setdefault(held, now) >= ROTATED_SECONDS

    def _end(self, held: Sequence[HeldKey], reason: str) -> None:
        for one in held:
            _log.info("a connection ends with its key", extra={"key_id": one.principal.key_id, "reason": reason})
            one.end(reason)


def _name(held: HeldKey) -> tuple[str, str]:
    return held.principal.account_id, held.principal.key_id
