"""Voice Connectors and their calls: found by what a phone system sends, and gone when they should be."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from connector_examples import CALLEE, CALLER, NUMBER, add_call, add_connector, add_leg
from search_examples import add_task
from sqlalchemy import select
from store_examples import MINE, OTHERS, Clock, add_domain, add_pipeline, add_stream

from earwitness.errors import AlreadyExists, Conflict, LimitExceeded, NotFound
from earwitness.store.connector_records import ConnectorCall, DoorSettings, VoiceConnector
from earwitness.store.schema import metadata
from earwitness.store.store import Store, Unit
from earwitness.voice.call import AudioCoding, Leg
from earwitness.voice.connector import CallLeg, CallStatus, DoorSecret
from earwitness.voice.task_status import StopReason, TaskStatus

SECRET = "shared-with-a-phone-system"  # noqa: S105  # a test's
HOUR = timedelta(hours=1)


@pytest.fixture
def connector(store: Store) -> VoiceConnector:
    return store.write(add_connector)


def _end(store: Store, call: ConnectorCall, status: CallStatus = CallStatus.ENDED) -> ConnectorCall | None:
    def work(unit: Unit) -> ConnectorCall | None:
        locked = unit.connector_calls.lock_active(call.scope, call.transaction_id)
        return None if locked is None else unit.connector_calls.end(locked, status=status, reason="it hung up")

    return store.write(work)


def test_a_connector_is_found_by_id_and_arn_in_its_account_and_by_id_everywhere(
    store: Store, connector: VoiceConnector
) -> None:
    assert store.connectors.get(MINE, connector.connector_id) == connector
    assert store.connectors.get(MINE, connector.arn) == connector
    assert store.connectors.get_everywhere(connector.connector_id) == connector
    assert store.connectors.get_everywhere("x" * 22) is None
    for scope in OTHERS:
        assert store.connectors.get(scope, connector.connector_id) is None
        assert store.connectors.list(scope, limit=9).items == ()
        assert store.write(lambda unit, scope=scope: unit.connectors.delete(scope, connector.connector_id)) is False
        assert (
            store.write(
                lambda unit, scope=scope: unit.connectors.set_door(
                    scope, connector.connector_id, secrets={DoorSecret.TOKEN: "theirs"}
                )
            )
            is None
        )
    assert store.connectors.list(MINE, limit=9).items == (connector,)
    with pytest.raises(LimitExceeded):
        store.write(lambda unit: add_connector(unit, limit=1))


def test_a_connector_changes_one_thing_at_a_time(store: Store, connector: VoiceConnector) -> None:
    streaming = {"DataRetentionInHours": 1, "Disabled": False}
    settings = DoorSettings(disabled=True, allowed_networks=("10.0.0.0/8",), caller_label="a_leg")
    key = connector.connector_id
    store.write(lambda unit: unit.connectors.set_streaming(MINE, key, streaming))
    store.write(lambda unit: unit.connectors.set_door(MINE, key, change=lambda _: settings))
    store.write(lambda unit: unit.connectors.set_door(MINE, key, secrets={DoorSecret.TOKEN: SECRET}))
    store.write(lambda unit: unit.connectors.set_door(MINE, key, secrets={DoorSecret.BASIC: "a:b"}))
    store.write(lambda unit: unit.connectors.update(MINE, key, name="other", body={"RequireEncryption": True}))
    found = store.connectors.get(MINE, key)
    assert found is not None
    assert (found.name, found.streaming, found.door) == ("other", streaming, settings)
    assert found.secrets == {DoorSecret.TOKEN: SECRET, DoorSecret.BASIC: "a:b"}
    access = found.access
    assert (access.disabled, access.require_encryption, access.caller_label) == (True, True, "a_leg")
    assert SECRET not in repr((found, access))
    store.write(lambda unit: unit.connectors.set_door(MINE, key, secrets={DoorSecret.TOKEN: None}))
    again = store.write(lambda unit: unit.connectors.set_streaming(MINE, key, None))
    assert again is not None
    assert again.secrets == {DoorSecret.BASIC: "a:b"}
    assert again.streaming is None


def test_what_two_people_change_at_once_is_both_kept(store: Store, connector: VoiceConnector) -> None:
    key, together = connector.connector_id, threading.Barrier(2)

    def add_label(settings: DoorSettings) -> DoorSettings:
        return replace(settings, caller_label=settings.caller_label + "x")

    def add_network(settings: DoorSettings) -> DoorSettings:
        networks = settings.allowed_networks
        return replace(settings, allowed_networks=(*networks, f"10.0.0.{len(networks)}/32"))

    def change_again_and_again(change: Callable[[DoorSettings], DoorSettings]) -> None:
        for _ in range(20):
            together.wait()
            store.write(lambda unit: unit.connectors.set_door(MINE, key, change=change))

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(change_again_and_again, (add_label, add_network)))
    kept = store.connectors.get(MINE, key)
    assert kept is not None
    assert (kept.door.caller_label, len(kept.door.allowed_networks)) == ("x" * 20, 20)


def test_streaming_that_is_disabled_closes_the_door(store: Store, connector: VoiceConnector) -> None:
    assert connector.access.disabled is False
    assert store.connectors.in_use({connector.connector_id, "of-nobody"}) == {connector.connector_id}
    changed = store.write(lambda unit: unit.connectors.set_streaming(MINE, connector.connector_id, {"Disabled": True}))
    assert changed is not None
    assert changed.access.disabled is True
    assert store.connectors.in_use({connector.connector_id}) == set()


def test_secrets_and_numbers_are_in_no_column(store: Store, connector: VoiceConnector) -> None:
    store.write(lambda unit: unit.connectors.set_door(MINE, connector.connector_id, secrets={DoorSecret.TOKEN: SECRET}))
    call = store.write(lambda unit: add_call(unit, connector))
    assert store.connector_calls.get(MINE, call.transaction_id) == call
    assert NUMBER not in repr(call)
    with store._database.engine.connect() as connection:
        for table in metadata.sorted_tables:
            for row in connection.execute(select(table)):
                for value in row:
                    content = value if isinstance(value, bytes) else str(value).encode()
                    assert SECRET.encode() not in content
                    assert NUMBER.encode() not in content


def test_a_connector_with_calls_in_progress_stays(store: Store, connector: VoiceConnector) -> None:
    call = store.write(lambda unit: add_call(unit, connector))
    with pytest.raises(Conflict, match="1 calls"):
        store.write(lambda unit: unit.connectors.delete(MINE, connector.connector_id))
    _end(store, call)
    assert store.write(lambda unit: unit.connectors.delete(MINE, connector.connector_id)) is True
    assert store.connectors.get_everywhere(connector.connector_id) is None
    assert store.connector_calls.get(MINE, call.transaction_id) is not None
    with pytest.raises(NotFound):
        store.write(lambda unit: add_call(unit, connector, call_id="late"))


def test_a_call_can_be_ended_without_being_read(store: Store, connector: VoiceConnector) -> None:
    call, other = (store.write(lambda unit, name=name: add_call(unit, connector, call_id=name)) for name in "ab")

    def end(unit: Unit) -> bool:
        return unit.connector_calls.end_unread(
            MINE, call.transaction_id, status=CallStatus.FAILED, reason="it is damaged"
        )

    assert store.write(end) is True
    assert store.write(end) is False
    found = store.connector_calls.get(MINE, call.transaction_id)
    assert found is not None
    assert (found.status, found.reason) == (CallStatus.FAILED, "it is damaged")
    assert found.ended_at is not None
    old = store.connector_calls.list_old_streams(now=found.ended_at + 3 * HOUR, limit=9)
    assert old == [(MINE, found.legs[0].stream_arn)]
    (active,) = store.connector_calls.list_active_everywhere(limit=9).items
    assert (active.scope, active.transaction_id, active.started_at) == (MINE, other.transaction_id, other.started_at)


def test_an_announced_call_comes_once_and_in_time(store: Store, connector: VoiceConnector, clock: Clock) -> None:
    def announce(call_id: str) -> None:
        store.write(
            lambda unit: unit.connectors.announce(
                MINE, connector.connector_id, call_id=call_id, expires_at=unit.now + timedelta(minutes=10)
            )
        )

    def take(call_id: str) -> VoiceConnector | None:
        return store.write(lambda unit: unit.connectors.take_announced(call_id))

    for call_id in ("a", "b", "c", "d"):
        announce(call_id)
    with pytest.raises(AlreadyExists):
        announce("a")
    assert take("a") == connector
    assert take("a") is None
    assert take("nobody") is None
    clock.advance(timedelta(minutes=11))
    assert take("b") is None
    assert store.write(lambda unit: unit.connectors.purge_announced()) == 2
    for scope in OTHERS:
        with pytest.raises(NotFound):
            store.write(
                lambda unit, scope=scope: unit.connectors.announce(
                    scope, connector.connector_id, call_id="x", expires_at=unit.now
                )
            )
    announce("e")
    store.write(lambda unit: unit.connectors.delete(MINE, connector.connector_id))
    assert take("e") is None


def test_of_many_who_take_an_announced_call_one_has_it(store: Store, connector: VoiceConnector) -> None:
    store.write(
        lambda unit: unit.connectors.announce(MINE, connector.connector_id, call_id="one", expires_at=unit.now + HOUR)
    )
    together = threading.Barrier(6)

    def take(_: int) -> bool:
        together.wait()
        return store.write(lambda unit: unit.connectors.take_announced("one")) is not None

    with ThreadPoolExecutor(6) as threads:
        assert sorted(threads.map(take, range(6))) == [False] * 5 + [True]


def test_two_calls_of_one_id_are_not_in_progress_at_once(store: Store, connector: VoiceConnector) -> None:
    first = store.write(lambda unit: add_call(unit, connector))
    with pytest.raises(Conflict):
        store.write(lambda unit: add_call(unit, connector))
    other = store.write(add_connector)
    store.write(lambda unit: add_call(unit, other))
    ended = _end(store, first)
    assert ended is not None
    assert (ended.status, ended.reason) == (CallStatus.ENDED, "it hung up")
    assert ended == store.connector_calls.get(MINE, first.transaction_id)
    assert _end(store, first, CallStatus.FAILED) is None
    second = store.write(lambda unit: add_call(unit, connector))
    assert second.transaction_id != first.transaction_id
    assert store.connector_calls.count_active(MINE) == 2


def test_legs_keep_their_streams_when_their_coding_changes(store: Store, connector: VoiceConnector) -> None:
    call = store.write(lambda unit: add_call(unit, connector))
    call = store.write(lambda unit: add_leg(unit, call, CALLEE))
    wide = Leg(label=CALLER.label, is_caller=True, coding=AudioCoding.L16, rate=16_000)
    changed = store.write(
        lambda unit: unit.connector_calls.put_leg(call, wide, stream_arn="", start_fragment_number="")
    )
    assert changed == store.connector_calls.get(MINE, call.transaction_id)
    audio = [(leg.label, leg.is_caller, leg.coding, leg.rate) for leg in changed.legs]
    assert audio == [(leg.label, leg.is_caller, leg.coding, leg.rate) for leg in (wide, CALLEE)]
    assert [leg.stream_arn for leg in changed.legs] == [leg.stream_arn for leg in call.legs]
    assert [leg.channel_id for leg in changed.legs] == [0, 1]
    assert changed.leg(CallLeg.CALLEE) == changed.legs[1]
    moved = store.write(lambda unit: unit.connector_calls.set_numbers(changed, from_number="1", to_number="2"))
    assert store.connector_calls.get(MINE, call.transaction_id) == moved


def test_calls_are_listed_newest_first_and_purged_with_their_events(
    store: Store, connector: VoiceConnector, clock: Clock
) -> None:
    calls = [store.write(lambda unit, name=name: add_call(unit, connector, call_id=name)) for name in "abc"]
    page = store.connector_calls.list(MINE, limit=2)
    rest = store.connector_calls.list(MINE, after=page.next_key, limit=2)
    assert [*page.items, *rest.items] == calls[::-1]
    assert all(store.connector_calls.list(scope, limit=9).items == () for scope in OTHERS)
    assert len(store.connector_calls.list_active_everywhere(limit=9).items) == 3
    transaction_id = calls[0].transaction_id
    store.write(
        lambda unit: unit.events.append(
            MINE, event_id="e", pipeline_id=transaction_id, kind="k", body=b"{}", targets=["arn:q"]
        )
    )
    event = store.events.get(MINE, "e")
    assert event is not None
    assert event.body == b"{}"
    (claimed,) = store.write(lambda unit: unit.deliveries.claim(until=unit.now, limit=9))
    assert claimed.body == b"{}"
    _end(store, calls[0])
    clock.advance(8 * 24 * HOUR)
    assert store.write(lambda unit: unit.connector_calls.purge(ended_before=clock.now, limit=9)) == 1
    assert store.events.get(MINE, "e") is None
    assert store.connector_calls.get(MINE, transaction_id) is None


def test_events_go_with_their_pipeline(store: Store) -> None:
    pipeline = store.write(add_pipeline)
    store.write(
        lambda unit: unit.events.append(
            MINE, event_id="e", pipeline_id=pipeline.pipeline_id, kind="k", body=b"{}", targets=["arn:q"]
        )
    )
    assert store.write(lambda unit: unit.pipelines.delete(MINE, pipeline.pipeline_id))
    assert store.events.get(MINE, "e") is None
    assert store.write(lambda unit: unit.deliveries.claim(until=unit.now, limit=9)) == ()
    with pytest.raises(NotFound):
        store.write(
            lambda unit: unit.events.append(
                MINE, event_id="e", pipeline_id=pipeline.pipeline_id, kind="k", body=b"{}", targets=[]
            )
        )


def test_streams_of_legs_go_when_their_retention_has_passed(
    store: Store, connector: VoiceConnector, clock: Clock
) -> None:
    own = store.write(lambda unit: add_stream(unit, "a-producer's"))
    call = store.write(lambda unit: add_call(unit, connector))
    assert store.streams.count(MINE) == 1

    def old() -> list[str]:
        return [arn for _, arn in store.connector_calls.list_old_streams(now=clock.now, limit=9)]

    clock.advance(9 * HOUR)
    assert old() == []
    _end(store, call)
    assert old() == []
    clock.advance(HOUR)
    assert old() == [call.legs[0].stream_arn]
    stream = store.streams.get(MINE, call.legs[0].stream_arn)
    assert stream is not None
    store.write(
        lambda unit: unit.streams.update(
            MINE, stream.arn, expected_version=stream.version, new_version="n", retention_hours=5
        )
    )
    assert old() == []
    clock.advance(4 * HOUR)
    assert old() == [stream.arn]
    store.write(lambda unit: unit.streams.delete(MINE, stream.arn))
    assert old() == []
    assert store.streams.list(MINE, limit=9).items == (own,)


def test_a_pause_leaves_tasks_of_a_call_alone(store: Store, connector: VoiceConnector) -> None:
    def work(unit: Unit) -> tuple[str, str, str]:
        call, pipeline, domain = add_call(unit, connector), add_pipeline(unit), add_domain(unit)
        channel = add_task(unit, domain.domain_id, pipeline.pipeline_id)
        leg = add_task(unit, domain.domain_id, pipeline.pipeline_id, channel_id=1)
        unit.connector_calls.give_task(call, leg.task_id, CallLeg.CALLEE)
        with pytest.raises(AlreadyExists):
            unit.connector_calls.give_task(call, leg.task_id, CallLeg.CALLER)
        assert unit.connector_calls.task_leg(MINE, leg.task_id) == (call.transaction_id, CallLeg.CALLEE)
        return pipeline.pipeline_id, channel.task_id, leg.task_id

    pipeline_id, channel_id, leg_id = store.write(work)
    stopped = store.write(
        lambda unit: unit.tasks.request_stop_of_pipeline(MINE, pipeline_id, reason=StopReason.PIPELINE_PAUSED)
    )
    assert [task.task_id for task in stopped] == [channel_id]
    task = store.tasks.get(MINE, leg_id)
    assert task is not None
    assert (task.status, task.call_leg) == (TaskStatus.NOT_STARTED, CallLeg.CALLEE)
    stopped = store.write(
        lambda unit: unit.tasks.request_stop_of_pipeline(MINE, pipeline_id, reason=StopReason.PIPELINE_STOPPED)
    )
    assert [task.task_id for task in stopped] == [leg_id]


def test_a_summary_is_owed_once(store: Store, clock: Clock) -> None:
    pipeline = store.write(add_pipeline)
    for _ in range(2):
        store.write(lambda unit: unit.summaries.owe(MINE, pipeline.pipeline_id, due_at=unit.now + HOUR / 12))
    assert store.summaries.list_due(now=clock.now, limit=9) == []
    before_it_was_owed = clock.now - HOUR  # a clock that was set back holds it up no longer
    assert store.summaries.list_due(now=before_it_was_owed, limit=9) == [(MINE, pipeline.pipeline_id)]
    clock.advance(HOUR)
    assert store.summaries.list_due(now=clock.now, limit=9) == [(MINE, pipeline.pipeline_id)]
    assert store.write(lambda unit: unit.summaries.take(MINE, pipeline.pipeline_id)) is True
    assert store.write(lambda unit: unit.summaries.take(MINE, pipeline.pipeline_id)) is False
    assert store.summaries.list_due(now=clock.now, limit=9) == []
