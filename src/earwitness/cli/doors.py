"""`earwitness doors` and `earwitness call`: where calls of phone systems come in, and a call of one's own to try it."""

from pathlib import Path
from typing import Annotated

import typer

from earwitness.cli.calls import service_client
from earwitness.cli.options import JsonOption, RegionOption, UrlOption
from earwitness.cli.output import print_json, print_table, progress_of, remark, reporting, say
from earwitness.config.exported import exported
from earwitness.voice.connector import DoorSecret


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
            "[b]wss://HOST/doors/CONNECTOR/twilio/TOKEN[/b], [b]wss://HOST/doors/CONNECTOR/genesys[/b], or "
            "[b]siprec://HOST:5060/CONNECTOR[/b].",
        ),
    ],
    fast: Annotated[bool, typer.Option("--fast", help="Ten times as fast as it was spoken.")] = False,
    sign: Annotated[
        bool,
        typer.Option(
            "--sign",
            help="Sign the handshake as Twilio does, or Genesys; asks for what is not exported of TWILIO_AUTH_TOKEN, "
            "or AUDIOHOOK_API_KEY and AUDIOHOOK_CLIENT_SECRET.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Place a recording as a call at a door, as a phone system would."""
    from earwitness.dialer.place import place_call, signing_secrets

    with reporting(as_json=as_json):
        secrets = {name: _secret(name) for name in signing_secrets(to)} if sign else {}
        with progress_of() as show:
            placed = place_call(files, to=to, speed=10.0 if fast else 1.0, secrets=secrets, progress=show)
        if as_json:
            print_json(placed)
        else:
            legs = "one leg" if placed.legs == 1 else f"{placed.legs} legs"
            remark("the call {} took {:.1f} s of audio on {}", placed.call_id, placed.seconds, legs)


def _secret(name: DoorSecret) -> str:
    """Return a secret of the environment, or one that is asked for; arguments are read by everybody on a machine."""
    variable, asked = _SECRETS[name]
    return exported(variable) or typer.prompt(asked, hide_input=True, err=True)


_SECRETS = {
    DoorSecret.TWILIO_AUTH_TOKEN: ("TWILIO_AUTH_TOKEN", "Twilio's auth token"),
    DoorSecret.AUDIOHOOK_API_KEY: ("AUDIOHOOK_API_KEY", "Genesys's API key"),
    DoorSecret.AUDIOHOOK_CLIENT_SECRET: ("AUDIOHOOK_CLIENT_SECRET", "Genesys's client secret"),
}
"""Where each is in the environment, and how it is asked for."""
