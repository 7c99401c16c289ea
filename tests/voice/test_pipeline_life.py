"""The life of a pipeline, walked at random: no move leads where AWS has no road."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from earwitness.errors import Conflict
from earwitness.voice.pipeline_status import (
    ENDED,
    TAKES_TASKS,
    VOICE_ANALYTICS,
    ElementStatus,
    PipelineMove,
    PipelineStatus,
    initial_elements,
    moved,
)

RECORDING = "S3RecordingSink"


class Life(RuleBasedStateMachine):
    """One pipeline, to which anything is done."""

    def __init__(self) -> None:
        super().__init__()
        self.status = PipelineStatus.NOT_STARTED
        self.elements = initial_elements([VOICE_ANALYTICS, RECORDING, "SqsQueueSink"])
        self.was_ended = False

    @rule(move=st.sampled_from(PipelineMove))
    def make(self, move: PipelineMove) -> None:
        before = self.status
        try:
            self.status, self.elements = moved(self.status, self.elements, move)
        except Conflict:
            assert not self._allowed(before, move)
            return
        assert self._allowed(before, move)
        self.was_ended |= self.status in ENDED

    @staticmethod
    def _allowed(status: PipelineStatus, move: PipelineMove) -> bool:
        match move:
            case PipelineMove.RESUME:
                return status is PipelineStatus.PAUSED
            case PipelineMove.END | PipelineMove.FAIL:
                return status is PipelineStatus.STOPPING
            case PipelineMove.STOP:
                return status not in ENDED
            case _:
                return status in TAKES_TASKS

    @invariant()
    def it_is_what_its_element_is(self) -> None:
        assert self.elements[VOICE_ANALYTICS].value == self.status.value
        assert self.elements[RECORDING] is ElementStatus.NOT_SUPPORTED
        assert set(self.elements) == {VOICE_ANALYTICS, RECORDING}

    @invariant()
    def the_end_is_the_end(self) -> None:
        assert (self.status in ENDED) == self.was_ended


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)


def test_a_task_does_not_undo_progress() -> None:
    elements = {VOICE_ANALYTICS: ElementStatus.IN_PROGRESS}
    assert moved(PipelineStatus.IN_PROGRESS, elements, PipelineMove.START_TASK) == (
        PipelineStatus.IN_PROGRESS,
        elements,
    )


def test_a_pipeline_without_the_processor_can_be_paused_and_stopped() -> None:
    status, elements = moved(PipelineStatus.NOT_STARTED, {}, PipelineMove.PAUSE)
    assert status is PipelineStatus.PAUSED
    assert moved(status, elements, PipelineMove.STOP)[0] is PipelineStatus.STOPPING
    with pytest.raises(Conflict):
        moved(PipelineStatus.STOPPED, {}, PipelineMove.STOP)
