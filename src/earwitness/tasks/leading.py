"""Lead: be the one process that serves the records, for as long as this one lives.

What belongs here: waiting for a leader that is gone, renewing in the background, noticing a loss. What must never:
how the claim is kept, which the store knows.
"""

import logging
import os
import secrets
import socket
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from threading import Event, Thread

from earwitness import __version__
from earwitness.errors import AnotherProcessServes, EarwitnessError
from earwitness.log import Recurring
from earwitness.store.leading import LEASE_SECONDS, HeldByAnother, Leader, Leading, Renewal

RENEW_SECONDS = LEASE_SECONDS / 3
"""How often a leader says that it lives."""

_LOOK_SECONDS = 0.5
"""How often one that waits looks again."""

_log = logging.getLogger("earwitness.work")


def this_process(*, node_id: str = "", internal_url: str = "", node_url: str = "") -> Leader:
    """Return this process, as others are told of it."""
    return Leader(
        holder=secrets.token_hex(16),
        host=socket.gethostname(),
        process=os.getpid(),
        node_id=node_id,
        version=__version__,
        internal_url=internal_url,
        node_url=node_url,
    )


class Lead:
    """The place of the one process that serves, once it is taken."""

    def __init__(
        self,
        claim: Leading,
        *,
        on_lost: Callable[[], None],
        on_renewed: Callable[[Renewal], None],
        beside: Callable[[], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._claim = claim
        self._on_lost = on_lost
        self._on_renewed = on_renewed
        self._beside = beside
        self._monotonic = monotonic
        self._ended = Event()
        self.lost: AnotherProcessServes | None = None
        """Why the place was lost; None while this process leads."""

    def hold(self) -> None:
        """Renew until `end`, or until another process leads: then `on_lost` is called, once."""
        failing = Recurring(_log)
        while not self._ended.wait(RENEW_SECONDS):
            try:
                self.renew()
                self._beside()
            except AnotherProcessServes as error:
                self.lost = error
                _log.error("this process serves no longer, and stops", extra={"reason": str(error)})
                self._on_lost()
                return
            except EarwitnessError as error:
                failing.tell(logging.WARNING, "the claim on the records is not renewed yet", reason=str(error))

    def renew(self) -> None:
        """Renew once. Raise AnotherProcessServes and StoreUnavailable."""
        asked_at = self._monotonic()
        told = self._claim.renew()
        if told is not None:
            self._on_renewed(Renewal(asked_at=asked_at, answered_at=self._monotonic(), database_time=told))

    def end(self) -> None:
        """Stop renewing."""
        self._ended.set()

    def require(self) -> None:
        """Raise AnotherProcessServes when the place is lost."""
        if self.lost is not None:
            raise self.lost


def _no_lease(_: Renewal) -> None:
    """For a place that is held without one."""


def _nothing() -> None:
    """For a process that has nothing else to look at."""


@contextmanager
def leading(
    claim: Leading,
    me: Leader,
    *,
    on_waiting: Callable[[str], None],
    on_lost: Callable[[], None],
    pause: Callable[[float], object],
    on_renewed: Callable[[Renewal], None] = _no_lease,
    beside: Callable[[], None] = _nothing,
) -> Generator[Lead]:
    """Lead the records until the end of the `with`.

    A leader that was killed is waited for, at most as long as its lease lasts; `on_waiting` gets a sentence about that.
    Raise AnotherProcessServes when another leader lives, StoreUnavailable. `on_lost` is called on a thread when another
    process has taken the place, `on_renewed` whenever a lease was renewed, and `beside` after each renewal.
    """
    _take(claim, me, on_waiting=on_waiting, pause=pause)
    lead = Lead(claim, on_lost=on_lost, on_renewed=on_renewed, beside=beside)
    lead.renew()
    renewing = Thread(target=lead.hold, name="earwitness lead", daemon=True)
    renewing.start()
    try:
        yield lead
    finally:
        lead.end()
        renewing.join()
        try:
            claim.release()
        except EarwitnessError as error:
            _log.warning("the claim on the records could not be given up", extra={"reason": str(error)})


def _take(claim: Leading, me: Leader, *, on_waiting: Callable[[str], None], pause: Callable[[float], object]) -> None:
    """Claim the place. A claim that is renewed while we look belongs to a process that lives."""
    first = held = claim.claim(me)
    while held is not None and first is not None:
        if held.seconds_left is None or held.renewed != first.renewed:
            raise AnotherProcessServes(_refusal(held))
        if held is first:
            on_waiting(
                f"{_named(held)} has the node of this data folder, or was killed less than {LEASE_SECONDS:g} s ago: "
                f"looking whether it lives, for at most {max(held.seconds_left, 0):.0f} s"
            )
        pause(_LOOK_SECONDS)
        held = claim.claim(me)


def _refusal(held: HeldByAnother) -> str:
    if held.seconds_left is None:
        return f"{_named(held)} serves these records; one process may. Stop it first, and start again"
    return (
        f"{_named(held)} has the node of this data folder; give each process a folder of its own, or stop it first. "
        f"After a kill its claim ends by itself within {LEASE_SECONDS:g} s"
    )


def _named(held: HeldByAnother) -> str:
    leader = held.leader
    who = f"process {leader.process} on {leader.host}" if leader.host else "another process"
    return f"{who} (since {held.since:%F %T} UTC)"
