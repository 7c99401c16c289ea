"""Credentials: tokens, signatures, what is wrong with either, and how whoever guesses is slowed down."""

import asyncio
import threading
from collections.abc import Callable

import httpx
import pytest
from rest_examples import BASE, MINE, START, V1, Rest, add_pipeline, key_id, require_error, token

from earwitness.store.records import BearerToken
from earwitness.store.store import Unit
from earwitness.wire.wrong_credentials import WrongCredentials

BASIC = "Basic dGVzdDp0ZXN0"


def test_a_token_that_is_revoked_does_nothing_from_then_on(rest: Rest) -> None:
    assert rest.ask("GET", "tasks").status_code == 200
    rest.store.write(lambda unit: unit.bearer_tokens.revoke(MINE.account_id, f"tok-admin {MINE.account_id}"))
    require_error(rest.ask("GET", "tasks"), 401, "Unauthorized")


@pytest.mark.parametrize(
    "shown",
    [
        "Bearer",
        "Bearer ",
        "Bearer nothing",
        "Bearer " + "x" * 4_000,
        "bearer \xff\xfe",
        BASIC,
        token("admin"),
        "AWS4-HMAC-SHA256 x",
    ],
)
def test_credentials_that_are_none(rest: Rest, shown: str) -> None:
    response = rest.send("GET", "tasks", headers={"authorization": shown.encode("latin-1")})
    message = require_error(response, 401, "Unauthorized")
    assert "x" * 50 not in message
    assert response.headers["www-authenticate"]


def test_short_tokens_open_nothing_where_nobody_said_so(rest: Rest, build: Callable[..., Rest]) -> None:
    def work(unit: Unit) -> None:
        unit.bearer_tokens.create(
            token="test",  # noqa: S106  # everybody knows it
            token_id="tok-dev",  # noqa: S106  # a name
            account_id=MINE.account_id,
            role="admin",
            name="dev",
        )

    rest.store.write(work)
    shown = {"authorization": "Bearer test"}
    require_error(rest.send("GET", "tasks", headers=shown), 401, "Unauthorized")
    development = build(token_characters_min=1)
    assert development.send("GET", "tasks", headers=shown).status_code == 200


def test_two_tokens_in_one_request(rest: Rest) -> None:
    lines = [("authorization", f"Bearer {token('admin')}"), ("authorization", f"Bearer {token('reader')}")]
    require_error(rest.send("GET", "tasks", headers=lines), 401, "Unauthorized")


@pytest.mark.parametrize("service", ["earwitness", "chime"])
def test_a_signature_is_as_good_as_a_token(rest: Rest, service: str) -> None:
    rest.store.write(lambda unit: add_pipeline(unit, pipeline_id="in-the-signed-region"))
    path = "events?pipelineId=in-the-signed-region&limit=5"
    assert rest.ask_signed("GET", path, role="reader", service=service).json() == {"events": [], "next": 0}


def test_the_region_of_a_signature_counts(rest: Rest) -> None:
    """The query parameter does not lead out of what was signed."""
    rest.store.write(add_pipeline)
    path = "tasks?pipelineId=pipeline-1&region=us-east-1"
    assert rest.ask_signed("GET", path).status_code == 200


def test_signatures_that_do_not_hold(rest: Rest) -> None:
    for response in (
        rest.ask_signed("GET", "tasks", secret="another"),  # noqa: S106  # made up
        rest.ask_signed("GET", "tasks", service="kinesisvideo"),
        rest.ask_signed("POST", "domains/vpd-1/search", content=b"a recording", sent=b"another recording"),
    ):
        require_error(response, 401, "Unauthorized")
    rest.store.write(lambda unit: unit.access_keys.disable(MINE.account_id, key_id("admin")))
    require_error(rest.ask_signed("GET", "tasks"), 401, "Unauthorized")


def test_a_signature_that_holds_covers_the_recording(rest: Rest) -> None:
    response = rest.ask_signed("POST", "domains/vpd-1/search", content=b"a recording")
    require_error(response, 404, "NotFound")  # signed well; there is no such domain
    require_error(rest.ask_signed("POST", "domains/vpd-1/search", role="reader"), 403, "Forbidden")


def test_an_old_signature_is_refused(rest: Rest) -> None:
    response = rest.ask_signed("GET", "tasks")
    assert response.status_code == 200
    headers = dict(response.request.headers)
    rest.clock.now = START
    require_error(rest.send("GET", "tasks", headers=headers), 401, "Unauthorized")


def test_whoever_guesses_waits(build: Callable[..., Rest], monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    async def remember(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr("earwitness.wire.wrong_credentials.sleep", remember)
    rest = build()
    for _ in range(12):
        assert rest.send("GET", "tasks", headers={"authorization": "Bearer guess"}).status_code == 401
    assert waited == [0.1, 0.2]
    assert rest.ask("GET", "tasks").status_code == 200
    assert waited == [0.1, 0.2]  # good ones are never held back


def test_answers_that_are_held_back_are_bounded(build: Callable[..., Rest]) -> None:
    rest = build(wrong_credentials=WrongCredentials(delayed_at_once_max=0))
    for _ in range(20):  # these would take half a minute
        response = rest.send("GET", "tasks", headers={"authorization": "Bearer guess"})
        assert response.status_code == 401
    assert response.headers["connection"] == "close"


def test_a_crowd_of_guesses_from_one_address_leaves_the_threads_to_others(build: Callable[..., Rest]) -> None:
    """The right token of another address gets its thread, however many guesses wait for one."""
    rest = build(wrong_credentials=WrongCredentials(suspects_at_once_max=2, delayed_at_once_max=0))
    guess = {"authorization": "Bearer " + "x" * 47}
    looked_up, go_on = threading.Semaphore(0), threading.Event()
    find = rest.store.bearer_tokens.find

    def slowly(shown: str) -> BearerToken | None:
        if shown == "x" * 47:
            looked_up.release()
            go_on.wait()
        return find(shown)

    async def crowd() -> list[int]:
        guessing = httpx.AsyncClient(
            transport=httpx.ASGITransport(rest.app, client=("192.0.2.7", 1)), base_url=f"{BASE}{V1}/"
        )
        async with guessing, rest.client() as other:
            for _ in range(11):  # more than are free
                await guessing.get("tasks", headers=guess)
            rest.store.bearer_tokens.find = slowly  # type: ignore[method-assign]
            held = asyncio.create_task(guessing.get("tasks", headers=guess))
            await asyncio.to_thread(looked_up.acquire)
            refused = await guessing.get("tasks", headers=guess)
            right = await other.get(f"{V1}/tasks", headers={"authorization": f"Bearer {token('admin')}"})
            go_on.set()
            return [(await held).status_code, refused.status_code, right.status_code]

    assert asyncio.run(crowd()) == [401, 503, 200]
