"""How a setting is written down: a field of a frozen dataclass with a default, a unit, a sentence and bounds."""

from dataclasses import field
from typing import Any

LOG_LEVELS = ("debug", "info", "warning", "error", "critical")


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
    """A field of a settings class. A secret one does not show when the settings are printed."""
    metadata = {"unit": unit, "help": text, "low": low, "high": high, "choices": choices}
    if callable(default):
        return field(default_factory=default, metadata=metadata, repr=not secret)
    return field(default=default, metadata=metadata, repr=not secret)
