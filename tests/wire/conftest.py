"""The five services and their router, read once."""

import pytest

from earwitness.wire.router import Router
from earwitness.wire.service_models import ServiceModel, load_services


@pytest.fixture(scope="session")
def services() -> dict[str, ServiceModel]:
    return load_services()


@pytest.fixture(scope="session")
def router(services: dict[str, ServiceModel]) -> Router:
    return Router(services.values())
