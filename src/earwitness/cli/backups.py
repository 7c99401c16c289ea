"""`earwitness backup` and `restore`: the records and media of a service, out of it and back."""

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from earwitness import config
from earwitness.cli.options import DataOption, JsonOption
from earwitness.cli.output import print_json, print_table, progress_of, remark, reporting, say, warn
from earwitness.errors import BackupInvalid, ConfigurationError, RestoreRefused

if TYPE_CHECKING:
    from earwitness.backup.documents import BackupManifest
    from earwitness.store.store import Store

_KEY_BYTES_MAX = 65_536
_UNFINISHED = timedelta(days=1)
"""How old a backup without a manifest is before `prune` deletes it: a large one may be on its way."""


class _MakeByDefault(TyperGroup):
    """`earwitness backup PLACE` is `earwitness backup make PLACE`. `Any`: typer has a click of its own."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in {"--help", "-h"}:
            args = ["make", *args]
        return super().parse_args(ctx, args)


backup = typer.Typer(
    cls=_MakeByDefault,
    help="Backups of a running service: `earwitness backup PLACE` makes one; verify, list and prune them.",
    no_args_is_help=True,
)

PlaceArgument = Annotated[
    str, typer.Argument(metavar="PLACE", help="Where backups lie: a folder, or s3://BUCKET/PREFIX.")
]
IdOption = Annotated[
    str | None, typer.Option("--id", metavar="ID", help="Which backup, as `backup list` shows it. Default: the newest.")
]
KeyOption = Annotated[
    Path | None,
    typer.Option("--key", metavar="FILE", help="The recipient's secret key of age, as `age-keygen` wrote it."),
]


@backup.command()
def make(
    place: PlaceArgument,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="KEY", help="The public key of age that it is encrypted for."),
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Do not encrypt. Voices are sealed all the same; names and times are not.")
    ] = False,
    media: Annotated[bool, typer.Option("--media/--no-media", help="With the media of streams.")] = True,
    with_master_key: Annotated[
        bool, typer.Option("--with-master-key", help="With the master key: then --to is needed.")
    ] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Back up records and media while the service runs. The master key is not inside: keep that elsewhere.

    Next to the backups lies a ledger of deletions, which the running service tells of everything that is deleted.
    """
    from earwitness.backup.duty import keeper_of, place_at
    from earwitness.backup.making import make_backup
    from earwitness.backup.orders import backup_order

    with reporting(as_json=as_json):
        if plain == (to is not None):
            raise ConfigurationError("say whom it is for with --to, a public key of age; or --plain, not to encrypt it")
        settings = _settings(data)
        order = backup_order(settings, with_media=media, recipient=to, with_master_key=with_master_key)
        target = place_at(settings, place)
        with closing(_records(settings)) as store, progress_of(sizes=True) as show:
            keeper = keeper_of(settings, store, clock=_now)
            manifest = make_backup(store, target, order, keeper=keeper, clock=_now, show=show)
    if as_json:
        print_json({"place": target.address, **_told(manifest)})
        return
    say("{} is whole, with {} parts, {:,} bytes", manifest.backup_id, len(manifest.parts), _bytes(manifest))
    if not with_master_key:
        remark("the master key is not in it; without that nobody can read it (docs/backup.md)")


