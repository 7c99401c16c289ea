"""Events to sinks: order, retries, parking, and sinks that misbehave. Sinks, clock and chance are made up."""

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from store_examples import MINE, Clock, add_pipeline, guid, opened

from earwitness.errors import SinkRefused, SinkUnavailable
from earwitness.store.records import DeliveryState
from earwitness.store.store import Store, Unit
from earwitness.tasks.deliver import AT_ONCE_MAX, CLAIM_SECONDS, Deliverer
from earwitness.voice.events import EventKind
from patience import PATIENCE_SECONDS

HERE, THERE = "file:///here", "file:///there"
KIND = EventKind.SPEAKER_SEARCH.value
CLAIM = timedelta(seconds=CLAIM_SECONDS)


class Sinks:
    """Targets that remember what they got, and do as they are told."""

    def __init__(self) -> None:
        self.got: dict[str, list[bytes]] = defaultdict(list)
        self.ids: list[str] = []
        self.troubles: dict[str, list[Exception]] = defaultdict(list)
        self.calls: list[tuple[str, bytes]] = []
        self.slow: dict[bytes, threading.Event] = {}

    def of(self, target: str) -> "Sinks.One":
        return Sinks.One(self, target)

    class One:
        def __init__(self, sinks: "Sinks", target: str) -> None:
            self.sinks, self.target = sinks, target

        def send(self, event_body: bytes, *, event_id: str, **_: object) -> None:
            sinks = self.sinks
            sinks.calls.append((self.target, event_body))
            if event_body in sinks.slow:
                assert sinks.slow[event_body].wait(20)
            if sinks.troubles[self.target]:
                raise sinks.troubles[self.target].pop(0)
            sinks.got[self.target].append(event_body)
            sinks.ids.append(event_id)


