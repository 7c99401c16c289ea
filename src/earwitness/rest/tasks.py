"""What AWS's operations do not tell: speaker search tasks with their results in full, the events of pipelines, and what
this process does at this moment.
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from earwitness.errors import NotFound
from earwitness.log import lines_dropped
from earwitness.rest.context import RestCall, RestContext, answer_of, paged, there
from earwitness.rest.models import (
    DecisionAnswer,
    DeliveryAnswer,
    EventAnswer,
    EventsAnswer,
    HeardAnswer,
    ReplayAnswer,
    ReplaysAnswer,
    SpeechStretchAnswer,
    StatusAnswer,
    TaskAnswer,
    TaskDomainAnswer,
    TasksAnswer,
    TaskStreamAnswer,
    TaskVoiceprintAnswer,
    UseAnswer,
)
from earwitness.rest.parameters import GetEvent, GetStatus, GetTask, ListEvents, ListTasks, ReplayEvent, ReplayEvents
from earwitness.store.records import EventDelivery, OutboxEvent, Page, PageKey, Scope, SpeakerSearchTask
from earwitness.store.store import Unit
from earwitness.tasks.heard import HeardSoFar, net_speech_kept
from earwitness.tasks.notices import Subscription
from earwitness.voice.decision import Outcome, decision_document
from earwitness.voice.task_status import VoiceprintStatus, is_active

LOOKED_AT_MAX = 1_000
"""Tasks whose results one request opens, to find those of an outcome: some 50 ms."""

LOOK_AGAIN_SECONDS = 1.0
"""How often a waiting request looks by itself: another process may have written the event."""

_NO_EVENT = "there is no event of this id; events go with their pipeline, and some time after delivery"


def list_tasks(context: RestContext, call: RestCall[ListTasks]) -> TasksAnswer:
    """List the tasks of a pipeline, or all, newest first; of a status or an outcome, if asked for."""
    pipeline_id, params = _chosen_pipeline(context, call), call.params

    def read(after: PageKey | None, limit: int) -> Page[SpeakerSearchTask]:
        return context.store.tasks.list(call.scope, pipeline_id, status=params.status, after=after, limit=limit)

    found, following = paged(
        context,
        call,
        read if params.outcome is None else lambda after, limit: _ending_so(read, params.outcome, after, limit),
        about=" ".join(filter(None, (pipeline_id, params.status, params.outcome))),
    )
    return TasksAnswer(tasks=_answers(context, call.scope, found), next_token=following)


def _ending_so(
    read: Callable[[PageKey | None, int], Page[SpeakerSearchTask]],
    outcome: Outcome | None,
    after: PageKey | None,
    limit: int,
) -> Page[SpeakerSearchTask]:
    """Return those of a list whose search had an outcome, at least half a page where there are so many among those that
    one request looks at.

    Each look is at no more than there is room for, so that the page ends where a look did.
    """
    found, looked_at = list[SpeakerSearchTask](), 0
    while True:
        page = read(after, limit - len(found))
        found += [task for task in page.items if (task.identification or {}).get("outcome") == outcome]
        looked_at, after = looked_at + len(page.items), page.next_key
        if after is None or 2 * len(found) >= limit or looked_at >= LOOKED_AT_MAX:
            return Page(items=tuple(found), next_key=after)


def get_task(context: RestContext, call: RestCall[GetTask]) -> TaskAnswer:
    """Return one task."""
    task = context.store.tasks.get(call.scope, call.params.task_id)
    found = there(task, "there is no speaker search task of this id; tasks are kept for seven days")
    return _answers(context, call.scope, [found])[0]


def _chosen_pipeline(context: RestContext, call: RestCall[ListTasks | ListEvents]) -> str | None:
    """Return the id of the pipeline that the query names, or None for all. Raise NotFound when there is no such one."""
    named = call.params.pipeline_id
    if named is None:
        return None
    pipeline = context.store.pipelines.get(call.scope, named)
    return there(pipeline, "the media insights pipeline does not exist; look at its id and the Region").pipeline_id


def _answers(context: RestContext, scope: Scope, tasks: Sequence[SpeakerSearchTask]) -> list[TaskAnswer]:
    """Return tasks as JSON. What belongs to their voiceprints is read of all of them at once."""
    made = [task.task_id for task in tasks if task.voiceprint_status is VoiceprintStatus.SUCCESS]
    kept_until = context.store.task_voiceprints.kept_until(scope, made)
    repeated = context.store.repeats.of_tasks(scope, made)  # they are looked for with the voiceprint
    now = context.clock()
    return [
        _answer(context, task, kept_until=_if_later(kept_until.get(task.task_id), now), repeated=repeated)
        for task in tasks
    ]


def _answer(
    context: RestContext, task: SpeakerSearchTask, *, kept_until: datetime | None, repeated: Mapping[str, str]
) -> TaskAnswer:
    status = task.voiceprint_status
    voiceprint = None if status is None else TaskVoiceprintAnswer(status=status, can_be_enrolled_until=kept_until)
    return answer_of(
        TaskAnswer,
        task,
        stream=TaskStreamAnswer(arn=task.stream_arn, channel_id=task.channel_id),
        domain=TaskDomainAnswer(id=task.domain_id, arn=task.domain_arn),
        identification=None if task.identification is None else decision_answer(task.identification),
        voiceprint=voiceprint,
        repeats_task_id=repeated.get(task.task_id),
        lag_seconds=context.lags.seconds(task.task_id),
        heard=_heard(context, task) if is_active(task.status) else None,
    )


def _if_later(moment: datetime | None, now: datetime) -> datetime | None:
    return None if moment is None or moment <= now else moment


def with_progress(context: RestContext, task: TaskAnswer) -> TaskAnswer:
    """Return a task that was answered before, with what this process has heard of it since."""
    so_far = context.lags.so_far(task.task_id)
    return msgspec.structs.replace(
        task,
        lag_seconds=context.lags.seconds(task.task_id),
        heard=task.heard if so_far is None or task.heard is None else _heard_here(so_far),
    )


def _heard_here(so_far: HeardSoFar) -> HeardAnswer:
    return answer_of(
        HeardAnswer,
        so_far,
        is_of_now=True,
        levels=list(so_far.levels),
        speech=[answer_of(SpeechStretchAnswer, stretch) for stretch in so_far.speech],
    )


def _heard(context: RestContext, task: SpeakerSearchTask) -> HeardAnswer | None:
    """Return what the task of this process has heard, or else what was written of it."""
    so_far = context.lags.so_far(task.task_id)
    if so_far is not None:
        return _heard_here(so_far)
    kept = None if task.checkpoint is None else net_speech_kept(task.checkpoint)
    if kept is None:
        return None
    return HeardAnswer(
        net_speech_seconds=kept,
        is_of_now=False,
        audio_seconds=None,
        levels_start_seconds=0.0,
        levels=[],
        speech=[],
    )


def decision_answer(decision: Mapping[str, Any]) -> DecisionAnswer:  # `Any`: as decision_document takes it
    """Return a decision, as it is kept, as an answer."""
    return msgspec.convert(decision_document(decision), DecisionAnswer)


# Events, for those who read them here instead of, or beside, the pipelines' sinks.


async def list_events(context: RestContext, call: RestCall[ListEvents]) -> EventsAnswer:
    """List the events behind a number, oldest first; with `wait`, as soon as there are any."""
    params = call.params
    pipeline_id, after = await context.run_in_thread(lambda: _start(context, call))

    def look() -> tuple[OutboxEvent, ...]:
        return context.store.events.following(call.scope, sequence=after, limit=params.limit, pipeline_id=pipeline_id)

    with context.events_changed.listening() as listener:
        found = await context.run_in_thread(look)
        if not found and params.wait:
            with context.waits.taken(call.scope.account_id):
                found = await _wait(context, call, look, listener)
    return EventsAnswer(events=[event_answer(event) for event in found], next=found[-1].sequence if found else after)


async def _wait(
    context: RestContext,
    call: RestCall[ListEvents],
    look: Callable[[], tuple[OutboxEvent, ...]],
    listener: Subscription,
) -> tuple[OutboxEvent, ...]:
    loop = asyncio.get_running_loop()
    until = loop.time() + call.params.wait
    while not context.events_changed.closed and (left := until - loop.time()) > 0:
        await listener.wait(min(LOOK_AGAIN_SECONDS, left))
        call.require_key()
        if found := await context.run_in_thread(look):
            return found
    return ()


def _start(context: RestContext, call: RestCall[ListEvents]) -> tuple[str | None, int]:
    pipeline_id, after = _chosen_pipeline(context, call), call.params.after
    if isinstance(after, str):
        return pipeline_id, context.store.events.last_sequence(call.scope, pipeline_id=pipeline_id)
    return pipeline_id, after


def get_event(context: RestContext, call: RestCall[GetEvent]) -> EventAnswer:
    """Return one event."""
    return event_answer(there(context.store.events.get(call.scope, call.params.event_id), _NO_EVENT))


def replay_event(context: RestContext, call: RestCall[ReplayEvent]) -> ReplayAnswer:
    """Deliver an event again, to one target or to all."""
    event_id, target = call.params.event_id, call.params.target

    def work(unit: Unit) -> ReplayAnswer:
        event = there(unit.events.get(call.scope, event_id), _NO_EVENT)
        if target is not None and target not in {delivery.target for delivery in event.deliveries}:
            raise NotFound("the event has no such target; the event itself lists its targets")
        again = unit.deliveries.replay(call.scope, event_id, target=target)
        call.caller.record(unit, call.caller.arn("chime", f"media-pipeline/{event.pipeline_id}"))
        return ReplayAnswer(event_id=event_id, replayed=again or 0)

    return context.store.write(work)


def replay_events(context: RestContext, call: RestCall[ReplayEvents]) -> ReplaysAnswer:
    """Deliver all parked events again, to one target or to all."""

    def work(unit: Unit) -> ReplaysAnswer:
        again = unit.deliveries.replay_parked(call.scope, target=call.params.target)
        call.caller.record(unit, call.caller.arn("chime", "media-pipeline/*"))
        return ReplaysAnswer(replayed=again)

    return context.store.write(work)


def event_answer(event: OutboxEvent) -> EventAnswer:
    """Return an event as JSON. Its body is what the sinks get."""
    return answer_of(
        EventAnswer,
        event,
        body=None if event.body is None else json.loads(event.body),
        deliveries=[_delivery(delivery) for delivery in event.deliveries],
    )


def _delivery(delivery: EventDelivery) -> DeliveryAnswer:
    waits = delivery.state.value == "pending"
    return answer_of(DeliveryAnswer, delivery, next_attempt_at=delivery.next_attempt_at if waits else None)


# The process.


def get_status(context: RestContext, call: RestCall[GetStatus]) -> StatusAnswer:
    """Return how many tasks run in this process, of all accounts, and what the account uses of what it may have."""
    account_id, lags = call.scope.account_id, context.lags.all_seconds()
    use = dict(context.use_of(call.scope))
    for name, share in (("recordings", context.recording_places), ("waitingRequests", context.waits)):
        use[name] = share.held(account_id), share.most(account_id)
    return StatusAnswer(
        running_tasks=len(lags),
        lag_seconds_max=max(lags, default=None),
        log_lines_dropped=lines_dropped(),
        media_refusal=context.media_refusal(),
        keeps_enrolment_audio=context.recordings.keep_audio,
        account_id=account_id,
        use=[UseAnswer(name=name, used=used, most=most) for name, (used, most) in use.items()],
    )
