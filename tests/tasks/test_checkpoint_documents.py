"""The document of a checkpoint: of this version, of others, damaged. A task goes on from each of them."""

import copy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from following import RATE, Line, Office, cut_off, fragments_of, run
from hypothesis import given, settings
from hypothesis import strategies as st
from store_examples import MINE

from earwitness.engine.engine import Engine
from earwitness.store.columns import from_json, to_json
from earwitness.store.records import SpeakerSearchTask
from earwitness.tasks.checkpoints import (
    VERSION,
    Checkpoint,
    SpeechRange,
    StreamPosition,
    checkpoint_of,
    document_of,
)
from earwitness.voice.task_status import TaskStatus

times = st.datetimes(datetime(1970, 1, 1), datetime(9999, 1, 1), timezones=st.just(UTC))
places = st.builds(
    StreamPosition, number=st.integers(0, 10**47).map(str), server_time=times, offset=st.integers(0, 20 * 48_000)
)
checkpoints = st.builds(
    Checkpoint,
    first=places.map(lambda place: StreamPosition(number=place.number, server_time=place.server_time)),
    speech=st.lists(st.builds(SpeechRange, start=places, end=places), max_size=4).map(tuple),
    listening=places,
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
GOOD = dict(
    document_of(
        Checkpoint(
            first=StreamPosition(number="5", server_time=datetime(2026, 1, 1, tzinfo=UTC)),
            speech=(
                SpeechRange(
                    start=StreamPosition(number="5", server_time=datetime(2026, 1, 1, tzinfo=UTC)),
                    end=StreamPosition(number="9", server_time=datetime(2026, 1, 1, 0, 0, 4, tzinfo=UTC), offset=77),
                ),
            ),
            listening=StreamPosition(number="9", server_time=datetime(2026, 1, 1, 0, 0, 4, tzinfo=UTC), offset=77),
        )
    )
)
FIRST = StreamPosition(number="5", server_time=datetime(2026, 1, 1, tzinfo=UTC))


@given(checkpoint=checkpoints)
def test_what_is_kept_is_read_again(checkpoint: Checkpoint) -> None:
    assert checkpoint_of(from_json(to_json(document_of(checkpoint)))) == checkpoint


@pytest.mark.parametrize(
    "document",
    [
        {"version": 1, "firstFragmentNumber": "5", "firstServerTime": "2026-01-01T00:00:00+00:00"},
        {"firstFragmentNumber": "5", "firstServerTime": "2026-01-01T01:00:00+01:00"},
        GOOD | {"version": VERSION + 1, "speech": {"another": "shape"}, "more": 1},
        GOOD | {"speech": None},
        GOOD | {"listening": {"number": "9"}},
    ],
    ids=["the first version", "without a version", "a later version", "no ranges", "no listening"],
)
def test_of_other_versions_and_damaged_ones_the_start_counts(document: dict[str, Any], caplog: Any) -> None:
    assert checkpoint_of(document) == Checkpoint(first=FIRST, speech=(), listening=FIRST)
    assert "from the start" in caplog.text


@pytest.mark.parametrize(
    "damage",
    [
        {"firstFragmentNumber": None},
        {"firstFragmentNumber": "-5"},
        {"firstFragmentNumber": "9" * 5_000},
        {"firstServerTime": "2026-01-01T00:00:00"},
        {"firstServerTime": "yesterday"},
        {"firstServerTime": "0001-01-01T00:00:00+23:00"},
    ],
)
def test_without_a_start_the_task_begins_anew(damage: dict[str, Any], caplog: Any) -> None:
    assert checkpoint_of(GOOD | damage) is None
    assert "begins anew" in caplog.text


@settings(max_examples=300)
@given(data=st.data(), value=json_values)
def test_no_damage_raises(data: st.DataObject, value: Any) -> None:
    """Any value in place of any part, or any value instead of it all."""
    document: Any = copy.deepcopy(GOOD)
    inside: Any = document
    while True:
        key = data.draw(st.sampled_from(sorted(inside) if isinstance(inside, dict) else range(len(inside))))
        if isinstance(inside[key], str | int | float) or data.draw(st.booleans()):
            break
        inside = inside[key]
    inside[key] = value
    for damaged in (document, value):
        found = checkpoint_of(damaged)
        assert found is None or found.first.server_time.utcoffset() == timedelta(0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "begins_at"),
    [
        (lambda good: {"version": 1} | {name: good[name] for name in ("firstFragmentNumber", "firstServerTime")}, "1"),
        (lambda good: good | {"version": VERSION + 1}, "1"),
        (lambda good: good | {"listening": 7}, "1"),
        (lambda good: good | {"firstFragmentNumber": "none"}, None),
        (lambda _: {}, None),
    ],
    ids=["older", "newer", "damaged", "no start", "empty"],
)
def test_a_task_goes_on_from_any_document(
    tmp_path: Path, engine: Engine, call: np.ndarray, damage: Any, begins_at: str | None
) -> None:
    """It finds what it would have found, and its next checkpoint is good."""

    fragments = fragments_of(call, [second * RATE for second in range(1, 36)])

    async def heard_on(office: Office, task: SpeakerSearchTask) -> bytes:
        office.line = Line(fragments)
        await office.follow(task)
        assert office.now(task).status is TaskStatus.STOPPED
        found = office.store.task_voiceprints.get(MINE, task.task_id)
        assert found is not None
        return found.voiceprint.vector

    async def plain(office: Office) -> bytes:
        return await heard_on(office, office.new_task())

    async def damaged(office: Office) -> bytes:
        task = office.new_task()
        await cut_off(office, task, fragments[:5])
        kept = office.now(task)
        office.store.write(
            lambda unit: unit.attempts.write_progress(
                MINE, task.task_id, attempt=kept.attempt, checkpoint=damage(kept.checkpoint)
            )
        )
        await cut_off(office, task, fragments[:6])
        assert checkpoint_of(office.now(task).checkpoint or {}) == checkpoint_of(kept.checkpoint or {})
        assert office.line.starts[0].first_number == begins_at
        return await heard_on(office, task)

    for name in ("plain", "damaged"):
        (tmp_path / name).mkdir()
    assert run(tmp_path / "damaged", engine, damaged) == run(tmp_path / "plain", engine, plain)
