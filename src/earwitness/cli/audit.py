"""`earwitness audit`: who did what, and whether anybody changed it, from the records or from files alone."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earwitness import config
from earwitness.cli.keys import records
from earwitness.cli.options import DataOption, JsonOption
from earwitness.cli.output import Exit, out, print_json, print_table, progress_of, remark, reporting, say, warn
from earwitness.errors import ConfigurationError

if TYPE_CHECKING:
    from earwitness.audit.places import AuditFile
    from earwitness.audit.verify import AuditVerdict
    from earwitness.config import Settings
    from earwitness.progress import Progress
    from earwitness.store.audit_records import AuditEntry, AuditFilter
    from earwitness.store.store import Store
    from earwitness.vault.signing import PublicKey

audit = typer.Typer(help="The audit trail: who did what, and whether anybody changed it since.", no_args_is_help=True)

_TIMES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S"]

SinceOption = Annotated[
    datetime | None, typer.Option("--since", formats=_TIMES, metavar="TIME", help="From this time on, in UTC.")
]
UntilOption = Annotated[
    datetime | None, typer.Option("--until", formats=_TIMES, metavar="TIME", help="Before this time, in UTC.")
]
WhoOption = Annotated[
    str | None, typer.Option("--key", metavar="ID", help="Who asked: the id of a key or token, or a command.")
]
OperationOption = Annotated[
    str | None, typer.Option("--operation", metavar="NAME", help="What was asked, as SearchRecording.")
]
ResourceOption = Annotated[str | None, typer.Option("--resource", metavar="ARN", help="Of what.")]
OutcomeOption = Annotated[
    str | None, typer.Option("--outcome", metavar="WORD", help="`done`, or the fault that it was refused with.")
]
OfAccountOption = Annotated[
    str | None, typer.Option("--account", metavar="ID", help="Of one account; default: of all.")
]
OfRegionOption = Annotated[str | None, typer.Option("--region", metavar="NAME", help="Of one Region; default: of all.")]
PublicKeyOption = Annotated[
    str | None,
    typer.Option("--key", metavar="KEY", help="The public key, or a file with it, as `audit key` printed it."),
]


@audit.command()
def query(
    since: SinceOption = None,
    until: UntilOption = None,
    key: WhoOption = None,
    operation: OperationOption = None,
    resource: ResourceOption = None,
    outcome: OutcomeOption = None,
    account: OfAccountOption = None,
    region: OfRegionOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, metavar="N", help="So many at most.")] = 50,
    before: Annotated[
        int | None,
        typer.Option("--before", min=1, metavar="ENTRY", help="Only entries before this one: the next page."),
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show entries, newest first."""
    wanted = _filter(since, until, key, operation, resource, outcome, account, region)
    with records(data, as_json=as_json, account=account) as store:
        page = store.audit.search(wanted, after=None if before is None else (before,), limit=limit)
    entries = [_shown(entry) for entry in page.items]
    following = page.items[-1].entry_id if page.next_key else None
    if as_json:
        print_json({"entries": entries, "before": following})
        return
    if not entries:
        remark("there are no such entries")
        return
    shown = ("entry", "time", "keyId", "operation", "outcome", "resourceArn", "accountId", "region", "requestId")
    titles = ["entry", "time", "who", "what", "outcome", "of what", "account", "Region", "request"]
    print_table(titles, [[str(entry[name]) for name in shown] for entry in entries])
    if following is not None:
        remark("there are more: add --before {}", following)


