"""Every move of a pipeline is in the table, and every other one is refused."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from earwitness.errors import Conflict
from earwitness.voice.pipeline_status import (
    ENDED,
    FIRST_STATUS,
    MOVES,
    ElementStatus,
    PipelineMove,
    PipelineState,
    PipelineStatus,
    first_state,
    next_state,
    status_of,
)

VOICE = ["VoiceAnalyticsProcessor"]
CAN_RUN = [status for status in ElementStatus if status is not ElementStatus.NOT_SUPPORTED]


def after(*moves: PipelineMove, types: list[str] | None = None) -> PipelineState:
    state = first_state(VOICE if types is None else types)
    for move in moves:
        state = next_state(state, move)
    return state


def test_a_call_from_beginning_to_end() -> None:
    move = PipelineMove
    assert after().status == "NotStarted"
    assert after(move.START_TASK).status == "Initializing"
    assert after(move.START_TASK, move.OPEN_MEDIA).status == "InProgress"
    assert after(move.START_TASK, move.OPEN_MEDIA, move.START_TASK).status == "InProgress"
    assert after(move.START_TASK, move.OPEN_MEDIA, move.PAUSE).status == "Paused"
    assert after(move.START_TASK, move.OPEN_MEDIA, move.PAUSE, move.RESUME).status == "NotStarted"
    stopping = after(move.START_TASK, move.OPEN_MEDIA, move.STOP)
    assert stopping.status == "Stopping"
    assert next_state(stopping, move.END).status == "Stopped"
    assert next_state(stopping, move.FAIL).status == "Failed"


@pytest.mark.parametrize("types", [[], ["SqsQueueSink"], ["S3RecordingSink", "VoiceEnhancementSink"]])
def test_a_pipeline_in_which_nothing_runs_lives_all_the_same(types: list[str]) -> None:
    move = PipelineMove
    assert after(move.PAUSE, types=types).status == "Paused"
    assert after(move.PAUSE, move.RESUME, types=types).status == "NotStarted"
    ended = after(move.STOP, move.END, types=types)
    assert ended.status == "Stopped"
    assert {element.status for element in ended.elements} <= {ElementStatus.NOT_SUPPORTED}


def test_only_elements_with_a_status_are_told() -> None:
    state = first_state(["LambdaFunctionSink", *FIRST_STATUS, "SnsTopicSink"])
    assert [(one.type, one.status) for one in state.elements] == list(FIRST_STATUS.items())


@pytest.mark.parametrize("move", PipelineMove)
@pytest.mark.parametrize("status", PipelineStatus)
def test_pauses_resumes_and_stops(status: PipelineStatus, move: PipelineMove) -> None:
    state = PipelineState(status=status, elements=())
    allowed = {
        PipelineMove.PAUSE: {"NotStarted", "Initializing", "InProgress"},
        PipelineMove.RESUME: {"Paused"},
        PipelineMove.STOP: set(PipelineStatus),
        PipelineMove.START_TASK: {"NotStarted", "Initializing", "InProgress"},
        PipelineMove.OPEN_MEDIA: {"Initializing", "InProgress"},
        PipelineMove.END: {"Stopping"},
        PipelineMove.FAIL: {"Stopping"},
    }
    if status in allowed[move]:
        following = next_state(state, move)
        assert status not in ENDED or following == state
    else:
        with pytest.raises(Conflict, match=f"the pipeline is {status} and cannot be {move} now; "):
            next_state(state, move)


@pytest.mark.parametrize(
    ("elements", "status"),
    [
        (["NotStarted", "NotStarted"], "NotStarted"),
        (["Initializing", "NotStarted"], "Initializing"),
        (["InProgress", "Initializing"], "InProgress"),
        (["Stopped", "InProgress"], "InProgress"),
        (["Failed", "InProgress"], "InProgress"),
        (["Paused", "NotStarted"], "Paused"),
        (["Paused", "Paused"], "Paused"),
        (["Failed", "Stopped"], "Failed"),
        (["Failed", "NotStarted"], "NotStarted"),
        (["Stopped", "NotStarted"], "Stopped"),
        (["Stopped", "Stopped"], "Stopped"),
        (["Stopping", "InProgress", "Failed"], "Stopping"),
    ],
)
def test_the_status_follows_from_the_elements(elements: list[str], status: str) -> None:
    assert status_of([ElementStatus(one) for one in elements]) == status


@given(elements=st.lists(st.sampled_from(CAN_RUN), min_size=1), seed=st.randoms())
def test_the_order_of_elements_does_not_matter(elements: list[ElementStatus], seed: Random) -> None:
    shuffled = list(elements)
    seed.shuffle(shuffled)
    assert status_of(elements) is status_of(shuffled)
    assert status_of(elements * 2) is status_of(elements)


def test_the_table_knows_every_status_and_leads_only_to_known_ones() -> None:
    assert set(MOVES) == set(ElementStatus)
    reached = {following for moves in MOVES.values() for following in moves.values()}
    assert reached == set(ElementStatus)


class PipelineLife(RuleBasedStateMachine):
    """A pipeline lives through any order of events, beside a model that knows only facts, not statuses."""

    def __init__(self) -> None:
        super().__init__()
        self.state = first_state(VOICE)
        self.has_task = self.has_media = self.paused = self.stopped = False
        self.over: PipelineMove | None = None

    def _allowed(self, move: PipelineMove) -> bool:
        if move is PipelineMove.STOP:
            return True
        if move in (PipelineMove.END, PipelineMove.FAIL):
            return self.stopped and not self.over
        if self.stopped or self.paused:
            return move is PipelineMove.RESUME and not self.stopped
        return move in (PipelineMove.START_TASK, PipelineMove.PAUSE) or (
            move is PipelineMove.OPEN_MEDIA and self.has_task
        )

    @rule(move=st.sampled_from(PipelineMove))
    def happen(self, move: PipelineMove) -> None:
        if not self._allowed(move):
            with pytest.raises(Conflict):
                next_state(self.state, move)
            return
        self.state = next_state(self.state, move)
        if move in (PipelineMove.PAUSE, PipelineMove.RESUME):
            self.has_task = self.has_media = False
        self.has_task = self.has_task or move is PipelineMove.START_TASK
        self.has_media = self.has_media or move is PipelineMove.OPEN_MEDIA
        self.paused = move is PipelineMove.PAUSE
        self.stopped = self.stopped or move is PipelineMove.STOP
        self.over = move if move in (PipelineMove.END, PipelineMove.FAIL) else self.over

    @invariant()
    def the_status_tells_the_facts(self) -> None:
        if self.over:
            expected = PipelineStatus.STOPPED if self.over is PipelineMove.END else PipelineStatus.FAILED
        elif self.stopped:
            expected = PipelineStatus.STOPPING
        elif self.paused:
            expected = PipelineStatus.PAUSED
        elif self.has_media:
            expected = PipelineStatus.IN_PROGRESS
        else:
            expected = PipelineStatus.INITIALIZING if self.has_task else PipelineStatus.NOT_STARTED
        assert self.state.status is expected
        assert self.state.elements[0].status == expected


TestPipelineLife = pytest.mark.slow(PipelineLife.TestCase)
