"""Nothing here needs a voice model or a settings file."""

import pytest


@pytest.fixture(autouse=True)
def _own_settings() -> None:
    """In place of the fixture that pulls voice models: this room knows none."""