@audit.command()
def verify(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATH",
            help="Files of entries, folders of them, or s3://BUCKET/PREFIX; default: those of audit_dir.",
        ),
    ] = None,
    checkpoint: Annotated[
        list[str] | None,
        typer.Option(
            "--checkpoint",
            metavar="PATH",
            help="A file of checkpoints, a folder, or s3://BUCKET/PREFIX; default: all there are.",
        ),
    ] = None,
    key: PublicKeyOption = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Look at the files alone: no records and no master key. Needs --key.")
    ] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say whether entries were removed, doubled, moved or changed, and where it begins. Exit code 1 when any was."""
    settings = config.load() if data is None else replace(config.load(), data_dir=data)
    if offline:
        with reporting(as_json=as_json), progress_of() as show:
            if key is None or not (paths or checkpoint):
                raise ConfigurationError("--offline needs --key, and the files to look at")
            verdict = _verified_offline(settings, paths or [], checkpoint or [], _public_key(key), show)
    else:
        with records(data, as_json=as_json, account=None) as store, progress_of() as show:
            public = store.signer().public if key is None else _public_key(key)
            verdict = _verified(settings, store, paths, checkpoint, public, show)
    _tell(verdict, as_json=as_json)


def _verified_offline(
    settings: "Settings", paths: Sequence[str], checkpoints: Sequence[str], key: "PublicKey", show: "Progress"
) -> "AuditVerdict":
    """Check these files by themselves."""
    from earwitness.audit.checkpoints import read_checkpoints
    from earwitness.audit.folder import CHECKPOINTS, ENTRIES
    from earwitness.audit.verify import verify_files

    at = settings.audit_endpoint_url
    known = list(read_checkpoints(_files(checkpoints, but=ENTRIES, endpoint_url=at), lambda: key, show))
    return verify_files(_files(paths, but=CHECKPOINTS, endpoint_url=at), known, key, show)


def _verified(
    settings: "Settings",
    store: "Store",
    paths: Sequence[str] | None,
    checkpoints: Sequence[str] | None,
    key: "PublicKey",
    show: "Progress",
) -> "AuditVerdict":
    """Check the records with these files; without any named, with those of audit_dir."""
    from earwitness.audit.checkpoints import read_checkpoints
    from earwitness.audit.folder import CHECKPOINTS, ENTRIES
    from earwitness.audit.verify import verify_records
    from earwitness.from_settings import audit_place

    at = settings.audit_endpoint_url
    place = audit_place(settings, clock=lambda: datetime.now(UTC))
    known_at = place.checkpoint_files() if checkpoints is None else _files(checkpoints, but=ENTRIES, endpoint_url=at)
    # Before the records are read: what is written meanwhile is behind them.
    known = list(read_checkpoints(known_at, lambda: key, show))
    files = place.entry_files() if paths is None else _files(paths, but=CHECKPOINTS, endpoint_url=at)
    return verify_records(store, files, known, key, show)


@audit.command()
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write: lines of JSON, the last one signed.")],
    since: SinceOption = None,
    until: UntilOption = None,
    key: WhoOption = None,
    operation: OperationOption = None,
    resource: ResourceOption = None,
    outcome: OutcomeOption = None,
    account: OfAccountOption = None,
    region: OfRegionOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write entries to a signed file, which `audit verify --offline` checks with the public key alone."""
    from earwitness.audit.export import export_entries

    wanted = _filter(since, until, key, operation, resource, outcome, account, region)
    with records(data, as_json=as_json, account=account) as store, progress_of() as show:
        count = export_entries(store, file, wanted, now=datetime.now(UTC), progress=show)
        public = store.signer().public
    if as_json:
        print_json({"entries": count, "file": file, "publicKey": public.text})
        return
    say("wrote {:,} entries to {}", count, file)
    remark("check it with: earwitness audit verify --offline --key {} {}", public.text, file)


