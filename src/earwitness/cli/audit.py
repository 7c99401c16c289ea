"""`earwitness audit`: who did what, from the records themselves, beside a service that runs or without one."""

from typing import Annotated

import typer

from earwitness.cli.keys import records
from earwitness.cli.options import DataOption, JsonOption
from earwitness.cli.output import out, print_json, say

audit = typer.Typer(help="The audit trail: who did what, and whether anybody changed it since.", no_args_is_help=True)


@audit.command()
def key(
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
