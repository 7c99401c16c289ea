"""Jobs: searches and enrolments of many recordings, which are sent one by one, or of what is kept of a stream; and
voiceprints that the present encoder makes again from kept speech."""

from datetime import datetime
from uuid import UUID

import msgspec

from earwitness.errors import BadRequest, Conflict, Throttled, Unprocessable
from earwitness.rest.context import RestCall, RestContext, answer_of, paged, there
from earwitness.rest.domains import domain_of
from earwitness.rest.job_models import (
    EnrolledItemAnswer,
    ExportAnswer,
    JobAnswer,
    JobItemAnswer,
    JobItemsAnswer,
    JobsAnswer,
    JobSourceAnswer,
    NumbersAnswer,
    PartItemAnswer,
    VoiceprintItemAnswer,
)
from earwitness.rest.models import TaskDomainAnswer
from earwitness.rest.parameters import (
    JOB_ITEMS_MAX,
    CancelJob,
    CreateJob,
    GetJob,
    ListJobItems,
    ListJobs,
    PutJobItem,
)
from earwitness.rest.tasks import decision_answer
from earwitness.store.columns import JsonObject
from earwitness.store.job_records import ItemInput, Job, JobItem
from earwitness.store.records import KinesisStream, VoiceProfileDomain
from earwitness.store.store import Unit
from earwitness.tasks.expire import EXPORTS_KEPT
from earwitness.tasks.kept_media import Stretch
from earwitness.tasks.recordings import carried_by
from earwitness.voice.band import Band
from earwitness.voice.consent import ConsentUse
from earwitness.voice.job import JobKind, JobState

MISSING_RANGES_MAX = 100
FULL_SECONDS = 5.0
"""When to send a recording again that there was no room for."""

NO_JOB = "there is no job of this id; jobs are kept for seven days after their end"


def create_job(context: RestContext, call: RestCall[CreateJob]) -> JobAnswer:
    """Begin a job, or answer the one of this id that asks for the same."""
    params, scope, domain = call.params, call.scope, domain_of(context, call)
    if params.kind is JobKind.EXPORT:
        raise BadRequest("exports have a route of their own: POST /domains/{domainId}/exports")
    if params.kind is JobKind.REEMBED:
        return _reembed(context, call, domain)
    job_id = params.job_id or f"job-{context.new_id()}"
    before = context.store.jobs.get(scope, job_id)
    source, items = None, params.items or 0
    inputs: list[ItemInput] = []
    if params.stream is not None:
        stream = there(context.store.streams.get(scope, params.stream), "the Kinesis video stream does not exist")
        source = _source(call, stream)
        if before is not None and before.source == source:
            items = before.items  # as it was then; some of it may not be kept any more
        else:
            inputs = _stretches(context, call, stream)
            items = len(inputs)
    elif not items:
        raise BadRequest("say how many recordings are going to be sent (items), or name a stream")

    def write(unit: Unit) -> Job:
        if params.stream is not None:
            _require_consent(unit, call, domain.domain_id, params.kind)
        job, is_new = unit.jobs.create(
            scope,
            job_id=job_id,
            kind=params.kind,
            domain_id=domain.domain_id,
            domain_arn=domain.arn,
            items=items,
            key_id=call.caller.principal.key_id,
            source=source,
            limit=context.limits.open_jobs_max,
        )
        if is_new:
            unit.jobs.put_all(job, inputs)
            call.caller.record(unit, domain.arn)
        return job

    return _written(context, context.store.write(write))


def _reembed(context: RestContext, call: RestCall[CreateJob], domain: VoiceProfileDomain) -> JobAnswer:
    """Begin to make a domain's voiceprints of other encoders again, or answer the job that does it already."""
    params, scope, domain_id = call.params, call.scope, domain.domain_id
    if params.items is not None or params.stream is not None:
        raise BadRequest("a re-embedding takes what is kept of enrolments; leave out items and stream")
    encoder_id = context.recordings.encoder_id(Band(domain.band))
    source: JsonObject = {"encoderId": encoder_id}

    def write(unit: Unit) -> Job:
        unit.domains.lock(scope, domain_id)
        before = None if params.job_id is None else unit.jobs.get(scope, params.job_id)
        before = before or unit.jobs.open_of(scope, domain_id, JobKind.REEMBED)
        if before is not None:
            if (before.kind, before.domain_id, before.source) == (JobKind.REEMBED, domain_id, source):
                return before
            raise Conflict("a job of this id, or a re-embedding of this domain, asks for something else; cancel it")
        names = unit.reembedding.of_other_encoders(scope, domain_id, encoder_id=encoder_id, limit=JOB_ITEMS_MAX)
        job, _ = unit.jobs.create(
            scope,
            job_id=params.job_id or f"job-{context.new_id()}",
            kind=JobKind.REEMBED,
            domain_id=domain_id,
            domain_arn=domain.arn,
            items=len(names),
            key_id=call.caller.principal.key_id,
            source=source,
            limit=context.limits.open_jobs_max,
        )
        asked = [ItemInput(name="", profile_id=one.profile_id, voiceprint_id=one.voiceprint_id) for one in names]
        unit.jobs.put_all(job, asked)
        call.caller.record(unit, domain.arn)
        return job

    return _written(context, context.store.write(write))


