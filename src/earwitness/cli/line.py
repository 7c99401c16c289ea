"""`earwitness line`: what a gallery file, or a domain of a running service, has learnt of its telephone lines."""

from collections.abc import Callable
from dataclasses import dataclass
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
    where = _Where(gallery=gallery, domain=domain, url=url, region=region)
    where.carry_out(
        lambda path: show_file_line(path, as_json=as_json),
        lambda service, path: service.get(path),
        as_json=as_json,
    )


@line.command("on")
def switch_on(
    domain: DomainOption = None,
    gallery: GalleryOption = None,
    url: UrlOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Learn from the voices that are heard from now on, as at first."""
    _switch(_Where(gallery=gallery, domain=domain, url=url, region=region), LineLearning.ON, as_json=as_json)


@line.command("off")
def switch_off(
    domain: DomainOption = None,
    gallery: GalleryOption = None,
    url: UrlOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Learn nothing more, and delete the voices that are kept for it. What was learnt stays in use."""
    _switch(_Where(gallery=gallery, domain=domain, url=url, region=region), LineLearning.OFF, as_json=as_json)


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
    where = _Where(gallery=gallery, domain=domain, codec=codec, url=url, region=region)
    where.carry_out(
        lambda path: change_file_line(path, lambda line, now: line.reset(at=now), as_json=as_json),
        lambda service, path: service.post(f"{path}/reset", codec=codec),
        as_json=as_json,
    )


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

    def on_service(service: "ServiceClient", path: str) -> dict[str, Any]:
        return service.post(f"{path}/revert", codec=codec or _only_codec(service.get(path)), version=version)

    where = _Where(gallery=gallery, domain=domain, codec=codec, url=url, region=region)
    where.carry_out(
        lambda path: change_file_line(path, lambda line, now: line.reverted(version, at=now), as_json=as_json),
        on_service,
        as_json=as_json,
    )


@dataclass(frozen=True, kw_only=True)
class _Where:
    """The gallery file or the domain whose lines are meant."""

    gallery: Path | None
    domain: str | None
    codec: Codec | None = None
    url: str | None
    region: str | None

    # `Any`: a JSON object.
    def carry_out(
        self,
        on_file: Callable[[Path], None],
        on_service: "Callable[[ServiceClient, str], dict[str, Any]]",
        *,
        as_json: bool,
    ) -> None:
        """Do the one with the gallery file, or ask the service, with the path of the domain's lines, and print it.

        Raise BadParameter for options that do not go together.
        """
        if self.domain is None:
            require_no_domain_options(self.codec, self.url, self.region)
            on_file(gallery_path(self.gallery))
            return
        if self.gallery is not None:
            raise typer.BadParameter("give either a gallery or a domain", param_hint="--domain")
        with service_client(self.url, self.region, as_json=as_json) as service:
            found = on_service(service, f"/domains/{service.segment(self.domain, what='domain')}/lines")
        _print(found, as_json=as_json)


def _switch(where: _Where, learning: LineLearning, *, as_json: bool) -> None:
    where.carry_out(
        lambda path: change_file_line(path, lambda line, _: line.switched(learning), as_json=as_json),
        lambda service, path: service.put(path, learning=learning.value),
        as_json=as_json,
    )


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
