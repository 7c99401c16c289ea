"""A bounded number of places for what is costly at the same time. Lives on the event loop."""

from collections.abc import Generator
from contextlib import contextmanager

from earwitness.errors import Unavailable


class Places:
    """Places of one kind."""

    def __init__(self, count: int, *, refusal: str) -> None:
        """`refusal` says to whom finds no place what to do."""
        self._free = count
        self._refusal = refusal

    @contextmanager
    def taken(self) -> Generator[None]:
        """Hold a place. Unavailable when none is free."""
        if self._free <= 0:
            raise Unavailable(self._refusal)
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1