@backup.command()
def verify(
    place: PlaceArgument,
    backup_id: IdOption = None,
    key: KeyOption = None,
    public_key: Annotated[
        str | None,
        typer.Option("--public-key", metavar="KEY", help="What `audit key` printed, to prove whose backup it is."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say whether a backup is whole, and its ledger of deletions; with the secret key, also what is inside.

    No service and no master key is needed.
    """
    from earwitness.backup.checking import verify_backup
    from earwitness.backup.duty import place_at
    from earwitness.vault.signing import PublicKey

    with reporting(as_json=as_json), progress_of(sizes=True) as show:
        signed_by = None if public_key is None else PublicKey.from_text(public_key)
        source = place_at(config.load(), place)
        found = verify_backup(source, backup_id, identity=_identity(key), key=signed_by, show=show)
    told_at = None if found.ledger is None else found.ledger.head.told_at
    if as_json:
        beside = {"files": found.files, "ledgerToldAt": told_at, "deletionsSince": found.deletions_since}
        print_json({"place": source.address, **_told(found.manifest), **beside})
        return
    manifest = found.manifest
    say("{} is whole: {} parts, {:,} bytes", manifest.backup_id, len(manifest.parts), _bytes(manifest))
    if found.files is None:
        remark("what is in them is encrypted; give the secret key with --key to read them too")
    if told_at is None:
        warn("there is no ledger of deletions here; a restore needs one from another place")
    else:
        say("the ledger knows all deletions until {}, {} of them since the backup", told_at, found.deletions_since)


@backup.command("list")
def list_all(place: PlaceArgument, as_json: JsonOption = False) -> None:
    """Show the backups at a place, oldest first, and those that were cut short."""
    from earwitness.backup.checking import list_backups
    from earwitness.backup.duty import place_at

    with reporting(as_json=as_json):
        found = list_backups(place_at(config.load(), place))
    if as_json:
        none: dict[str, Any] = {}
        print_json(
            [
                {
                    "backupId": one.backup_id,
                    "damage": one.damage or None,
                    **(_told(one.manifest) if one.manifest else none),
                }
                for one in found
            ]
        )
        return
    rows = [
        [
            one.backup_id,
            one.manifest.created_at if one.manifest else "",
            one.manifest.expires_at if one.manifest else "",
            f"{_bytes(one.manifest):,}" if one.manifest else "",
            one.damage or ("encrypted" if one.manifest and one.manifest.recipient else "not encrypted"),
        ]
        for one in found
    ]
    print_table(["backup", "made", "expires", "bytes", ""], rows)


@backup.command()
def prune(
    place: PlaceArgument,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say which.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete backups that are older than the setting backup_days_max, and what is left of those that were cut short."""
    from earwitness.backup.checking import list_backups
    from earwitness.backup.documents import time_of
    from earwitness.backup.duty import keeper_of, place_at
    from earwitness.backup.making import delete_backup

    with reporting(as_json=as_json):
        settings = _settings(data)
        target, now = place_at(settings, place), _now()
        old = timedelta(days=settings.backup_days_max)
        with closing(_records(settings)) as store:
            own = store.signer().public.text
            due: list[str] = []
            for one in list_backups(target):
                began = _began(one.backup_id) if one.manifest is None else time_of(one.manifest.created_at)
                limit = old if one.manifest is not None else _UNFINISHED
                is_ours = one.manifest is None or one.manifest.public_key == own
                if is_ours and began is not None and now - began >= limit:
                    due.append(one.backup_id)
            for backup_id in () if dry_run else due:
                delete_backup(store, target, backup_id)
            if due and not dry_run:
                keeper_of(settings, store, clock=_now).look()
    if as_json:
        print_json({"deleted": [] if dry_run else due, "due": due})
        return
    for backup_id in due:
        say("{} {}", "would delete" if dry_run else "deleted", backup_id)
    if not due:
        say("nothing is older than {:g} days", settings.backup_days_max)


def restore(
    place: PlaceArgument,
    backup_id: IdOption = None,
    key: KeyOption = None,
    ledger: Annotated[
        list[str] | None,
        typer.Option("--ledger", metavar="PLACE", help="Another place with a ledger of deletions; may be repeated."),
    ] = None,
    accept_resurrection: Annotated[
        bool,
        typer.Option(
            "--accept-resurrection", help="Go on without a ledger that is newer than the backup: deleted voices return."
        ),
    ] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a backup back where nothing is, and delete again what was deleted since it was made.

    The master key has to be there already, in the data folder or by EARWITNESS_MASTER_KEY, unless it is in the backup.
    """
    from earwitness.backup.duty import place_at
    from earwitness.backup.orders import restore_order
    from earwitness.backup.restoring import clear_cut_short, restore
    from earwitness.installation import require_whole

    with reporting(as_json=as_json):
        settings = _settings(data)
        order = restore_order(
            settings, identity=_identity(key), ledgers=ledger or [], accept_resurrection=accept_resurrection
        )
        source = place_at(settings, place)
        clear_cut_short(order)
        if require_whole(settings) is not None:
            raise RestoreRefused(
                "there are records already, and a restore overwrites nothing: stop the service that uses them, and "
                "name an empty data folder with --data, or a new database by EARWITNESS_STORE_URL"
            )
        with progress_of(sizes=True) as show:
            done = restore(source, backup_id, order, clock=_now, show=show)
    told_at = None if done.told_at is None else done.told_at.isoformat()
    if as_json:
        beside = {"deletionsSince": done.deletions, "deletedAgain": done.deleted_again, "ledgerToldAt": told_at}
        beside["schedulesToldAgain"] = done.schedules
        print_json({**_told(done.manifest), **beside})
        return
    say("restored {}, made {}", done.manifest.backup_id, done.manifest.created_at)
    say(
        "{} deletions were made since; {} things had come back and are deleted again",
        done.deletions,
        done.deleted_again,
    )
    if done.schedules:
        say("{} domains were told a retention schedule since, and are told it again", done.schedules)
    if accept_resurrection:
        warn("what was deleted after {} may be there again", told_at or done.manifest.created_at)
    else:
        remark("what was deleted after {} is not known to the ledger; look at docs/backup.md", told_at or "")


def _settings(data: Path | None) -> "config.Settings":
    settings = config.load()
    return settings if data is None else replace(settings, data_dir=data)


def _records(settings: "config.Settings") -> "Store":
    from earwitness.installation import open_installation

    return open_installation(settings, clock=_now, may_make=False)


def _now() -> datetime:
    return datetime.now(UTC)


def _identity(key: Path | None) -> str | None:
    from earwitness.vault.age import identity_in

    if key is None:
        return None
    try:
        with key.open("rb") as content:
            return identity_in(content.read(_KEY_BYTES_MAX).decode("ascii", "replace"))
    except OSError as error:
        raise BackupInvalid(f"the key {key} cannot be read: {error.strerror or error}") from error


def _began(backup_id: str) -> datetime | None:
    try:
        return datetime.strptime(backup_id.split("-", maxsplit=1)[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


def _bytes(manifest: "BackupManifest") -> int:
    return sum(part.bytes for part in manifest.parts)


def _told(manifest: "BackupManifest") -> dict[str, Any]:  # `Any`: a JSON object
    return {
        "backupId": manifest.backup_id,
        "createdAt": manifest.created_at,
        "expiresAt": manifest.expires_at,
        "database": manifest.database,
        "schema": manifest.schema,
        "counts": manifest.counts,
        "recipient": manifest.recipient,
        "withMedia": manifest.with_media,
        "withMasterKey": manifest.with_master_key,
        "parts": len(manifest.parts),
        "bytes": _bytes(manifest),
        "publicKey": manifest.public_key,
    }
