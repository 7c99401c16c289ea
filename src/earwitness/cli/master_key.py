"""`earwitness master-key`: show, verify and rotate what all encryption at rest hangs on. No command shows a key."""

import getpass
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earwitness import config
from earwitness.cli.options import DataOption, JsonOption
from earwitness.cli.output import Exit, print_json, print_table, progress_of, remark, reporting, say
from earwitness.config.exported import exported
from earwitness.errors import ConfigurationError, StoreError

if TYPE_CHECKING:
    from earwitness.store.store import Store
    from earwitness.vault.key_folder import KeyFolder
    from earwitness.vault.master_key import MasterKey
    from earwitness.vault.passphrase import ScryptParameters

master_key = typer.Typer(
    help="The master key of a service: show its id, verify that it opens everything, change it while serving.",
    no_args_is_help=True,
)

NEW_KEY_VARIABLE = "EARWITNESS_NEW_MASTER_KEY"

_WAIT_SECONDS = 30.0
"""How long processes that serve may take to find the next key; each looks every two seconds."""

_PAUSE_SECONDS = 0.005
"""Between batches, for the writes of those who serve."""


@master_key.command()
def show(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Show which master key is in force: its id, where it comes from, since when. Never the key."""
    with _opened(data, as_json=as_json) as (store, keys):
        state = store.master_keys.state()
        source = store.master_keys.source()
    since = None if state.in_force_since is None else f"{state.in_force_since:%FT%TZ}"
    if as_json:
        print_json(
            {
                "id": state.key_id,
                "source": source,
                "inForceSince": since,
                "nextId": state.next_key_id or None,
                "nextInUse": state.next_in_use,
            }
        )
        return
    print_table(
        ["what", "is"],
        [["id", state.key_id], ["from", keys.described], ["in force since", since or "before the records say"]],
    )
    if state.next_key_id:
        remark(
            "[yellow]it is being changed to {}; `earwitness master-key rotate` goes on with that[/yellow]",
            state.next_key_id,
        )


@master_key.command()
def verify(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Open every data key with the master key; nothing is changed. Exit code 1 when some do not open."""
    with _opened(data, as_json=as_json) as (store, _), progress_of() as progress:
        opened, unopened = store.verify_master_key(progress)
    if as_json:
        print_json({"opened": opened, "unopened": unopened})
    else:
        say("{:,} data keys open", opened)
        for table, count in unopened.items():
            remark("[red]{:,} of {} do not[/red]: they are damaged, or were moved there", count, table)
    if unopened:
        raise typer.Exit(Exit.NO)


@master_key.command()
def rotate(
    new_key_file: Annotated[
        Path | None,
        typer.Option("--new-key-file", metavar="FILE", help="A key as base64 in a file for your eyes only."),
    ] = None,
    passphrase: Annotated[
        bool, typer.Option("--passphrase", help="Make the new key of a passphrase, which is asked for.")
    ] = False,
    passphrase_file: Annotated[
        Path | None,
        typer.Option("--passphrase-file", metavar="FILE", help="Make it of the passphrase in a file."),
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change the master key while the service serves. Without options a new key is made.

    A key may also come from the variable EARWITNESS_NEW_MASTER_KEY. Run it again after whatever broke it off: it goes
    on. Nodes on other machines need the new key in their data folders, as master.key.next, before it begins.
    """
    from earwitness.tasks.leading import this_process

    with _opened(data, as_json=as_json) as (store, keys):
        former = store.master_keys.state().key_id
        following = _offered(store, keys, _given(new_key_file, asks=passphrase, passphrase_file=passphrase_file))
        rotation = store.rotation(to=following)
        rotation.offer()
        if not store.master_keys.state().next_in_use:
            _await_all(lambda: rotation.lacking(this_process()), rotation.withdraw, keys)
            rotation.use()
        with progress_of() as progress:
            changed = rotation.wrap_again(progress, lambda: time.sleep(_PAUSE_SECONDS))
        rotation.finish()
        left = keys.settle(following)
    if as_json:
        print_json({"id": following, "former": former, "wrapped": changed, "unopened": rotation.unopened})
        return
    say("the master key is {} now; {:,} data keys were wrapped again", following, changed)
    if rotation.unopened:
        remark("[yellow]{:,} data keys did not open before either, and stay as they are[/yellow]", rotation.unopened)
    if left:
        remark("[yellow]{}[/yellow]", left)
    remark(
        "{} opens nothing any more. Back the new key up apart from the records. Backups from before need the former "
        "one, which is kept as master.key.former-{} where it was a file: delete it when they are gone",
        former,
        former,
    )


def _offered(store: "Store", keys: "KeyFolder", given: "tuple[MasterKey, ScryptParameters | None] | None") -> str:
    """Return the id of the next key, which lies where a rotation finds it: a given one, one of before, or a new one."""
    from earwitness.errors import Conflict
    from earwitness.vault.master_key import new_master_key, read_master_key

    state = store.master_keys.state()
    if keys.next_file.exists():
        found = read_master_key(keys.next_file)
        if given is not None and given[0].key_id != found.key_id:
            raise Conflict(
                f"{keys.next_file} holds a key of a rotation that was broken off: run this again without a new key, so "
                "that it goes on with that one"
            )
        return found.key_id
    if state.next_key_id and (given is None or given[0].key_id != state.next_key_id):
        raise Conflict(
            f"the records are changing to the master key {state.next_key_id}: put that key into {keys.next_file}, and "
            "run this again"
        )
    key, parameters = given or (new_master_key(), None)
    if key.key_id == state.key_id:
        raise Conflict(f"the records are under this master key already, {key.key_id}; give another one")
    keys.offer(key, parameters)
    return key.key_id


def _given(
    file: Path | None, *, asks: bool, passphrase_file: Path | None
) -> "tuple[MasterKey, ScryptParameters | None] | None":
    """Return the key that the command was given; None for none. Raise ConfigurationError for more than one."""
    from earwitness.vault.key_folder import passphrase_in
    from earwitness.vault.master_key import master_key_from_text, read_master_key
    from earwitness.vault.passphrase import new_key

    text = exported(NEW_KEY_VARIABLE)
    if sum((file is not None, asks, passphrase_file is not None, bool(text))) > 1:
        raise ConfigurationError(
            f"give one new key: --new-key-file, --passphrase, --passphrase-file or {NEW_KEY_VARIABLE}"
        )
    if text:
        return master_key_from_text(text), None
    if file is not None:
        try:
            return read_master_key(file), None
        except FileNotFoundError:
            raise ConfigurationError(f"there is no file {file}; name the one that holds the new key") from None
    if passphrase_file is not None:
        return new_key(passphrase_in(passphrase_file))
    return new_key(_asked()) if asks else None


def _asked() -> str:
    if not sys.stdin.isatty():
        raise ConfigurationError("there is no terminal to ask for the passphrase; give it with --passphrase-file")
    first = getpass.getpass("New passphrase: ")
    if getpass.getpass("Again: ") != first:
        raise ConfigurationError("the two passphrases differ; nothing was changed")
    return first


def _await_all(lacking: Callable[[], Sequence[str]], withdraw: Callable[[], None], keys: "KeyFolder") -> None:
    """Wait until all who serve have the next key; else withdraw it, and raise StoreError that names who lacks it."""
    until = time.monotonic() + _WAIT_SECONDS
    while missing := lacking():
        if time.monotonic() > until:
            withdraw()
            raise StoreError(
                f"{'; '.join(missing)} did not take the new master key up, and nothing was changed: put "
                f"{keys.next_file} into the data folder of each node, under the same name, readable for its service, "
                "and run this again"
            )
        time.sleep(0.2)


@contextmanager
def _opened(data: Path | None, *, as_json: bool) -> "Generator[tuple[Store, KeyFolder]]":
    """Open what there is; errors become a line and an exit code."""
    from earwitness.app import open_records
    from earwitness.installation import key_folder

    with reporting(as_json=as_json):
        settings = config.load()
        chosen = settings if data is None else replace(settings, data_dir=data)
        with closing(open_records(chosen, may_make=False)) as store:
            store.spend_reserve()
            yield store, key_folder(chosen)
