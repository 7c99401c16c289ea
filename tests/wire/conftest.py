"""The five services and their router, read once; nothing here needs a voice model or a settings file."""

import pytest

from earwitness.wire.router import Router
from earwitness.wire.service_models import load_services
from earwitness.wire.shapes import Service


@pytest.fixture(autouse=True)
def _own_settings() -> None:
    """In place of the fixture that pulls voice models: this room knows none."""


@pytest.fixture(scope="session")
def services() -> dict[str, Service]:
    return load_services()


@pytest.fixture(scope="session")
def router(services: dict[str, Service]) -> Router:
    return Router(services.values())
