"""The status of a task that was started on a Voice Connector's call, from what the task is and has.

The names are Amazon's (voice-model), whose pages say no more of them; ours is the reading.
"""

from enum import StrEnum

from earwitness.voice.task_status import StopReason, TaskStatus, VoiceprintStatus, is_active


class CallTaskStatus(StrEnum):
    """Where such a task is, in the words of the wire."""

    IN_QUEUE = "IN_QUEUE"
    """Accepted; its audio has not come yet."""

    IN_PROGRESS = "IN_PROGRESS"
    """It hears audio and has found nothing out yet."""

    PARTIAL_SUCCESS = "PARTIAL_SUCCESS"
    """The search is made, whomever it found, and there is no voiceprint: not yet, or for good."""

    SUCCEEDED = "SUCCEEDED"
    """The search is made, and there is a voiceprint."""

    FAILED = "FAILED"
    """Over, with neither; or an error ended it."""

    STOPPED = "STOPPED"
    """Its caller stopped it before it had both."""


def call_task_status(
    status: TaskStatus,
    *,
    stop_reason: StopReason | None,
    is_identified: bool,
    voiceprint_status: VoiceprintStatus | None,
) -> CallTaskStatus:
    """Return the status of a task. `is_identified`: its search was made, whether anybody was found or not."""
    has_voiceprint = voiceprint_status is VoiceprintStatus.SUCCESS
    if is_active(status):
        if is_identified:
            return CallTaskStatus.PARTIAL_SUCCESS
        waits = status in (TaskStatus.NOT_STARTED, TaskStatus.INITIALIZING)
        return CallTaskStatus.IN_QUEUE if waits else CallTaskStatus.IN_PROGRESS
    if status is TaskStatus.FAILED:
        return CallTaskStatus.FAILED
    if is_identified and has_voiceprint:
        return CallTaskStatus.SUCCEEDED
    if stop_reason in (StopReason.CALLER, StopReason.PIPELINE_PAUSED):
        return CallTaskStatus.STOPPED
    return CallTaskStatus.PARTIAL_SUCCESS if is_identified or has_voiceprint else CallTaskStatus.FAILED
