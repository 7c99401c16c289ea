"""The life of a speaker search task: every status, every move, in one table.

Nothing else decides which status follows which: whoever changes a task asks `next_status` and keeps what it says. A
move that the table does not list is refused. Sources: the status names are Amazon's (mp-model); the moves fill what
its pages leave open.
"""

from enum import StrEnum

from earwitness.errors import Conflict


class TaskStatus(StrEnum):
    """Where a task is, in the words of the wire."""

    NOT_STARTED = "NotStarted"
    """Accepted; nobody has picked it up yet."""

    INITIALIZING = "Initializing"
    """A worker is opening its stream."""

    IN_PROGRESS = "InProgress"
    """Its audio is being read."""

    STOPPING = "Stopping"
    """A stop was asked for; its worker is winding up."""

    STOPPED = "Stopped"
    """Over: with both results, at the end of the audio, or by a stop. There is no status for success."""

    FAILED = "Failed"
    """Over: it could not go on."""


class TaskMove(StrEnum):
    """What happens to a task."""

    PICK_UP = "picked up"
    """A worker takes it: the first, or another after the first one died."""

    OPEN_MEDIA = "given its audio"
    """The first fragment of an attempt at it is there."""

    REQUEST_STOP = "stopped"
    """The caller, a pause or the end of the pipeline asks it to stop."""

    END = "ended"
    """Its worker has nothing left to do."""

    FAIL = "failed"
    """Something that will not go away by itself is in the way."""


class StopReason(StrEnum):
    """Why a task was asked to stop: what its worker still owes its sinks depends on it."""

    CALLER = "Caller"
    """StopSpeakerSearchTask: nothing more is reported."""

    PIPELINE_PAUSED = "PipelinePaused"
    """A pause: nothing more is reported, and a resume does not bring the task back."""

    PIPELINE_STOPPED = "PipelineStopped"
    """The pipeline ends, for whatever reason: each result that is missing is reported as a failure."""

    DOMAIN_DELETED = "DomainDeleted"
    """There is nothing to search and no key to seal results under: the task fails."""

    CONSENT_WITHDRAWN = "ConsentWithdrawn"
    """Whoever speaks has withdrawn the consent: the task fails at once, and nothing of it is kept."""


FAILS_AT_ONCE = frozenset({StopReason.DOMAIN_DELETED, StopReason.CONSENT_WITHDRAWN})
"""Reasons that leave nothing to be concluded."""


class VoiceprintStatus(StrEnum):
    """What became of the voiceprint of a task, in the words of the wire; None before either."""

    SUCCESS = "VoiceprintGenerationSuccess"
    FAILURE = "VoiceprintGenerationFailure"


_Status, _Move = TaskStatus, TaskMove

MOVES: dict[TaskStatus, dict[TaskMove, TaskStatus]] = {
    # A stop before anybody picked it up waits for a worker too, so that there is one place where tasks end.
    _Status.NOT_STARTED: {
        _Move.PICK_UP: _Status.INITIALIZING,
        _Move.REQUEST_STOP: _Status.STOPPING,
        _Move.FAIL: _Status.FAILED,
    },
    _Status.INITIALIZING: {
        _Move.PICK_UP: _Status.INITIALIZING,
        _Move.OPEN_MEDIA: _Status.IN_PROGRESS,
        _Move.REQUEST_STOP: _Status.STOPPING,
        _Move.END: _Status.STOPPED,
        _Move.FAIL: _Status.FAILED,
    },
    # Picked up again: its worker died, and the next one goes on at the checkpoint. A status never goes back.
    _Status.IN_PROGRESS: {
        _Move.PICK_UP: _Status.IN_PROGRESS,
        _Move.OPEN_MEDIA: _Status.IN_PROGRESS,
        _Move.REQUEST_STOP: _Status.STOPPING,
        _Move.END: _Status.STOPPED,
        _Move.FAIL: _Status.FAILED,
    },
    # A repeated stop is no error; a task whose worker died while it was stopping is picked up only to be ended.
    _Status.STOPPING: {
        _Move.PICK_UP: _Status.STOPPING,
        _Move.REQUEST_STOP: _Status.STOPPING,
        _Move.END: _Status.STOPPED,
        _Move.FAIL: _Status.FAILED,
    },
    _Status.STOPPED: {},
    _Status.FAILED: {},
}
"""From each status, what may happen and where that leads."""


def next_status(status: TaskStatus, move: TaskMove) -> TaskStatus:
    """Return where the move leads. Raise Conflict when it may not happen to a task of this status."""
    following = MOVES[status].get(move)
    if following is None:
        raise Conflict(f"the task is {status} and cannot be {move} now; {_advice(status)}")
    return following


def is_active(status: TaskStatus) -> bool:
    """Return whether anything can still happen to a task of this status."""
    return bool(MOVES[status])


def _advice(status: TaskStatus) -> str:
    return "look at it again" if is_active(status) else "start another task"
