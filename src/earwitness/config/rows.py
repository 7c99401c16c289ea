"""What the fields of settings are made of."""

from dataclasses import field
from typing import Any


# `Any`: dataclasses.field returns the type of the default it is given.
def row(
    default: Any,
    *,
    unit: str,
    text: str,
    low: float = 0.0,
    high: float = 0.0,
    choices: tuple[str, ...] = (),
    secret: bool = False,
) -> Any:
    """A field of a settings class. A secret one is not shown when the settings are printed."""
    metadata = {"unit": unit, "help": text, "low": low, "high": high, "choices": choices}
    if callable(default):
        return field(default_factory=default, metadata=metadata, repr=not secret)
    return field(default=default, metadata=metadata, repr=not secret)


def group(default: object, *, text: str, **words: object) -> Any:
    """A field that holds a group of numbers. Each of `words` is a name for a whole group."""
    return field(default=default, metadata={"unit": "numbers", "help": text, "words": words})
