"""`earwitness connectors`: Voice Connectors, by which calls come in, and how phone systems prove themselves to them.

Like `earwitness keys`, it works on the records themselves, beside a service that runs or without one: secrets travel
over no network.
"""

import secrets
import sys
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from earwitness.cli.keys import DEFAULT_ACCOUNT, AccountOption, records
from earwitness.cli.options import DataOption, JsonOption
from earwitness.cli.output import Exit, print_json, print_table, remark, say
from earwitness.errors import ConfigurationError, NotFound
from earwitness.voice.connector import (
    ANNOUNCED_KEPT,
    DoorSecret,
    checked_label,
    checked_name,
    checked_secret,
    networks_of,
)

if TYPE_CHECKING:
    from earwitness.store.connector_records import DoorSettings, VoiceConnector
    from earwitness.store.records import Scope
    from earwitness.store.store import Store, Unit

COMMAND = "earwitness connectors"
"""Who did it, in the audit trail; requests have a key there."""

ResultT = TypeVar("ResultT")

connectors = typer.Typer(
    help="Voice Connectors: make them, and say which phone systems may send calls to them.", no_args_is_help=True
)

ConnectorArgument = Annotated[str, typer.Argument(metavar="CONNECTOR", help="As `connectors list` shows it.")]
RegionOfRecords = Annotated[str, typer.Option("--region", metavar="NAME", help="The Region of the records.")]


