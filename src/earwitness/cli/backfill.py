"""`earwitness backfill`: search or enrol thousands of recordings, or a stream's kept media, with a running service."""

import hashlib
import json
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from earwitness.cli.calls import service_client
from earwitness.cli.domains import DomainArgument
from earwitness.cli.options import JsonOption, RegionOption, UrlOption
from earwitness.cli.output import (
    Exit,
    out,
    percent,
    print_json,
    print_table,
    progress_of,
    remark,
    say,
    visible,
    write_csv,
)
from earwitness.errors import AskingError, ConfigurationError, ManifestInvalid, ServiceRefused
from earwitness.progress import Progress, not_shown
from earwitness.voice.decision import Outcome
from earwitness.voice.job import ItemState, JobKind, JobState

if TYPE_CHECKING:
    from earwitness.cli.client import ServiceClient
    from earwitness.evaluation.manifest import ListedRecording

LOOK_SECONDS = 2.0
"""How often a job is looked at while it is waited for."""

AGAIN_SECONDS = 5.0
"""How long to wait for a service that is full or away."""

AWAY_TRIES_MAX = 24
"""How often a service that is away is asked again: two minutes. One that is full is waited for without an end."""

NAME_CHARACTERS_MAX = 1_024

ManifestArgument = Annotated[
    Path | None,
    typer.Argument(metavar="MANIFEST", help="A CSV file with the column `file`, a recording a line; or --stream."),
]
StreamOption = Annotated[
    str | None, typer.Option("--stream", metavar="ARN|NAME", help="In place of recordings: a stream's kept media.")
]
FromOption = Annotated[
    datetime | None, typer.Option("--from", metavar="TIME", help="With --stream: what came from this time on, in UTC.")
]
ToOption = Annotated[
    datetime | None,
    typer.Option("--to", metavar="TIME", help="With --stream: what came until this time, in UTC."),
]
StreamChannelOption = Annotated[
    int | None, typer.Option("--channel", min=0, help="With --stream: the channel, where it has several; from 0.")
]
JobOption = Annotated[
    str | None,
    typer.Option("--job", metavar="ID", help="What to call the job; default: made of what is asked for."),
]
NoWaitOption = Annotated[bool, typer.Option("--no-wait", help="Do not wait for the results once all is sent.")]
JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="The id of a job.")]

backfill = typer.Typer(
    help="Search or enrol thousands of recordings, or what is kept of a stream, with a running service. The same "
    "command again goes on where it was.",
    no_args_is_help=True,
)


