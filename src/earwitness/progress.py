"""How work that takes long tells how far it is. Whoever shows it is above."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done and how much there is. What it raises ends the work."""


def not_shown(_doing: str, _done: int, _total: int) -> None:
    """Show nothing."""
