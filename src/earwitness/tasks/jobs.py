"""Works on jobs: claims their items, does with each recording what a request would, and writes what came of it.

Recordings of jobs take turns with those of requests, and calls go before both (`engine/turns.py`). The claim, and what
a refused worker may not do, are the store's business (`store/jobs.py`); what is done with a recording is the one of
`recordings.py`.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from threading import Event
from typing import IO, TypeVar

from earwitness.errors import (
    AttemptSuperseded,
    CiphertextRefused,
    EarwitnessError,
    ModelError,
    NotFound,
    StreamGone,
    Unavailable,
)
from earwitness.log import Recurring, frames_of
from earwitness.metrics.reported import ItemOutcome, JobMetrics
from earwitness.store.columns import JsonObject
from earwitness.store.job_records import ClaimedItem, ItemInput
from earwitness.store.jobs import turn_of
from earwitness.store.records import NewVoiceprint, PageKey, VoiceProfileDomain
from earwitness.store.reembedding import KeptSpeech, VoiceprintName
from earwitness.store.store import Store, Unit
from earwitness.tasks.exporting import MadePart, is_current, make_part
from earwitness.tasks.kept_media import KeptMedia
from earwitness.tasks.recordings import HeardVoice, RecordingWork, StillWanted, carried_by, recording_file
from earwitness.threads import RunInThread, ThreadPool
from earwitness.voice.band import Band
from earwitness.voice.consent import ConsentUse
from earwitness.voice.decision import Decision
from earwitness.voice.job import JobKind

ATTEMPTS_MAX = 3
"""An item at which the service failed, or ended, so often is given up, so that it does not stop all others."""

POLL_SECONDS = 2.0
"""How often a worker that has nothing to do looks by itself: another process may have taken the recording."""

RENEW_SECONDS = 20.0
"""A third of the lease."""

AGAIN_SECONDS = 30.0
"""How long after a failure of the service's own, not the recording's, an item is tried again."""

LET_GO_SECONDS = 5.0
"""How long a service that stops waits for an item in progress to be let go of."""

_ResultT = TypeVar("_ResultT")

_OPERATIONS = {
    JobKind.SEARCH: "SearchRecording",
    JobKind.ENROL: "EnrolRecording",
    JobKind.REEMBED: "ReembedVoiceprint",
    JobKind.EXPORT: "ExportPart",
}
"""What each item is in the audit trail: what the request for one recording would be, where there is one."""

_DAMAGED = "what is kept of this item is damaged; send the recording in another job"
_NO_SPEECH_KEPT = (
    "no speech is kept of this voiceprint (setting keep_enrolment_audio); enrol the person again, or leave it"
)
_VOICEPRINT_GONE = "the voiceprint was deleted or enrolled anew meanwhile; there is nothing left to do"
_ENCODER_CHANGED = "the service has another voice encoder than when this was begun; begin another re-embedding"
_GIVEN_UP = "the service failed three times at this recording; send it by itself, and report what the log says"

_log = logging.getLogger("earwitness.jobs")


class _Unwanted(Exception):
    """The work on an item is not wanted any more: the service stops, or the item is somebody else's."""


