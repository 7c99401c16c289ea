"""`earwitness doors` and `earwitness call`: where calls of phone systems come in, and a call of one's own to try it."""

from pathlib import Path
from typing import Annotated

import typer

from earwitness.cli.calls import service_client
from earwitness.cli.options import JsonOption, RegionOption, UrlOption
from earwitness.cli.output import print_json, print_table, progress_of, remark, reporting, say


def doors(url: UrlOption = None, region: RegionOption = None, as_json: JsonOption = False) -> None:
    """Show where a running service takes calls, how many are in progress, and what was refused and why."""
    with service_client(url, region, as_json=as_json) as service:
        found = service.get("/doors")
    if as_json:
        print_json(found)
    elif not found["doors"]:
        remark("no door is open; see docs/doors.md")
    else:
        rows = [
            (door["name"], ", ".join(map(_address, door["addresses"])) or "the service's own", str(door["calls"]))
            for door in found["doors"]
        ]
        print_table(["door", "listens at", "calls"], rows)
        for door in found["doors"]:
            for refusal in door["refused"]:
                say("{} refused {} times: {}", door["name"], refusal["count"], refusal["reason"])


def _address(address: dict[str, str | int]) -> str:
    host = str(address["host"])
    return (
        f"{address['transport']} [{host}]:{address['port']}"
        if ":" in host
        else (f"{address['transport']} {host}:{address['port']}")
    )


def call(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE…", help="A recording; of two, or of two channels, the first is the caller's."),
    ],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="URL",
            help="The door, as in [b]audiosocket://127.0.0.1:9092/UUID[/b], "
            "[b]wss://HOST/doors/CONNECTOR/twilio/TOKEN[/b], or [b]siprec://HOST:5060/CONNECTOR[/b].",
        ),
    ],
    fast: Annotated[bool, typer.Option("--fast", help="Ten times as fast as it was spoken.")] = False,
    sign: Annotated[
        bool,
        typer.Option("--sign", help="Sign the handshake as Twilio does; asks for the token unless it is exported."),
    ] = False,
    auth_token: Annotated[str, typer.Option(envvar="TWILIO_AUTH_TOKEN", hidden=True)] = "",
    as_json: JsonOption = False,
) -> None:
    """Place a recording as a call at a door, as a phone system would."""
    from earwitness.dialer.place import place_call

    with reporting(as_json=as_json):
        secret = auth_token or typer.prompt("Twilio's auth token", hide_input=True, err=True) if sign else ""
        with progress_of() as show:
            placed = place_call(files, to=to, speed=10.0 if fast else 1.0, secret=secret, progress=show)
        if as_json:
            print_json(placed)
        else:
            remark("the call {} took {:.1f} s of audio on {} legs", placed.call_id, placed.seconds, placed.legs)