def list_jobs(context: RestContext, call: RestCall[ListJobs]) -> JobsAnswer:
    """List the jobs, newest first."""
    found, following = paged(
        context, call, lambda after, limit: context.store.jobs.list(call.scope, after=after, limit=limit), about="jobs"
    )
    return JobsAnswer(jobs=[job_answer(context, one) for one in found], next_token=following)


def get_job(context: RestContext, call: RestCall[GetJob]) -> JobAnswer:
    """Return one job."""
    return job_answer(context, _named(context, call))


def list_items(context: RestContext, call: RestCall[ListJobItems]) -> JobItemsAnswer:
    """List what came of the recordings of a job."""
    job, state = _named(context, call), call.params.state
    found, following = paged(
        context,
        call,
        lambda after, limit: context.store.jobs.items(job, state=state, after=after, limit=limit),
        about=f"{job.job_id} {state or ''}",
    )
    return JobItemsAnswer(items=[_item(job, one) for one in found], next_token=following)


def put_item(context: RestContext, call: RestCall[PutJobItem]) -> JobItemAnswer:
    """Keep a recording until somebody works on it; one that is there already is answered as it is."""
    job, params = _named(context, call), call.params
    if job.source is not None:
        raise Unprocessable("the job is on what is kept here, and takes no recordings; begin another one")
    present = context.store.jobs.item(job, params.number)
    if present is not None:
        return _item(job, present)
    asked = _input(context, call, job)
    recording = call.recording.read_bytes()
    waiting = context.store.jobs.waiting_bytes(call.scope)
    if waiting and waiting + len(recording) > context.limits.job_bytes_max:
        raise Throttled(
            "as many recordings wait as may be; send this one again when some are done",
            retry_after_seconds=FULL_SECONDS,
        )

    def write(unit: Unit) -> None:
        _require_consent(unit, call, job.domain_id, job.kind)
        if unit.jobs.put(job, params.number, input_=asked, recording=recording, size=len(recording)):
            call.caller.record(unit, job.domain_arn)

    context.store.write(write)
    context.jobs_changed()
    return _item(job, there(context.store.jobs.item(job, params.number), "the job was cancelled meanwhile"))


def cancel_job(context: RestContext, call: RestCall[CancelJob]) -> JobAnswer:
    """End a job; one that has ended is answered as it is."""
    before = _named(context, call)

    def write(unit: Unit) -> Job | None:
        if before.state is JobState.OPEN:
            call.caller.record(unit, before.domain_arn)
        return unit.jobs.cancel(call.scope, before.job_id)

    return job_answer(context, there(context.store.write(write), NO_JOB))


def _require_consent(unit: Unit, call: RestCall[CreateJob | PutJobItem], domain_id: str, kind: JobKind) -> None:
    """Raise ConsentMissing when the domain needs a consent for that and the subject has none."""
    use = ConsentUse.ENROLMENT if kind is JobKind.ENROL else ConsentUse.SEARCH
    unit.consents.take(call.scope, domain_id, carried_by(call.params.subject), use=use)


def _named(context: RestContext, call: RestCall[GetJob | ListJobItems | PutJobItem | CancelJob]) -> Job:
    return there(context.store.jobs.get(call.scope, call.params.job_id), NO_JOB)


def _times(params: CreateJob) -> tuple[datetime, datetime]:
    if params.start_at is None or params.end_at is None or params.start_at > params.end_at:
        raise BadRequest("say from when to when the stream's media are meant (startAt, endAt)")
    return params.start_at, params.end_at


def _source(call: RestCall[CreateJob], stream: KinesisStream) -> JsonObject:
    params = call.params
    start, end = _times(params)
    if params.kind is JobKind.ENROL and params.consent is None:
        raise BadRequest("the parameter consent is missing: where the consent of the voice's owner is recorded")
    return {
        "streamArn": stream.arn,
        "startAt": start.isoformat(),
        "endAt": end.isoformat(),
        "channel": params.channel,
    }


