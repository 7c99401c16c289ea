"""Which pipelines are stopped, and when; the clock is made up, the records are real."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from search_examples import STREAM, add_task, adopted
from store_examples import MINE, Clock, add_domain, guid, opened

from earwitness.store.pipelines import PipelineReader
from earwitness.store.records import SpeakerSearchTask
from earwitness.store.store import Store, Unit
from earwitness.tasks.events import EventPublisher
from earwitness.tasks.pipelines import PipelineMoves
from earwitness.tasks.supervise import Supervisor
from earwitness.voice.task_status import StopReason, TaskStatus

OTHER = STREAM.replace("calls", "other")


@dataclass
class Scene:
    """A pipeline with a task that has its audio, and the supervisor that looks at it."""

    store: Store
    clock: Clock
    streams: tuple[str, ...] = (STREAM,)
    arrivals: dict[str, datetime] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    jumped: timedelta = timedelta()
    """How far the clock was set ahead; time that passes goes by without it."""

    def __post_init__(self) -> None:
        self.moves = PipelineMoves(
            EventPublisher(targets_of=lambda *_: (), new_id=guid), pipeline_changed=self.told.append
        )
        self.supervisor = Supervisor(
            self.store,
            moves=self.moves,
            last_arrival=self.arrivals.get,
            hears_all=lambda _: True,
            started_at=self.clock(),
            monotonic=lambda: self.clock().timestamp() - self.jumped.total_seconds(),
        )
        self.pipeline_id = guid()
        self.store.write(self._create)

    def _create(self, unit: Unit) -> None:
        unit.pipelines.create(
            MINE,
            pipeline_id=self.pipeline_id,
            arn=f"arn:aws:chime:eu-central-1:111122223333:media-pipeline/{self.pipeline_id}",
            configuration_arn="arn",
            configuration={"Elements": [{"Type": "VoiceAnalyticsProcessor"}]},
            status="NotStarted",
            element_statuses=[{"Type": "VoiceAnalyticsProcessor", "Status": "NotStarted"}],
            source={
                "KinesisVideoStreamSourceRuntimeConfiguration": {
                    "Streams": [{"StreamArn": arn} for arn in self.streams]
                }
            },
            runtime_metadata=None,
        )

    def start_task(self) -> SpeakerSearchTask:
        def work(unit: Unit) -> SpeakerSearchTask:
            pipeline = unit.pipelines.get(MINE, self.pipeline_id)
            assert pipeline
            task = add_task(unit, add_domain(unit).domain_id, self.pipeline_id)
            self.moves.begin_task(unit, MINE, pipeline)
            return task

        return adopted(self.store, self.store.write(work))

    def hear(self) -> None:
        for stream in self.streams:
            self.arrivals[stream] = self.clock()

        def work(unit: Unit) -> None:
            pipeline = unit.pipelines.get(MINE, self.pipeline_id)
            assert pipeline
            self.moves.hear(unit, MINE, pipeline)

        self.store.write(work)

    def end(self, task: SpeakerSearchTask) -> None:
        self.store.write(lambda unit: unit.attempts.end(MINE, task.task_id, attempt=task.attempt))

    def pass_time(self, by: timedelta) -> int:
        self.clock.advance(by)
        return self.look(self.supervisor)

    def look(self, supervisor: Supervisor) -> int:
        now = self.clock()
        return supervisor.look_at_running(None, now) + supervisor.look_for_overdue(now)

    def set_clock(self, by: timedelta) -> int:
        """Set the clock ahead or back, as an operator or a time server does, and look."""
        self.jumped += by
        return self.pass_time(by)

    @property
    def status(self) -> str:
        found = self.store.pipelines.get(MINE, self.pipeline_id)
        assert found
        return found.status

    def pause(self) -> None:
        def work(unit: Unit) -> None:
            pipeline = unit.pipelines.get(MINE, self.pipeline_id)
            assert pipeline
            self.moves.pause(unit, MINE, pipeline)

        self.store.write(work)


@pytest.fixture
def store_and_clock(tmp_path: Path) -> Iterator[tuple[Store, Clock]]:
    clock = Clock()
    store = opened(f"sqlite:///{tmp_path / 'records.db'}", clock=clock)
    yield store, clock
    store.close()


@pytest.fixture
def scene(store_and_clock: tuple[Store, Clock]) -> Scene:
    return Scene(*store_and_clock)


def test_fifteen_seconds_without_a_fragment_end_the_audio(scene: Scene) -> None:
    task = scene.start_task()
    scene.hear()
    assert scene.pass_time(timedelta(seconds=14.5)) == 0
    scene.hear()
    assert scene.pass_time(timedelta(seconds=14.5)) == 0
    assert scene.pass_time(timedelta(seconds=0.6)) == 1
    assert scene.status == "Stopping"
    stopped = scene.store.tasks.get(MINE, task.task_id)
    assert stopped
    assert (stopped.status, stopped.stop_reason) == (TaskStatus.STOPPING, StopReason.PIPELINE_STOPPED)
    assert scene.told == [scene.pipeline_id]
    assert scene.pass_time(timedelta(seconds=60)) == 0  # its task has not ended
    scene.end(task)
    assert scene.pass_time(timedelta(seconds=1)) == 1
    assert scene.status == "Stopped"
    assert scene.pass_time(timedelta(days=1)) == 0


def test_one_of_two_streams_is_enough(store_and_clock: tuple[Store, Clock]) -> None:
    scene = Scene(*store_and_clock, streams=(STREAM, OTHER))
    scene.start_task()
    scene.hear()
    for _ in range(3):
        scene.arrivals[OTHER] = scene.clock()
        scene.pass_time(timedelta(seconds=6))
    assert scene.status == "Stopping"


def test_a_task_that_never_hears_anything_ends_too(scene: Scene) -> None:
    scene.start_task()
    assert scene.pass_time(timedelta(seconds=14)) == 0
    assert scene.pass_time(timedelta(seconds=1.1)) == 1


def test_a_start_of_the_service_gives_its_streams_their_time(scene: Scene) -> None:
    scene.start_task()
    scene.hear()
    scene.clock.advance(timedelta(minutes=5))  # the service was away
    again = Supervisor(
        scene.store,
        moves=scene.moves,
        last_arrival={}.get,
        hears_all=lambda _: True,
        started_at=scene.clock(),
        monotonic=lambda: scene.clock().timestamp(),
    )
    assert scene.look(again) == 0
    scene.clock.advance(timedelta(seconds=15))
    assert scene.look(again) == 1


def test_without_a_running_task_no_audio_is_missed(scene: Scene) -> None:
    assert scene.pass_time(timedelta(hours=7)) == 0
    task = scene.start_task()
    scene.hear()
    scene.end(task)
    assert scene.pass_time(timedelta(minutes=55)) == 0
    assert scene.status == "InProgress"
    assert scene.pass_time(timedelta(minutes=5)) == 1  # eight hours old
    assert scene.status == "Stopped"


def test_two_hours_of_pause(scene: Scene) -> None:
    task = scene.start_task()
    scene.hear()
    scene.pause()
    scene.end(task)
    assert scene.pass_time(timedelta(hours=1, minutes=59)) == 0
    assert scene.status == "Paused"
    assert scene.pass_time(timedelta(minutes=1)) == 1
    assert scene.status == "Stopped"


def test_a_pipeline_whose_tasks_all_failed_has_failed(scene: Scene) -> None:
    task = scene.start_task()
    scene.hear()
    scene.store.write(
        lambda unit: unit.attempts.fail(MINE, task.task_id, attempt=task.attempt, status_message="no such media")
    )
    assert scene.pass_time(timedelta(hours=8)) == 1
    assert scene.status == "Failed"


def test_pages_of_pipelines(store_and_clock: tuple[Store, Clock], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("earwitness.store.pages._RECORDS_AT_ONCE", 2)
    scenes = [Scene(*store_and_clock) for _ in range(5)]
    assert scenes[0].pass_time(timedelta(hours=8)) == 5
    assert {scene.status for scene in scenes} == {"Stopped"}


@pytest.mark.parametrize("by", [timedelta(hours=1), timedelta(days=1), timedelta(days=365)])
@pytest.mark.parametrize("ahead", [True, False], ids=["ahead", "back"])
def test_a_clock_that_is_set_ends_no_call_and_keeps_none(
    store_and_clock: tuple[Store, Clock], by: timedelta, ahead: bool
) -> None:
    scene = Scene(*store_and_clock)
    scene.start_task()
    scene.hear()
    assert scene.pass_time(timedelta(seconds=1)) == 0
    assert scene.set_clock(by if ahead else -by) == 0
    assert scene.pass_time(timedelta(seconds=14)) == 0
    scene.hear()
    assert scene.pass_time(timedelta(seconds=14)) == 0
    assert scene.pass_time(timedelta(seconds=1)) == 1  # its audio has ended now, whatever the clock says
    assert scene.status == "Stopping"


@pytest.mark.parametrize("by", [timedelta(days=1), timedelta(days=-1)], ids=["ahead", "back"])
def test_a_pipeline_is_eight_hours_old_after_eight_hours(store_and_clock: tuple[Store, Clock], by: timedelta) -> None:
    scene = Scene(*store_and_clock)
    assert scene.pass_time(timedelta(hours=4)) == 0
    assert scene.set_clock(by) == 0
    assert scene.pass_time(timedelta(hours=3, minutes=59)) == 0
    assert scene.pass_time(timedelta(minutes=1)) == 1


def test_a_call_that_begins_between_two_lists_ends_in_time(scene: Scene) -> None:
    """Which pipelines there are is read every ten seconds; a call may begin right after."""
    assert scene.pass_time(timedelta(seconds=1)) == 0
    scene.clock.advance(timedelta(seconds=0.1))
    scene.start_task()
    looks = [scene.pass_time(timedelta(seconds=1)) for _ in range(16)]
    assert looks.index(1) == 14


def test_a_call_that_is_heard_is_not_read(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.start_task()
    scene.hear()
    for _ in range(16):  # its streams are read once
        scene.arrivals[STREAM] = scene.clock()
        scene.pass_time(timedelta(seconds=1))
    reads: list[str] = []
    real = PipelineReader.get
    monkeypatch.setattr(PipelineReader, "get", lambda *args: reads.append(args[2]) or real(*args))
    for _ in range(60):
        scene.arrivals[STREAM] = scene.clock()
        assert scene.pass_time(timedelta(seconds=1)) == 0
    assert reads == []
    assert sum(scene.pass_time(timedelta(seconds=1)) for _ in range(15)) == 1
    assert reads


def test_a_stream_that_a_call_is_given_later_is_missed_when_it_is_silent(store_and_clock: tuple[Store, Clock]) -> None:
    scene = Scene(*store_and_clock)
    scene.start_task()
    scene.hear()
    assert scene.pass_time(timedelta(seconds=1)) == 0
    source = {
        "KinesisVideoStreamSourceRuntimeConfiguration": {"Streams": [{"StreamArn": STREAM}, {"StreamArn": OTHER}]}
    }
    scene.store.write(lambda unit: unit.pipelines.set_source(MINE, scene.pipeline_id, source))
    scene.supervisor.changed(scene.pipeline_id)
    scene.arrivals[OTHER] = scene.clock()
    stopped = 0
    for _ in range(16):
        scene.arrivals[STREAM] = scene.clock()
        stopped += scene.pass_time(timedelta(seconds=1))
    assert stopped == 1
