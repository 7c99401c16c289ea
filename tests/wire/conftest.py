"""The five services and their router, read once."""

import pytest

from earwitness.wire.router import Router
from earwitness.wire.service_models import Service, load_services


@pytest.fixture(scope="session")
def services() -> dict[str, Service]:
    return load_services()


@pytest.fixture(scope="session")
def router(services: dict[str, Service]) -> Router:
    return Router(services.values())
