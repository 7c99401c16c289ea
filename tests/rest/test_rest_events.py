"""Events: in order, with what became of them, waited for without a clock, delivered again."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from rest_examples import MINE, V1, Rest, add_domain, add_event, add_pipeline, require_error, require_fits, token
from sqlalchemy import update

from earwitness.rest.context import RestLimits
from earwitness.store.schema import events
from earwitness.store.store import Unit
from patience import PATIENCE_SECONDS

QUEUE = "arn:aws:sqs:eu-central-1:111122223333:calls"
HOOK = "https://hooks.example/calls"


@pytest.fixture
def filled(rest: Rest) -> Rest:
    def work(unit: Unit) -> None:
        add_domain(unit)
        add_pipeline(unit)
        add_pipeline(unit, pipeline_id="pipeline-2")
        for number in range(3):
            add_event(unit, QUEUE, HOOK, event_id=f"event-{number}")
        add_event(unit, event_id="elsewhere", pipeline_id="pipeline-2")

    rest.store.write(work)
    return rest


def deliver(rest: Rest, *, error: str | None) -> None:
    """Deliver or park what is due first."""

    def work(unit: Unit) -> None:
        for claimed in unit.deliveries.claim(until=unit.now + timedelta(minutes=1), limit=10):
            if error is None:
                unit.deliveries.record_delivered(claimed)
            else:
                unit.deliveries.record_failed(claimed, error=error, retry_at=None)

    rest.store.write(work)


def test_events_in_order_with_their_bodies(filled: Rest) -> None:
    answer = filled.ask("GET", "events", role="reader").json()
    require_fits(answer, "Events")
    assert [event["eventId"] for event in answer["events"]] == ["event-0", "event-1", "event-2", "elsewhere"]
    assert answer["events"][0]["body"]["detail"] == {"detailStatus": "IdentificationSuccessful"}
    sequences = [event["sequence"] for event in answer["events"]]
    assert sequences == sorted(sequences)
    assert answer["next"] == sequences[-1]


def test_what_follows(filled: Rest) -> None:
    first = filled.ask("GET", "events", params={"limit": "2", "pipelineId": "pipeline-1"}).json()
    second = filled.ask("GET", "events", params={"after": str(first["next"]), "pipelineId": "pipeline-1"}).json()
    assert [event["eventId"] for event in second["events"]] == ["event-2"]
    nothing = filled.ask("GET", "events", params={"after": str(second["next"]), "pipelineId": "pipeline-1"}).json()
    assert nothing == {"events": [], "next": second["next"]}
    latest = filled.ask("GET", "events", params={"after": "latest"}).json()
    assert latest["events"] == []
    assert latest["next"] == filled.ask("GET", "events").json()["next"]


def test_what_became_of_an_event(filled: Rest) -> None:
    deliver(filled, error=None)
    deliver(filled, error="the target answered with status 410")
    event = filled.ask("GET", "events/event-1").json()
    require_fits(event, "Event")
    by_target = {delivery["target"]: delivery for delivery in event["deliveries"]}
    assert by_target.keys() == {QUEUE, HOOK}
    assert by_target[HOOK]["state"] == "parked"
    assert by_target[HOOK]["lastError"] == "the target answered with status 410"
    first = filled.ask("GET", "events/event-0").json()["deliveries"]
    assert {delivery["state"] for delivery in first} == {"delivered"}
    require_error(filled.ask("GET", "events/nothing"), 404, "NotFound")


def test_an_event_is_delivered_again(filled: Rest) -> None:
    deliver(filled, error=None)
    answer = filled.ask("POST", "events/event-0/replay", role="operator", params={"target": HOOK})
    assert answer.json() == {"eventId": "event-0", "replayed": 1}
    states = {one["target"]: one["state"] for one in filled.ask("GET", "events/event-0").json()["deliveries"]}
    assert states == {HOOK: "pending", QUEUE: "delivered"}
    assert filled.ask("POST", "events/event-0/replay").json()["replayed"] == 1  # the other; this one waits already
    require_error(filled.ask("POST", "events/event-0/replay", params={"target": "x"}), 404, "NotFound")
    require_error(filled.ask("POST", "events/nothing/replay"), 404, "NotFound")
    entry = filled.store.audit.list(MINE, limit=1).items[0]
    assert (entry.operation, entry.outcome) == ("ReplayEvent", "done")


def test_all_parked_events_are_delivered_again(filled: Rest) -> None:
    assert filled.ask("POST", "events/replay").json() == {"replayed": 0}
    deliver(filled, error="status 410")
    deliver(filled, error="status 410")
    answer = filled.ask("POST", "events/replay", role="operator", params={"target": HOOK}).json()
    require_fits(answer, "Replays")
    assert answer == {"replayed": 2}
    assert filled.ask("POST", "events/replay").json() == {"replayed": 2}  # those for the queue
    require_error(filled.ask("POST", "events/replay", role="reader"), 403, "Forbidden")
    entry = next(one for one in filled.store.audit.list(MINE, limit=9).items if one.outcome == "done")
    assert entry.operation == "ReplayEvents"


class Asking:
    """A request for new events that waits."""

    def __init__(self, rest: Rest, **params: str) -> None:
        self.rest = rest
        self.params = {"region": MINE.region, "after": "latest", "wait": "20", **params}

    async def __call__(self) -> dict[str, Any]:
        async with self.rest.client() as client:
            headers = {"authorization": f"Bearer {token('reader')}"}
            response = await client.get(f"{V1}/events", headers=headers, params=self.params)
            assert response.status_code == 200, response.text
            return response.json()


async def until_it_waits(rest: Rest) -> None:
    while not rest.waiting:
        await asyncio.sleep(0)


@pytest.fixture
def only_when_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A waiting request looks again when there is a notice, and never by itself."""
    monkeypatch.setattr("earwitness.rest.tasks.LOOK_AGAIN_SECONDS", 3_600.0)


