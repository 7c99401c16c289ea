"""What is old is deleted at its age and not before; the clock is made up."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from search_examples import DAY, THREE_YEARS, append_event, end, enrol, vector, with_voiceprint
from store_examples import MINE, Clock, add_domain, opened

from earwitness.errors import Gone
from earwitness.store.store import Store, Unit
from earwitness.tasks import expire as room
from earwitness.tasks.expire import expire
from earwitness.voice.line import Codec

SECOND = timedelta(seconds=1)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    opened_store = opened(f"sqlite:///{tmp_path / 'records.db'}", clock=clock)
    yield opened_store
    opened_store.close()


def done(store: Store, clock: Clock) -> dict[str, int]:
    """What was deleted now, without that of which there was nothing."""
    return {name: count for name, count in expire(store, now=clock()).items() if count}


def test_a_tasks_voiceprint_after_a_day(store: Store, clock: Clock) -> None:
    task = with_voiceprint(store)
    clock.advance(timedelta(hours=2))
    end(store, task)
    clock.advance(DAY - SECOND)
    assert done(store, clock) == {}
    clock.advance(SECOND)
    assert done(store, clock) == {"task voiceprints": 1}
    assert store.task_voiceprints.get(MINE, task.task_id) is None
    with pytest.raises(Gone):
        enrol(store, task)


def test_tasks_and_events_after_a_week(store: Store, clock: Clock) -> None:
    task = with_voiceprint(store)
    event = store.write(lambda unit: append_event(unit, task.pipeline_id))
    end(store, task)
    clock.advance(timedelta(days=7) - SECOND)
    assert done(store, clock) == {"task voiceprints": 1}
    clock.advance(2 * SECOND)
    assert done(store, clock) == {"tasks": 1, "events": 1}
    assert store.tasks.get(MINE, task.task_id) is None
    assert store.events.get(MINE, event) is None
    assert store.pipelines.get(MINE, task.pipeline_id) is not None  # active ones stay


def test_ended_pipelines_after_a_week(store: Store, clock: Clock) -> None:
    task = with_voiceprint(store)
    end(store, task)
    store.write(
        lambda unit: unit.pipelines.change_status(
            MINE,
            task.pipeline_id,
            expected=["NotStarted"],
            status="Stopped",
            element_statuses=[],
            ended_at=unit.now,
        )
    )
    clock.advance(timedelta(days=7) + SECOND)
    assert done(store, clock)["pipelines"] == 1
    assert store.pipelines.get(MINE, task.pipeline_id) is None


def test_a_profiles_voiceprints_when_it_expires(store: Store, clock: Clock) -> None:
    task = with_voiceprint(store, audio=b"speech")
    end(store, task)
    profile = enrol(store, task)
    clock.advance(THREE_YEARS - SECOND)
    assert "profile voiceprints" not in done(store, clock)
    clock.advance(SECOND)
    assert done(store, clock) == {"profile voiceprints": 1}
    page = store.profile_voiceprints.gallery_page(MINE, profile.domain_id, limit=10)
    assert page is not None
    assert page.page.items == ()
    assert store.profiles.get(MINE, profile.profile_id) is not None  # an update refills it


def test_votes_after_a_day(store: Store, clock: Clock) -> None:
    domain_id = store.write(add_domain).domain_id

    def vote(unit: Unit) -> None:
        unit.lines.lock(MINE, domain_id)
        unit.lines.vote(
            MINE,
            domain_id,
            Codec.PCM,
            encoder_id="two-d-1",
            vector=vector(),
            net_speech_seconds=10.0,
            profile_id=None,
            task_id=None,
        )

    store.write(vote)
    clock.advance(DAY - SECOND)
    assert done(store, clock) == {}
    clock.advance(SECOND)
    assert done(store, clock) == {"line votes": 1}
    assert store.lines.votes(MINE, domain_id, Codec.PCM) == ()


def test_more_than_one_batch(store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "BATCH", 2)
    for _ in range(5):
        end(store, with_voiceprint(store))
    clock.advance(timedelta(days=8))
    assert done(store, clock) == {"task voiceprints": 5, "tasks": 5}
