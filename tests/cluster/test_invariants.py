"""The checker of invariants says nothing of a sound cluster, and names whatever is broken."""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace

import psycopg
import pytest
from invariants import Seen, broken
from psycopg import sql
from traffic import Lines, Watched

from earwitness.fragments.numbers import read_number

pytestmark = pytest.mark.slow


@contextmanager
def changed(store_url: str, table: str, change: str, known: dict[str, str]) -> Iterator[None]:
    """Change a table as no program would, without what holds tables together, and change it back."""
    named = sql.Identifier(table)
    with psycopg.connect(store_url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(sql.SQL("CREATE TEMPORARY TABLE kept AS TABLE {}").format(named))
        connection.execute(change.encode(), known)
        yield
        with connection.transaction():
            connection.execute(sql.SQL("DELETE FROM {}").format(named))
            connection.execute(sql.SQL("INSERT INTO {} OVERRIDING SYSTEM VALUE TABLE kept").format(named))


@pytest.fixture(scope="module")
def used(calm: Watched) -> Iterator[tuple[Watched, str]]:
    """A cluster on which a caller was enrolled, found and deleted; and the caller's stream."""
    lines = Lines(calm.cluster, calm.seen, count=1, pace_seconds=0.1, has_voices=True)
    with lines.running(calls_max=2):
        pass
    assert lines.wrong == []
    yield calm, lines.lines[0].stream


def test_a_sound_cluster_is_not_blamed(used: tuple[Watched, str]) -> None:
    watched, stream = used
    assert watched.broken() == []
    seen = watched.seen
    assert len(seen.persisted[stream]) > 60
    assert len(seen.ends) == 2
    assert len(seen.deleted) == 1
    assert len(seen.searches) == 2
    assert {json.loads(body)["detail"].get("detailStatus") for _, body in seen.told} >= {
        "IdentificationNoMatchesFound",
        "IdentificationSuccessful",
        "VoiceprintGenerationSuccess",
    }


def test_what_clients_saw_and_is_not_there_is_named(used: tuple[Watched, str]) -> None:
    watched, stream = used
    seen = deepcopy(watched.seen)
    numbers = seen.persisted[stream]
    last = read_number(numbers[-1])
    unknown, ahead = str(replace(last, sequence=last.sequence + 9)), str(replace(last, sequence=10**9))
    seen.persisted[stream] = [*numbers, unknown, ahead, numbers[-1]]
    seen.persisted["arn:aws:kinesisvideo:us-east-1:000000000000:stream/no-such/1"] = [unknown]
    seen.written.add(("voice_profiles", "profile_id", "vp-absent"))
    (first, body), (doubled, other), *rest, untold = seen.told
    another = other.replace(b"000000000000", b"000000000001")
    seen.told[:] = [*rest, (first, body), (doubled, other), (doubled, another), ("unknown", body)]
    (task, *_), (profile,) = seen.ends, seen.deleted
    seen.ends[task] = "IdentificationSuccessful"
    seen.searches.append((math.inf, frozenset({profile})))
    seen.begun = dict.fromkeys(seen.begun, math.inf)
    found = _found(watched, seen)
    for expected in (
        f"fragment {unknown} was acknowledged, and node",
        f"does not list 2 fragments, the first {unknown}",
        "2 fragments cannot be read",
        f"fragment {ahead} was acknowledged, and its sequence was never given out",
        f"fragment {numbers[-1]} was acknowledged after {ahead}, and has no greater number",
        "stream no-such: fragments were acknowledged, and the records know of none",
        "vp-absent: was answered, and is not in the records",
        f"event {doubled}: was told with two bodies",
        f"event {untold[0]}: was told by no-one",
        f"event {first}: was told for the first time after a later one",
        "event unknown: was told, and the records do not know it",
        "event unknown: has another id in its body",
        f"task {task}: told [",
        f"{profile}: was found by a search",
        f"{profile}: was found by a task",
    ):
        assert any(expected in one for one in found), (expected, found)


def test_what_is_broken_in_the_records_is_named(used: tuple[Watched, str]) -> None:
    watched, stream = used
    task, event = next(iter(watched.seen.ends)), watched.seen.told[0][0]
    known = {"stream": stream, "task": task, "event": event}
    for table, change, expected in (
        (
            "stream_extents",
            "DELETE FROM stream_extents WHERE stream_arn = %(stream)s",
            "no part of it lies anywhere",
        ),
        (
            "stream_extents",
            "UPDATE stream_extents SET node_id = 'ghost' WHERE stream_arn = %(stream)s",
            "its home is another node",
        ),
        (
            "stream_extents",
            "UPDATE stream_extents SET first_sequence = 5 WHERE stream_arn = %(stream)s",
            "which belongs to another node's part",
        ),
        (
            "stream_extents",
            "INSERT INTO stream_extents SELECT account_id, region, stream_arn, epoch + 9, node_id, 1 "
            "FROM stream_extents WHERE stream_arn = %(stream)s",
            "overlap",
        ),
        (
            "kinesis_streams",
            "UPDATE kinesis_streams SET sequence_end = 1 WHERE arn = %(stream)s",
            "may be given out again",
        ),
        (
            "speaker_search_tasks",
            "UPDATE speaker_search_tasks SET ended_at = NULL, node_id = 'ghost' WHERE task_id = %(task)s",
            f"task {task}: is Stopped still, at node ghost, which is dead",
        ),
        (
            "speaker_search_tasks",
            "UPDATE speaker_search_tasks SET status = 'Failed' WHERE task_id = %(task)s",
            f"task {task}: is Failed",
        ),
        (
            "speaker_search_tasks",
            "DELETE FROM speaker_search_tasks WHERE task_id = %(task)s",
            f"speaker_search_tasks {task}: was answered, and is not in the records",
        ),
        (
            "outbox_deliveries",
            "UPDATE outbox_deliveries SET state = 'parked'",
            "is parked for webhook",
        ),
        (
            "outbox_events",
            "DELETE FROM outbox_events WHERE event_id = %(event)s",
            f"event {event}: was told, and the records do not know it",
        ),
    ):
        with changed(watched.cluster.store_url, table, change, known):
            found = _found(watched, watched.seen)
        assert any(expected in one for one in found), (expected, found)


def test_media_that_are_gone_are_named(used: tuple[Watched, str]) -> None:
    watched, stream = used
    for node in watched.cluster.nodes:
        for path in (node.folder / "data" / "media").rglob("*.segment"):
            path.unlink()
    found = _found(watched, watched.seen)
    watched.seen.persisted.clear()
    assert any(f"stream {stream.split('/')[1]}:" in one and "cannot be read" in one for one in found), found


def _found(watched: Watched, seen: Seen) -> list[str]:
    return broken(watched.cluster.store_url, {node.node_id(): node.url for node in watched.cluster.nodes}, seen)
