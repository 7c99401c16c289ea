"""`earwitness domains export` and `check`: a domain in a file, and whether such a file is whole."""

import json
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from earwitness.cli.backfill import goes_on, patiently, wait_for
from earwitness.cli.calls import service_client
from earwitness.cli.domains import DomainArgument
from earwitness.cli.options import JsonOption, RegionOption, UrlOption
from earwitness.cli.output import Exit, print_json, progress_of, remark, reporting, say, warn, write_privately
from earwitness.errors import ArchiveInvalid, ConfigurationError
from earwitness.voice.job import JobState, PartKind

if TYPE_CHECKING:
    from earwitness.cli.client import ServiceClient
    from earwitness.tasks.archive import CheckedArchive

_KEY_BYTES_MAX = 65_536


def export(
    domain: DomainArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What to write; it must not be there yet.")],
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="KEY", help="The public key of age that it is for, as `age-keygen` makes one."),
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Do not encrypt: whoever gets the file has the voices.")
    ] = False,
    audio: Annotated[bool, typer.Option("--audio", help="With the speech that is kept of enrolments.")] = False,
    url: UrlOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a domain into a file: profiles, voiceprints, consents, labels and tags, encrypted for the holder of a key.

    The service makes it in the background; the same command again goes on. When the file is whole, the service deletes
    what it has made. Exit code 8: some parts could not be made.
    """
    with service_client(url, region, as_json=as_json) as service, _new_file(file) as (content, partial):
        if plain == (to is not None):
            raise ConfigurationError("say whom it is for with --to, a public key of age; or --plain, not to encrypt it")
        asked = {"recipient": to, "encryption": "none" if plain else "age", "audio": "kept" if audio else "none"}
        job = _fetch(service, domain, asked, content)
        checked = _checked(partial, None)
    try:
        with service_client(url, region, as_json=as_json) as service:
            service.delete(f"{_path(service, job)}/archive")
    except typer.Exit:
        warn("the service deletes what it has made within a day")
    _tell(file, checked, as_json=as_json)
    if checked.manifest.missing_parts:
        warn("{} parts are missing, because the records of them are damaged", len(checked.manifest.missing_parts))
        raise typer.Exit(Exit.RECORDS)


def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `export` wrote.")],
    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE", help="The secret key of age that opens it, to read all.")
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", metavar="FILE", help="Write the labels in it here, as `labels export` writes them."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say whether an export is whole; with its key also, whether everything in it can be read. No service is needed."""
    unknown = 0
    with reporting(as_json=as_json):
        checked = _checked(file, key)
        if labels is not None:
            if labels.exists():
                raise ConfigurationError(f"{labels} is there already; name another file, or move it away")
            from earwitness.tasks.archive import labels_of

            document, unknown = labels_of(file, identity=None if key is None else identity_of(key))
            write_privately(labels, json.dumps(document, indent=1) + "\n")
    _tell(file, checked, as_json=as_json, labels_left_out=unknown)
    if unknown and not as_json:
        warn("{:,} labels name a profile that is not in the export, and are left out", unknown)


# `Any`: JSON objects.
def _fetch(service: "ServiceClient", domain: str, asked: dict[str, Any], content: IO[bytes]) -> str:
    """Have an export made, write it, and return the id of its job."""
    path = f"/domains/{service.segment(domain, what='domain')}/exports"
    with goes_on():
        job = patiently(lambda: service.post(path, **asked))
        with progress_of() as show:
            job = wait_for(service, job, show, doing="exporting")
        if job["state"] != JobState.DONE:
            raise ConfigurationError(f"the export has ended without a result ({job['state']}); begin another one")
        with progress_of(sizes=True) as show:
            service.download(f"{_path(service, job['jobId'])}/archive", content, got=show)
    content.flush()
    os.fsync(content.fileno())
    return job["jobId"]


@contextmanager
def _new_file(path: Path) -> "Generator[tuple[IO[bytes], Path]]":
    """Open a private file, and give its name until it gets the one that is wanted, when all went well; else it is gone.

    Raise ConfigurationError.
    """
    partial = path.with_name(f"{path.name}.part")
    try:
        if path.exists():
            raise ConfigurationError(f"{path} is there already; name another file, or move it away")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as content:
                os.fchmod(descriptor, 0o600)
                yield content, partial
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be written ({error.strerror or error}); the same command again goes on"
        ) from error


def identity_of(key: Path) -> str:
    """Return the secret key of age in a file; raise ArchiveInvalid when there is none, or not one."""
    from earwitness.vault.age import identity_in

    try:
        with key.open("rb") as content:
            return identity_in(content.read(_KEY_BYTES_MAX).decode("ascii", "replace"))
    except OSError as error:
        raise ArchiveInvalid(f"{error.filename or key} cannot be read: {error.strerror or error}") from error


def _checked(file: Path, key: Path | None) -> "CheckedArchive":
    from earwitness.tasks.archive import check_archive

    identity = None if key is None else identity_of(key)
    try:
        return check_archive(file, identity=identity)
    except OSError as error:
        raise ArchiveInvalid(f"{error.filename or file} cannot be read: {error.strerror or error}") from error


def _path(service: "ServiceClient", job: str) -> str:
    return f"/jobs/{service.segment(job, what='job')}"


def _tell(file: Path, checked: "CheckedArchive", *, as_json: bool, labels_left_out: int = 0) -> None:
    manifest = checked.manifest
    if as_json:
        found = {"file": str(file), "jobId": manifest.job_id, "domainId": manifest.domain_id}
        parts = {"parts": len(manifest.parts), "missingParts": list(manifest.missing_parts)}
        read = {"lines": dict(checked.lines), "recordings": checked.recordings}
        print_json({**found, "recipient": manifest.recipient, **parts, **read, "labelsLeftOut": labels_left_out})
        return
    say("{}: domain {}, {} parts, all whole", file, manifest.domain_id, len(manifest.parts))
    if checked.lines:
        profiles, voiceprints = checked.lines[PartKind.PROFILES], checked.lines[PartKind.VOICEPRINTS]
        say("{} profiles, {} voiceprints, {} recordings", profiles, voiceprints, checked.recordings)
        say("{} consents, {} labels", checked.lines[PartKind.CONSENTS], checked.lines[PartKind.LABELS])
    else:
        remark("what is in them is encrypted; give the secret key with --key to read them too")
