"""Sample calls: six made-up callers, two calls each, spoken by free speech synthesis; README.md tells how."""

from pathlib import Path

_FOLDER = Path(__file__).parent

KNOWN = ("angus", "fiona", "kal", "sally")
"""Callers the demo enrols."""

STRANGERS = ("marvin", "russell")
"""Callers it does not; russell is the one most like somebody enrolled (angus)."""


def first_call(name: str) -> Path:
    """A caller's longer call, to enrol."""
    return _FOLDER / "first-calls" / f"{name}.flac"


def second_call(name: str) -> Path:
    """The same caller's shorter call, with other words, to search for."""
    return _FOLDER / "second-calls" / f"{name}.flac"
