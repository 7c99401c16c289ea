"""What a door refused and why: counts by reason, of all and of each account.

What belongs here: counting. What must never: who was refused; a reason names nobody.
"""

from collections import Counter

REASONS_MAX = 200
"""Reasons that refusals are counted by; others are counted together."""

NOBODY = ""
"""Instead of an account: what came was of no connector that is known, as are all strangers."""

_ANOTHER = "another reason"


class Refusals(Counter[str]):
    """How often something was refused, by the reason. Counts on the event loop; may be read by any thread."""

    def __init__(self) -> None:
        super().__init__()
        self._of_account: dict[str, Counter[str]] = {}

    def note(self, reason: str, *, account_id: str = NOBODY) -> str:
        """Count one, of an account if it is known whose connector it was for. Return what it is counted as."""
        if reason not in self and len(self) >= REASONS_MAX:
            reason = _ANOTHER
        self[reason] += 1
        self._of_account.setdefault(account_id, Counter())[reason] += 1
        return reason

    def seen_by(self, account_id: str) -> dict[str, int]:
        """Return what an account may know of: its own, and what is nobody's."""
        seen = Counter[str]()
        for owner in {account_id, NOBODY}:
            seen.update(self._of_account.get(owner, Counter[str]()).copy())
        return dict(seen)
