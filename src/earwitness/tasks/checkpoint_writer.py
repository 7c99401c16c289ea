"""Keep a task's place in its stream: checkpoints, written now and then, in the record that its attempts share."""

import logging

from earwitness.errors import StoreUnavailable
from earwitness.media.source import StreamFragment
from earwitness.store.columns import JsonObject
from earwitness.store.records import SpeakerSearchTask
from earwitness.tasks.checkpoint import Checkpoint, PassageLog, StreamPosition, checkpoint_of, document_of
from earwitness.tasks.context import TaskContext

CHECKPOINT_SECONDS = 10.0
"""Audio between two checkpoints of a task, at least: two hundred silent calls write twenty times a second."""

_log = logging.getLogger("earwitness.keep")


class CheckpointWriter:
    """Writes the checkpoints of one attempt at one task."""

    def __init__(self, tools: TaskContext, task: SpeakerSearchTask) -> None:
        self._tools = tools
        self._task = task
        self.kept = None if task.checkpoint is None else checkpoint_of(task.checkpoint)
        """The latest; None before the first fragment has come, and when it cannot be read."""

        self._kept_at = 0.0  # seconds of audio before it, in this attempt

    def begin(self, fragment: StreamFragment, *, call: str) -> JsonObject:
        """The document to begin with: an earlier attempt's, or that this is the task's first fragment."""
        if self.kept is None:
            first = StreamPosition(number=fragment.number, server_time=fragment.server_time)
            self.kept = Checkpoint(first=first, speech=(), listening=first, call=call)
        return document_of(self.kept)

    async def keep(self, course: PassageLog, *, call: str, heard_seconds: float) -> SpeakerSearchTask | None:
        """Write down where the task is and in which call, if it is time; then the record as it is now.

        AttemptSuperseded when another attempt has begun, NotFound when the domain was deleted.
        """
        kept, listening = self.kept, course.listening
        if kept is None or listening is None or heard_seconds - self._kept_at < CHECKPOINT_SECONDS:
            return None
        now = Checkpoint(first=kept.first, speech=course.speech, listening=listening, call=call)
        if now == kept:
            return None
        task, document = self._task, document_of(now)
        try:
            changed = await self._tools.write(
                lambda unit: unit.attempts.write_progress(
                    task.scope, task.task_id, attempt=task.attempt, checkpoint=document
                )
            )
        except StoreUnavailable as error:
            _log.warning("a checkpoint was not written; a later one will be", extra={"reason": str(error)})
            return None
        self.kept, self._kept_at = now, heard_seconds
        return changed
