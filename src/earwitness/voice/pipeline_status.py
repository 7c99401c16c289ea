"""The life of a media insights pipeline and its elements: statuses, what each element begins with, what may follow.

The status of a pipeline is derived from those of its elements; nothing else assigns it. Sources: for the names and the
rules call-analytics-statuses, for the ends managing-call-analytics-pipelines; the order of the rules fills what the
pages leave open.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from earwitness.errors import Conflict


class PipelineStatus(StrEnum):
    """Where a pipeline is, in the words of the wire."""

    NOT_STARTED = "NotStarted"
    INITIALIZING = "Initializing"
    IN_PROGRESS = "InProgress"
    PAUSED = "Paused"
    STOPPING = "Stopping"
    STOPPED = "Stopped"
    FAILED = "Failed"


class ElementStatus(StrEnum):
    """Where an element of a pipeline is, in the words of the wire."""

    NOT_STARTED = "NotStarted"
    NOT_SUPPORTED = "NotSupported"
    """An element that AWS has and earwitness does not; it takes no part."""

    INITIALIZING = "Initializing"
    IN_PROGRESS = "InProgress"
    PAUSED = "Paused"
    STOPPING = "Stopping"
    STOPPED = "Stopped"
    FAILED = "Failed"


class PipelineMove(StrEnum):
    """What happens to a pipeline."""

    START_TASK = "given a task"
    HEAR = "given audio"
    PAUSE = "paused"
    RESUME = "resumed"
    STOP = "stopped"
    END = "ended"
    FAIL = "failed"


VOICE_ANALYTICS = "VoiceAnalyticsProcessor"

_NOT_SUPPORTED = frozenset(
    {
        "AmazonTranscribeProcessor",
        "AmazonTranscribeCallAnalyticsProcessor",
        "S3RecordingSink",
        "VoiceEnhancementSink",
    }
)

ENDED = frozenset({PipelineStatus.STOPPED, PipelineStatus.FAILED})
"""Nothing happens to these any more."""

TAKES_TASKS = frozenset({PipelineStatus.NOT_STARTED, PipelineStatus.INITIALIZING, PipelineStatus.IN_PROGRESS})
"""A task may be started on these."""

_P, _E, _M = PipelineStatus, ElementStatus, PipelineMove

MOVES: Mapping[PipelineMove, tuple[frozenset[PipelineStatus], Mapping[ElementStatus, ElementStatus]]] = {
    _M.START_TASK: (TAKES_TASKS, {_E.NOT_STARTED: _E.INITIALIZING}),
    # Stays InProgress after its tasks are done: a pipeline is removed by DeleteMediaPipeline.
    _M.HEAR: (TAKES_TASKS, {_E.NOT_STARTED: _E.IN_PROGRESS, _E.INITIALIZING: _E.IN_PROGRESS}),
    _M.PAUSE: (
        TAKES_TASKS,
        {_E.NOT_STARTED: _E.PAUSED, _E.INITIALIZING: _E.PAUSED, _E.IN_PROGRESS: _E.PAUSED},
    ),
    # Tasks do not come back with a resume, so neither does the progress of the element that ran them.
    _M.RESUME: (frozenset({_P.PAUSED}), {_E.PAUSED: _E.NOT_STARTED}),
    _M.STOP: (
        TAKES_TASKS | {_P.PAUSED, _P.STOPPING},
        {
            _E.NOT_STARTED: _E.STOPPING,
            _E.INITIALIZING: _E.STOPPING,
            _E.IN_PROGRESS: _E.STOPPING,
            _E.PAUSED: _E.STOPPING,
        },
    ),
    _M.END: (frozenset({_P.STOPPING}), {_E.STOPPING: _E.STOPPED}),
    _M.FAIL: (frozenset({_P.STOPPING}), {_E.STOPPING: _E.FAILED}),
}
"""For each move: the pipelines it may happen to, and what becomes of an element; elements not named stay."""


def initial_elements(types: Iterable[str]) -> dict[str, ElementStatus]:
    """The statuses of a new pipeline's elements, by type; notification sinks have none."""
    found: dict[str, ElementStatus] = {}
    for kind in types:
        if kind == VOICE_ANALYTICS:
            found[kind] = ElementStatus.NOT_STARTED
        elif kind in _NOT_SUPPORTED:
            found[kind] = ElementStatus.NOT_SUPPORTED
    return found


def moved(
    status: PipelineStatus, elements: Mapping[str, ElementStatus], move: PipelineMove
) -> tuple[PipelineStatus, dict[str, ElementStatus]]:
    """The pipeline's status and its elements' after a move; Conflict when it may not happen to a pipeline like this."""
    allowed, changes = MOVES[move]
    if status not in allowed:
        raise Conflict(f"the pipeline is {status} and cannot be {move} now; look at it again, or create another")
    after = {kind: changes.get(element, element) for kind, element in elements.items()}
    return _derived(after, move), after


def _derived(elements: Mapping[str, ElementStatus], move: PipelineMove) -> PipelineStatus:
    """The status of a pipeline after a move, from those of its elements."""
    if move is PipelineMove.STOP:
        return PipelineStatus.STOPPING
    if move is PipelineMove.END:
        return PipelineStatus.STOPPED
    if move is PipelineMove.FAIL:
        return PipelineStatus.FAILED
    if move is PipelineMove.PAUSE:
        return PipelineStatus.PAUSED
    present = set(elements.values())
    for element, status in (
        (ElementStatus.IN_PROGRESS, PipelineStatus.IN_PROGRESS),
        (ElementStatus.INITIALIZING, PipelineStatus.INITIALIZING),
        (ElementStatus.PAUSED, PipelineStatus.PAUSED),
    ):
        if element in present:
            return status
    return PipelineStatus.NOT_STARTED
