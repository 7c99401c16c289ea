"""How long a test waits for what must happen. Waits end on an event; only what hangs takes minutes."""

import time
from collections.abc import Callable
from typing import Any

PATIENCE_SECONDS = 180.0
"""After which a test says that something hangs. A busy machine takes many times as long as an idle one."""


def until(condition: Callable[[], Any], *, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait for another thread or process to come so far."""
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "it did not happen in time"
        time.sleep(0.01)
