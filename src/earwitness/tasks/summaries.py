"""Sum up what came of calls: one event for each channel that had a task, five minutes after its pipeline has ended.

Profiles that an application makes from a call in these minutes are in it, as in AWS's (va-notification-targets). A
configuration whose tag `earwitness:post-call-summary` is `off` has none.
"""

import logging
from collections.abc import Collection, Sequence
from datetime import datetime
from functools import partial

from earwitness.errors import CiphertextRefused
from earwitness.log import frames_of
from earwitness.store.connector_records import ConnectorCall
from earwitness.store.records import Pipeline, ProfileEnrolment, Scope, SpeakerSearchTask
from earwitness.store.store import Store, Unit
from earwitness.tasks.events import EventPublisher, named_in
from earwitness.tasks.pipelines import TASKS_LOOKED_AT_MAX
from earwitness.voice.events import (
    EventKind,
    PostCallSummary,
    ProfileRequest,
    SummarisedLeg,
    post_call_summary,
)

SUMMARY_TAG = "earwitness:post-call-summary"
"""A tag of a configuration: `off` for no summaries of its calls."""

_AT_ONCE = 100

_log = logging.getLogger("earwitness.summaries")


class Summaries:
    """Tells what is due. It reads and writes records, so it belongs in a thread."""

    def __init__(self, store: Store, events: EventPublisher) -> None:
        self._store = store
        self._events = events

    def tell(self, now: datetime) -> int:
        """Write the summaries that are due, and return of how many pipelines. Raise StoreUnavailable."""
        due = self._store.summaries.list_due(now=now, limit=_AT_ONCE)
        for scope, pipeline_id in due:
            try:
                self._store.write(partial(self._tell, scope=scope, pipeline_id=pipeline_id))
            except (CiphertextRefused, KeyError, TypeError, ValueError) as error:  # of a damaged or odd record
                context = {"pipeline_id": pipeline_id, "error": type(error).__name__, "frames": frames_of(error)}
                _log.error("a call cannot be summed up", extra=context)
                self._store.write(lambda unit, of=(scope, pipeline_id): unit.summaries.take(*of))
        return len(due)

    def _tell(self, unit: Unit, *, scope: Scope, pipeline_id: str) -> None:
        if not unit.summaries.take(scope, pipeline_id):
            return
        pipeline = unit.pipelines.get(scope, pipeline_id)
        if pipeline is None or unit.tags.list(scope, pipeline.configuration_arn).get(SUMMARY_TAG) == "off":
            return
        tasks = unit.tasks.list(scope, pipeline_id, limit=TASKS_LOOKED_AT_MAX).items
        enrolments = unit.summaries.enrolments(scope, [task.task_id for task in tasks])
        call = _call_of(unit, scope, pipeline)
        channels = dict.fromkeys((task.stream_arn, task.channel_id) for task in reversed(tasks))
        for channel in channels:
            of_channel = [task for task in tasks if (task.stream_arn, task.channel_id) == channel]
            summary = _summary(pipeline, call, of_channel, enrolments)
            make = partial(post_call_summary, summary=summary)
            self._events.append(unit, scope, pipeline, EventKind.POST_CALL, make)


def _call_of(unit: Unit, scope: Scope, pipeline: Pipeline) -> ConnectorCall | None:
    transaction_id = (pipeline.runtime_metadata or {}).get("transactionId")
    call = unit.connector_calls.get(scope, transaction_id) if isinstance(transaction_id, str) else None
    return call if call is not None and call.pipeline_id == pipeline.pipeline_id else None


def _summary(
    pipeline: Pipeline,
    call: ConnectorCall | None,
    tasks: Sequence[SpeakerSearchTask],
    enrolments: Collection[ProfileEnrolment],
) -> PostCallSummary:
    """Return the summary of one channel of a pipeline, whose tasks these are."""
    first = tasks[0]
    made = {task.task_id: task.profile_id for task in tasks}
    theirs = [one for one in enrolments if one.task_id in made]
    created = [one for one in theirs if made[one.task_id] == one.profile_id]
    leg = next((leg for leg in call.legs if leg.stream_arn == first.stream_arn), None) if call else None
    return PostCallSummary(
        pipeline_id=pipeline.pipeline_id,
        pipeline_arn=pipeline.arn,
        stream_arn=first.stream_arn,
        channel_id=first.channel_id,
        call=None
        if call is None or leg is None
        else SummarisedLeg(
            call_id=call.call_id,
            transaction_id=call.transaction_id,
            voice_connector_id=call.connector_id,
            is_caller=leg.is_caller,
        ),
        best_matched_profile_id=_best(tasks),
        validated_profile_id=theirs[-1].profile_id if theirs else None,
        created=[_request(one) for one in created],
        updated=[_request(one) for one in theirs if one not in created],
    )


def _best(tasks: Sequence[SpeakerSearchTask]) -> str | None:
    found = [profile for task in tasks if task.identification is not None for profile in named_in(task.identification)]
    return max(found, key=lambda profile: profile.confidence).voice_profile_id if found else None


def _request(enrolment: ProfileEnrolment) -> ProfileRequest:
    return ProfileRequest(voice_profile_id=enrolment.profile_id, requested_at=enrolment.created_at)
