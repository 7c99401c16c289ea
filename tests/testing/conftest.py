"""A service for tests, and a program that uses it."""

from collections.abc import Iterator

import pytest
from telephone import Telephone

from earwitness.testing import EarwitnessService, start_service


@pytest.fixture(scope="module")
def shared() -> Iterator[EarwitnessService]:
    """One service for the tests of a module that leave its clock alone."""
    with start_service() as service:
        yield service


@pytest.fixture
def telephone(shared: EarwitnessService, request: pytest.FixtureRequest) -> Iterator[Telephone]:
    yield Telephone(shared, request.node.name.partition("[")[0][:64])
    shared.reset()