@pytest.mark.usefixtures("only_when_told")
def test_a_waiting_request_is_answered_as_soon_as_there_is_an_event(filled: Rest) -> None:
    async def scenario() -> None:
        asking = asyncio.create_task(Asking(filled)())
        await until_it_waits(filled)
        assert not asking.done()
        await asyncio.to_thread(filled.store.write, lambda unit: add_event(unit, event_id="new"))
        filled.notices.notify()
        answer = await asyncio.wait_for(asking, PATIENCE_SECONDS)
        assert [event["eventId"] for event in answer["events"]] == ["new"]

    asyncio.run(scenario())


@pytest.mark.usefixtures("only_when_told")
def test_notices_of_others_do_not_end_the_wait(filled: Rest) -> None:
    async def scenario() -> None:
        asking = asyncio.create_task(Asking(filled, pipelineId="pipeline-2")())
        await until_it_waits(filled)
        await asyncio.to_thread(filled.store.write, lambda unit: add_event(unit, event_id="of-pipeline-1"))
        filled.notices.notify()
        await asyncio.to_thread(
            filled.store.write, lambda unit: add_event(unit, event_id="mine", pipeline_id="pipeline-2")
        )
        filled.notices.notify()
        answer = await asyncio.wait_for(asking, PATIENCE_SECONDS)
        assert [event["eventId"] for event in answer["events"]] == ["mine"]

    asyncio.run(scenario())


@pytest.mark.usefixtures("only_when_told")
def test_a_service_that_stops_lets_go_of_those_who_wait(filled: Rest) -> None:
    async def scenario() -> None:
        asking = asyncio.create_task(Asking(filled)())
        await until_it_waits(filled)
        filled.notices.close()
        assert (await asyncio.wait_for(asking, PATIENCE_SECONDS))["events"] == []
        assert (await asyncio.wait_for(Asking(filled)(), PATIENCE_SECONDS))["events"] == []

    asyncio.run(scenario())


@pytest.mark.slow
def test_it_looks_by_itself_once_a_second(filled: Rest) -> None:
    """Another process wrote the event; nobody told us."""

    async def scenario() -> None:
        asking = asyncio.create_task(Asking(filled)())
        await until_it_waits(filled)
        await asyncio.to_thread(filled.store.write, lambda unit: add_event(unit, event_id="new"))
        answer = await asyncio.wait_for(asking, PATIENCE_SECONDS)
        assert [event["eventId"] for event in answer["events"]] == ["new"]

    asyncio.run(scenario())


@pytest.mark.slow
def test_a_wait_ends_with_nothing(filled: Rest) -> None:
    answer = filled.ask("GET", "events", params={"after": "latest", "wait": "1"}).json()
    assert answer["events"] == []


def test_those_who_wait_are_bounded(build: Callable[..., Rest]) -> None:
    rest = build(limits=RestLimits(waits_at_once_max=0))
    require_error(rest.ask("GET", "events", params={"wait": "1"}), 503, "Unavailable")
    assert rest.ask("GET", "events").status_code == 200


def test_an_event_that_cannot_be_opened_hides_none_of_the_others(filled: Rest) -> None:
    def damage(unit: Unit) -> None:
        damaged = events.c.event_id == "event-1"
        unit._writing.session.change(update(events).where(damaged).values(body_ciphertext=b"not what was sealed"))

    filled.store.write(damage)
    answer = filled.ask("GET", "events", params={"limit": "3"}).json()
    require_fits(answer, "Events")
    assert [event["body"] is None for event in answer["events"]] == [False, True, False]
    deliver(filled, error=None)
    deliver(filled, error=None)
    event = filled.ask("GET", "events/event-1").json()
    assert [delivery["state"] for delivery in event["deliveries"]] == ["parked", "parked"]
    assert "cannot be opened" in event["deliveries"][0]["lastError"]
