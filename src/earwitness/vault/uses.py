"""Which owners' data keys a process uses, remembered until it is told, each once until that begins anew.

What belongs here: names of owners. What must never: keys.
"""

from threading import Lock

OWNERS_MAX = 10_000
"""More than keys that are kept open; when there are more, some are told twice."""


class KeyUses:
    """The uses of one process. Safe to use from several threads."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._new: set[str] = set()
        self._lock = Lock()

    def note(self, owner: str) -> None:
        """Remember that the key of this owner was used."""
        if owner in self._known:
            return
        with self._lock:
            if len(self._known) >= OWNERS_MAX:
                self._known.clear()
            self._known.add(owner)
            self._new.add(owner)

    def waiting(self) -> frozenset[str]:
        """Return the owners that are to be told of."""
        with self._lock:
            return frozenset(self._new)

    def told(self, owners: frozenset[str], *, begins_anew: bool) -> None:
        """These were told of. With `begins_anew`, whoever's key is used from now on is told of again."""
        with self._lock:
            self._new -= owners
            if begins_anew:
                self._known.clear()
