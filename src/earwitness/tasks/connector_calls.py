"""Calls of Voice Connectors: what becomes of one in the records, from its first word to its end.

Doors tell what phone systems tell. What a call is in the records (its streams, its pipeline, its events) is written in
one transaction for each thing that they tell. A call that no door can end any more, because the process died, is ended
at the next start.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar

from earwitness.access.caller import arn_of
from earwitness.errors import (
    BadRequest,
    Conflict,
    EarwitnessError,
    Forbidden,
    Gone,
    NotFound,
    RecordDamaged,
    StoreUnavailable,
)
from earwitness.fragments.numbers import FragmentNumber, to_ms
from earwitness.fragments.stream import FragmentStream
from earwitness.log import frames_of
from earwitness.media.streams import MediaStreams
from earwitness.store.connector_records import ActiveCall, ConnectorCall, DoorAccess, KeptLeg, VoiceConnector
from earwitness.store.pages import all_records_in_thread
from earwitness.store.records import KinesisStream, Pipeline, Scope
from earwitness.store.store import Store, Unit
from earwitness.tasks.call_events import CallEvents
from earwitness.tasks.call_pipelines import CallPipelines
from earwitness.threads import RunInThread
from earwitness.voice.call import CallEnded, CallStarted, CallUpdated, Leg
from earwitness.voice.call_events import StreamingStatus
from earwitness.voice.connector import CallStatus

ResultT = TypeVar("ResultT")

NAME_CHARACTERS_MAX = 256
"""Of what a phone system calls a call, a leg or a party."""

REASON_CHARACTERS_MAX = 500

TRIES_MAX = 5
"""How often the end of a call is written again when somebody else moves its pipeline in the same moment."""

DOUBTFUL_MAX = 1_000
"""Calls that began while the records were away, and that are looked for when they are back."""

LOST = "the service ended while the call was in progress"
"""Why a call failed that a former process did not end."""

CONTINUED = "its phone system lost it, and goes on with it over another connection"
"""Why a call failed that another one of its id has followed."""

_log = logging.getLogger("earwitness.calls")


@dataclass(frozen=True, kw_only=True)
class KeptCall:
    """A call that is in the records."""

    access: DoorAccess
    #: What it is known by from now on: a UUID.
    transaction_id: str
    call_id: str
    #: Where each leg's fragments go, by label.
    streams: Mapping[str, FragmentStream] = field(repr=False)
    #: ARNs, by label.
    stream_arns: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class _OwedEnd:
    """The end of a call that is to be written."""

    scope: Scope
    transaction_id: str
    status: CallStatus
    reason: str


class ConnectorCalls:
    """The records' side of doors. Belongs to the event loop, and never blocks it."""

    def __init__(
        self,
        store: Store,
        *,
        media: MediaStreams,
        events: CallEvents,
        pipelines: CallPipelines,
        run_in_thread: RunInThread,
        new_id: Callable[[], str],
        heard_from: Callable[[str], None],
        events_written: Callable[[], None],
        pipeline_changed: Callable[[Pipeline], None],
        started_at: datetime,
    ) -> None:
        """`heard_from` notes that a fragment of a stream came, by its ARN. `events_written` and `pipeline_changed` are
        called when events and moves of pipelines are durable. `started_at` is when this process began: calls that
        are older are of a former one."""
        self._store = store
        self._media = media
        self._events = events
        self._pipelines = pipelines
        self._run_in_thread = run_in_thread
        self._new_id = new_id
        self._heard_from = heard_from
        self._events_written = events_written
        self._pipeline_changed = pipeline_changed
        self._started_at = started_at
        # Ends that are not written yet, by transaction: who told them may have given up.
        self._owed: dict[str, _OwedEnd] = {}
        self._recovering = asyncio.Lock()
        self._recovered = False

    async def access(self, connector_id: str) -> DoorAccess | None:
        """Return what is known of a connector, of any account; None when there is none."""
        found = await self._run_in_thread(lambda: self._store.connectors.get_everywhere(connector_id))
        return None if found is None else found.access

    async def in_use(self, connector_ids: Collection[str]) -> set[str]:
        """Return which of these connectors, of any account, take calls now."""
        return await self._run_in_thread(lambda: self._store.connectors.in_use(connector_ids))

    async def use_nonce(self, access: DoorAccess, nonce: str) -> bool:
        """Return whether nobody has used this nonce of a proved signature before, at any node, before any start.

        It is remembered for longer than any signature is good.
        """
        claim = await self._write(
            lambda unit: unit.idempotency.claim(
                access.scope, operation="Nonce", token=nonce, request=b"", reference=access.connector_id
            )
        )
        return claim.is_new

    async def announced(self, call_id: str, *, require: Callable[[DoorAccess], None]) -> DoorAccess | None:
        """Return the connector that a call of this id was announced for, once; None when it was not, or is too old.

        `require` raises for a call that may not come to this connector: the announcement stays, and nothing is written
        for strangers.
        """
        expected = await self._run_in_thread(lambda: self._store.connectors.get_announced(call_id))
        if expected is None:
            return None
        require(expected.access)
        found = await self._write(lambda unit: unit.connectors.take_announced(call_id))
        return None if found is None else found.access

    async def begin(self, access: DoorAccess, call: CallStarted, *, door: str) -> KeptCall:
        """Write that a call began, with a stream for each leg, and a pipeline if its connector names a configuration.

        Raise BadRequest for an id or a label that is too long, NotFound or Forbidden when the connector was deleted or
        takes no calls by now. Raise Conflict when a call of this id is in progress; one of a dead node, and one that
        this call goes on with, ends instead.
        """
        _require_short(call.call_id, *(leg.label for leg in call.legs))
        await self.recover()
        try:
            kept = await self._write_begun(access, call, door)
        except Conflict:
            if not await self._end_former(access, call):
                raise
            kept = await self._write_begun(access, call, door)
        self._events_written()
        return await self._open(access, kept, {})

    async def _write_begun(self, access: DoorAccess, call: CallStarted, door: str) -> ConnectorCall:
        transaction_id = self._new_id()
        try:
            return await self._write(lambda unit: self._begin(unit, access, call, transaction_id, door))
        except StoreUnavailable:  # it may be written all the same
            if len(self._owed) < DOUBTFUL_MAX:
                self._owe(access.scope, transaction_id, CallStatus.FAILED, "the records were away when it began")
            raise

    async def _end_former(self, access: DoorAccess, call: CallStarted) -> bool:
        """End the call of this id that nobody hears any more. Return whether there was one."""
        calls, lost_only = self._store.connector_calls, not call.is_continued
        former = await self._run_in_thread(
            lambda: calls.find_active(access.scope, access.connector_id, call.call_id, of_dead_node=lost_only)
        )
        if former is None:
            return False
        await self._end(former.scope, former.transaction_id, CallStatus.FAILED, LOST if lost_only else CONTINUED)
        return True

    async def add_leg(self, call: KeptCall, leg: Leg) -> KeptCall:
        """Return the call with a stream for one more leg. A leg whose coding changed keeps its stream.

        Raise Gone when the call has ended.
        """
        _require_short(leg.label)
        kept, pipeline = await self._write(lambda unit: self._add_leg(unit, call, leg))
        self._events_written()
        if pipeline is not None:
            self._pipeline_changed(pipeline)
        return await self._open(call.access, kept, call.streams)

    async def update(self, call: KeptCall, told: CallUpdated) -> None:
        """Write what the phone system says now; nothing changes for a call that has ended."""

        def work(unit: Unit) -> None:
            kept = unit.connector_calls.lock_active(call.access.scope, call.transaction_id)
            if kept is None:
                return
            kept = unit.connector_calls.set_numbers(
                kept,
                from_number=told.from_number[:NAME_CHARACTERS_MAX] or kept.from_number,
                to_number=told.to_number[:NAME_CHARACTERS_MAX] or kept.to_number,
            )
            self._events.streaming(unit, kept, StreamingStatus.UPDATED, told=told)

        await self._write(work)
        self._events_written()

    async def end(self, call: KeptCall, ended: CallEnded) -> None:
        """Write that a call ended, after its last fragment was written. A second time changes nothing.

        Its pipeline stops; tasks hear what there is, to the end.
        """
        status = CallStatus.FAILED if ended.failed else CallStatus.ENDED
        await self._write_owed(self._owe(call.access.scope, call.transaction_id, status, ended.reason))

    async def write_owed_ends(self) -> None:
        """Write the ends that could not be written when they were told; one that cannot be holds up no other.

        Raise what the records raise.
        """
        failures: list[Exception] = []
        for owed in list(self._owed.values()):
            try:
                await self._write_owed(owed)
            except Exception as error:
                failures.append(error)
        if failures:
            raise failures[0]

    def heard(self, stream_arn: str, *, door: str, size: int) -> None:
        """Note that a fragment of so many bytes of audio was written to this stream, or could not be."""
        self._media.metrics.received(door, size)
        self._heard_from(stream_arn)

    async def recover(self) -> None:
        """End the calls that a former process left, once; nobody can tell of them any more."""
        async with self._recovering:
            if self._recovered:
                return
            calls = self._store.connector_calls.list_active_everywhere
            async for call in all_records_in_thread(calls, self._run_in_thread):
                is_ours = call.node_id in (None, self._store.node_id)
                if is_ours and call.started_at < self._started_at:
                    await self._end_lost(call)
            self._recovered = True

    async def end_calls_of_dead_nodes(self) -> None:
        """End the calls of nodes that were taken for dead."""
        async for call in all_records_in_thread(self._store.connector_calls.list_of_dead_nodes, self._run_in_thread):
            await self._end_lost(call)

    async def _end_lost(self, call: ActiveCall) -> None:
        """End a call of a former process. One that cannot be ended stays as it is, and holds up no other."""
        try:
            await self._end(call.scope, call.transaction_id, CallStatus.FAILED, LOST)
        except EarwitnessError as error:
            if error.retryable and not isinstance(error, RecordDamaged):
                raise
            _log.error(
                "a call of a former process cannot be ended",
                extra={"transaction_id": call.transaction_id, "reason": str(error)},
            )

    def _owe(self, scope: Scope, transaction_id: str, status: CallStatus, reason: str) -> _OwedEnd:
        """Note an end, should it not be there already; the first one counts."""
        owed = _OwedEnd(scope=scope, transaction_id=transaction_id, status=status, reason=reason)
        return self._owed.setdefault(transaction_id, owed)

    async def _write_owed(self, owed: _OwedEnd) -> None:
        try:
            await self._end(owed.scope, owed.transaction_id, owed.status, owed.reason)
        except EarwitnessError as error:
            if not error.retryable and not isinstance(error, Conflict):
                self._owed.pop(owed.transaction_id, None)
            raise
        self._owed.pop(owed.transaction_id, None)

    async def _end(self, scope: Scope, transaction_id: str, status: CallStatus, reason: str) -> None:
        """Write an end. One that has ended, or was never written, stays as it is."""
        stopped = await self._write_ended(scope, transaction_id, status, reason[:REASON_CHARACTERS_MAX])
        self._events_written()
        if stopped is not None:
            self._pipeline_changed(stopped)

    async def _write_ended(self, scope: Scope, transaction_id: str, status: CallStatus, reason: str) -> Pipeline | None:
        tries = 1
        while True:
            try:
                return await self._write(lambda unit: self._ended(unit, scope, transaction_id, status, reason))
            except Conflict:
                if tries == TRIES_MAX:
                    raise
            except Exception as error:
                if isinstance(error, EarwitnessError) and error.retryable and not isinstance(error, RecordDamaged):
                    raise
                _tell_untold(transaction_id, error)
                await self._write(
                    lambda unit: unit.connector_calls.end_unread(scope, transaction_id, status=status, reason=reason)
                )
                return None
            tries += 1

    def _begin(
        self, unit: Unit, access: DoorAccess, call: CallStarted, transaction_id: str, door: str
    ) -> ConnectorCall:
        connector = unit.connectors.get(access.scope, access.connector_id)
        if connector is None:
            raise NotFound("the Voice Connector does not exist, or was deleted; look at its id")
        if connector.access.disabled:
            raise Forbidden("the Voice Connector takes no calls: it, or its streaming, is disabled; enable it")
        kept = unit.connector_calls.begin(
            access.scope,
            transaction_id=transaction_id,
            connector_id=connector.connector_id,
            call_id=call.call_id,
            door=door,
            direction="Inbound" if call.is_inbound else "Outbound",
            from_number=call.from_number[:NAME_CHARACTERS_MAX],
            to_number=call.to_number[:NAME_CHARACTERS_MAX],
        )
        for leg in sorted(call.legs, key=lambda leg: not leg.is_caller):
            kept = self._put_leg(unit, connector, kept, leg)
        kept, _ = self._pipelines.make(unit, connector, kept, call)
        self._events.streaming(unit, kept, StreamingStatus.STARTED, told=call)
        return kept

    def _add_leg(self, unit: Unit, call: KeptCall, leg: Leg) -> tuple[ConnectorCall, Pipeline | None]:
        """Return the call, and its pipeline if that listens to one more stream now."""
        before = unit.connector_calls.lock_active(call.access.scope, call.transaction_id)
        connector = unit.connectors.get(call.access.scope, call.access.connector_id)
        if before is None or connector is None:
            raise Gone("the call has ended; begin another")
        kept = self._put_leg(unit, connector, before, leg)
        status = StreamingStatus.UPDATED if len(kept.legs) == len(before.legs) else StreamingStatus.STARTED
        pipeline = None
        if not before.legs:
            kept, _ = self._pipelines.make(unit, connector, kept, None)
        elif status is StreamingStatus.STARTED:
            pipeline = self._pipelines.add_leg(unit, kept)
        changed = [one for one in kept.legs if one.label == leg.label]
        self._events.streaming(unit, kept, status, legs=changed)
        return kept, pipeline

    def _put_leg(self, unit: Unit, connector: VoiceConnector, call: ConnectorCall, leg: Leg) -> ConnectorCall:
        if any(kept.label == leg.label for kept in call.legs):
            return unit.connector_calls.put_leg(call, leg, stream_arn="", start_fragment_number="")
        stream = self._create_stream(unit, connector)
        # A pipeline that listens to it is silent until its first fragment; from now on, not since its task began.
        self._heard_from(stream.arn)
        # Behind nothing and before the first: fragments are counted from 1.
        before_all = FragmentNumber(sequence=0, server_ms=to_ms(unit.now), random=0)
        return unit.connector_calls.put_leg(call, leg, stream_arn=stream.arn, start_fragment_number=str(before_all))

    def _create_stream(self, unit: Unit, connector: VoiceConnector) -> KinesisStream:
        name = f"ChimeVoiceConnector-{connector.connector_id}-{self._new_id()}"
        streaming = connector.streaming or {}
        hours = streaming.get("DataRetentionInHours")
        return unit.streams.create(
            connector.scope,
            name=name,
            arn=arn_of(connector.scope, "kinesisvideo", f"stream/{name}/{to_ms(unit.now)}"),
            version=self._new_id().replace("-", "")[:20],
            retention_hours=hours if isinstance(hours, int) else 0,
            status="ACTIVE",
        )

    def _ended(self, unit: Unit, scope: Scope, transaction_id: str, status: CallStatus, reason: str) -> Pipeline | None:
        kept = unit.connector_calls.lock_active(scope, transaction_id)
        if kept is None:
            return None
        kept = unit.connector_calls.end(kept, status=status, reason=reason)
        told = StreamingStatus.FAILED if status is CallStatus.FAILED else StreamingStatus.ENDED
        self._events.streaming(unit, kept, told)
        return self._pipelines.stop(unit, kept)

    async def _open(self, access: DoorAccess, kept: ConnectorCall, before: Mapping[str, FragmentStream]) -> KeptCall:
        """Return the call with the streams of all its legs. Where the media log cannot be opened, the call fails."""
        opened = KeptCall(
            access=access,
            transaction_id=kept.transaction_id,
            call_id=kept.call_id,
            streams=before,
            stream_arns={leg.label: leg.stream_arn for leg in kept.legs},
        )
        try:
            streams = {leg.label: before.get(leg.label) or await self._stream(access, leg) for leg in kept.legs}
        except BaseException:  # an error of ours too: nobody else knows of the call
            if not before:
                reason = "its audio cannot be kept"
                await self._write_owed(self._owe(access.scope, kept.transaction_id, CallStatus.FAILED, reason))
            raise
        return replace(opened, streams=streams)

    async def _stream(self, access: DoorAccess, leg: KeptLeg) -> FragmentStream:
        stream = await self._run_in_thread(lambda: self._store.streams.get(access.scope, leg.stream_arn))
        if stream is None:
            raise Gone("the stream of a leg was deleted")
        return await self._media.open_to_write(access.scope, stream)

    async def _write(self, work: Callable[[Unit], ResultT]) -> ResultT:
        return await self._run_in_thread(lambda: self._store.write(work))


def _tell_untold(transaction_id: str, error: Exception) -> None:
    """Say that a call ends of which the record, the events or the pipeline are damaged.

    Nobody is told, but it is over, and its connector is free. Its pipeline ends when nothing comes any more.
    """
    context = {"transaction_id": transaction_id, "error": type(error).__name__, "frames": frames_of(error)}
    _log.error("the end of a call cannot be told; it is written without events", extra=context)


def _require_short(*names: str) -> None:
    if any(len(name) > NAME_CHARACTERS_MAX for name in names):
        raise BadRequest(f"the id of a call, or the label of a leg, has more than {NAME_CHARACTERS_MAX} characters")
