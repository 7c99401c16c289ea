"""How often a key may call an operation of the JSON API: the same buckets that AWS's operations have."""

from collections.abc import Callable

import pytest
from rest_examples import SECRET, V1, Rest, add_domain, require_error, token

from earwitness.wire.buckets import Throttle


@pytest.fixture
def now() -> list[float]:
    return [0.0]


@pytest.fixture
def slow(build: Callable[..., Rest], now: list[float]) -> Rest:
    """One call in four seconds, by a clock that is turned by hand."""
    return build(throttle=Throttle(per_second=0.25), monotonic=lambda: now[0])


def test_too_many_calls_are_told_when_to_come_again(slow: Rest, now: list[float]) -> None:
    assert slow.ask("GET", "tasks").status_code == 200
    refused = slow.ask("GET", "tasks")
    message = require_error(refused, 429, "Throttled")
    assert "calls of ListTasks a second with this key" in message
    assert refused.headers["retry-after"] == "4"
    now[0] = 3.0
    assert slow.ask("GET", "tasks").headers["retry-after"] == "1"
    now[0] = 4.0
    assert slow.ask("GET", "tasks").status_code == 200


def test_each_key_and_each_operation_has_its_own_rate(slow: Rest) -> None:
    assert slow.ask("GET", "tasks").status_code == 200
    assert slow.ask("GET", "events").status_code == 200
    assert slow.ask("GET", "tasks", role="reader").status_code == 200
    require_error(slow.ask("GET", "tasks", role="reader"), 429, "Throttled")


def test_a_recording_that_comes_too_often_is_not_received(slow: Rest) -> None:
    slow.store.write(add_domain)
    require_error(slow.ask("POST", "domains/vpd-1/search", content=b"no audio"), 422, "AudioUnreadable")

    async def never():
        raise AssertionError("the body was asked for")
        yield b""

    require_error(slow.ask("POST", "domains/vpd-1/search", content=never()), 429, "Throttled")


def test_signatures_count_once_they_are_proved(slow: Rest) -> None:
    require_error(slow.ask_signed("GET", "tasks", secret="wrong"), 401, "Unauthorized")  # noqa: S106  # made up
    assert slow.ask_signed("GET", "tasks", secret=SECRET).status_code == 200
    require_error(slow.ask_signed("GET", "tasks"), 429, "Throttled")


def test_the_document_is_for_everybody(slow: Rest) -> None:
    assert [slow.send("GET", "openapi.json").status_code for _ in range(3)] == [200] * 3


def test_whoever_may_not_is_told_so_first(slow: Rest) -> None:
    headers = {"authorization": f"Bearer {token('reader')}"}
    for _ in range(2):
        answer = slow.send("POST", f"{V1}/domains/vpd-1/search", headers=headers, params={"region": "eu-central-1"})
        require_error(answer, 403, "Forbidden")
