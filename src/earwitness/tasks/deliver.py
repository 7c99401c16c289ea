"""Deliver events: from the outbox to their targets, at least once, in order for each pipeline and target.

An event that fails is tried again later and holds back only those that come after it from the same pipeline for the
same target; what cannot be delivered is parked in the end and the next one goes on. A target that takes nothing is
asked from time to time whether it is back (`outages.py`); all that waits for it waits.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from datetime import datetime, timedelta

from earwitness.errors import SinkError, SinkUnavailable, StoreUnavailable
from earwitness.log import Recurring, frames_of
from earwitness.metrics.reported import DeliveryMetrics, DeliveryOutcome
from earwitness.sinks.sink import Sink
from earwitness.sinks.targets import kind_of
from earwitness.store.records import ClaimedDelivery
from earwitness.store.store import Store, Unit
from earwitness.tasks.outages import Outages
from earwitness.tasks.retrying import DELIVERY_DELAY_SECONDS_MAX, is_to_be_parked, next_delay_seconds
from earwitness.traces.traces import Traces
from earwitness.voice.events import EventKind

CLAIM_SECONDS = 15.0
"""How long a claimed delivery belongs to whoever claimed it, unless it is renewed: the events of a process that was
killed go out so much later. Clocks of processes that share records may differ by less than this."""

RENEW_SECONDS = 5.0
"""How often the claims of deliveries in progress are renewed: two renewals may fail before a claim runs out."""

AT_ONCE_MAX = 32
"""Deliveries in progress: a slow sink holds up to so many threads."""

THREADS = AT_ONCE_MAX + 1
"""One for each, and one to renew their claims while all the others are waiting for sinks."""

POLL_SECONDS = 1.0
"""How often due deliveries are looked for when nobody says that there are new ones: retries come due by time."""

_log = logging.getLogger("earwitness.deliver")


class Deliverer:
    """Sends what is due. Belongs to an event loop; `wake` may be called from any thread."""

    def __init__(
        self,
        store: Store,
        *,
        sink_of: Callable[[str], Sink],
        threads: Executor,
        clock: Callable[[], datetime],
        chance: Callable[[], float],
        metrics: DeliveryMetrics | None = None,
        traces: Traces | None = None,
        is_alone: bool = False,
        renew_seconds: float = RENEW_SECONDS,
        again_seconds: float = POLL_SECONDS,
    ) -> None:
        """`sink_of` gives the sink of a target; `chance` is random in [0, 1).

        `threads` are THREADS, and nobody else's. `is_alone`: no other process delivers the events of these records,
        so that all claims found at the start are those of a former process, and need not run out. After a failure that
        is no sink's, it is tried again in `again_seconds`.
        """
        self._store = store
        self._sink_of = sink_of
        self._threads = threads
        self._clock = clock
        self._chance = chance
        self._outages = Outages(clock=clock, chance=chance)
        self._loop = asyncio.get_running_loop()
        self._due = asyncio.Event()
        self._in_progress: dict[asyncio.Future[None], ClaimedDelivery] = {}
        self._metrics = metrics or DeliveryMetrics()
        self._traces = traces or Traces()
        self._is_alone = is_alone
        self._renew_seconds = renew_seconds
        self._again_seconds = again_seconds
        self._failing = Recurring(_log)

    def wake(self) -> None:
        """Look for new events now."""
        self._loop.call_soon_threadsafe(self._due.set)

    async def run(self) -> None:
        """Deliver until cancelled; deliveries that have begun are finished then."""
        renewing = self._loop.create_task(self._keep_claims())
        try:
            is_to_release = self._is_alone
            while True:
                try:
                    if is_to_release:
                        await self._loop.run_in_executor(self._threads, self._release)
                        is_to_release = False
                    await self._deliver_due()
                except Exception as error:  # nobody else would deliver anything until the next start
                    context = {"error": type(error).__name__, "frames": frames_of(error)}
                    self._failing.tell(logging.ERROR, "events cannot be delivered now", **context)
                    await asyncio.sleep(self._again_seconds)
        finally:
            try:
                await asyncio.shield(asyncio.gather(*self._in_progress, return_exceptions=True))
            finally:
                renewing.cancel()
                await asyncio.wait({renewing})

    async def _deliver_due(self) -> None:
        """Begin what is due; when that is nothing, wait for more."""
        self._due.clear()
        if await self._begin_due() == 0:
            await self._next_due()

    async def _next_due(self) -> None:
        """Wait until this is woken, or something is due."""
        while True:
            try:
                async with asyncio.timeout(POLL_SECONDS):  # `wait_for` may swallow a cancellation
                    await self._due.wait()
                return
            except TimeoutError:
                if await self._loop.run_in_executor(self._threads, self._is_any_due):
                    return

    async def _begin_due(self) -> int:
        """Begin what is due, as far as there is room. Return how many were begun."""
        room = AT_ONCE_MAX - len(self._in_progress)
        if room <= 0:
            await asyncio.wait(self._in_progress, return_when=asyncio.FIRST_COMPLETED)
            return 1
        claiming = self._loop.run_in_executor(self._threads, self._claim, room)
        try:
            claimed = await asyncio.shield(claiming)
        except asyncio.CancelledError:
            self._begin(await claiming)  # what is claimed would wait until its claim runs out
            raise
        self._begin(claimed)
        return len(claimed)

    def _begin(self, claimed: tuple[ClaimedDelivery, ...]) -> None:
        for delivery in claimed:
            task = self._loop.run_in_executor(self._threads, self.deliver, delivery)
            self._in_progress[task] = delivery
            task.add_done_callback(self._finished)

    def _finished(self, task: "asyncio.Future[None]") -> None:
        del self._in_progress[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            context = {"error": type(error).__name__, "frames": frames_of(error)}
            _log.error("what came of a delivery cannot be written; it is made again", extra=context)
        self._due.set()  # the next of the same pipeline may go now

    async def _keep_claims(self) -> None:
        """Renew the claims of deliveries that take long, until cancelled."""
        while True:
            await asyncio.sleep(self._renew_seconds)
            before = dict(self._in_progress)
            if not before:
                continue
            try:
                renewed = await self._loop.run_in_executor(self._threads, self._renew, tuple(before.values()))
            except Exception as error:
                context = {"error": type(error).__name__, "frames": frames_of(error)}
                self._failing.tell(logging.ERROR, "claims of deliveries cannot be renewed", **context)
                continue
            now = {(delivery.sequence, delivery.target): delivery for delivery in renewed}
            for task, delivery in before.items():
                if task in self._in_progress:
                    self._in_progress[task] = now.get((delivery.sequence, delivery.target), delivery)

    def _renew(self, claimed: tuple[ClaimedDelivery, ...]) -> tuple[ClaimedDelivery, ...]:
        until = self._clock() + timedelta(seconds=CLAIM_SECONDS)
        try:
            return self._store.write(lambda unit: unit.deliveries.renew(claimed, until=until))
        except StoreUnavailable as error:
            _log.warning("claims of deliveries cannot be renewed; they may be made twice", extra={"reason": str(error)})
            return ()

    def _release(self) -> None:
        """Make all that waits due: a claim is a former process's, and a sink may have been mended for this start."""
        until = self._clock() + timedelta(seconds=CLAIM_SECONDS + DELIVERY_DELAY_SECONDS_MAX)
        try:
            released = self._store.write(lambda unit: unit.deliveries.release(claimed_until=until))
        except StoreUnavailable as error:
            _log.warning("claims of a former process stay until they run out", extra={"reason": str(error)})
            return
        if released:
            _log.info("deliveries that wait from before the start are made now", extra={"count": released})

    def _is_any_due(self) -> bool:
        try:
            return self._store.events.is_any_due(self._clock())
        except StoreUnavailable:
            return True  # whoever claims says so

    def _claim(self, limit: int) -> tuple[ClaimedDelivery, ...]:
        until = self._clock() + timedelta(seconds=CLAIM_SECONDS)
        never, once = self._outages.split()
        try:
            claimed = self._store.write(
                lambda unit: unit.deliveries.claim(until=until, limit=limit, never=never, once=once)
            )
        except StoreUnavailable as error:
            self._failing.tell(logging.ERROR, "due events cannot be read", reason=str(error))
            return ()
        self._outages.asked({delivery.target for delivery in claimed}.intersection(once))
        return claimed

    def deliver(self, delivery: ClaimedDelivery) -> None:
        """Try one delivery, and write down what came of it."""
        context: dict[str, object] = {"event_id": delivery.event_id, "attempt": delivery.attempt}
        try:
            with self._traces.delivering(delivery.body, sink=kind_of(delivery.target), attempt=delivery.attempt):
                self._sink_of(delivery.target).send(
                    delivery.body,
                    event_id=delivery.event_id,
                    ordering_key=delivery.pipeline_id,
                    kind=EventKind(delivery.kind),
                )
        except SinkError as error:
            self._write_failure(
                delivery, error, away_until=self._outages.failed(delivery.target, error, context=context)
            )
            return
        except Exception as error:  # a mistake in a sink must not hold back what comes after, nor go unseen
            context |= {"error": type(error).__name__, "frames": frames_of(error)}
            failure = SinkUnavailable("the sink failed unexpectedly; the log tells where")
            away_until = self._outages.failed(delivery.target, failure, context=context, level=logging.ERROR)
            self._write_failure(delivery, failure, away_until=away_until)
            return
        self._outages.took(delivery.target)
        self._metrics.tried(kind_of(delivery.target), DeliveryOutcome.DELIVERED)
        self._store.write(lambda unit: unit.deliveries.record_delivered(delivery))

    def _write_failure(self, delivery: ClaimedDelivery, error: SinkError, *, away_until: datetime | None) -> None:
        now = self._clock()
        age = now - delivery.created_at
        asked = error.retry_after_seconds if isinstance(error, SinkUnavailable) else None
        retry_at = None
        if not is_to_be_parked(attempts=delivery.attempt, age=age, retryable=error.retryable):
            delay = next_delay_seconds(attempts=delivery.attempt, chance=self._chance(), asked_seconds=asked)
            retry_at = now + timedelta(seconds=delay)
        outcome = DeliveryOutcome.PARKED if retry_at is None else DeliveryOutcome.RETRIED
        self._metrics.tried(kind_of(delivery.target), outcome)

        def work(unit: Unit) -> None:
            unit.deliveries.record_failed(delivery, error=str(error), retry_at=retry_at)
            if away_until is not None:
                unit.deliveries.put_off(delivery.target, until=away_until)

        self._store.write(work)
