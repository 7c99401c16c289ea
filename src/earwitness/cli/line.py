"""`earwitness line`: what a gallery file, or a domain of a running service, has learnt of its telephone lines."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from earwitness.cli.calls import service_client
from earwitness.cli.file_line import change_file_line, require_no_domain_options, show_file_line
from earwitness.cli.options import GalleryOption, JsonOption, RegionOption, UrlOption
from earwitness.cli.output import line_in_words, print_json, print_table, say, warn_of_lines
from earwitness.cli.voices import gallery_path
from earwitness.errors import ConfigurationError
from earwitness.voice.line import Codec, LineLearning

if TYPE_CHECKING:
    from earwitness.cli.client import ServiceClient

DomainOption = Annotated[
    str | None,
    typer.Option("--domain", metavar="ID", help="A domain of a running service, instead of a gallery file."),
]
CodecOption = Annotated[
    Codec | None, typer.Option("--codec", help="Which line, where the domain has several: one for each codec.")
]

line = typer.Typer(
    help="What was learnt of a telephone line from the voices heard over it: show it, switch it off and on, forget it.",
    no_args_is_help=True,
)


@line.command("show")
def show_line(
    domain: DomainOption = None,
    gallery: GalleryOption = None,
    url: UrlOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what was learnt, its versions, and whether strangers score as strangers."""
    if domain is None:
        require_no_domain_options(None, url, region)
        show_file_line(gallery_path(gallery), as_json=as_json)
        return
    _require_no_gallery(gallery)
    with service_client(url, region, as_json=as_json) as service:
        found = service.get(_path(service, domain))
    _print(found, as_json=as_json)


@line.command("on")
def switch_on(
    domain: DomainOption = None,
    gallery: GalleryOption = None,
    url: UrlOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Learn from the voices that are heard from now on, as at first."""
    _switch(LineLearning.ON, domain, gallery, url, region, as_json=as_json)


@line.command("off")
def switch_off(
    domain: DomainOption = None,
    gallery: GalleryOption = None,
    url: UrlOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Learn nothing more, and delete the voices that are kept for it. What was learnt stays in use."""
    _switch(LineLearning.OFF, domain, gallery, url, region, as_json=as_json)


@line.command("reset")
def reset_line(
    domain: DomainOption = None,
    gallery: GalleryOption = None,
    codec: CodecOption = None,
    url: UrlOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Forget what was learnt, of all lines without --codec, and learn anew: after a change of the trunk."""
    if domain is None:
        require_no_domain_options(codec, url, region)
        change_file_line(gallery_path(gallery), lambda line, now: line.reset(at=now), as_json=as_json)
        return
    _require_no_gallery(gallery)
    with service_client(url, region, as_json=as_json) as service:
        found = service.post(f"{_path(service, domain)}/reset", codec=codec)
    _print(found, as_json=as_json)


@line.command("revert")
def revert_line(
    version: Annotated[int, typer.Argument(metavar="VERSION", min=1, help="As `line show` lists it.")],
    domain: DomainOption = None,
    gallery: GalleryOption = None,
    codec: CodecOption = None,
    url: UrlOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Go back to an earlier version, as a new one."""
    if domain is None:
        require_no_domain_options(codec, url, region)
        change_file_line(gallery_path(gallery), lambda line, now: line.reverted(version, at=now), as_json=as_json)
        return
    _require_no_gallery(gallery)
    with service_client(url, region, as_json=as_json) as service:
        path = _path(service, domain)
        found = service.post(f"{path}/revert", codec=codec or _only_codec(service.get(path)), version=version)
    _print(found, as_json=as_json)


def _switch(
    learning: LineLearning,
    domain: str | None,
    gallery: Path | None,
    url: str | None,
    region: str | None,
    *,
    as_json: bool,
) -> None:
    if domain is None:
        require_no_domain_options(None, url, region)
        change_file_line(gallery_path(gallery), lambda line, _: line.switched(learning), as_json=as_json)
        return
    _require_no_gallery(gallery)
    with service_client(url, region, as_json=as_json) as service:
        found = service.put(_path(service, domain), learning=learning.value)
    _print(found, as_json=as_json)


def _require_no_gallery(gallery: Path | None) -> None:
    if gallery is not None:
        raise typer.BadParameter("give either a gallery or a domain", param_hint="--domain")


def _path(service: "ServiceClient", domain: str) -> str:
    return f"/domains/{service.segment(domain, what='domain')}/lines"


# `Any`: JSON objects, here and below.
def _only_codec(found: dict[str, Any]) -> str:
    codecs = [one["codec"] for one in found["lines"]]
    if len(codecs) != 1:
        raise ConfigurationError(f"the domain has {', '.join(codecs) or 'no'} lines; choose one with --codec")
    return codecs[0]


def _print(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    say("learning is [b]{}[/b] in {}", found["learning"], found["domainId"])
    if not found["lines"]:
        say("nobody was searched for yet")
    for one in found["lines"]:
        say("[b]{}[/b]: {}", one["codec"], line_in_words(one))
        rows = [
            (
                str(version["number"]),
                version["why"] + (f" to {version['revertedTo']}" if version["revertedTo"] else ""),
                str(version["voices"]) if version["voices"] else "shipped",
                version["createdAt"][:19] + "Z",
                version["keyId"] or "",
            )
            for version in one["versions"]
        ]
        if rows:
            print_table(("version", "why", "voices", "created", "by"), rows)
    warn_of_lines(found)
