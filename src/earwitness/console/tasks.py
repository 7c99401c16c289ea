"""Calls that are searched for, as speaker search tasks: the list, and one of them."""

from collections.abc import Hashable, Sequence

from earwitness.console.context import ConsoleCall, Content, Mark
from earwitness.console.labels import label_of
from earwitness.console.verdict import quality_of, verdicts_of
from earwitness.rest.parameters import GetTask, ListTasks
from earwitness.rest.tasks import event_answer, get_task, list_tasks, with_progress
from earwitness.store.records import Scope
from earwitness.store.task_marks import TaskMark
from earwitness.tasks.lag import Lags
from earwitness.voice.decision import Outcome
from earwitness.voice.limits import measured_limits
from earwitness.voice.task_status import TaskStatus

EVENTS_MAX = 100
"""The newest of a pipeline that are looked through for those of a task."""

READ_AGAIN_SECONDS = 30
"""How often an open page of a call is read whatever its mark says: some of what it shows changes with the clock."""


def tasks_page(call: ConsoleCall[ListTasks]) -> Content:
    """Show tasks, newest first, with their results."""
    answer = call.ask(list_tasks, call.params)
    return {
        "tasks": answer.tasks,
        "nextToken": answer.next_token,
        "statuses": [status.value for status in TaskStatus],
        "outcomes": [outcome.value for outcome in Outcome],
    }


def task_page(call: ConsoleCall[GetTask]) -> Content:
    """Show one task: its result, its events, and what became of them."""
    task = call.ask(get_task, call.params)
    newest = call.store.events.list(call.scope, task.pipeline_id, limit=EVENTS_MAX).items
    events = [event_answer(event) for event in reversed(newest)]
    return {
        "task": task,
        "domain_is_gone": call.store.domains.get(call.scope, task.domain.id) is None,
        "verdicts": verdicts_of(call, task),
        "quality": quality_of(call, task),
        "label": label_of(call, task.task_id),
        "limits": {"name": measured_limits().of_a_name, "repeat": measured_limits().of_a_repeat},
        "events": [event for event in events if task.task_id in str(event.body)],
    }


def task_marks(calls: Sequence[ConsoleCall[GetTask]]) -> list[Mark]:
    """Return the marks of pages of calls, in one read for each account and Region."""
    wanted: dict[Scope, list[str]] = {}
    for call in calls:
        wanted.setdefault(call.scope, []).append(call.params.task_id)
    found = {scope: calls[0].store.task_marks.of_tasks(scope, task_ids) for scope, task_ids in wanted.items()}
    return [_mark(call, found[call.scope].get(call.params.task_id)) for call in calls]


def _mark(call: ConsoleCall[GetTask], kept: TaskMark | None) -> Mark:
    task_id, lags = call.params.task_id, call.rest.lags
    # Pages of different calls are not read again at the same moment.
    period = (round(call.rest.clock().timestamp()) + hash(task_id) % READ_AGAIN_SECONDS) // READ_AGAIN_SECONDS
    is_heard_here = lags.so_far(task_id) is not None
    checkpoint = None if kept is None or is_heard_here else kept.checkpoint
    of_records = kept and kept.rest, checkpoint, is_heard_here, period
    return Mark(records=of_records, here=progress_mark(lags, task_id))


def progress_mark(lags: Lags, task_id: str) -> Hashable:
    """Return what is another when the progress of a call looks different: not while nobody speaks."""
    so_far, lag_seconds = lags.so_far(task_id), lags.seconds(task_id)
    shown_lag = None if lag_seconds is None else round(lag_seconds, 1)
    if so_far is None:
        return shown_lag
    speech = [(one.start_seconds, one.end_seconds, so_far.levels_start_seconds) for one in so_far.speech]
    return shown_lag, so_far.net_speech_seconds, so_far.levels, tuple(speech)


def task_again(call: ConsoleCall[GetTask], shown: Content) -> Content:
    """Return what a page of a call showed, with how far this process has come with it."""
    return {**shown, "task": with_progress(call.rest, shown["task"])}