@backfill.command("search")
def search_all(
    domain: DomainArgument,
    manifest: ManifestArgument = None,
    stream: StreamOption = None,
    start: FromOption = None,
    end: ToOption = None,
    channel: StreamChannelOption = None,
    job: JobOption = None,
    no_wait: NoWaitOption = False,
    url: UrlOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say who of a domain speaks in each of many recordings. Exit code 4: some of them have no answer."""
    with service_client(url, region, as_json=as_json) as service:
        asked = {"kind": JobKind.SEARCH.value}
        if stream is not None:
            _require_one(manifest, stream)
            asked |= _of_stream(stream, start, end, channel)
            recordings = None
        else:
            recordings = _read(manifest)
        done = _run(service, domain, asked, recordings, job=job, consent=None, waits=not no_wait)
    _tell(done, as_json=as_json)


@backfill.command("enroll")
def enroll_all(
    domain: DomainArgument,
    manifest: ManifestArgument = None,
    consent: Annotated[
        str | None,
        typer.Option(
            "--consent",
            metavar="TEXT",
            help="Where the consent of the voices' owners is recorded, where the manifest's column `consent` does not "
            "say.",
        ),
    ] = None,
    recordings_folder: Annotated[
        Path | None,
        typer.Option(
            "--recordings",
            metavar="FOLDER",
            help="With an input file of Voice ID: the folder with the recordings, each under its key in the bucket.",
        ),
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option("--profile", metavar="ID", help="With --stream: add voiceprints to this one; default: make one."),
    ] = None,
    stream: StreamOption = None,
    start: FromOption = None,
    end: ToOption = None,
    channel: StreamChannelOption = None,
    job: JobOption = None,
    no_wait: NoWaitOption = False,
    url: UrlOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Enrol the voice in each of many recordings. Recordings of one `speaker_id` make one profile, those with a
    `profile_id` are added to that one. MANIFEST may also be the input file of a batch enrolment of Amazon Connect Voice
    ID, with --recordings. What is kept of a stream has to be one person's. Exit code 4: some were not enrolled.
    """
    with service_client(url, region, as_json=as_json) as service:
        asked = {"kind": JobKind.ENROL.value}
        if stream is not None:
            _require_one(manifest or recordings_folder, stream)
            if consent is None:
                raise ConfigurationError("say where the consent of the voice's owner is recorded, with --consent")
            asked |= _of_stream(stream, start, end, channel) | {"consent": consent, "profileId": profile}
            recordings = None
        else:
            recordings = _read_to_enrol(manifest, recordings_folder)
            if missing := [one.name for one in recordings if not (one.consent or consent)]:
                raise ManifestInvalid(
                    f"{len(missing)} recordings, {missing[0]} first, do not say where the consent is recorded; add a "
                    "column `consent` to a CSV file, or --consent for all of them"
                )
        done = _run(service, domain, asked, recordings, job=job, consent=consent, waits=not no_wait)
    _tell(done, as_json=as_json)


@backfill.command("reembed")
def reembed(
    domain: DomainArgument,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not wait for the end.")] = False,
    url: UrlOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a domain's voiceprints of other voice encoders again with the service's present one, from the speech that
    the setting `keep_enrolment_audio` keeps. Exit code 4: some could not be made again, and stay as they were.
    """
    with service_client(url, region, as_json=as_json) as service, goes_on(), progress_of() as show:
        path = f"/domains/{service.segment(domain, what='domain')}/jobs"
        found = patiently(lambda: service.post(path, kind=JobKind.REEMBED.value))
        done = found if no_wait else wait_for(service, found, show, doing="embedding")
    _tell(done, as_json=as_json)


@backfill.command("list")
def list_jobs(url: UrlOption = None, region: RegionOption = None, as_json: JsonOption = False) -> None:
    """Show the jobs of the account in the Region, newest first; they are kept for seven days after their end."""
    with service_client(url, region, as_json=as_json) as service:
        found = list(service.every("/jobs", "jobs"))
    if as_json:
        print_json(found)
    elif not found:
        remark("there are no jobs; `earwitness backfill search DOMAIN MANIFEST` begins one")
    else:
        titles = ("job", "kind", "state", "items", "done", "failed", "created", "domain")
        print_table(titles, [_job_row(one) for one in found])


@backfill.command("status")
def job_status(
    job: JobArgument, url: UrlOption = None, region: RegionOption = None, as_json: JsonOption = False
) -> None:
    """Show how far a job is."""
    with service_client(url, region, as_json=as_json) as service:
        found = service.get(_path(service, job))
    _tell(found, as_json=as_json)


@backfill.command("report")
def report(
    job: JobArgument,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write a row for each recording; - prints them.")
    ] = None,
    lines: Annotated[
        bool, typer.Option("--lines", help="Print each recording as one line of JSON, with all that is known of it.")
    ] = False,
    url: UrlOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what came of each recording of a job, so far."""
    with service_client(url, region, as_json=as_json) as service:
        items = service.every(f"{_path(service, job)}/items", "items")
        if lines:
            for item in items:
                out.file.write(json.dumps(item) + "\n")
            return
        found = list(items)
    if csv_file is not None:
        write_csv(csv_file, _CSV_COLUMNS, map(_cells, found))
    if as_json:
        print_json(found)
    elif csv_file is None:
        titles = ("number", "recording", "answer", "profile", "probability", "speech", "reason")
        print_table(titles, [_item_row(one) for one in found], folds={"recording", "profile", "reason"})


@backfill.command("cancel")
def cancel(job: JobArgument, url: UrlOption = None, region: RegionOption = None, as_json: JsonOption = False) -> None:
    """End a job. Recordings that wait are deleted; results so far are kept."""
    with service_client(url, region, as_json=as_json) as service:
        found = service.post(f"{_path(service, job)}/cancel")
    _tell(found, as_json=as_json, exits=False)


def _require_one(manifest: Path | None, stream: str | None) -> None:
    if (manifest is None) == (stream is None):
        raise ConfigurationError("give a manifest of recordings, or --stream with --from and --to")


def _read(manifest: Path | None) -> "list[ListedRecording]":
    from earwitness.cli.client import RECORDING_BYTES_MAX
    from earwitness.evaluation.manifest import read_recordings

    if manifest is None:
        raise ConfigurationError("give a manifest of recordings, or --stream with --from and --to")
    return read_recordings(manifest, bytes_max=RECORDING_BYTES_MAX)


def _read_to_enrol(manifest: Path | None, folder: Path | None) -> "list[ListedRecording]":
    from earwitness.cli.client import RECORDING_BYTES_MAX
    from earwitness.evaluation.enrolment_requests import is_enrolment_requests, read_enrolment_requests

    if manifest is None or not is_enrolment_requests(manifest):
        if folder is not None:
            raise ConfigurationError("--recordings goes with an input file of Voice ID; a CSV file names its own files")
        return _read(manifest)
    if folder is None:
        raise ConfigurationError("say in which folder the recordings of the input file lie, with --recordings")
    found = read_enrolment_requests(manifest, folder=folder, bytes_max=RECORDING_BYTES_MAX)
    if found.passed_over:
        remark("passed over, as it says nothing here: {}", visible(", ".join(found.passed_over)[:500]))
    return list(found.recordings)


def _of_stream(stream: str, start: datetime | None, end: datetime | None, channel: int | None) -> dict[str, Any]:
    if start is None or end is None:
        raise ConfigurationError(
            "say which of the stream's media are meant, as in --from 2026-01-31T08:00:00 --to 2026-01-31T18:00:00"
        )
    return {"stream": stream, "channel": channel, "startAt": f"{start:%FT%TZ}", "endAt": f"{end:%FT%TZ}"}


# `Any`: JSON objects, here and below.
def _run(
    service: "ServiceClient",
    domain: str,
    asked: dict[str, Any],
    recordings: "list[ListedRecording] | None",
    *,
    job: str | None,
    consent: str | None,
    waits: bool,
) -> dict[str, Any]:
    """Begin a job or go on with it: send what has not come, wait for the results, and return the job."""
    asked = asked | ({} if recordings is None else {"items": len(recordings)})
    job_id = job or _id_of(domain, asked, recordings, consent)
    path = f"/domains/{service.segment(domain, what='domain')}/jobs"
    with goes_on(), progress_of() as show:
        found = patiently(lambda: service.post(path, jobId=job_id, **asked))
        if recordings is not None:
            found = _send_missing(service, found, recordings, consent=consent, show=show)
        return wait_for(service, found, show, doing="listening") if waits else found


# `Any`: a JSON object.
def wait_for(service: "ServiceClient", job: dict[str, Any], show: Progress, *, doing: str) -> dict[str, Any]:
    """Wait for the end of a job, and return it."""
    while job["state"] == JobState.OPEN:
        show(doing, job["done"] + job["failed"], job["items"])
        time.sleep(LOOK_SECONDS)
        job = patiently(lambda: service.get(_path(service, job["jobId"])))  # noqa: B023  called here
    return job


def _id_of(
    domain: str, asked: Mapping[str, Any], recordings: "Sequence[ListedRecording] | None", consent: str | None
) -> str:
    """Return an id that is the same for whoever asks for the same again."""
    rows = [
        (one.name, one.channel, one.consent, one.profile_id, one.speaker_id, *([one.subject] if one.subject else []))
        for one in recordings or ()
    ]
    about = json.dumps([domain, asked, consent, rows], sort_keys=True)
    return f"job-{hashlib.sha256(about.encode()).hexdigest()[:32]}"


@contextmanager
def goes_on() -> Generator[None]:
    """Say, when this is interrupted or the service stays away, that nothing is lost."""
    try:
        yield
    except (KeyboardInterrupt, AskingError) as error:
        if isinstance(error, KeyboardInterrupt) or error.retryable:
            remark("what was sent is worked on; the same command again goes on from there")
        raise


def _send_missing(
    service: "ServiceClient",
    job: dict[str, Any],
    recordings: "Sequence[ListedRecording]",
    *,
    consent: str | None,
    show: Progress,
) -> dict[str, Any]:
    """Send the recordings that have not come, and return the job as it is then."""
    path = _path(service, job["jobId"])
    while job["state"] == JobState.OPEN and job["missing"]:
        for one in job["missing"]:
            for number in range(one["first"], one["last"] + 1):
                recording = recordings[number - 1]
                patiently(lambda: _send(service, path, number, recording, consent=consent))  # noqa: B023  called here
                show("sending", number, len(recordings))
        job = patiently(lambda: service.get(path))
    return job


def _send(
    service: "ServiceClient", path: str, number: int, recording: "ListedRecording", *, consent: str | None
) -> dict[str, Any]:
    return service.send(
        f"{path}/items/{number}",
        recording.path,
        sent=not_shown,
        method="PUT",
        name=visible(recording.name)[-NAME_CHARACTERS_MAX:],
        channel=recording.channel,
        consent=recording.consent or consent,
        profileId=recording.profile_id,
        speaker=None if recording.profile_id else recording.speaker_id,
        subject=recording.subject,
    )


def patiently(ask: Callable[[], dict[str, Any]], *, sleep: Callable[[float], None] = time.sleep) -> dict[str, Any]:
    """Ask again where the service is full, as long as it takes, or away, for two minutes."""
    tries = 0
    while True:
        try:
            return ask()
        except AskingError as error:
            is_full = isinstance(error, ServiceRefused) and error.status == 429
            tries = 0 if is_full else tries + 1
            if not error.retryable or tries > AWAY_TRIES_MAX:
                raise
        sleep(AGAIN_SECONDS)


def _path(service: "ServiceClient", job: str) -> str:
    return f"/jobs/{service.segment(job, what='job')}"


_ITEMS = {JobKind.REEMBED.value: "voiceprints", JobKind.EXPORT.value: "parts"}
"""What the items of jobs are called that are on no recordings."""


def _tell(job: Mapping[str, Any], *, as_json: bool, exits: bool = True) -> None:
    """Print a job, and exit by what came of it."""
    if as_json:
        print_json(dict(job))
    else:
        say(
            "[b]{}[/b]: {}, {} of {} {} done, {} without a result",
            job["jobId"],
            job["state"],
            job["done"],
            job["items"],
            _ITEMS.get(job["kind"], "recordings"),
            job["failed"],
        )
        if waiting := sum(one["last"] - one["first"] + 1 for one in job["missing"]):
            remark("{} have not been sent; the command that began this goes on with them", waiting)
        if job["done"] or job["failed"]:
            remark("`earwitness backfill report {}` shows what came of each", job["jobId"])
    if exits and job["failed"]:
        raise typer.Exit(Exit.AUDIO)


def _job_row(job: Mapping[str, Any]) -> tuple[str, ...]:
    counts = (str(job[name]) for name in ("items", "done", "failed"))
    return (job["jobId"], job["kind"], job["state"], *counts, f"{job['createdAt'][:19]}Z", job["domain"]["id"])


_CSV_COLUMNS: tuple[str, ...] = (
    "number",
    "recording",
    "channel",
    "state",
    "outcome",
    "weak",
    "profileId",
    "probability",
    "nobodyProbability",
    "score",
    "netSpeechSeconds",
    "sameVoiceAs",
    "reason",
)


def _cells(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return an item as a row of the CSV; several profiles with semicolons, as `identify --csv` has them."""
    common = {name: item[name] for name in ("number", "channel", "state", "reason")} | {"recording": item["name"]}
    if (enrolled := item["enrolled"]) is not None:
        return {
            **common,
            "outcome": "enrolled",
            "profileId": enrolled["profileId"],
            "netSpeechSeconds": enrolled["netSpeechSeconds"],
            "sameVoiceAs": ";".join(enrolled["sameVoiceAs"]),
        }
    if (part := item["part"]) is not None:
        return {**common, "recording": part["kind"], "outcome": item["state"]}
    if (voiceprint := item["voiceprint"]) is not None:
        outcome = "made again" if item["state"] == ItemState.DONE else item["state"]
        return {**common, "outcome": outcome, "profileId": voiceprint["profileId"]}
    if (decision := item["decision"]) is None:
        return common
    named = [one["candidates"][0] for one in (decision, *decision["voices"]) if one["outcome"] == Outcome.MATCH]
    return {
        **common,
        "outcome": decision["outcome"],
        "weak": "yes" if decision["weak"] else "",
        "profileId": ";".join(one["profileId"] for one in named),
        "probability": ";".join(str(one["probability"]) for one in named),
        "nobodyProbability": decision["nobodyProbability"],
        "score": decision["candidates"][0]["score"] if decision["candidates"] else "",
        "netSpeechSeconds": decision["netSpeechSeconds"],
    }


def _item_row(item: Mapping[str, Any]) -> tuple[str, ...]:
    cells = _cells(item)
    probabilities = str(cells.get("probability") or cells.get("nobodyProbability") or "")
    shown = "; ".join(percent(float(each)) for each in probabilities.split(";") if each)
    answer = f"weak {cells['outcome']}" if cells.get("weak") else cells.get("outcome", item["state"])
    speech = cells.get("netSpeechSeconds")
    return (
        str(item["number"]),
        cells["recording"] or "",
        str(answer),
        cells.get("profileId", ""),
        shown,
        "" if speech is None else f"{speech:.1f} s",
        item["reason"] or ("" if item["state"] != ItemState.WAITING or not item["attempt"] else "being listened to"),
    )
