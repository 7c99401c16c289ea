"""Nodes on one database: homes, moves, notes, and the end of one that is silent. PostgreSQL alone has nodes."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from connector_examples import add_call, add_connector
from search_examples import add_task
from sqlalchemy import text
from store_examples import MINE, add_domain, add_pipeline, add_stream

from earwitness.errors import AnotherProcessServes, Conflict, NotFound
from earwitness.store.leading import Leader, NodeLeading, NodeLoad
from earwitness.store.node_records import NoteKind
from earwitness.store.records import KinesisStream
from earwitness.store.store import Store
from earwitness.voice.task_status import StopReason

pytestmark = pytest.mark.usefixtures("postgres_only")


@pytest.fixture
def postgres_only(kind: str) -> None:
    if kind != "postgresql":
        pytest.skip("records in SQLite have one process")


@pytest.fixture
def join(open_again: Callable[[float], Store]) -> Callable[[str], Store]:
    """A node of this name."""

    def node(name: str) -> Store:
        store = open_again(20.0)
        leader = Leader(
            holder=f"run of {name}", host="h", process=1, node_id=name, internal_url=f"http://{name}", node_url=""
        )
        assert store.leading.claim(leader) is None
        return store

    return node


@pytest.fixture
def stream(store: Store) -> KinesisStream:
    return store.write(lambda unit: add_stream(unit, "line"))


def become(store: Store, stream: KinesisStream, *, epoch: int = 0, sequence_min: int = 1):
    return store.write(
        lambda unit: unit.homes.become(MINE, stream.arn, expected_epoch=epoch, sequence_min=sequence_min)
    )


def silence(store: Store, node_id: str) -> None:
    """As if a node had said nothing for longer than its lease."""
    with store._database.engine.begin() as connection:
        past = text("UPDATE nodes SET alive_until = alive_until - 60000000 WHERE node_id = :node")
        connection.execute(past, {"node": node_id})


def start_task(store: Store, stream: KinesisStream):
    domain, pipeline = store.write(add_domain), store.write(add_pipeline)
    return store.write(lambda unit: add_task(unit, domain.domain_id, pipeline.pipeline_id, stream_arn=stream.arn))


def bury(store: Store) -> str | None:
    return store.write(lambda unit: unit.nodes.bury_one())


def notes(store: Store) -> list[tuple[NoteKind, str]]:
    return [(note.kind, note.subject) for note in store.write(lambda unit: unit.nodes.take_notes())]


def test_of_two_that_claim_a_stream_at_once_one_is_its_home(
    join: Callable[[str], Store], stream: KinesisStream
) -> None:
    a, b = join("a"), join("b")
    become(a, stream)
    with pytest.raises(Conflict):
        become(b, stream)
    kept = a.streams.get(MINE, stream.arn)
    assert kept is not None
    assert (kept.home_node, kept.home_epoch) == ("a", 1)


def test_numbers_grow_over_moves(join: Callable[[str], Store], stream: KinesisStream) -> None:
    a, b = join("a"), join("b")
    first = become(a, stream)
    longer = a.write(lambda unit: unit.homes.extend(MINE, stream.arn, epoch=1))
    second = become(b, stream, epoch=1)
    assert first.first_sequence == 1
    assert longer > first.end_sequence
    assert second.first_sequence == longer
    with pytest.raises(Conflict):
        a.write(lambda unit: unit.homes.extend(MINE, stream.arn, epoch=1))
    extents = [(one.node_id, one.epoch, one.first_sequence) for one in b.homes.extents(MINE, stream.arn)]
    assert extents == [("a", 1, 1), ("b", 2, longer)]


def test_media_of_before_there_were_nodes_belong_to_the_one_that_has_them(
    join: Callable[[str], Store], stream: KinesisStream
) -> None:
    home = become(join("a"), stream, sequence_min=777)
    assert home.first_sequence == 777
    extents = join("b").homes.extents(MINE, stream.arn)
    assert [(one.node_id, one.first_sequence) for one in extents] == [("a", 1)]


def test_a_task_runs_at_the_home_of_its_stream(join: Callable[[str], Store], stream: KinesisStream) -> None:
    a, b = join("a"), join("b")
    become(b, stream)
    task = start_task(a, stream)
    assert task.node_id == "b"
    assert notes(b) == [(NoteKind.TASK, task.task_id)]
    assert notes(b) == []
    assert a.write(lambda unit: unit.attempts.adopt(MINE, task.task_id)) is None
    adopted = b.write(lambda unit: unit.attempts.adopt(MINE, task.task_id))
    assert adopted is not None and adopted.attempt == 1


def test_tasks_move_with_their_stream(join: Callable[[str], Store], stream: KinesisStream) -> None:
    a, b = join("a"), join("b")
    task = start_task(a, stream)
    assert task.node_id == "a"
    home = become(b, stream)
    assert home.tasks == ((task.pipeline_id, task.task_id),)
    assert notes(a) == [(NoteKind.TASK, task.task_id)]
    assert a.write(lambda unit: unit.attempts.adopt(MINE, task.task_id)) is None


def test_a_stop_reaches_the_node_that_runs_the_task(join: Callable[[str], Store], stream: KinesisStream) -> None:
    a, b = join("a"), join("b")
    become(b, stream)
    task = start_task(a, stream)
    notes(b)
    a.write(lambda unit: unit.tasks.request_stop(MINE, task.task_id, reason=StopReason.CALLER))
    assert notes(b) == [(NoteKind.TASK, task.task_id)]
    assert notes(a) == []


def test_a_silent_node_is_taken_for_dead_and_its_tasks_move(
    join: Callable[[str], Store], stream: KinesisStream
) -> None:
    a, b = join("a"), join("b")
    become(a, stream)
    task = start_task(a, stream)
    other = start_task(a, a.write(lambda unit: add_stream(unit, "no media yet")))
    assert bury(b) is None
    silence(b, "a")
    assert bury(b) == "a"
    assert bury(b) is None
    kept = b.streams.get(MINE, stream.arn)
    assert kept is not None
    assert (kept.home_node, kept.home_epoch) == ("b", 2)
    moved = {task.task_id for task in b.tasks.list_of_node("b", limit=9).items}
    assert moved == {task.task_id, other.task_id}
    assert set(b.pipelines.running("b")) == {(MINE, task.pipeline_id), (MINE, other.pipeline_id)}
    assert not b.pipelines.running("a")
    with pytest.raises(AnotherProcessServes):
        a.write(add_domain)
    with pytest.raises(AnotherProcessServes):
        a.leading.renew()


def test_the_dead_leave_their_tasks_to_those_with_room(join: Callable[[str], Store], stream: KinesisStream) -> None:
    a, b, full, drained = join("a"), join("b"), join("full"), join("drained")
    for store, room in ((b, 5), (full, 0), (drained, 9)):
        assert isinstance(store.leading, NodeLeading)
        store.leading.load = lambda room=room: NodeLoad(tasks=1, room=room)
        store.leading.renew()
    assert b.write(lambda unit: unit.nodes.set_draining("drained", is_draining=True))
    task = start_task(a, stream)
    silence(b, "a")
    assert bury(full) == "a"
    assert [one.task_id for one in b.tasks.list_of_node("b", limit=9).items] == [task.task_id]
    assert notes(b) == [(NoteKind.TASKS, "")]
    drained.leading.renew()
    assert drained.is_draining()


def test_a_node_in_the_middle_of_a_change_is_not_taken_for_dead(join: Callable[[str], Store]) -> None:
    a, b = join("a"), join("b")

    def change(unit):
        silence(b, "a")
        assert bury(b) is None
        return add_domain(unit)

    a.write(change)
    assert bury(b) == "a"


def test_a_node_that_starts_again_is_itself_again(
    join: Callable[[str], Store], open_again: Callable[[float], Store], stream: KinesisStream
) -> None:
    a = join("a")
    become(a, stream)
    task = start_task(a, stream)
    silence(a, "a")
    again = open_again(20.0)
    assert again.leading.claim(Leader(holder="the next run", host="h", process=2, node_id="a")) is None
    with pytest.raises(AnotherProcessServes):
        a.write(add_domain)
    assert [one.task_id for one in again.tasks.list_of_node("a", limit=9).items] == [task.task_id]


def test_nodes_with_media_hear_of_retention_and_deletion(join: Callable[[str], Store], stream: KinesisStream) -> None:
    a, b, c = join("a"), join("b"), join("c")
    become(a, stream)
    become(b, stream, epoch=1)
    c.write(
        lambda unit: unit.streams.update(
            MINE, stream.arn, expected_version=stream.version, new_version="b", retention_hours=2
        )
    )
    assert notes(a) == notes(b) == [(NoteKind.STREAM, stream.arn)]
    c.write(lambda unit: unit.streams.delete(MINE, stream.arn))
    assert notes(a) == notes(b) == [(NoteKind.STREAM, stream.arn)]
    assert notes(c) == []
    with pytest.raises(NotFound):
        become(a, stream, epoch=2)


def test_a_deleted_domain_is_told_to_all(join: Callable[[str], Store], store: Store) -> None:
    a, b = join("a"), join("b")
    domain = a.write(add_domain)
    a.write(lambda unit: unit.domains.delete(MINE, domain.domain_id))
    assert notes(b) == [(NoteKind.DOMAIN, domain.domain_id)]
    assert notes(a) == []
    by_a_command = store.write(add_domain)
    store.write(lambda unit: unit.domains.delete(MINE, by_a_command.domain_id))
    assert notes(a) == notes(b) == [(NoteKind.DOMAIN, by_a_command.domain_id)]


def test_one_node_keeps_house(join: Callable[[str], Store]) -> None:
    a, b = join("a"), join("b")
    assert a.keeps_house()
    assert not b.keeps_house()
    assert a.keeps_house()
    with a._database.engine.begin() as connection:
        connection.execute(text("UPDATE service_leaders SET expires_at = expires_at - 60000000"))
    assert b.keeps_house()
    assert not a.keeps_house()


def test_the_database_tells_the_time(join: Callable[[str], Store]) -> None:
    told = join("a").leading.renew()
    assert told is not None
    assert abs(told - datetime.now(UTC)) < timedelta(minutes=5)


def test_a_dead_node_is_forgotten_when_asked(join: Callable[[str], Store], stream: KinesisStream) -> None:
    a, b = join("a"), join("b")
    become(a, stream)
    assert not b.write(lambda unit: unit.nodes.forget("a"))
    silence(b, "a")
    bury(b)
    assert b.write(lambda unit: unit.nodes.forget("a"))
    assert [node.node_id for node in b.nodes.list(limit=9).items] == ["b"]
    assert b.homes.extents(MINE, stream.arn) == []


def test_calls_of_a_dead_node_are_found_also_when_it_was_forgotten(join: Callable[[str], Store]) -> None:
    a, b = join("a"), join("b")
    connector = a.write(add_connector)
    call = a.write(lambda unit: add_call(unit, connector))

    def found(*, of_dead_node: bool) -> list[str]:
        named = b.connector_calls.find_active(MINE, connector.connector_id, call.call_id, of_dead_node=of_dead_node)
        return [] if named is None else [named.transaction_id]

    assert (found(of_dead_node=True), found(of_dead_node=False)) == ([], [call.transaction_id])
    assert b.connector_calls.list_of_dead_nodes(limit=9).items == ()
    silence(a, "a")
    assert bury(b) == "a"
    for _ in range(2):
        assert found(of_dead_node=True) == [call.transaction_id]
        assert [one.transaction_id for one in b.connector_calls.list_of_dead_nodes(limit=9).items] == found(
            of_dead_node=True
        )
        b.write(lambda unit: unit.nodes.forget("a"))
    assert b.connector_calls.find_active(MINE, connector.connector_id, "another", of_dead_node=False) is None