def _stretches(context: RestContext, call: RestCall[CreateJob], stream: KinesisStream) -> list[ItemInput]:
    """Return what is to be done with each recording that is kept of a stream. Raise Unprocessable without any."""
    params = call.params
    start, end = _times(params)
    found = context.kept_media.stretches(call.scope, stream, start=start, end=end)
    if not found:
        raise Unprocessable("nothing of this stream is kept from that time; look at the times and at its retention")
    if len(found) > JOB_ITEMS_MAX:
        raise Unprocessable("these are too many recordings for one job; choose a shorter time")
    enrols = params.kind is JobKind.ENROL
    profile_id = (params.profile_id or f"vp-{context.new_id()}") if enrols else None

    def asked(stretch: Stretch) -> ItemInput:
        return ItemInput(
            name=f"{_second(stretch.started_at)} to {_second(stretch.ended_at)}",
            channel=params.channel,
            profile_id=profile_id,
            makes_profile=enrols and params.profile_id is None,
            consent_reference=params.consent if enrols else None,
            subject=params.subject,
            first_number=stretch.first_number,
            last_number=stretch.last_number,
        )

    return [asked(stretch) for stretch in found]


def _second(time: datetime) -> str:
    return f"{time:%FT%TZ}"


def _input(context: RestContext, call: RestCall[PutJobItem], job: Job) -> ItemInput:
    """Return what is to be done with a recording. Raise BadRequest when something is missing for that."""
    params = call.params
    if job.kind is JobKind.SEARCH:
        return ItemInput(name=params.name, channel=params.channel, subject=params.subject)
    if params.consent is None:
        raise BadRequest("the parameter consent is missing: where the consent of the voice's owner is recorded")
    return ItemInput(
        name=params.name,
        channel=params.channel,
        profile_id=params.profile_id or _profile_id(context, call, job),
        makes_profile=params.profile_id is None,
        consent_reference=params.consent,
        subject=params.subject,
    )


def _profile_id(context: RestContext, call: RestCall[PutJobItem], job: Job) -> str:
    """Return the id of the profile that is made: the same for all recordings of one speaker in a job."""
    speaker = call.params.speaker
    if speaker is None:
        return f"vp-{context.new_id()}"
    about = "\0".join(("speaker of a job", call.scope.account_id, call.scope.region, job.job_id, speaker))
    return f"vp-{UUID(bytes=context.store.token_key.digest(about.encode())[:16], version=4)}"


def _written(context: RestContext, job: Job) -> JobAnswer:
    context.jobs_changed()
    return job_answer(context, job)


def job_answer(context: RestContext, job: Job) -> JobAnswer:
    """Return a job as answers tell of it."""
    source, kind = job.source or {}, job.kind
    missing = context.store.jobs.missing(job, limit=MISSING_RANGES_MAX) if job.state is JobState.OPEN else ()
    return answer_of(
        JobAnswer,
        job,
        domain=TaskDomainAnswer(id=job.domain_id, arn=job.domain_arn),
        source=_source_answer(source) if source and kind in (JobKind.SEARCH, JobKind.ENROL) else None,
        encoder_id=str(source["encoderId"]) if source and kind is JobKind.REEMBED else None,
        export=_export(context, job, source) if source and kind is JobKind.EXPORT else None,
        missing=[NumbersAnswer(first=first, last=last) for first, last in missing],
    )


def _source_answer(source: JsonObject) -> JobSourceAnswer:
    return msgspec.convert(source, JobSourceAnswer)


def _item(job: Job, item: JobItem) -> JobItemAnswer:
    result, asked, kind = item.result, item.input, job.kind
    return answer_of(
        JobItemAnswer,
        item,
        name=None if asked is None else asked.name or None,
        channel=None if asked is None else asked.channel,
        decision=decision_answer(result) if result is not None and kind is JobKind.SEARCH else None,
        enrolled=_enrolled(result) if result is not None and kind is JobKind.ENROL else None,
        part=_part(asked, result or {}) if asked is not None and kind is JobKind.EXPORT else None,
        voiceprint=_voiceprint(asked, result or {}) if asked is not None and kind is JobKind.REEMBED else None,
    )


def _export(context: RestContext, job: Job, source: JsonObject) -> ExportAnswer:
    is_there = job.state is JobState.DONE and job.ended_at is not None and context.store.exports.has_parts(job)
    until = job.ended_at + EXPORTS_KEPT if is_there and job.ended_at is not None else None
    recipient = source["recipient"]
    return ExportAnswer(
        recipient=None if recipient is None else str(recipient),
        with_audio=bool(source["audio"]),
        available_until=until,
    )


def _part(asked: ItemInput, result: JsonObject) -> PartItemAnswer:
    nothing = dict.fromkeys(("bytes", "sha256", "lines", "recordings"))
    return msgspec.convert({**nothing, "kind": asked.part, **result}, PartItemAnswer)


def _voiceprint(asked: ItemInput, result: JsonObject) -> VoiceprintItemAnswer:
    ids = {"profileId": asked.profile_id, "voiceprintId": asked.voiceprint_id}
    return msgspec.convert({"formerEncoderId": None, "encoderId": None, **ids, **result}, VoiceprintItemAnswer)


def _enrolled(result: JsonObject) -> EnrolledItemAnswer:
    return msgspec.convert(result, EnrolledItemAnswer)
