"""`earwitness keys`: who may call the service."""

import re
import secrets
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earwitness import config
from earwitness.access.roles import Role
from earwitness.cli.options import DataOption, JsonOption
from earwitness.cli.output import Exit, print_json, print_table, remark, reporting, say
from earwitness.errors import ConfigurationError

if TYPE_CHECKING:
    from earwitness.store.records import AccessKey, BearerToken
    from earwitness.store.store import Store, Unit

keys = typer.Typer(help="Access keys and bearer tokens: create, list, disable, rotate.", no_args_is_help=True)

KEY_ID_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
DEFAULT_ACCOUNT = "000000000000"

COMMAND = "earwitness keys"
"""Who did it, in the audit trail."""

REGION_OF_KEYS = "us-east-1"
"""In whose audit trail changes of keys are: they belong to none, as sign-ins do."""

AccountOption = Annotated[
    str, typer.Option("--account", metavar="ID", help="The account, twelve digits of your choice; they part records.")
]
OfAnyAccountOption = Annotated[
    str | None,
    typer.Option("--account", metavar="ID", help="The account of the key, twelve digits. Default: whichever has it."),
]
NewAccountOption = Annotated[
    str | None,
    typer.Option(
        "--account",
        metavar="ID",
        help="The account, twelve digits; queues and topics that events go to must be of the same one. Default: "
        "000000000000, where no other account has keys.",
    ),
]
RoleOption = Annotated[
    str,
    typer.Option(
        "--role",
        metavar="ROLE",
        help="admin, operator, reader, producer, auditor, monitor; docs/parity.md has a table.",
    ),
]
NameOption = Annotated[str, typer.Option("--name", help="What to call it, for people.")]
KeyArgument = Annotated[str, typer.Argument(metavar="ID", help="As `keys list` shows it.")]