@audit.command("key")
def show_key(
    pem: Annotated[bool, typer.Option("--pem", help="As PEM, for OpenSSL and others.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the public key that shows what this service has signed. Keep it elsewhere: it is no secret."""
    with records(data, as_json=as_json, account=None) as store:
        public = store.signer().public
    if as_json:
        print_json({"keyId": public.key_id, "publicKey": public.text, "pem": public.pem})
    elif pem:
        out.print(public.pem, end="", markup=False)
    else:
        say("{}", public.text)


def _filter(
    since: datetime | None,
    until: datetime | None,
    key: str | None,
    operation: str | None,
    resource: str | None,
    outcome: str | None,
    account: str | None,
    region: str | None,
) -> "AuditFilter":
    from earwitness.store.audit_records import AuditFilter

    return AuditFilter(
        since=since and since.replace(tzinfo=UTC),
        until=until and until.replace(tzinfo=UTC),
        key_id=key,
        operation=operation,
        resource_arn=resource,
        outcome=outcome,
        account_id=account,
        region=region,
    )


def _shown(entry: "AuditEntry") -> dict[str, object]:
    return {
        "entry": entry.entry_id,
        "time": f"{entry.time:%Y-%m-%dT%H:%M:%S.%f}Z",
        "accountId": entry.scope.account_id,
        "region": entry.scope.region,
        "keyId": entry.key_id,
        "operation": entry.operation,
        "resourceArn": entry.resource_arn,
        "outcome": entry.outcome,
        "requestId": entry.request_id,
        "node": entry.node,
        "number": entry.number,
        "digest": None if entry.digest is None else entry.digest.hex(),
    }


def _public_key(given: str) -> "PublicKey":
    from earwitness.vault.signing import PublicKey

    if given.startswith("ed25519:"):
        return PublicKey.from_text(given)
    try:
        return PublicKey.from_text(Path(given).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError(f"{given} is neither a public key (ed25519:…) nor a file with one") from None


def _files(given: Sequence[str], *, but: str, endpoint_url: str) -> "list[AuditFile]":
    """Return the files, and those with lines of JSON in folders and buckets, but of no folder with one name.

    Raise ConfigurationError for what is not there.
    """
    from earwitness.aws.buckets import is_bucket

    found: list[AuditFile] = []
    for one in given:
        path = Path(one)
        if is_bucket(one):
            found += _in_bucket(one, but=but, endpoint_url=endpoint_url)
        elif path.is_dir():
            found += [file for file in sorted(path.rglob("*.jsonl")) if but not in file.parent.parts]
        elif path.exists():
            found.append(path)
        else:
            raise ConfigurationError(f"{one} is not there; name a file or a folder")
    return found


def _in_bucket(address: str, *, but: str, endpoint_url: str) -> "Sequence[AuditFile]":
    """Return one object, or what is at the place that a bucket is."""
    from earwitness.audit.folder import ENTRIES
    from earwitness.audit.places import bucket_at
    from earwitness.config.aws import aws_region

    above, _, name = address.rpartition("/")
    is_object = name.endswith(".jsonl")
    region = aws_region()
    place = bucket_at(
        above if is_object else address, endpoint_url=endpoint_url, region=region, clock=lambda: datetime.now(UTC)
    )
    if is_object:
        return [place.file(name)]
    found = place.checkpoint_files() if but == ENTRIES else place.entry_files()
    if not found:
        what = "checkpoints" if but == ENTRIES else "files of entries"
        raise ConfigurationError(f"{address} has no {what}; name what audit_dir names, or one object")
    return found


def _tell(verdict: "AuditVerdict", *, as_json: bool) -> None:
    if as_json:
        newest = verdict.newest_checkpoint
        print_json(
            {
                "whole": verdict.is_whole,
                "entries": verdict.entries,
                "chains": verdict.chains,
                "files": verdict.files,
                "checkpoints": verdict.checkpoints,
                "newestCheckpoint": None if newest is None else f"{newest:%Y-%m-%dT%H:%M:%SZ}",
                "afterCheckpoints": verdict.after_checkpoints,
                "unsealed": verdict.unsealed,
                "withoutAChain": verdict.without_a_chain,
                "problems": verdict.problems,
                "remarks": verdict.remarks,
            }
        )
    else:
        _say(verdict)
    if not verdict.is_whole:
        raise typer.Exit(Exit.NO)


def _say(verdict: "AuditVerdict") -> None:
    for problem in verdict.problems:
        say("[red]{}[/red]: {}", problem.where, problem.says)
    known = f"{verdict.checkpoints:,} checkpoints" if verdict.checkpoints else "no checkpoint"
    counted = f"{verdict.entries:,} entries, {verdict.chains:,} chains, {verdict.files:,} files, {known}"
    if verdict.is_whole:
        say("[green]whole[/green]: {}", counted)
    else:
        say("[red]not whole[/red]: {}", counted)
    if not verdict.checkpoints:
        warn("without a checkpoint nothing shows whether entries at the end are missing, or all were made anew")
    elif verdict.after_checkpoints:
        remark("{:,} entries are newer than the newest checkpoint", verdict.after_checkpoints)
    if verdict.unsealed:
        remark("{:,} entries have no place in a chain yet; a service that runs gives it to them", verdict.unsealed)
    if verdict.without_a_chain:
        remark("{:,} entries are from before there were chains: nothing protects them", verdict.without_a_chain)
    for said in verdict.remarks:
        remark("{}", said)
