"""`earwitness keys`: who may call the service."""

import re
import secrets
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earwitness.cli.options import DataOption, JsonOption
from earwitness.cli.output import Exit, note, print_json, reporting, say
from earwitness.cli.table import TableColumn, print_table
from earwitness.errors import ConfigurationError

if TYPE_CHECKING:
    from earwitness.store.records import Page, PageKey, RecordT
    from earwitness.store.store import Store

keys = typer.Typer(help="Access keys and bearer tokens: create, list, disable, rotate.", no_args_is_help=True)

KEY_ID_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
DEFAULT_ACCOUNT = "000000000000"
_PAGE = 200

AccountOption = Annotated[
    str, typer.Option("--account", metavar="ID", help="The account, twelve digits of your choice; they part records.")
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
    typer.Option("--role", metavar="ROLE", help="admin, operator, reader or producer; docs/parity.md has the table."),
]
NameOption = Annotated[str, typer.Option("--name", help="What to call it, for people.")]
KeyArgument = Annotated[str, typer.Argument(metavar="ID", help="As `keys list` shows it.")]


def register(app: typer.Typer) -> None:
    app.add_typer(keys, name="keys")


@keys.command()
def create(
    account: NewAccountOption = None,
    role: RoleOption = "admin",
    name: NameOption = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an access key. Its secret is shown this once."""
    with _records(data, as_json=as_json, account=account, role=role, may_make=True) as store:
        account = _account_of_new(store, account)
        key_id = "EARW" + "".join(secrets.choice(KEY_ID_ALPHABET) for _ in range(16))
        secret = _new_secret()
        made = store.write(
            lambda unit: unit.access_keys.create(key_id=key_id, account_id=account, role=role, name=name, secret=secret)
        )
    _show_secret(made.key_id, secret, account=account, role=made.role, as_json=as_json)


@keys.command("list")
def list_keys(account: AccountOption = DEFAULT_ACCOUNT, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Show the account's keys and tokens; never their secrets."""
    with _records(data, as_json=as_json, account=account) as store:
        known = [
            *(
                ("key", key.key_id, key)
                for key in _all(lambda after: store.access_keys.list(account, after=after, limit=_PAGE))
            ),
            *(
                ("token", token.token_id, token)
                for token in _all(lambda after: store.bearer_tokens.list(account, after=after, limit=_PAGE))
            ),
        ]
    rows = [
        {
            "id": shown,
            "kind": kind,
            "role": one.role,
            "state": one.state,
            "name": one.name,
            "made": f"{one.created_at:%FT%TZ}",
        }
        for kind, shown, one in known
    ]
    if as_json:
        print_json(rows)
        return
    if not rows:
        say("account {} has no keys; make one with `earwitness keys create --account {}`", account, account, to=note)
        return
    columns = ["id", "kind", "role", "state", TableColumn("name", folds=True), "made"]
    print_table(columns, [list(row.values()) for row in rows])


@keys.command()
def disable(
    key: KeyArgument, account: AccountOption = DEFAULT_ACCOUNT, data: DataOption = None, as_json: JsonOption = False
) -> None:
    """Let a key or token do nothing any more, from the next request on."""
    with _records(data, as_json=as_json, account=account) as store:
        done = store.write(
            lambda unit: unit.access_keys.disable(account, key) or unit.bearer_tokens.revoke(account, key)
        )
    _tell(done, f"{key} is disabled", account=account, as_json=as_json)


@keys.command()
def rotate(
    key: KeyArgument, account: AccountOption = DEFAULT_ACCOUNT, data: DataOption = None, as_json: JsonOption = False
) -> None:
    """Give a key a new secret; the old one stops at once. The new one is shown this once."""
    secret = _new_secret()
    with _records(data, as_json=as_json, account=account) as store:
        rotated = store.write(lambda unit: unit.access_keys.rotate(account, key, secret=secret))
    if rotated is None:
        _tell(False, "", account=account, as_json=as_json)
    else:
        _show_secret(rotated.key_id, secret, account=account, role=rotated.role, as_json=as_json)
        if rotated.state != "enabled":
            say("[yellow]{} stays disabled; make a new key to call the service[/yellow]", rotated.key_id, to=note)


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
    with _records(data, as_json=as_json, account=account, role=role, may_make=True) as store:
        account = _account_of_new(store, account)
        token_id = f"tok-{secrets.token_hex(8)}"
        store.write(
            lambda unit: unit.bearer_tokens.create(
                token=made, token_id=token_id, account_id=account, role=role, name=name
            )
        )
    if as_json:
        print_json({"id": token_id, "token": made, "account": account, "role": role})
        return
    say("{}", made)
    say(
        "{}, role {}, account {}; shown this once. Send it as `Authorization: Bearer …`",
        token_id,
        role,
        account,
        to=note,
    )


def require_account(account: str) -> None:
    """ConfigurationError when it is no account id."""
    if not re.fullmatch(r"[0-9]{12}", account):
        raise ConfigurationError("an account id has twelve digits, as in 000000000000")


def _account_of_new(store: "Store", given: str | None) -> str:
    """The account of a new key. Who leaves it out is asked for it where the records know another than the default."""
    if given is not None:
        return given
    others = [account for account in store.access_keys.accounts() if account != DEFAULT_ACCOUNT]
    if others:
        raise ConfigurationError(
            f"say whose key it is: these records have keys of account {', '.join(others)}; add --account {others[0]}, "
            f"or --account {DEFAULT_ACCOUNT} if it is meant to see none of their records"
        )
    say(
        "account {}, because --account was left out; to send events to SQS, SNS, Lambda or Kinesis at AWS, make the "
        "key with --account and the id of the AWS account that they are in",
        DEFAULT_ACCOUNT,
        to=note,
    )
    return DEFAULT_ACCOUNT


def _require_role(role: str) -> None:
    from earwitness.access.roles import Role

    if role not in set(Role):
        raise ConfigurationError(f"there is no role {role!r}; give one of {', '.join(Role)}")


def _new_secret() -> str:
    return secrets.token_urlsafe(30)  # 40 characters, as AWS's


@contextmanager
def _records(
    data: Path | None, *, as_json: bool, account: str | None, role: str | None = None, may_make: bool = False
) -> "Generator[Store]":
    """The records, opened after what was asked for is known to make sense; errors become a line and an exit code.

    Only a command that makes a key may make an installation for it: for any other, a folder without one is a mistake.
    """
    from dataclasses import replace

    from earwitness import config
    from earwitness.app import open_records

    with reporting(as_json=as_json):
        if account is not None:
            require_account(account)
        if role is not None:
            _require_role(role)
        settings = config.load()
        chosen = settings if data is None else replace(settings, data_dir=data)
        store = open_records(chosen, may_make=may_make)
        store.spend_reserve()
        try:
            yield store
        finally:
            store.close()


def _all(read: "Callable[[PageKey | None], Page[RecordT]]") -> "Iterator[RecordT]":
    """The records of all pages."""
    after: PageKey | None = None
    while True:
        page = read(after)
        yield from page.items
        if page.next_key is None:
            return
        after = page.next_key


def _tell(done: bool, words: str, *, account: str, as_json: bool) -> None:
    """Say that it was done, or leave with "no" because there is no such key."""
    if as_json:
        print_json({"done": done})
    elif done:
        say("{}", words, to=note)
    else:
        say("[red]error:[/red] account {} has no such key; `earwitness keys list` shows them", account, to=note)
    if not done:
        raise typer.Exit(Exit.NO)


def _show_secret(key_id: str, secret: str, *, account: str, role: str, as_json: bool) -> None:
    if as_json:
        print_json({"id": key_id, "secret": secret, "account": account, "role": role})
        return
    say("export AWS_ACCESS_KEY_ID={}", key_id)
    say("export AWS_SECRET_ACCESS_KEY={}", secret)
    say("role {}, account {}; the secret is shown this once", role, account, to=note)
