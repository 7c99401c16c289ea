"""Calls that are searched for, as speaker search tasks: the list, and one of them."""

from earwitness.console.context import ConsoleCall, Content
from earwitness.console.labels import label_of
from earwitness.console.verdict import quality_of, verdicts_of
from earwitness.rest.parameters import GetTask, ListTasks
from earwitness.rest.tasks import event_answer, get_task, list_tasks
from earwitness.voice.decision import Outcome
from earwitness.voice.limits import measured_limits
from earwitness.voice.task_status import TaskStatus

EVENTS_MAX = 100
"""The newest of a pipeline that are looked through for those of a task."""


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
