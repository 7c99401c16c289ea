"""`earwitness voices`: one voice of a running service, its voiceprints, and taking them back."""

import sys
from typing import Annotated, Any

import typer

from earwitness.cli.calls import service_client
from earwitness.cli.options import JsonOption, RegionOption, UrlOption
from earwitness.cli.output import Exit, print_json, print_table, remark
from earwitness.errors import ConfigurationError

ProfileArgument = Annotated[str, typer.Argument(metavar="PROFILE", help="The id of a voice profile.")]
VoiceprintArgument = Annotated[str, typer.Argument(metavar="VOICEPRINT", help="The id of one of its voiceprints.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask first.")]

voices = typer.Typer(
    help="One voice of a running service: its voiceprints, when and from what each was enrolled, and taking them back.",
    no_args_is_help=True,
)


@voices.command("show")
def show_voice(
    profile: ProfileArgument, url: UrlOption = None, region: RegionOption = None, as_json: JsonOption = False
) -> None:
    """Show a profile's voiceprints, oldest first."""
    with service_client(url, region, as_json=as_json) as service:
        found = service.get(f"/profiles/{service.segment(profile, what='profile')}")
    if as_json:
        print_json(found)
        return
    _print(found)


@voices.command("remove")
def remove_voiceprint(
    profile: ProfileArgument,
    voiceprint: VoiceprintArgument,
    yes: YesOption = False,
    url: UrlOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove one voiceprint of a profile, for good. The last one stays."""
    with service_client(url, region, as_json=as_json) as service:
        if not yes:
            _confirm(f"Remove the voiceprint {voiceprint} of {profile}, for good?")
        path = f"/profiles/{service.segment(profile, what='profile')}"
        left = service.delete(f"{path}/voiceprints/{service.segment(voiceprint, what='voiceprint')}")
    _told(left, as_json=as_json)


@voices.command("roll-back")
def roll_back(
    profile: ProfileArgument,
    voiceprint: VoiceprintArgument,
    yes: YesOption = False,
    url: UrlOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Go back to before a voiceprint was enrolled: it and all later ones of the profile are removed, for good."""
    with service_client(url, region, as_json=as_json) as service:
        if not yes:
            _confirm(f"Remove the voiceprint {voiceprint} of {profile} and all later ones, for good?")
        path = f"/profiles/{service.segment(profile, what='profile')}/roll-back"
        left = service.post(path, voiceprintId=voiceprint)
    _told(left, as_json=as_json)


def _confirm(question: str) -> None:
    """Ask the person at the terminal; without a terminal nobody can be asked, so --yes is needed."""
    if not sys.stdin.isatty():
        raise ConfigurationError("what is removed is removed for good; say --yes to do it")
    if not typer.confirm(question, err=True):
        raise typer.Exit(Exit.NO)


# `Any`: a JSON object.
def _told(left: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(left)
        return
    count = len(left["voiceprints"])
    remark("{} has {} voiceprint{} left", left["profileId"], count, "" if count == 1 else "s")


def _print(found: dict[str, Any]) -> None:
    rows = [
        (
            one["voiceprintId"],
            one["createdAt"][:19].replace("T", " "),
            f"{one['netSpeechSeconds']:.1f} s",
            f"task {one['taskId']}" if one["taskId"] else "a recording",
            "yes" if one["hasConsentReference"] else "no",
        )
        for one in found["voiceprints"]
    ]
    if rows:
        print_table(("voiceprint", "enrolled", "speech", "from", "consent"), rows)
    else:
        remark("{} has no voiceprints: it has expired, and can be enrolled again", found["profileId"])