@connectors.command("list")
def list_connectors(
    account: AccountOption = DEFAULT_ACCOUNT,
    region: RegionOfRecords = "us-east-1",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the connectors of the account in the Region, oldest first; never their secrets."""
    from earwitness.store.pages import all_records
    from earwitness.store.records import Scope

    scope = Scope(account_id=account, region=region)
    with records(data, as_json=as_json, account=account) as store:
        found = list(all_records(partial(store.connectors.list, scope)))
    if as_json:
        print_json([_document(one) for one in found])
    elif not found:
        remark("there are no Voice Connectors; `earwitness connectors create NAME` makes one")
    else:
        rows = [(one.connector_id, one.name, *_in_words(one), f"{one.created_at:%F}") for one in found]
        print_table(("connector", "name", "calls", "from", "secrets", "made"), rows, folds={"name", "from", "secrets"})


@connectors.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call it, for people.")],
    configuration: Annotated[
        str | None,
        typer.Option("--configuration", metavar="NAME", help="The configuration that its calls get a pipeline from."),
    ] = None,
    retention: Annotated[
        int, typer.Option("--retention", min=0, max=87_600, metavar="HOURS", help="How long audio of calls is kept.")
    ] = 0,
    encrypted: Annotated[
        bool, typer.Option("--require-encryption", help="Take calls over TLS only, their audio too.")
    ] = False,
    account: AccountOption = DEFAULT_ACCOUNT,
    region: RegionOfRecords = "us-east-1",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a connector. It takes calls from this machine alone until `secret` or `allow` says more."""
    from earwitness.access.caller import arn_of
    from earwitness.api.voice_connectors import new_connector_id, require_speaker_search
    from earwitness.store.records import Scope

    scope, connector_id = Scope(account_id=account, region=region), new_connector_id(lambda: str(uuid.uuid4()))
    arn = arn_of(scope, "chime", f"vc/{connector_id}")

    def work(unit: "Unit") -> "VoiceConnector | None":
        streaming: dict[str, object] = {"DataRetentionInHours": retention, "Disabled": False}
        if configuration is not None:
            found = unit.configurations.get(scope, configuration)
            if found is None:
                raise NotFound(
                    "there is no configuration of this name in the account and Region; "
                    "CreateMediaInsightsPipelineConfiguration makes one"
                )
            require_speaker_search(found.body)
            streaming["MediaInsightsConfiguration"] = {"Disabled": False, "ConfigurationArn": found.arn}
        body = {"RequireEncryption": encrypted}
        unit.connectors.create(scope, connector_id=connector_id, arn=arn, name=checked_name(name), body=body)
        return unit.connectors.set_streaming(scope, connector_id, streaming)

    with records(data, as_json=as_json, account=account) as store:
        made = _written(store, scope, "CreateVoiceConnector", arn, lambda unit: _there(work(unit)))
    _show(made, as_json=as_json)


@connectors.command()
def show(connector: ConnectorArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Show what a connector takes, and which secrets are set; never the secrets."""
    with _chosen(connector, data, as_json=as_json) as (_, found):
        _show(found, as_json=as_json)


@connectors.command()
def secret(
    connector: ConnectorArgument,
    name: Annotated[DoorSecret, typer.Argument(metavar="SECRET", help=f"Which one: {', '.join(DoorSecret)}.")],
    unset: Annotated[bool, typer.Option("--unset", help="Forget it; calls that are proved by it are refused.")] = False,
    new: Annotated[bool, typer.Option("--new", help="Make one, and show it this once.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set a secret that a phone system shares with a connector: asked for, or read from standard input."""
    value = None if unset else secrets.token_urlsafe(30) if new else _asked(name)
    with _chosen(connector, data, as_json=as_json) as (store, found):
        given = {name: None if value is None else checked_secret(name, value)}
        changed = _change(store, found, lambda unit: unit.connectors.set_door(*_key(found), secrets=given))
    if new and not as_json:
        say("{}", value)
    shown = _document(changed)
    _tell(shown | {"secret": value} if new else shown, f"{name.value} is {'not ' if unset else ''}set", as_json=as_json)


@connectors.command()
def allow(
    connector: ConnectorArgument,
    networks: Annotated[
        list[str] | None, typer.Argument(metavar="NETWORK", help="Addresses or networks; none: this machine alone.")
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say from where calls may come whose protocol has no other proof (SIPREC, AudioSocket). It replaces the list."""
    with _chosen(connector, data, as_json=as_json) as (store, found):
        allowed = networks_of(networks or ())
        changed = _set(store, found, lambda present: replace(present, allowed_networks=allowed))
    words = ", ".join(allowed) or "this machine alone"
    _tell(_document(changed), f"calls may come from {words}", as_json=as_json)


@connectors.command("set")
def set_door(
    connector: ConnectorArgument,
    enabled: Annotated[bool | None, typer.Option("--enable/--disable", help="Take calls, or none.")] = None,
    caller: Annotated[
        str | None,
        typer.Option("--caller", metavar="LABEL", help="The label of the caller's leg; empty: by the protocol's rule."),
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Switch a connector off or on, or say which leg is the caller's."""

    def change(present: "DoorSettings") -> "DoorSettings":
        door = present if enabled is None else replace(present, disabled=not enabled)
        return door if caller is None else replace(door, caller_label=checked_label(caller))

    with _chosen(connector, data, as_json=as_json) as (store, found):
        changed = _set(store, found, change)
    _show(changed, as_json=as_json)


@connectors.command()
def announce(connector: ConnectorArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Make the id of a call that may come within ten minutes, once: AudioSocket has no other proof."""
    call_id = str(uuid.uuid4())
    with _chosen(connector, data, as_json=as_json) as (store, found):
        _written(
            store,
            found.scope,
            "AnnounceCall",
            found.arn,
            lambda unit: unit.connectors.announce(
                *_key(found), call_id=call_id, expires_at=unit.now + timedelta(seconds=ANNOUNCED_KEPT)
            ),
        )
    if as_json:
        print_json({"callId": call_id, "connectorId": connector})
    else:
        say("{}", call_id)


@connectors.command()
def delete(
    connector: ConnectorArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete a connector that has no calls in progress."""
    with _chosen(connector, data, as_json=as_json) as (store, found):
        if not yes and not sys.stdin.isatty():
            raise ConfigurationError("deleting is for good; say --yes to do it")
        if not yes and not typer.confirm(f"Delete {found.name} ({connector}), for good?", err=True):
            raise typer.Exit(Exit.NO)
        _written(
            store, found.scope, "DeleteVoiceConnector", found.arn, lambda unit: unit.connectors.delete(*_key(found))
        )
    _tell(_document(found), f"deleted {connector}", as_json=as_json)


@contextmanager
def _chosen(connector_id: str, data: Path | None, *, as_json: bool) -> "Generator[tuple[Store, VoiceConnector]]":
    """Open the records and find a connector in them. NotFound and others become a line and an exit code."""
    with records(data, as_json=as_json, account=None) as store:
        yield store, _there(store.connectors.get_everywhere(connector_id))


def _there(found: "VoiceConnector | None") -> "VoiceConnector":
    if found is None:
        raise NotFound("there is no such Voice Connector; `earwitness connectors list` shows them")
    return found


def _key(found: "VoiceConnector") -> "tuple[Scope, str]":
    return found.scope, found.connector_id


def _set(store: "Store", found: "VoiceConnector", change: "Callable[[DoorSettings], DoorSettings]") -> "VoiceConnector":
    return _change(store, found, lambda unit: unit.connectors.set_door(*_key(found), change=change))


def _change(
    store: "Store", found: "VoiceConnector", work: "Callable[[Unit], VoiceConnector | None]"
) -> "VoiceConnector":
    """Change the door of a connector, and return that."""
    return _written(store, found.scope, "PutDoor", found.arn, lambda unit: _there(work(unit)))


def _written(store: "Store", scope: "Scope", operation: str, arn: str, work: "Callable[[Unit], ResultT]") -> ResultT:
    """Do it as one unit with its entry in the audit trail, under the name of the request that does the same."""

    def audited(unit: "Unit") -> ResultT:
        done = work(unit)
        unit.audit.append(scope, key_id=COMMAND, operation=operation, resource_arn=arn, outcome="done", request_id="")
        return done

    return store.write(audited)


def _asked(name: DoorSecret) -> str:
    """Return a secret from the terminal, where it does not show, or the first line of standard input."""
    if sys.stdin.isatty():
        return typer.prompt(name.value, hide_input=True, err=True)
    return sys.stdin.readline().rstrip("\r\n")


def _document(found: "VoiceConnector") -> dict[str, object]:
    return {
        "connectorId": found.connector_id,
        "name": found.name,
        "arn": found.arn,
        "disabled": found.access.disabled,
        "requireEncryption": found.access.require_encryption,
        "allowedNetworks": list(found.door.allowed_networks),
        "callerLabel": found.door.caller_label,
        "secrets": [name.value for name in found.secrets],
        "streaming": found.streaming,
    }


def _in_words(found: "VoiceConnector") -> tuple[str, str, str]:
    taken = "none" if found.access.disabled else "encrypted" if found.access.require_encryption else "yes"
    networks = ", ".join(found.door.allowed_networks) or "this machine"
    return taken, networks, ", ".join(name.value for name in found.secrets) or "none"


def _show(found: "VoiceConnector", *, as_json: bool) -> None:
    if as_json:
        print_json(_document(found))
        return
    say("{}", found.connector_id)
    taken, networks, names = _in_words(found)
    remark("{}, {}; calls: {}; from {}; secrets set: {}", found.name, found.arn, taken, networks, names)


def _tell(document: dict[str, object], words: str, *, as_json: bool) -> None:
    if as_json:
        print_json(document)
    else:
        remark("{}", words)
