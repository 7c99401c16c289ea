"""Events and what became of them at each target: what waits, what was given up, and delivering it again."""

from typing import Annotated

from earwitness.console.context import ConsoleCall, Content, Done
from earwitness.rest.parameters import GetEvent, Limit, PageToken, Parameters, ReplayEvent, ReplayEvents, doc
from earwitness.rest.tasks import event_answer, get_event, replay_event, replay_events
from earwitness.store.records import DeliveryState


class NewestEvents(Parameters):
    """Events, newest first."""

    state: Annotated[DeliveryState | None, doc("Only those that have a delivery of this state.")] = None
    limit: Limit = 50
    next_token: PageToken = None


def events_page(call: ConsoleCall[NewestEvents]) -> Content:
    """Show events, newest first, and how many deliveries wait and are parked."""
    state = call.params.state
    found, following = call.paged(
        lambda after, limit: call.store.events.newest(call.scope, state=state, after=after, limit=limit),
        about=state or "",
    )
    counts = call.store.events.delivery_counts(call.scope)
    return {
        "waiting": counts[DeliveryState.PENDING],
        "parked": counts[DeliveryState.PARKED],
        "events": [event_answer(event) for event in found],
        "nextToken": following,
    }


def event_page(call: ConsoleCall[GetEvent]) -> Content:
    """Show one event with its body."""
    return {"event": call.ask(get_event, call.params)}


def replay_action(call: ConsoleCall[ReplayEvent]) -> Done:
    """Deliver one event again."""
    again = call.ask(replay_event, call.params)
    return Done(message=_again(again.replayed), path=f"/events/{again.event_id}")


def replay_all_action(call: ConsoleCall[ReplayEvents]) -> Done:
    """Deliver all parked events again."""
    return Done(message=_again(call.ask(replay_events, call.params).replayed), path="/events")


def _again(count: int) -> str:
    if not count:
        return "Nothing was delivered or parked, so nothing is delivered again."
    return "One delivery waits again." if count == 1 else f"{count} deliveries wait again."
