"""Events as they were written, for those who read them here instead of, or beside, the pipelines' sinks."""

import asyncio
import json
from collections.abc import Callable

from earwitness.errors import NotFound
from earwitness.rest.tasks import chosen_pipeline
from earwitness.rest.tools import Call, Document, Tools, time_of
from earwitness.store.search_records import Delivery, Event
from earwitness.store.store import Unit
from earwitness.tasks.notices import Subscription

LATEST = "latest"
"""In place of a number: from now on."""

LOOK_AGAIN_SECONDS = 1.0
"""How often a waiting request looks by itself: another process may have written the event."""


async def list_events(tools: Tools, call: Call) -> Document:
    """Events behind a number, oldest first; with `wait`, as soon as there are any."""
    pipeline_id, after = await tools.run(lambda: _start(tools, call))

    def look() -> tuple[Event, ...]:
        return tools.store.events.following(
            call.scope, sequence=after, limit=call.values["limit"], pipeline_id=pipeline_id
        )

    with tools.events_changed.listening() as listener:
        found = await tools.run(look)
        if not found and call.values["wait"]:
            with tools.waits.taken(call.scope.account_id):
                found = await _wait(tools, look, listener, seconds=call.values["wait"])
    return {"events": [described(event) for event in found], "next": found[-1].sequence if found else after}


async def _wait(
    tools: Tools, look: Callable[[], tuple[Event, ...]], listener: Subscription, *, seconds: float
) -> tuple[Event, ...]:
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while not tools.events_changed.closed and (left := until - loop.time()) > 0:
        await listener.wait(min(LOOK_AGAIN_SECONDS, left))
        if found := await tools.run(look):
            return found
    return ()


async def get_event(tools: Tools, call: Call) -> Document:
    """One event."""
    return described(await tools.run(lambda: _there(tools.store.events.get(call.scope, call.values["eventId"]))))


async def replay_event(tools: Tools, call: Call) -> Document:
    """Deliver an event again, to one target or to all."""
    event_id: str = call.values["eventId"]
    target: str | None = call.values["target"]

    def work(unit: Unit) -> Document:
        event = _there(unit.events.get(call.scope, event_id))
        if target is not None and target not in {delivery.target for delivery in event.deliveries}:
            raise NotFound("the event has no such target; the event itself lists its targets")
        again = unit.deliveries.replay(call.scope, event_id, target=target)
        call.caller.record(unit, call.caller.arn("chime", f"media-pipeline/{event.pipeline_id}"))
        return {"eventId": event_id, "replayed": again or 0}

    return await tools.run(lambda: tools.store.write(work))


def described(event: Event) -> Document:
    """An event as JSON. Its body is what the sinks get."""
    return {
        "sequence": event.sequence,
        "eventId": event.event_id,
        "pipelineId": event.pipeline_id,
        "kind": event.kind,
        "createdAt": time_of(event.created_at),
        "body": None if event.body is None else json.loads(event.body),
        "deliveries": [_delivery(delivery) for delivery in event.deliveries],
    }


def _start(tools: Tools, call: Call) -> tuple[str | None, int]:
    pipeline_id = chosen_pipeline(tools, call)
    after: int | str = call.values["after"]
    if isinstance(after, str):
        return pipeline_id, tools.store.events.last_sequence(call.scope, pipeline_id=pipeline_id)
    return pipeline_id, after


def _delivery(delivery: Delivery) -> Document:
    return {
        "target": delivery.target,
        "state": delivery.state.value,
        "attempts": delivery.attempts,
        "nextAttemptAt": time_of(delivery.next_attempt_at) if delivery.state.value == "pending" else None,
        "lastError": delivery.last_error,
        "deliveredAt": time_of(delivery.delivered_at),
    }


def _there(event: Event | None) -> Event:
    if event is None:
        raise NotFound("there is no event of this id; events go with their pipeline, and some time after delivery")
    return event