@keys.command()
def create(
    account: NewAccountOption = None,
    role: RoleOption = "admin",
    name: NameOption = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an access key. Its secret is shown this once."""
    with records(data, as_json=as_json, account=account, role=role) as store:
        account = _account_of_new(store, account)
        key_id = "EARW" + "".join(secrets.choice(KEY_ID_ALPHABET) for _ in range(16))
        secret = _new_secret()

        def create_it(unit: "Unit") -> "AccessKey":
            _record(unit, account, "CreateKey", key_id, role)
            return unit.access_keys.create(key_id=key_id, account_id=account, role=role, name=name, secret=secret)

        made = store.write(create_it)
    _show_secret(made.key_id, secret, account=account, role=made.role, as_json=as_json)


@keys.command("list")
def list_keys(account: AccountOption = DEFAULT_ACCOUNT, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Show the account's keys and tokens; never their secrets."""
    from earwitness.store.pages import all_records

    with records(data, as_json=as_json, account=account) as store:
        keys = all_records(partial(store.access_keys.list, account))
        rows = [_row(key.key_id, "key", key) for key in keys]
        tokens = all_records(partial(store.bearer_tokens.list, account))
        rows += [_row(token.token_id, "token", token) for token in tokens]
    if as_json:
        print_json(rows)
    elif rows:
        print_table(list(rows[0]), [list(row.values()) for row in rows], folds={"name"})
    else:
        remark("account {} has no keys; make one with `earwitness keys create --account {}`", account, account)


def _row(shown: str, kind: str, one: "AccessKey | BearerToken") -> dict[str, str]:
    made = f"{one.created_at:%FT%TZ}"
    return {"id": shown, "kind": kind, "role": one.role, "state": one.state, "name": one.name, "made": made}


@keys.command()
def disable(
    key: KeyArgument, account: OfAnyAccountOption = None, data: DataOption = None, as_json: JsonOption = False
) -> None:
    """Let a key or token do nothing any more: the next request is refused, connections end within seconds."""
    with records(data, as_json=as_json, account=account) as store:
        holder = _account_of(store, key, account)

        def disable_it(unit: "Unit") -> bool:
            done = unit.access_keys.disable(holder, key) or unit.bearer_tokens.revoke(holder, key)
            if done:
                _record(unit, holder, "DisableKey", key)
            return done

        done = store.write(disable_it)
    _report(done, f"{key} is disabled", account=account, as_json=as_json)


@keys.command()
def rotate(
    key: KeyArgument, account: OfAnyAccountOption = None, data: DataOption = None, as_json: JsonOption = False
) -> None:
    """Give a key a new secret, shown this once; the old one opens nothing more, its connections end in five minutes."""
    secret = _new_secret()
    with records(data, as_json=as_json, account=account) as store:
        holder = _account_of(store, key, account)

        def rotate_it(unit: "Unit") -> "AccessKey | None":
            rotated = unit.access_keys.rotate(holder, key, secret=secret)
            if rotated is not None:
                _record(unit, holder, "RotateKey", key)
            return rotated

        rotated = store.write(rotate_it)
    if rotated is None:
        _report(False, "", account=account, as_json=as_json)
    else:
        _show_secret(rotated.key_id, secret, account=rotated.account_id, role=rotated.role, as_json=as_json)
        if rotated.state != "enabled":
            remark("[yellow]{} stays disabled; make a new key to call the service[/yellow]", rotated.key_id)


@keys.command()
def token(
    account: NewAccountOption = None,
    role: RoleOption = "operator",
    name: NameOption = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a bearer token for earwitness's own API. It is shown this once."""
    made = f"ewt_{secrets.token_urlsafe(32)}"
    with records(data, as_json=as_json, account=account, role=role) as store:
        account = _account_of_new(store, account)
        token_id = f"tok-{secrets.token_hex(8)}"

        def create_it(unit: "Unit") -> None:
            _record(unit, account, "CreateToken", token_id, role)
            unit.bearer_tokens.create(token=made, token_id=token_id, account_id=account, role=role, name=name)

        store.write(create_it)
    if as_json:
        print_json({"id": token_id, "token": made, "account": account, "role": role})
        return
    say("{}", made)
    remark(
        "{}, role {}, account {}; shown this once. Send it as `Authorization: Bearer …`",
        token_id,
        role,
        account,
    )


def _record(unit: "Unit", account: str, operation: str, key_id: str, role: str = "") -> None:
    """Say in the audit trail of the account what was done with a key. Keys belong to no Region."""
    from earwitness.store.records import Scope

    of = f"key/{key_id}"
    unit.audit.append(
        Scope(account_id=account, region=REGION_OF_KEYS),
        key_id=COMMAND,
        operation=operation,
        resource_arn=f"{of}/{role}" if role else of,
        outcome="done",
        request_id="",
    )


def require_account(account: str) -> None:
    """Raise ConfigurationError when it is no account id."""
    if not re.fullmatch(r"[0-9]{12}", account):
        raise ConfigurationError("an account id has twelve digits, as in 000000000000")


def require_region(region: str) -> None:
    """Raise ConfigurationError when it cannot be the name of a Region."""
    if not re.fullmatch(r"[a-z0-9-]{1,32}", region):
        raise ConfigurationError("a Region is named in small letters, digits and hyphens, as in us-east-1")


def _account_of(store: "Store", key: str, given: str | None) -> str:
    """Return the account whose key it is: the given one, else the one that has it, "" when none does.

    Raise ConfigurationError when tokens of several accounts have this id.
    """
    accounts = store.credentials.accounts_of(key) if given is None else (given,)
    if len(accounts) > 1:
        raise ConfigurationError(f"accounts {', '.join(accounts)} have a key of this id; say whose with --account")
    return accounts[0] if accounts else ""


def _account_of_new(store: "Store", given: str | None) -> str:
    """Return the account of a new key. It must be given where the records know another than the default."""
    if given is not None:
        return given
    others = [account for account in store.access_keys.accounts() if account != DEFAULT_ACCOUNT]
    if others:
        raise ConfigurationError(
            f"say whose key it is: these records have keys of account {', '.join(others)}; add --account {others[0]}, "
            f"or --account {DEFAULT_ACCOUNT} if it is meant to see none of their records"
        )
    remark(
        "account {}, because --account was left out; to send events to SQS, SNS, Lambda or Kinesis at AWS, make the "
        "key with --account and the id of the AWS account that they are in",
        DEFAULT_ACCOUNT,
    )
    return DEFAULT_ACCOUNT


def _new_secret() -> str:
    return secrets.token_urlsafe(30)  # 40 characters, as AWS's


@contextmanager
def records(data: Path | None, *, as_json: bool, account: str | None, role: str | None = None) -> "Generator[Store]":
    """Open the records after what was asked for is known to make sense; errors become a line and an exit code.

    Only a command that makes a key, and so has a role, may make an installation for it: for any other, a folder without
    one is a mistake.
    """
    from earwitness.app import open_records

    with reporting(as_json=as_json):
        if account is not None:
            require_account(account)
        if role is not None and role not in set(Role):
            raise ConfigurationError(f"there is no role {role!r}; give one of {', '.join(Role)}")
        settings = config.load()
        chosen = settings if data is None else replace(settings, data_dir=data)
        with closing(open_records(chosen, may_make=role is not None)) as store:
            store.spend_reserve()
            yield store


def _report(done: bool, words: str, *, account: str | None, as_json: bool) -> None:
    """Say that it was done, or leave with "no" because there is no such key."""
    if as_json:
        print_json({"done": done})
    elif done:
        remark("{}", words)
    else:
        whose = "there is" if account is None else f"account {account} has"
        remark("[red]error:[/red] {} no such key; `earwitness keys list --account ID` shows those of an account", whose)
    if not done:
        raise typer.Exit(Exit.NO)


def _show_secret(key_id: str, secret: str, *, account: str, role: str, as_json: bool) -> None:
    if as_json:
        print_json({"id": key_id, "secret": secret, "account": account, "role": role})
        return
    say("export AWS_ACCESS_KEY_ID={}", key_id)
    say("export AWS_SECRET_ACCESS_KEY={}", secret)
    remark("role {}, account {}; the secret is shown this once", role, account)
