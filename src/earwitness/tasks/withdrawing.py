"""What a withdrawal of a consent leaves to be done: results of other calls that name the person, and media.

Everything here is done in small steps that say how far they came, so that a kill delays it and nothing more. Who is
looked for stands in the withdrawal, sealed; it is forgotten with the last step. Results and events are looked through
by the process that keeps house; each node erases what lies on its disk.

A fragment holds all channels of its stream, so what is erased of a call is erased with all of them. What a producer
goes on sending after the withdrawal is erased as it comes, until the pipeline of the call has ended.
"""

import json
import logging
from collections.abc import Collection, Mapping
from functools import partial
from typing import Any, Protocol

from earwitness.media.streams import MediaStreams
from earwitness.store.pages import all_records
from earwitness.store.records import Pipeline, SpeakerSearchTask
from earwitness.store.store import Store, Unit
from earwitness.store.withdrawal_records import MediaErasure, Sought, Withdrawal
from earwitness.threads import RunInThread
from earwitness.voice.consent import carried_for, without_consents
from earwitness.voice.deletion import DeletionReason
from earwitness.voice.withdrawal import WITHDRAWN, holds_any, json_text, without_profiles

WITHDRAW_SECONDS = 1.0
"""How often there is looked for work; a read of one indexed row where there is none."""

_PAGE = 200
_AT_ONCE = 20

_OWN_METADATA = ("callId", "transactionId", "voiceConnectorId", "direction")
"""What the service itself writes into metadata, without telephone numbers; its events need it."""

_log = logging.getLogger("earwitness.withdrawals")


def kept_metadata(subject: str, pipeline: Pipeline) -> Mapping[str, object]:
    """Return what may stay of the metadata of a pipeline in which a subject spoke: what the service itself needs, and
    consents of other people. Whatever else a client gave may tell of the call."""
    metadata = pipeline.runtime_metadata or {}
    own = {name: value for name, value in without_consents(metadata).items() if name in _OWN_METADATA}
    return {**own, **carried_for(metadata, but=subject)}


def because_of(unit: Unit, withdrawal_id: str, *, key_id: str) -> None:
    """Have what a unit deletes written down as a part of a withdrawal."""
    unit.deletions.because(DeletionReason.CONSENT_WITHDRAWN, who=key_id, request_id=withdrawal_id)


class KeepsHouse(Protocol):
    """Whoever knows whether this process does what is done once for all nodes."""

    keeps_house: bool


