"""Calls as they go: those that are listened to now, and those that ended a few minutes ago."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from earwitness.console.context import ConsoleCall, Content
from earwitness.rest.models import TaskAnswer
from earwitness.rest.parameters import ListTasks, Parameters
from earwitness.rest.tasks import list_tasks
from earwitness.voice.decision import Outcome
from earwitness.voice.durations import IDENTIFY_SECONDS
from earwitness.voice.task_status import TaskStatus, is_active

ENDED_SHOWN = timedelta(minutes=10)
"""A task is over with its voiceprint, long before its call: whoever looks at the call wants to see the result still."""

CALLS_MAX = 50


class WatchCalls(Parameters):
    """The calls of this moment, the newest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallState:
    """What is known of a caller, in words that come before all numbers."""

    #: The class of its colour.
    kind: str
    words: str
    #: Seconds of speech that are missing for a search; None when none is awaited.
    needs_seconds: float | None = None


def state_of(task: TaskAnswer, *, domain_is_gone: bool = False) -> CallState:
    """Return what to say of a task before any number. Results go with their domain."""
    found = task.identification
    if found is not None:
        if found.outcome is Outcome.MATCH:
            doubt = "weak match" if found.weak else "match, ambiguous"
            return CallState(kind="weak", words=doubt) if found.weak or found.ambiguous else _MATCH
        return _FOUND[found.outcome]
    if task.status is TaskStatus.FAILED:
        return CallState(kind="bad", words="failed")
    if not is_active(task.status):
        return _DELETED if domain_is_gone else _FOUND[Outcome.NOT_ENOUGH_SPEECH]
    if task.heard is None or not task.heard.net_speech_seconds:
        waits = task.status is TaskStatus.NOT_STARTED
        return CallState(kind="open", words="waiting") if waits else CallState(kind="running", words="listening")
    missing = IDENTIFY_SECONDS - task.heard.net_speech_seconds
    if missing <= 0:
        return CallState(kind="running", words="searching")
    return CallState(kind="running", words="inconclusive", needs_seconds=missing)


_MATCH = CallState(kind="match", words="match")
_DELETED = CallState(kind="open", words="no result; the domain was deleted")
_FOUND = {
    Outcome.NO_MATCH: CallState(kind="stranger", words="stranger"),
    Outcome.SEVERAL_VOICES: CallState(kind="several", words="several voices"),
    Outcome.NOT_ENOUGH_SPEECH: CallState(kind="open", words="not enough speech"),
}


def live_page(call: ConsoleCall[WatchCalls]) -> Content:
    """Show the calls of this moment."""
    found = {task.task_id: task for task in _tasks(call)}
    newest = sorted(found.values(), key=lambda task: (task.created_at, task.task_id), reverse=True)
    shown = newest[:CALLS_MAX]
    without = {task.domain.id for task in shown if task.identification is None and not is_active(task.status)}
    gone = {one for one in without if call.store.domains.get(call.scope, one) is None}
    return {
        "calls": [{"task": task, "state": state_of(task, domain_is_gone=task.domain.id in gone)} for task in shown],
        "listening": sum(is_active(task.status) for task in newest),
        "hidden": len(newest) - len(shown),
    }


def _tasks(call: ConsoleCall[WatchCalls]) -> Iterator[TaskAnswer]:
    region, since = call.params.region, call.rest.clock() - ENDED_SHOWN
    for status in TaskStatus:
        if is_active(status):
            yield from call.ask(list_tasks, ListTasks(region=region, status=status, limit=CALLS_MAX)).tasks
    for task in call.ask(list_tasks, ListTasks(region=region, limit=CALLS_MAX)).tasks:
        if task.ended_at is not None and task.ended_at >= since:
            yield task
