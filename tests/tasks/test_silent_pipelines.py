"""Which pipelines are stopped because their audio has ended."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from search_examples import add_task
from store_examples import MINE, Clock, add_domain, configuration_arn, guid, opened

from earwitness.store.records import Pipeline
from earwitness.store.store import Store, Unit
from earwitness.tasks.events import EventPublisher
from earwitness.tasks.pipelines import PipelineMoves
from earwitness.tasks.supervise import SILENT_AFTER, Supervisor

AGENT, CUSTOMER = (f"arn:aws:kinesisvideo:eu-central-1:111122223333:stream/{name}/1" for name in ("agent", "customer"))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    made = opened(f"sqlite:///{tmp_path}/records.db", clock=clock)
    yield made
    made.close()


def call(unit: Unit) -> Pipeline:
    """A call of two streams, and a task that listens to the customer's."""
    pipeline_id = guid()
    pipeline = unit.pipelines.create(
        MINE,
        pipeline_id=pipeline_id,
        arn=f"arn:aws:chime:eu-central-1:111122223333:media-pipeline/{pipeline_id}",
        configuration_arn=configuration_arn("analytics", MINE),
        configuration={"Elements": [{"Type": "VoiceAnalyticsProcessor"}]},
        status="InProgress",
        element_statuses=[{"Type": "VoiceAnalyticsProcessor", "Status": "InProgress"}],
        source={
            "KinesisVideoStreamSourceRuntimeConfiguration": {
                "MediaSampleRate": 8_000,
                "Streams": [{"StreamArn": AGENT}, {"StreamArn": CUSTOMER}],
            }
        },
        runtime_metadata=None,
        active_limit=None,
    )
    add_task(unit, add_domain(unit).domain_id, pipeline_id, stream_arn=CUSTOMER)
    return pipeline


@pytest.mark.slow
@pytest.mark.parametrize(
    ("hears_all", "came_last", "stopped"),
    [
        (True, {AGENT: 1, CUSTOMER: 1}, 0),
        (True, {CUSTOMER: 1}, 1),
        (False, {CUSTOMER: 1}, 0),
        (False, {AGENT: 1}, 1),
        (False, {CUSTOMER: 16}, 1),
        (False, {}, 1),
    ],
)
def test_audio_has_ended_when_a_stream_is_silent_that_would_be_heard(
    store: Store, clock: Clock, hears_all: bool, came_last: dict[str, int], stopped: int
) -> None:
    """`came_last` is how many seconds ago each stream had its last fragment."""
    pipeline = store.write(call)
    started_at = clock()
    clock.advance(SILENT_AFTER + timedelta(seconds=2))
    now = clock()
    arrivals: dict[str, datetime] = {arn: now - timedelta(seconds=seconds) for arn, seconds in came_last.items()}
    supervisor = Supervisor(
        store,
        moves=PipelineMoves(EventPublisher(targets_of=lambda *_: (), new_id=guid), pipeline_changed=lambda _: None),
        last_arrival=arrivals.get,
        hears_all=lambda _: hears_all,
        started_at=started_at,
    )
    assert supervisor.look_at_running(None, now) == stopped
    found = store.pipelines.get(MINE, pipeline.pipeline_id)
    assert found is not None
    assert (found.status == "InProgress") is not bool(stopped)
