"""A migration that is killed in the middle: nothing of it is kept, and the next one completes."""

import os
import subprocess
import sys
from contextlib import closing

import pytest
from former_schemas import take_columns_back
from sqlalchemy import text
from store_examples import MINE, add_domain, add_pipeline, opened
from test_store_schema import _insert_as_then, _migrate_as_then, _profile_as_then

import started
from earwitness.errors import StoreError
from earwitness.store.schema import HEAD
from earwitness.store.store import Store, migrate_store
from patience import PATIENCE_SECONDS

OLDEST = "0003"
EVENTS = 3_000

_KILLED = """
import os, signal, sys
from sqlalchemy import Engine, event
from earwitness.store.store import Store, migrate_store
left = int(sys.argv[2])
def count(*_):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
event.listen(Engine, "after_cursor_execute", count)
event.listen(Engine, "commit", count)
migrate_store(sys.argv[1])
"""
"""`earwitness migrate` as a process that kills itself behind its nth statement, the last one before its commit."""


def killed_behind(statements: int, url: str) -> bool:
    """Whether a migration was killed there; False when it had fewer statements, and completed."""
    command = [sys.executable, "-c", _KILLED, url, str(statements)]
    with started.process(command, stderr=subprocess.PIPE, text=True) as process:
        _, said = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode in (0, -9), said
        return process.returncode != 0


def add_events_as_then(store: Store, pipeline_id: str) -> None:
    """Many, which are copied where the table is made anew."""
    numbers = range(1, EVENTS + 1)
    own = {"account": MINE.account_id, "region": MINE.region, "pipeline": pipeline_id}
    event = (
        "INSERT INTO outbox_events (account_id, region, event_id, pipeline_id, kind, body_ciphertext, created_at) "
        "VALUES (:account, :region, :event, :pipeline, 'k', :body, :n)"
    )
    delivery = (
        "INSERT INTO outbox_deliveries "
        "(sequence, target, account_id, region, pipeline_id, state, attempts, next_attempt_at) "
        "SELECT sequence, 'arn:x', account_id, region, pipeline_id, 'pending', 0, 5 FROM outbox_events"
    )
    with store._database.engine.begin() as connection:
        rows = [{**own, "event": f"event-{n}", "body": os.urandom(96), "n": n} for n in numbers]
        connection.execute(text(event), rows)
        connection.execute(text(delivery))


def events_of(store: Store) -> list[tuple[object, ...]]:
    with store._database.engine.connect() as connection:
        read = "SELECT sequence, event_id, body_ciphertext FROM outbox_events ORDER BY sequence"
        deliveries = (
            connection.execute(text("SELECT sequence FROM outbox_deliveries ORDER BY sequence")).scalars().all()
        )
        events = [tuple(row) for row in connection.execute(text(read))]
        assert [event[0] for event in events] == deliveries
        return events


@pytest.mark.slow
def test_a_migration_that_is_killed_anywhere_is_done_by_the_next_one(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("earwitness.store.migrate.HEAD", OLDEST)
    monkeypatch.setattr("earwitness.store.migrate.make_once", lambda connection: _migrate_as_then(connection, OLDEST))
    with closing(opened(empty_url)) as store:
        domain, pipeline = store.write(add_domain), store.write(add_pipeline)
        _insert_as_then(store, "voice_profiles", _profile_as_then(domain.domain_id))
        add_events_as_then(store, pipeline.pipeline_id)
        events = events_of(store)
        with store._database.engine.begin() as connection:
            take_columns_back(connection)
    monkeypatch.undo()
    at, killed = 1, 0
    while killed_behind(at, empty_url):
        killed += 1
        with pytest.raises(StoreError, match=f"schema {OLDEST} and this version needs {HEAD}"):
            opened(empty_url)
        at += max(1, at // 2)
    assert killed > 5
    migrate_store(empty_url)  # nothing is left to do
    with closing(opened(empty_url)) as store:
        assert store.domains.count(MINE) == 1
        assert store.pipelines.get(MINE, pipeline.pipeline_id) == pipeline
        assert store.profiles.get(MINE, "vp-1") is not None
        assert len(events) == EVENTS
        assert events_of(store) == events
        store.write(add_domain)
