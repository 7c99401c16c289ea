"""`earwitness domains import`: what `export` has written becomes a domain of these records."""

import time
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earwitness import config
from earwitness.cli.exports import identity_of
from earwitness.cli.keys import DEFAULT_ACCOUNT, AccountOption, require_account, require_region
from earwitness.cli.options import DataOption, JsonOption
from earwitness.cli.output import print_json, progress_of, remark, reporting, say, warn
from earwitness.errors import ArchiveInvalid

if TYPE_CHECKING:
    from earwitness.tasks.importing import ImportResult

_SHOWN_MAX = 20

_PAUSE_SECONDS = 0.1
"""Between batches: a service that waits to write to the same file looks again as often."""


def import_domain(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `export` wrote.")],
    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE", help="The secret key of age that opens it.")
    ] = None,
    into: Annotated[
        str, typer.Option("--into", metavar="DOMAIN", help="An empty domain that is there; default: a new one.")
    ] = "",
    name: Annotated[str, typer.Option("--name", help="Of the new domain; default: as in the export.")] = "",
    new_ids: Annotated[
        bool, typer.Option("--new-ids", help="Give profiles new ids; needed where those of the export are taken.")
    ] = False,
    leave_out: Annotated[
        bool,
        typer.Option("--leave-out", help="Leave out voiceprints that can never be compared here, and list them."),
    ] = False,
    account: AccountOption = DEFAULT_ACCOUNT,
    region: Annotated[str, typer.Option("--region", metavar="REGION", help="Of the domain.")] = "us-east-1",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Import a domain from a file, on the machine of the records, while the service answers or not.

    All of the file is read and judged first. Whatever is refused or breaks off leaves nothing behind; after a kill, the
    same command begins anew.
    """
    from earwitness.app import open_records
    from earwitness.engine.space import shipped_space
    from earwitness.models.catalogue import ENCODER_MODEL
    from earwitness.store.records import Scope
    from earwitness.tasks.importing import ImportTarget, import_archive, require_target
    from earwitness.tasks.judged_archive import judge
    from earwitness.wire.guids import new_guid

    with reporting(as_json=as_json):
        require_account(account)
        require_region(region)
        settings = config.load()
        chosen = settings if data is None else replace(settings, data_dir=data)
        target = ImportTarget(
            scope=Scope(account_id=account, region=region),
            domain_id=into,
            name=name,
            new_ids=new_ids,
            domains_max=settings.quotas.domains,
            profiles_max=settings.quotas.profiles_per_domain,
        )
        require_target(target)
        identity = None if key is None else identity_of(key)
        now = datetime.now(UTC)
        judge_now = partial(judge, file, identity=identity, space_of=partial(shipped_space, ENCODER_MODEL), now=now)
        try:
            judged = judge_now(leave_out=leave_out)
        except OSError as error:
            raise ArchiveInvalid(f"{file} cannot be read: {error.strerror or error}") from error
        with closing(open_records(chosen, may_make=False)) as store, progress_of() as show:
            done = import_archive(
                store,
                file,
                judged,
                target,
                identity=identity,
                new_id=new_guid,
                now=now,
                progress=show,
                pause=partial(time.sleep, _PAUSE_SECONDS),
            )
    _tell(done, as_json=as_json)


def _tell(done: "ImportResult", *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "domainId": done.domain.domain_id,
                "profiles": done.profiles,
                "voiceprints": done.voiceprints,
                "toReembed": done.to_reembed,
                "leftOut": list(done.left_out),
                "expiredProfiles": done.expired,
                "consents": done.consents,
                "withdrawnProfiles": done.withdrawn_profiles,
                "withdrawnConsents": done.withdrawn_consents,
                "labels": done.labels,
                "calibrationId": done.calibration_id,
                "calibrationLeftOut": done.calibration_left_out,
            }
        )
        return
    say(
        "domain {}: {:,} profiles, {:,} voiceprints, {:,} consents",
        done.domain.domain_id,
        done.profiles,
        done.voiceprints,
        done.consents,
    )
    if done.calibration_id is not None:
        say("its searches rest on the calibration of the export, {}", done.calibration_id)
    if done.calibration_left_out is not None:
        warn(
            "the calibration of the export is not in use: {}; `earwitness calibration list --domain {}` says what is",
            done.calibration_left_out,
            done.domain.domain_id,
        )
    if done.withdrawn_profiles or done.withdrawn_consents:
        warn(
            "left out, because the person has withdrawn: {:,} profiles, {:,} consents; a consent that is given after "
            "that may be recorded, and the voice enrolled anew",
            done.withdrawn_profiles,
            done.withdrawn_consents,
        )
    if done.labels:
        remark(
            "{:,} labelled calls stay in the file, because their calls do; `earwitness domains check FILE --labels` "
            "writes them for `earwitness labels report`",
            done.labels,
        )
    if done.to_reembed:
        warn(
            "{:,} voiceprints are of another voice encoder and are not compared yet; `earwitness backfill reembed {}` "
            "makes them anew from their speech",
            done.to_reembed,
            done.domain.domain_id,
        )
    for each in done.left_out[:_SHOWN_MAX]:
        warn("left out, because it can never be compared here: {}", each)
    if len(done.left_out) > _SHOWN_MAX:
        warn("and {:,} more; --json lists them all", len(done.left_out) - _SHOWN_MAX)
    if done.expired:
        remark("{:,} profiles had expired, and were not imported", done.expired)
