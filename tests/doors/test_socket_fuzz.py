"""A twentieth of what `python -m tests.fuzz.sockets` judges."""

import pytest
from tests.fuzz.sockets import run


@pytest.mark.slow
def test_no_message_breaks_a_core() -> None:
    assert run(seed=1, cases=10_000) == []
