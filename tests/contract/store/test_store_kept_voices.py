"""The voices of a domain's calls as a look-back reads them: the latest first, as long as they are kept, sealed."""

from datetime import timedelta

import pytest
from search_examples import DAY, add_task, adopted, end, vector, voiceprint, with_voiceprint
from sqlalchemy import update
from store_examples import MINE, OTHERS, Clock, add_pipeline

from earwitness.errors import NotFound
from earwitness.store.records import SpeakerSearchTask
from earwitness.store.schema import task_voiceprints
from earwitness.store.store import Store


def heard_in(store: Store, domain_id: str, channel_id: int) -> SpeakerSearchTask:
    pipeline = store.write(add_pipeline)
    made = store.write(lambda unit: add_task(unit, domain_id, pipeline.pipeline_id, channel_id=channel_id))
    task = adopted(store, made)
    store.write(
        lambda unit: unit.attempts.conclude_voiceprint(
            MINE, task.task_id, attempt=1, voiceprint=voiceprint(0.28, 0.96, audio=b"speech")
        )
    )
    return end(store, task)


def test_the_latest_voices_are_read_first_and_only_while_they_are_kept(store: Store, clock: Clock) -> None:
    first = end(store, with_voiceprint(store))
    clock.advance(timedelta(hours=1))
    second = heard_in(store, first.domain_id, 1)
    with_voiceprint(store)  # in another domain
    voices = store.task_voiceprints.kept(MINE, first.domain_id, at=clock(), limit=9)
    assert [one.task_id for one in voices] == [second.task_id, first.task_id]
    assert (voices[0].vector, voices[0].net_speech_seconds) == (vector(0.28, 0.96), 20.25)
    assert [one.task_id for one in store.task_voiceprints.kept(MINE, first.domain_id, at=clock(), limit=1)] == [
        second.task_id
    ]
    assert store.task_voiceprints.count_kept(MINE, first.domain_id, at=clock()) == 2
    late = clock() + DAY - timedelta(minutes=30)
    assert [one.task_id for one in store.task_voiceprints.kept(MINE, first.domain_id, at=late, limit=9)] == [
        second.task_id
    ]
    assert store.task_voiceprints.count_kept(MINE, first.domain_id, at=late) == 1
    kept_until = store.task_voiceprints.kept_until(MINE, [first.task_id, "unknown"])
    assert first.ended_at is not None
    assert kept_until == {first.task_id: first.ended_at + DAY}


def test_nobody_reads_another_accounts_voices(store: Store, clock: Clock) -> None:
    task = end(store, with_voiceprint(store))
    for other in OTHERS:
        assert store.task_voiceprints.kept_until(other, [task.task_id]) == {}
        assert store.task_voiceprints.count_kept(other, task.domain_id, at=clock()) == 0
        with pytest.raises(NotFound):
            store.task_voiceprints.kept(other, task.domain_id, at=clock(), limit=9)


def test_a_damaged_voice_hides_no_other(store: Store, clock: Clock) -> None:
    first = end(store, with_voiceprint(store))
    second = heard_in(store, first.domain_id, 1)
    with store._database.engine.connect() as connection, connection.begin():
        damaged = task_voiceprints.c.task_id == first.task_id
        connection.execute(update(task_voiceprints).where(damaged).values(vector_ciphertext=b"damaged"))
    (left,) = store.task_voiceprints.kept(MINE, first.domain_id, at=clock(), limit=9)
    assert left.task_id == second.task_id
