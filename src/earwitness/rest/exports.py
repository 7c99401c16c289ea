"""Exports of domains: a job makes the parts, the archive of them is fetched once and deleted."""

from collections.abc import Iterator

import msgspec

from earwitness.errors import BadRequest, Conflict, Gone
from earwitness.rest.context import FileAnswer, RestCall, RestContext, there
from earwitness.rest.domains import domain_of
from earwitness.rest.job_models import JobAnswer
from earwitness.rest.jobs import NO_JOB, job_answer
from earwitness.rest.parameters import CreateExport, DeleteArchive, FetchArchive
from earwitness.store.columns import JsonObject
from earwitness.store.job_records import Job, JobItem
from earwitness.store.records import PageKey
from earwitness.store.store import Unit
from earwitness.tasks.archive import archive_length, archive_of
from earwitness.tasks.exporting import manifest_of, parts_of
from earwitness.voice.job import JobKind, JobState

_ITEMS_AT_ONCE = 1_000
_GONE = "the export was deleted, or is older than a day; begin another one"


def create_export(context: RestContext, call: RestCall[CreateExport]) -> JobAnswer:
    """Begin to export a domain, or answer the job that does it, or has done it, already."""
    params, scope, domain = call.params, call.scope, domain_of(context, call)
    source: JsonObject = {"recipient": _recipient(params), "audio": params.audio == "kept"}

    def write(unit: Unit) -> Job:
        unit.domains.lock(scope, domain.domain_id)
        before = unit.jobs.open_of(scope, domain.domain_id, JobKind.EXPORT)
        kept = unit.exports.kept_of(scope, domain.domain_id)
        before = before or (None if kept is None else unit.jobs.get(scope, kept))
        if before is not None:
            if before.source == source:
                return before
            raise Conflict("another export of this domain is there; fetch it, and delete it or cancel it, first")
        parts = parts_of(unit, scope, domain.domain_id, audio=bool(source["audio"]))
        job, _ = unit.jobs.create(
            scope,
            job_id=f"job-{context.new_id()}",
            kind=JobKind.EXPORT,
            domain_id=domain.domain_id,
            domain_arn=domain.arn,
            items=len(parts),
            key_id=call.caller.principal.key_id,
            source=source,
            limit=context.limits.open_jobs_max,
        )
        unit.jobs.put_all(job, parts)
        call.caller.record(unit, domain.arn)
        return job

    job = context.store.write(write)
    context.jobs_changed()
    return job_answer(context, job)


def fetch_archive(context: RestContext, call: RestCall[FetchArchive]) -> FileAnswer:
    """Answer the archive of an export that is complete; written to the audit trail."""
    job = _complete(context, call)
    items = _all_items(context, job)
    manifest = manifest_of(job, items)
    document = msgspec.json.encode(manifest)
    numbers = [item.number for item in items if item.number not in manifest.missing_parts]

    def parts() -> Iterator[tuple[str, bytes]]:
        for number, listed in zip(numbers, manifest.parts, strict=True):
            yield listed.name, _there(context.store.exports.part(job, number))

    context.store.write(lambda unit: call.caller.record(unit, job.domain_arn))
    return FileAnswer(
        name=f"{job.job_id}.tar",
        media_type="application/x-tar",
        length=archive_length(document, manifest.parts),
        blocks=archive_of(document, parts()),
        caller=call.caller,
    )


def delete_archive(context: RestContext, call: RestCall[DeleteArchive]) -> JobAnswer:
    """Delete what an export has made; its job stays. One that is deleted is answered as it is."""
    job = _export(context, call)
    if job.state is JobState.OPEN:
        raise Conflict("the export is still being made; cancel its job")
    context.store.write(lambda unit: call.caller.record(unit, job.domain_arn))
    while context.store.write(lambda unit: unit.exports.delete_parts(call.scope, job.job_id)):
        pass
    return job_answer(context, job)


def _recipient(params: CreateExport) -> str | None:
    from earwitness.vault.age import require_recipient  # loads what few requests need

    if params.encryption == "none":
        if params.recipient is not None:
            raise BadRequest("give a recipient, or encryption=none, not both")
        return None
    if params.recipient is None:
        raise BadRequest("the parameter recipient is missing: the public key of age that the export is for")
    return require_recipient(params.recipient)


def _export(context: RestContext, call: RestCall[FetchArchive | DeleteArchive]) -> Job:
    job = there(context.store.jobs.get(call.scope, call.params.job_id), NO_JOB)
    if job.kind is not JobKind.EXPORT:
        raise Conflict("the job is no export; look at its id")
    return job


def _complete(context: RestContext, call: RestCall[FetchArchive]) -> Job:
    job = _export(context, call)
    if job.state is JobState.OPEN:
        raise Conflict("the export is still being made; look at its job, and fetch it when that is done")
    if job.state is not JobState.DONE or not context.store.exports.has_parts(job):
        raise Gone(_GONE)
    return job


def _all_items(context: RestContext, job: Job) -> list[JobItem]:
    found: list[JobItem] = []
    after: PageKey | None = None
    while True:
        page = context.store.jobs.items(job, after=after, limit=_ITEMS_AT_ONCE)
        found += page.items
        after = page.next_key
        if after is None:
            return found


def _there(part: bytes | None) -> bytes:
    if part is None:
        raise Gone(_GONE)
    return part
