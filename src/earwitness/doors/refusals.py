"""What a door refused and why: counts by reason, of all and of each account, told in the log once in a while.

What belongs here: counting and telling. What must never: who was refused; a reason names nobody.
"""

import logging
from collections import Counter
from collections.abc import Callable

REASONS_MAX = 200
"""Reasons that refusals are counted by; others are counted together."""

NOBODY = ""
"""Instead of an account: what came was of no connector that is known, as are all strangers."""

TELL_AGAIN_SECONDS = 60.0
"""How often the log says again that something was refused for one reason."""

_ANOTHER = "another reason"

_log = logging.getLogger("earwitness.doors")


class Refusals(Counter[str]):
    """How often something was refused, by the reason. Counts on the event loop; may be read by any thread."""

    def __init__(self, *, monotonic: Callable[[], float]) -> None:
        super().__init__()
        self._monotonic = monotonic
        self._of_account: dict[str, Counter[str]] = {}
        self._told_at: dict[str, float] = {}

    def note(self, reason: str, *, door: str, account_id: str = NOBODY, detail: str = "") -> None:
        """Count one, of an account if it is known whose connector it was for."""
        if reason not in self and len(self) >= REASONS_MAX:
            reason = _ANOTHER
        self[reason] += 1
        self._of_account.setdefault(account_id, Counter())[reason] += 1
        now = self._monotonic()
        if now - self._told_at.get(reason, float("-inf")) >= TELL_AGAIN_SECONDS:
            self._told_at[reason] = now
            context = {"door": door, "reason": reason, "times": self[reason]}
            _log.warning("a phone system is refused", extra=context | ({"detail": detail} if detail else {}))

    def seen_by(self, account_id: str) -> dict[str, int]:
        """Return what an account may know of: its own, and what is nobody's."""
        seen = Counter[str]()
        for owner in {account_id, NOBODY}:
            seen.update(self._of_account.get(owner, Counter[str]()).copy())
        return dict(seen)
