"""The life of a media insights pipeline and of its elements: every status, every move, in two tables.

Nothing else decides which status follows which: whoever changes a pipeline asks `next_state` and keeps what it says.
A move that the table does not list is refused. The names are Amazon's (mp-model); that the status of a pipeline
follows from those of its elements is call-analytics-statuses; the moves fill what its pages leave open.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from earwitness.errors import Conflict


class PipelineStatus(StrEnum):
    """Where a pipeline is, in the words of the wire."""

    NOT_STARTED = "NotStarted"
    """Made, and no task was started yet."""

    INITIALIZING = "Initializing"
    """Its first task is opening its stream."""

    IN_PROGRESS = "InProgress"
    """It hears audio, or has."""

    PAUSED = "Paused"
    """Its caller paused it: its tasks are stopped and none can be started."""

    STOPPING = "Stopping"
    """It ends; its tasks are winding up."""

    STOPPED = "Stopped"
    """Over."""

    FAILED = "Failed"
    """Over, and nothing came of it."""


class ElementStatus(StrEnum):
    """Where an element of a pipeline is."""

    NOT_STARTED = "NotStarted"
    INITIALIZING = "Initializing"
    IN_PROGRESS = "InProgress"
    PAUSED = "Paused"
    STOPPING = "Stopping"
    STOPPED = "Stopped"
    FAILED = "Failed"

    NOT_SUPPORTED = "NotSupported"
    """Accepted, echoed, and never run."""


class PipelineMove(StrEnum):
    """What happens to a pipeline."""

    START_TASK = "given a task"
    """A speaker search task is started on it."""

    OPEN_MEDIA = "given audio"
    """The first fragment for a task is there."""

    PAUSE = "paused"
    """The caller pauses it."""

    RESUME = "resumed"
    """The caller resumes it. Its tasks do not come back, so it is where it was before the first."""

    STOP = "stopped"
    """It is deleted, its audio has ended, or its time is up."""

    END = "ended"
    """After a stop: nothing of it runs any more."""

    FAIL = "failed"
    """After a stop: nothing of it runs any more, and every task it had failed."""


@dataclass(frozen=True, kw_only=True)
class Element:
    """An element of a pipeline that has a status."""

    type: str
    status: ElementStatus


@dataclass(frozen=True, kw_only=True)
class PipelineState:
    """Where a pipeline and its elements are."""

    status: PipelineStatus
    elements: tuple[Element, ...]


_Status, _Move = ElementStatus, PipelineMove

MOVES: dict[ElementStatus, dict[PipelineMove, ElementStatus]] = {
    _Status.NOT_STARTED: {
        _Move.START_TASK: _Status.INITIALIZING,
        _Move.PAUSE: _Status.PAUSED,
        _Move.STOP: _Status.STOPPING,
    },
    _Status.INITIALIZING: {
        _Move.START_TASK: _Status.INITIALIZING,
        _Move.OPEN_MEDIA: _Status.IN_PROGRESS,
        _Move.PAUSE: _Status.PAUSED,
        _Move.STOP: _Status.STOPPING,
    },
    # It stays here when its tasks are done, however they ended.
    _Status.IN_PROGRESS: {
        _Move.START_TASK: _Status.IN_PROGRESS,
        _Move.OPEN_MEDIA: _Status.IN_PROGRESS,
        _Move.PAUSE: _Status.PAUSED,
        _Move.STOP: _Status.STOPPING,
    },
    _Status.PAUSED: {
        _Move.RESUME: _Status.NOT_STARTED,
        _Move.STOP: _Status.STOPPING,
    },
    # To stop again what stops, or is over, is no error: a client may have lost the first answer.
    _Status.STOPPING: {
        _Move.STOP: _Status.STOPPING,
        _Move.END: _Status.STOPPED,
        _Move.FAIL: _Status.FAILED,
    },
    _Status.STOPPED: {_Move.STOP: _Status.STOPPED},
    _Status.FAILED: {_Move.STOP: _Status.FAILED},
    _Status.NOT_SUPPORTED: dict.fromkeys(_Move, _Status.NOT_SUPPORTED),
}
"""From each status of an element, what may happen to its pipeline and where that leads the element."""

FIRST_STATUS: dict[str, ElementStatus] = {
    "VoiceAnalyticsProcessor": ElementStatus.NOT_STARTED,
    "AmazonTranscribeProcessor": ElementStatus.NOT_SUPPORTED,
    "AmazonTranscribeCallAnalyticsProcessor": ElementStatus.NOT_SUPPORTED,
    "S3RecordingSink": ElementStatus.NOT_SUPPORTED,
    "VoiceEnhancementSink": ElementStatus.NOT_SUPPORTED,
}
"""Where elements begin, by type. Notification sinks have no status (call-analytics-statuses)."""

ENDED = frozenset((PipelineStatus.STOPPED, PipelineStatus.FAILED))
"""The statuses of pipelines to which nothing happens any more."""


def first_state(element_types: Sequence[str]) -> PipelineState:
    """Return where a pipeline with elements of these types begins."""
    known = [(kind, FIRST_STATUS[kind]) for kind in element_types if kind in FIRST_STATUS]
    elements = tuple(Element(type=kind, status=status) for kind, status in known)
    return PipelineState(status=PipelineStatus.NOT_STARTED, elements=elements)


def next_state(state: PipelineState, move: PipelineMove) -> PipelineState:
    """Return where the move leads. Raise Conflict when it may not happen to a pipeline in this state."""
    elements = tuple(Element(type=one.type, status=_next(one.status, move, state)) for one in state.elements)
    run = [one.status for one in elements if one.status is not ElementStatus.NOT_SUPPORTED]
    # Without an element that runs, the pipeline is paused and stopped all the same: it stands for itself.
    statuses = run or [_next(ElementStatus(state.status), move, state)]
    return PipelineState(status=status_of(statuses), elements=elements)


def status_of(elements: Collection[ElementStatus]) -> PipelineStatus:
    """Return the status of a pipeline whose elements (those that can run) have these statuses."""
    for status in (_Status.STOPPING, _Status.IN_PROGRESS, _Status.INITIALIZING, _Status.PAUSED):
        if status in elements:
            return PipelineStatus(status)
    waits = ElementStatus.NOT_STARTED in elements
    if ElementStatus.FAILED in elements:
        return PipelineStatus.NOT_STARTED if waits else PipelineStatus.FAILED  # something may still come of it
    return PipelineStatus.NOT_STARTED if set(elements) <= {_Status.NOT_STARTED} else PipelineStatus.STOPPED


def _next(status: ElementStatus, move: PipelineMove, state: PipelineState) -> ElementStatus:
    following = MOVES[status].get(move)
    if following is None:
        advice = "make another pipeline" if state.status in ENDED else "look at it again"
        raise Conflict(f"the pipeline is {state.status} and cannot be {move} now; {advice}")
    return following