class JobWorker:
    """Works on the jobs of all accounts, several items at once. Its loops live on the event loop."""

    def __init__(
        self,
        store: Store,
        recordings: RecordingWork,
        media: KeptMedia,
        *,
        at_once: int,
        run_in_thread: RunInThread,
        new_id: Callable[[], str],
        is_alone: bool,
        metrics: JobMetrics | None = None,
    ) -> None:
        """`is_alone`: nobody else works on these records; what is claimed at the start is of a process that ended."""
        self._store = store
        self._recordings = recordings
        self._media = media
        self._at_once = at_once
        self._run_in_thread = run_in_thread
        self._new_id = new_id
        self._is_alone = is_alone
        self._metrics = metrics or JobMetrics()
        self._metrics.begin(JobKind)
        self._listening = ThreadPool(max(1, at_once), thread_name_prefix="earwitness job")
        self._turn: PageKey | None = None
        self._news = asyncio.Event()
        self._failing = Recurring(_log)

    def wake(self) -> None:
        """There is something to do. On the event loop."""
        self._news.set()

    async def run(self) -> None:
        """Work until this is cancelled."""
        try:
            if self._is_alone:
                await self._quietly(lambda: self._store.write(lambda unit: unit.jobs.release_all()))
            async with asyncio.TaskGroup() as group:
                for _ in range(self._at_once):
                    group.create_task(self._work())
        finally:
            # Nobody waits for what is computed.
            self._listening.shutdown(wait=False, cancel_futures=True)

    async def _work(self) -> None:
        while True:
            self._news.clear()
            claimed = await self._quietly(self._claim)
            if claimed is None:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), POLL_SECONDS)
            elif not await self._done(claimed):
                await asyncio.sleep(AGAIN_SECONDS)

    def _claim(self) -> ClaimedItem | None:
        if not self._store.jobs.is_any_open():
            return None
        holder, turn = self._new_id(), self._turn
        claimed = self._store.write(lambda unit: unit.jobs.claim(holder=holder, after=turn))
        if claimed is not None:
            self._turn = turn_of(claimed)
        return claimed

    async def _done(self, claimed: ClaimedItem) -> bool:
        """Work on an item, and keep it until that is over. False when the service could not, through no fault of it."""
        unwanted = Event()
        try:
            listening = asyncio.get_running_loop().run_in_executor(
                self._listening, partial(self._attempt, claimed, unwanted)
            )
        except Unavailable as error:  # no thread
            self._failing.tell(logging.WARNING, "jobs cannot be worked on now", reason=str(error))
            await self._quietly(lambda: self._settle(claimed, lambda unit: unit.jobs.release(claimed)))
            return False
        renewing = asyncio.create_task(self._renew(claimed, unwanted))
        try:
            return await asyncio.shield(listening)
        except asyncio.CancelledError:
            unwanted.set()
            await asyncio.wait([listening], timeout=LET_GO_SECONDS)
            raise
        finally:
            renewing.cancel()

    async def _renew(self, claimed: ClaimedItem, unwanted: Event) -> None:
        """Renew the lease until it is lost: the job was cancelled, or this process stood still for too long."""
        held: bool | None = True
        while held is not False:  # None: the store is away, and the lease lasts a while yet
            await asyncio.sleep(RENEW_SECONDS)
            held = await self._quietly(lambda: self._store.write(lambda unit: unit.jobs.renew(claimed)))
        unwanted.set()

    async def _quietly(self, work: Callable[[], _ResultT]) -> _ResultT | None:
        """Return what the work returns; None when it failed, which is told."""
        try:
            return await self._run_in_thread(work)
        except EarwitnessError as error:
            self._failing.tell(logging.WARNING, "jobs cannot be worked on now", reason=str(error))
        except Exception as error:
            context = {"error": type(error).__name__, "frames": frames_of(error)}
            self._failing.tell(logging.ERROR, "jobs cannot be worked on now", **context)
        return None

    # In a thread.

    def _attempt(self, claimed: ClaimedItem, unwanted: Event) -> bool:
        """Do what an item asks for, or write why it cannot be done. False when it is to be tried again later."""
        about = {"job_id": claimed.job_id, "item": claimed.number, "attempt": claimed.attempt}
        try:
            if claimed.attempt > ATTEMPTS_MAX:
                outcome = self._fail(claimed, _GIVEN_UP)
            elif claimed.input is None:
                outcome = self._fail(claimed, _DAMAGED)
            else:
                outcome = self._do(claimed, claimed.input, unwanted)
            if outcome is not None:
                self._metrics.ended(claimed.kind, outcome)
            while self._store.write(lambda unit: unit.jobs.clear(claimed)):
                pass
        except _Unwanted:
            self._settle(claimed, lambda unit: unit.jobs.release(claimed))
        except (AttemptSuperseded, NotFound) as error:
            _log.info("work on an item of a job is dropped", extra={**about, "reason": str(error)})
        except EarwitnessError as error:  # the service's: what is wrong with the recording is written in _do
            _log.warning("an item of a job is tried again", extra={**about, "reason": str(error)})
            self._settle(claimed, lambda unit: unit.jobs.release(claimed))
            return False
        except Exception as error:
            context = {**about, "error": type(error).__name__, "frames": frames_of(error)}
            _log.error("work on an item of a job failed", extra=context)
            self._settle(claimed, lambda unit: unit.jobs.retry(claimed, seconds=AGAIN_SECONDS))
        return True

    def _settle(self, claimed: ClaimedItem, change: Callable[[Unit], None]) -> None:
        """Give an item back; where that cannot be written, its lease ends by itself."""
        try:
            self._store.write(change)
        except EarwitnessError as error:
            context = {"job_id": claimed.job_id, "item": claimed.number, "reason": str(error)}
            _log.warning("an item of a job cannot be given back, and waits for its lease to end", extra=context)

    def _do(self, claimed: ClaimedItem, asked: ItemInput, unwanted: Event) -> ItemOutcome | None:
        """Return how the item ended; None when it waits to be tried again."""

        def wanted() -> None:
            if unwanted.is_set():
                raise _Unwanted

        domain = self._store.domains.get(claimed.scope, claimed.domain_id)
        if domain is None:
            raise NotFound("the voice profile domain of the job was deleted")
        try:
            if claimed.kind is JobKind.EXPORT:
                self._export(claimed, asked, domain, wanted)
                return ItemOutcome.DONE
            if claimed.kind is JobKind.REEMBED:
                return self._embed_again(claimed, asked, domain, wanted)
            with recording_file() as (file, path):
                self._fetch(claimed, asked, file)
                if claimed.kind is JobKind.SEARCH:
                    self._recordings.search(
                        claimed.scope,
                        domain,
                        path,
                        channel=asked.channel,
                        subject=asked.subject,
                        wanted=wanted,
                        write=partial(self._write_search, claimed, domain),
                    )
                    return ItemOutcome.DONE
                heard = self._recordings.hear(
                    claimed.scope,
                    domain,
                    path,
                    channel=asked.channel,
                    subject=asked.subject,
                    profile_id=asked.profile_id or "",
                    wanted=wanted,
                )
                self._store.write(lambda unit: self._write_enrolment(unit, claimed, asked, domain, heard))
                return ItemOutcome.DONE
        except CiphertextRefused:
            return self._fail(claimed, _DAMAGED)
        except EarwitnessError as error:
            if error.retryable or isinstance(error, ModelError | AttemptSuperseded):
                raise
            return self._fail(claimed, str(error))

    def _export(self, claimed: ClaimedItem, asked: ItemInput, domain: VoiceProfileDomain, wanted: StillWanted) -> None:
        """Write a part of an export, made again for as long as somebody in it was deleted meanwhile."""

        def written(unit: Unit, made: MadePart) -> bool:
            unit.domains.lock(claimed.scope, domain.domain_id)
            if not is_current(unit, claimed.scope, domain.domain_id, asked, made):
                return False
            unit.exports.put_part(claimed, made.content)
            self._finish(unit, claimed, made.result, resource_arn=domain.arn)
            return True

        source = claimed.source or {}
        while True:
            wanted()
            made = make_part(self._store, claimed.scope, domain, asked, source)
            if self._store.write(lambda unit, made=made: written(unit, made)):
                return

    def _embed_again(
        self, claimed: ClaimedItem, asked: ItemInput, domain: VoiceProfileDomain, wanted: StillWanted
    ) -> ItemOutcome | None:
        """Change a voiceprint of another encoder into one of the encoder that the job is for."""
        name = VoiceprintName(profile_id=asked.profile_id or "", voiceprint_id=asked.voiceprint_id or "")
        encoder_id = self._recordings.encoder_id(Band(domain.band))
        if claimed.source is None or claimed.source["encoderId"] != encoder_id:
            # Perhaps this process is of a former or a later version, and another has the encoder.
            if claimed.attempt >= ATTEMPTS_MAX:
                return self._fail(claimed, _ENCODER_CHANGED)
            self._store.write(lambda unit: unit.jobs.retry(claimed, seconds=AGAIN_SECONDS))
            return None
        kept = self._store.reembedding.speech(claimed.scope, domain.domain_id, name)
        if kept is None:
            return self._fail(claimed, _VOICEPRINT_GONE)
        made = None
        if kept.encoder_id != encoder_id:  # otherwise a task, or a job before, has made it
            if kept.audio is None:
                return self._fail(claimed, _NO_SPEECH_KEPT)
            made = self._recordings.embed_again(claimed.scope, domain, kept.audio, kept.quality, wanted=wanted)
        return self._store.write(lambda unit: self._write_reembedding(unit, claimed, domain, name, kept, made=made))

    def _write_reembedding(
        self,
        unit: Unit,
        claimed: ClaimedItem,
        domain: VoiceProfileDomain,
        name: VoiceprintName,
        kept: KeptSpeech,
        *,
        made: NewVoiceprint | None,
    ) -> ItemOutcome:
        """Write the voiceprint that was made, if any was, and the end of the item; return what it is."""
        if made is not None and not unit.reembedding.replace(
            claimed.scope, domain.domain_id, name, former_encoder_id=kept.encoder_id, made=made
        ):
            unit.jobs.fail(claimed, reason=_VOICEPRINT_GONE)
            return ItemOutcome.FAILED
        encoder_id = kept.encoder_id if made is None else made.encoder_id
        result = {"formerEncoderId": kept.encoder_id, "encoderId": encoder_id}
        self._finish(unit, claimed, result, resource_arn=domain.arn)
        return ItemOutcome.DONE

    def _fetch(self, claimed: ClaimedItem, asked: ItemInput, file: IO[bytes]) -> None:
        """Write the recording of an item to a file."""
        if asked.first_number is None or asked.last_number is None or claimed.source is None:
            recording = self._store.jobs.recording(claimed)
            if recording is None:
                raise AttemptSuperseded("the recording is gone: the item has ended, or its job was cancelled")
            file.write(recording)
            file.flush()
            return
        stream = self._store.streams.get(claimed.scope, str(claimed.source["streamArn"]))
        if stream is None:
            raise StreamGone("the Kinesis video stream was deleted; choose another one")
        self._media.write(claimed.scope, stream, asked.first_number, asked.last_number, file)

    def _write_search(self, claimed: ClaimedItem, domain: VoiceProfileDomain, unit: Unit, decision: Decision) -> None:
        self._finish(unit, claimed, asdict(decision), resource_arn=domain.arn)

    def _write_enrolment(
        self, unit: Unit, claimed: ClaimedItem, asked: ItemInput, domain: VoiceProfileDomain, heard: HeardVoice
    ) -> None:
        # Subjects are locked before domains.
        unit.consents.take(claimed.scope, domain.domain_id, carried_by(asked.subject), use=ConsentUse.ENROLMENT)
        # Another recording of the same person may have made the profile; nobody makes it beside us now.
        unit.domains.lock(claimed.scope, domain.domain_id)
        makes_profile = asked.makes_profile and unit.profiles.get(claimed.scope, heard.profile_id) is None
        profile = self._recordings.enrol(
            unit,
            claimed.scope,
            domain,
            heard,
            makes_profile=makes_profile,
            consent_reference=asked.consent_reference or "",
            subject=asked.subject,
        )
        left = unit.profile_voiceprints.enrolled(claimed.scope, heard.alike)
        result = {
            "profileId": heard.profile_id,
            "voiceprintId": heard.voiceprint_id,
            "netSpeechSeconds": heard.voiceprint.net_speech_seconds,
            "sameVoiceAs": [one for one in heard.alike if one in left],
        }
        self._finish(unit, claimed, result, resource_arn=profile.arn)

    def _finish(self, unit: Unit, claimed: ClaimedItem, result: JsonObject, *, resource_arn: str) -> None:
        unit.audit.append(
            claimed.scope,
            key_id=claimed.key_id,
            operation=_OPERATIONS[claimed.kind],
            resource_arn=resource_arn,
            outcome="done",
            request_id=claimed.job_id,
        )
        unit.jobs.finish(claimed, result)

    def _fail(self, claimed: ClaimedItem, reason: str) -> ItemOutcome:
        self._store.write(lambda unit: unit.jobs.fail(claimed, reason=reason))
        return ItemOutcome.FAILED