class Post:
    """Records with events to deliver."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.store: Store = opened(f"sqlite:///{folder / 'records.db'}", clock=self.clock)
        self.sinks = Sinks()
        self.threads = ThreadPoolExecutor(8)

    def pipeline(self) -> str:
        return self.store.write(lambda unit: add_pipeline(unit).pipeline_id)

    def write(self, pipeline: str, *bodies: bytes, targets: tuple[str, ...] = (HERE,)) -> list[str]:
        def append(body: bytes) -> str:
            def work(unit: Unit) -> str:
                event_id = guid()
                unit.events.append(MINE, event_id=event_id, pipeline_id=pipeline, kind=KIND, body=body, targets=targets)
                return event_id

            return self.store.write(work)

        return [append(body) for body in bodies]

    def state(self, event_id: str, target: str = HERE) -> tuple[DeliveryState, int]:
        event = self.store.events.get(MINE, event_id)
        assert event
        (delivery,) = [one for one in event.deliveries if one.target == target]
        return delivery.state, delivery.attempts

    def play(
        self, done: Callable[[], bool], *, after: Callable[[Deliverer], None] | None = None, is_alone: bool = False
    ) -> None:
        """Deliver until `done`, on an event loop of its own; claims are renewed every few milliseconds."""

        async def scene() -> None:
            deliverer = Deliverer(
                self.store,
                sink_of=self.sinks.of,
                threads=self.threads,
                clock=self.clock,
                chance=lambda: 0.5,
                is_alone=is_alone,
                renew_seconds=0.002,
                again_seconds=0.002,
            )
            running = asyncio.create_task(deliverer.run())
            async with asyncio.timeout(PATIENCE_SECONDS):
                if after is not None:
                    await asyncio.to_thread(after, deliverer)
                while not done():
                    assert not running.done()
                    deliverer.wake()
                    await asyncio.sleep(0.005)
            running.cancel()
            await asyncio.wait({running})
            assert running.cancelled()

        asyncio.run(scene())


@pytest.fixture
def post(tmp_path: Path) -> Iterator[Post]:
    made = Post(tmp_path)
    yield made
    made.threads.shutdown()
    made.store.close()


def settled(post: Post, *ids: str, target: str = HERE) -> Callable[[], bool]:
    return lambda: all(post.state(one, target)[0] is not DeliveryState.PENDING for one in ids)


def test_in_order_for_each_pipeline_and_target(post: Post) -> None:
    ids: list[str] = []
    bodies = {post.pipeline(): [f"{letter}{number}".encode() for number in range(5)] for letter in "ab"}
    for number in range(5):
        for pipeline, events in bodies.items():
            ids += post.write(pipeline, events[number], targets=(HERE, THERE))
    post.play(lambda: sum(map(len, post.sinks.got.values())) == 20 and settled(post, *ids)())
    for target in (HERE, THERE):
        for events in bodies.values():
            assert [body for body in post.sinks.got[target] if body in events] == events


def test_a_sink_that_is_away_holds_back_its_own_pipeline_only(post: Post) -> None:
    down, other = post.pipeline(), post.pipeline()
    post.sinks.troubles[HERE] = [SinkUnavailable("away"), SinkUnavailable("away")]
    first, second = post.write(down, b"1", b"2")
    (elsewhere,) = post.write(other, b"3", targets=(THERE,))
    post.play(lambda: settled(post, elsewhere, target=THERE)() and post.state(first) == (DeliveryState.PENDING, 1))
    assert post.state(second) == (DeliveryState.PENDING, 0)
    post.clock.advance(timedelta(seconds=1.2))  # half of the way from one second to two
    post.play(lambda: post.state(first)[1] == 1)
    assert post.sinks.got[HERE] == []
    post.clock.advance(timedelta(seconds=0.5))
    post.play(lambda: post.state(first)[1] == 2)
    post.clock.advance(timedelta(seconds=2.6))
    post.play(settled(post, first, second))
    assert post.sinks.got[HERE] == [b"1", b"2"]
    assert len(set(post.sinks.ids)) == 3


def test_what_a_sink_asks_for_is_waited_for(post: Post) -> None:
    post.sinks.troubles[HERE] = [SinkUnavailable("busy", retry_after_seconds=90)]
    (one,) = post.write(post.pipeline(), b"1")

    def failed() -> bool:
        written = post.store.events.get(MINE, one)
        return written is not None and written.deliveries[0].last_error is not None

    post.play(failed)
    event = post.store.events.get(MINE, one)
    assert event
    assert timedelta(seconds=89) < event.deliveries[0].next_attempt_at - event.created_at < timedelta(seconds=91)


class Away(list[Exception]):
    """Troubles without an end, until they are taken away."""

    def pop(self, _: object = 0) -> Exception:
        return SinkUnavailable("nobody listens")

    def __bool__(self) -> bool:
        return True


def passing(post: Post, time: timedelta) -> Callable[[], bool]:
    """Say when so much time has passed, which every look brings two seconds nearer."""
    end = post.clock.now + time

    def look() -> bool:
        post.clock.advance(timedelta(seconds=2))
        return post.clock.now >= end

    return look


def test_a_sink_that_is_away_is_asked_rarely_and_told_of_once_a_minute(
    post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    post.sinks.troubles[HERE] = Away()
    for number in range(200):
        post.write(post.pipeline(), b"%d" % number)
    (elsewhere,) = post.write(post.pipeline(), b"elsewhere", targets=(THERE,))
    post.play(passing(post, timedelta(minutes=10)))
    assert post.state(elsewhere, THERE)[0] is DeliveryState.DELIVERED
    assert AT_ONCE_MAX + 9 <= len(post.sinks.calls) <= AT_ONCE_MAX + 40  # at last once in half a minute
    told = [record for record in caplog.records if record.name == "earwitness.deliver"]
    assert {record.message for record in told} == {"events are not delivered"}
    assert 5 < len(told) <= 11
    assert vars(told[-1])["target"] == HERE and vars(told[-1])["reason"] == "nobody listens"


def test_a_sink_that_is_back_gets_what_waited_within_minutes(post: Post, caplog: pytest.LogCaptureFixture) -> None:
    post.sinks.troubles[HERE] = [SinkUnavailable("nobody listens")] * (AT_ONCE_MAX + 5)
    ids = [post.write(post.pipeline(), b"%d" % number)[0] for number in range(100)]
    since = post.clock.now
    post.play(lambda: passing(post, timedelta(0))() and settled(post, *ids)())
    assert {post.state(one)[0] for one in ids} == {DeliveryState.DELIVERED}
    assert post.clock.now - since < timedelta(minutes=10)
    assert len(post.sinks.got[HERE]) == 100
    assert [record.message for record in caplog.records][-1] == "a sink takes events again"


def test_a_sink_that_is_away_is_asked_though_the_clock_is_set_back(
    post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    post.sinks.troubles[HERE] = Away()
    for number in range(5):
        post.write(post.pipeline(), b"%d" % number)
    before: list[int] = []

    def minutes_before_and_after() -> bool:
        post.clock.advance(timedelta(seconds=2))
        nonlocal end
        if not before and post.clock.now >= end:
            before.extend((len(post.sinks.calls), len(caplog.records)))
            post.clock.advance(-timedelta(days=365))
            end = post.clock.now + timedelta(minutes=3)
        return bool(before) and post.clock.now >= end

    end = post.clock.now + timedelta(minutes=3)
    post.play(minutes_before_and_after)
    asked, told = before
    assert len(post.sinks.calls) > asked + 2
    assert len(caplog.records) > told + 1


def test_what_waits_is_tried_at_once_after_a_restart(post: Post) -> None:
    post.sinks.troubles[HERE] = [SinkUnavailable("busy", retry_after_seconds=300)]
    (one,) = post.write(post.pipeline(), b"1")
    post.play(lambda: post.state(one) == (DeliveryState.PENDING, 1) and last_error(post, one) is not None)
    post.play(settled(post, one), is_alone=True)
    assert post.sinks.got[HERE] == [b"1"]


def test_an_event_that_a_sink_never_takes_keeps_no_other_from_it(post: Post) -> None:
    """It fails as if the sink were away; the others end that."""
    wrong = post.write(post.pipeline(), b"wrong")[0]

    class Picky(Sinks.One):
        def send(self, event_body: bytes, *, event_id: str, **more: object) -> None:
            if event_body == b"wrong":
                raise SinkUnavailable("status 500")
            super().send(event_body, event_id=event_id, **more)

    post.sinks.of = lambda target: Picky(post.sinks, target)
    for number in range(20):
        (other,) = post.write(post.pipeline(), b"%d" % number)
        post.clock.advance(timedelta(seconds=301))
        post.play(settled(post, other))
    assert post.state(wrong)[0] is DeliveryState.PENDING
    assert post.state(wrong)[1] >= 10
    assert len(post.sinks.got[HERE]) == 20


def last_error(post: Post, event_id: str) -> str | None:
    event = post.store.events.get(MINE, event_id)
    assert event
    return event.deliveries[0].last_error


def test_what_is_refused_is_parked_and_the_next_goes_on(post: Post) -> None:
    post.sinks.troubles[HERE] = [SinkRefused("there is no such queue")]
    first, second = post.write(post.pipeline(), b"1", b"2")
    post.play(settled(post, first, second))
    assert post.state(first)[0] is DeliveryState.PARKED
    assert post.sinks.got[HERE] == [b"2"]


def test_what_nobody_took_for_a_day_is_parked(post: Post) -> None:
    post.sinks.troubles[HERE] = [SinkUnavailable("away")] * 2
    (one,) = post.write(post.pipeline(), b"1")
    post.play(lambda: post.state(one)[1] == 1)
    post.clock.advance(timedelta(hours=24))
    post.play(settled(post, one))
    assert post.state(one) == (DeliveryState.PARKED, 2)


def test_a_sink_with_a_mistake_is_tried_again_and_stops_nobody(post: Post) -> None:
    post.sinks.troubles[HERE] = [ZeroDivisionError()]
    wrong, right = post.write(post.pipeline(), b"1")[0], post.write(post.pipeline(), b"2", targets=(THERE,))[0]
    post.play(settled(post, right, target=THERE))
    post.play(lambda: post.state(wrong)[1] == 1)
    post.clock.advance(timedelta(seconds=2))
    post.play(settled(post, wrong))
    assert post.sinks.got == {HERE: [b"1"], THERE: [b"2"]}


def test_a_slow_sink_keeps_nobody_waiting_and_is_finished_at_a_stop(post: Post) -> None:
    post.sinks.slow[b"slow"] = release = threading.Event()
    (slow,) = post.write(post.pipeline(), b"slow")
    (quick,) = post.write(post.pipeline(), b"quick")

    def finish(_: Deliverer) -> None:
        threading.Timer(0.1, release.set).start()

    post.play(settled(post, quick), after=finish)
    assert post.state(slow)[0] is DeliveryState.DELIVERED
    assert sorted(post.sinks.got[HERE]) == [b"quick", b"slow"]


def next_attempt(post: Post, event_id: str) -> datetime:
    event = post.store.events.get(MINE, event_id)
    assert event
    return event.deliveries[0].next_attempt_at


def test_a_delivery_that_takes_long_stays_claimed(post: Post) -> None:
    post.sinks.slow[b"slow"] = release = threading.Event()
    (slow,) = post.write(post.pipeline(), b"slow")
    rounds = 0

    def much_later() -> bool:
        nonlocal rounds
        if rounds < 4 and post.state(slow)[1] == 1 and next_attempt(post, slow) > post.clock.now + CLAIM * 0.9:
            post.clock.advance(CLAIM / 2)
            rounds += 1
        if rounds == 4:
            release.set()
        return post.state(slow)[0] is DeliveryState.DELIVERED

    post.play(much_later)
    assert post.state(slow) == (DeliveryState.DELIVERED, 1)
    assert post.sinks.got[HERE] == [b"slow"]


def killed_in_the_middle(post: Post) -> str:
    (lost,) = post.write(post.pipeline(), b"1")
    post.store.write(lambda unit: unit.deliveries.claim(until=unit.now + CLAIM, limit=9))
    post.clock.advance(timedelta(seconds=1))
    return lost


def test_what_a_killed_process_was_delivering_goes_out_at_the_next_start(post: Post) -> None:
    lost = killed_in_the_middle(post)
    post.play(settled(post, lost), is_alone=True)
    assert post.sinks.got[HERE] == [b"1"]


def test_beside_other_processes_it_goes_out_when_the_claim_has_run_out(post: Post) -> None:
    lost = killed_in_the_middle(post)
    (other,) = post.write(post.pipeline(), b"2")
    post.play(settled(post, other))
    assert post.sinks.got[HERE] == [b"2"]
    post.clock.advance(CLAIM)
    post.play(settled(post, lost))
    assert post.sinks.got[HERE] == [b"2", b"1"]


class Scarce(ThreadPoolExecutor):
    """Threads of a process that the system gives no more of, for a while."""

    def __init__(self, *, refused: int) -> None:
        super().__init__(8)
        self.refused = refused

    def submit(self, *arguments: Any, **named: Any) -> Any:  # `Any`: as the executor has it
        if self.refused:
            self.refused -= 1
            raise RuntimeError("can't start new thread")
        return super().submit(*arguments, **named)


@pytest.mark.parametrize("is_alone", [True, False])
def test_what_fails_unexpectedly_ends_no_deliveries(
    post: Post, caplog: pytest.LogCaptureFixture, is_alone: bool
) -> None:
    post.threads.shutdown()
    post.threads = Scarce(refused=5)
    (one,) = post.write(post.pipeline(), b"1")
    post.play(settled(post, one), is_alone=is_alone)
    assert post.sinks.got[HERE] == [b"1"]
    assert [record.message for record in caplog.records] == ["events cannot be delivered now"]