class Withdrawing:
    """Works on withdrawals that are not done."""

    def __init__(self, store: Store, streams: MediaStreams, run_in_thread: RunInThread, house: KeepsHouse) -> None:
        self._store = store
        self._streams = streams
        self._run_in_thread = run_in_thread
        self._house = house

    async def work(self) -> None:
        """Do what there is to do now. Raise StoreUnavailable and FragmentLogUnavailable; the next turn goes on."""
        node_id = self._store.node_id or ""
        due = await self._run_in_thread(lambda: self._store.withdrawals.due_erasures(node_id, limit=_PAGE))
        for erasure in due:
            await self._erase(erasure)
        if self._house.keeps_house:
            for withdrawal in await self._run_in_thread(lambda: self._store.withdrawals.open(limit=_AT_ONCE)):
                await self._run_in_thread(partial(self._go_on, withdrawal))

    async def _erase(self, erasure: MediaErasure) -> None:
        store, scope = self._store, erasure.scope
        stream = await self._run_in_thread(lambda: store.streams.get(scope, erasure.stream_arn))
        until, is_done = erasure.until_at, True
        if erasure.pipeline_id is not None:
            pipeline_id = erasure.pipeline_id
            pipeline = await self._run_in_thread(lambda: store.pipelines.get(scope, pipeline_id))
            is_done = pipeline is None or pipeline.ended_at is not None
        count = 0
        if stream is not None:
            kept = await self._streams.open_here(scope, stream)
            until = until or (await self._run_in_thread(lambda: store.write(lambda unit: unit.now)))
            count = await kept.erase(start=erasure.from_at, end=until)
        if count or is_done:
            await self._run_in_thread(
                lambda: store.write(lambda unit: unit.withdrawals.erased(erasure, fragments=count, is_done=is_done))
            )

    # In a thread.

    def _go_on(self, withdrawal: Withdrawal) -> None:
        sought = self._store.withdrawals.sought(withdrawal)
        if sought is None:
            return
        if not withdrawal.is_searched:
            results = self._forget_results(withdrawal, sought)
            results += self._forget_items(withdrawal, sought)
            events = self._forget_events(withdrawal, sought)
            counts = {"results": results, "events": events}
            self._store.write(lambda unit: unit.withdrawals.add(withdrawal, is_searched=True, **counts))
        if self._store.write(lambda unit: unit.withdrawals.finish(withdrawal)):
            _log.info("a withdrawal of a consent is done", extra={"withdrawal_id": withdrawal.withdrawal_id})

    def _forget_results(self, withdrawal: Withdrawal, sought: Sought) -> int:
        """Take the profiles of the subject out of results of other calls; return of how many."""
        if not sought.profile_ids:
            return 0
        count = 0
        read = partial(self._store.withdrawals.results, withdrawal.scope, sought.domain_ids)
        for task in all_records(read):
            if names_profile(task.identification, sought.profile_ids):
                self._store.write(partial(self._forget_result, withdrawal, sought, task))
                count += 1
        return count

    def _forget_result(self, withdrawal: Withdrawal, sought: Sought, task: SpeakerSearchTask, unit: Unit) -> None:
        because_of(unit, withdrawal.withdrawal_id, key_id=withdrawal.key_id)
        unit.withdrawals.put_result(task, without_profiles(task.identification or {}, sought.profile_ids))

    def _forget_items(self, withdrawal: Withdrawal, sought: Sought) -> int:
        if not sought.profile_ids:
            return 0
        count = 0
        read = partial(self._store.withdrawals.item_results, withdrawal.scope, sought.domain_ids)
        for job_id, number, domain_id, result in all_records(read):
            if not names_profile(result, sought.profile_ids):
                continue

            def forget(
                unit: Unit,
                job_id: str = job_id,
                number: int = number,
                domain_id: str = domain_id,
                result: Mapping[str, Any] = result,
            ) -> None:
                unit.domains.lock(withdrawal.scope, domain_id)
                because_of(unit, withdrawal.withdrawal_id, key_id=withdrawal.key_id)
                unit.jobs.forget_result(withdrawal.scope, job_id, number, _left_of(result, sought))

            self._store.write(forget)
            count += 1
        return count

    def _forget_events(self, withdrawal: Withdrawal, sought: Sought) -> int:
        """Delete events of all pipelines that name the subject, its profiles or its tasks."""
        named = (json_text(sought.subject),) if sought.subject else ()
        needles = (*sought.profile_ids, *sought.task_ids, *named)
        count = 0

        read = partial(self._store.events.newest, withdrawal.scope)
        batch = list[str]()
        for event in all_records(read):
            if holds_any(event.body, needles) and not _tells_of_the_end(event.body):
                batch.append(event.event_id)
        for start in range(0, len(batch), _PAGE):
            some = batch[start : start + _PAGE]
            count += self._store.write(lambda unit, some=some: unit.withdrawals.delete_events(withdrawal.scope, some))
        return count


def _tells_of_the_end(body: bytes | None) -> bool:
    """Return whether an event is the one that tells of the end of a task whose speaker has withdrawn."""
    return body is not None and WITHDRAWN.encode() in body


# `Any`: a result as it is kept.
def names_profile(result: Mapping[str, Any] | None, profile_ids: Collection[str]) -> bool:
    """Return whether a kept result has one of these profiles among its candidates, or names it otherwise."""
    return result is not None and holds_any(json.dumps(result).encode(), profile_ids)


def _left_of(result: Mapping[str, Any], sought: Sought) -> dict[str, Any] | None:
    """Return what is left of the result of an item: of a search, or of an enrolment."""
    if "outcome" in result:
        return without_profiles(result, sought.profile_ids)
    if result.get("profileId") in sought.profile_ids:
        return None
    alike: list[str] = list(result.get("sameVoiceAs") or ())
    return {**result, "sameVoiceAs": [one for one in alike if one not in sought.profile_ids]}
