"""`earwitness verify`, `profiles`, `forget`, and what commands on recordings share: the engine and the gallery."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earwitness.cli.answers import exit_of
from earwitness.cli.domains import list_domain
from earwitness.cli.options import (
    BandOption,
    ChannelOption,
    GalleryOption,
    JsonOption,
    Raw,
    RegionOption,
    UrlOption,
    parse_raw,
)
from earwitness.cli.output import out, percent, print_json, reporting, say
from earwitness.voice.band import Band
from earwitness.voice.decision import Outcome, decision_document

if TYPE_CHECKING:
    from earwitness.engine.engine import Engine
    from earwitness.voice.embedding import Voiceprint


def register(app: typer.Typer) -> None:
    for command in (verify, profiles, forget):
        app.command()(command)


def engine_for(band: Band) -> "Engine":
    """The engine of a band; models that are missing are pulled first, with a progress bar."""
    from earwitness import config
    from earwitness.cli.models import pull_models
    from earwitness.engine.build import build_engine

    pull_models()
    return build_engine(config.load(), band)


def gallery_path(given: Path | None) -> Path:
    """The gallery the user named, or the one of the settings."""
    from earwitness import config

    return given or config.load().gallery_file


def verify(
    first: Annotated[Path, typer.Argument(metavar="A", help="A recording of one person.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="A recording that may be of the same person.")],
    band: BandOption = Band.TELEPHONE,
    channel: ChannelOption = None,
    raw: Raw = None,
    as_json: JsonOption = False,
) -> None:
    """Say whether two recordings are of the same person. Exit code 0: yes, 1: no, 3: too little speech, or
    several voices in one of them, 10: perhaps, with a probability under 50 %."""
    with reporting(as_json=as_json):
        raw_format = parse_raw(raw)
        engine = engine_for(band)
        heard = [engine.listen(each, channel=channel, raw=raw_format) for each in (first, second)]
        decision = engine.verify(*heard)
    document = decision_document(asdict(decision))
    if as_json:
        print_json({"decision": document, "quality": [each.quality for each in heard]})
        raise typer.Exit(exit_of(document))
    (candidate,), threshold = decision.candidates, decision.threshold
    same = "[yellow]perhaps the same person[/yellow]" if decision.weak else "[green]the same person[/green]"
    answer = same if decision.outcome is Outcome.MATCH else "[yellow]not the same person[/yellow]"
    out.print(f"{answer}: probability {percent(candidate.confidence)}, score {candidate.score:.2f}")
    out.print(f"{100 * candidate.false_match_rate:.2g} % of pairs of different people score this high or higher")
    if threshold:
        out.print(
            f"threshold {threshold.score:.2f}: at most {threshold.strangers_named_percent:g} % of pairs of different "
            f"people reach it; judged on {decision.net_speech_seconds:.1f} s of net speech",
            soft_wrap=True,
        )
    raise typer.Exit(exit_of(document))


def profiles(
    gallery: GalleryOption = None,
    domain: Annotated[
        str | None,
        typer.Option("--domain", metavar="ID", help="Of a running service instead: who is enrolled in this domain."),
    ] = None,
    url: UrlOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """List who is enrolled in the gallery, or in a domain of a running service."""
    from earwitness.engine.gallery_file import read_gallery

    if domain is not None:
        if gallery is not None:
            raise typer.BadParameter("give either a gallery or a domain", param_hint="--domain")
        list_domain(domain, url=url, region=region, as_json=as_json)
        return
    with reporting(as_json=as_json):
        stored = read_gallery(gallery_path(gallery))
    enrolled: dict[str, list[Voiceprint]] = {}
    for voiceprint in stored.voiceprints:
        enrolled.setdefault(voiceprint.profile_id, []).append(voiceprint)
    if as_json:
        shown = [{"profileId": name, "voiceprints": _prints(prints)} for name, prints in enrolled.items()]
        print_json({"band": stored.band, "encoderId": stored.encoder_id, "profiles": shown})
        return
    for name, prints in enrolled.items():
        lengths = (f"{each['netSpeechSeconds']:.1f} s" for each in _prints(prints))
        say("{}: {} of net speech", name, ", ".join(lengths))
    say("{} enrolled, {} band, {}", len(enrolled), stored.band, stored.encoder_id)


def _prints(voiceprints: "list[Voiceprint]") -> list[dict[str, str | float]]:
    return [
        {"voiceprintId": one.voiceprint_id, "netSpeechSeconds": one.embedding.net_speech_seconds} for one in voiceprints
    ]


def forget(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who to remove.")],
    gallery: GalleryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove a person and all their voiceprints from the gallery file."""
    from earwitness.engine.gallery_file import changing, read_gallery, write_gallery

    with reporting(as_json=as_json):
        path = gallery_path(gallery)
        with changing(path):
            stored = read_gallery(path)
            write_gallery(path, stored.without_profile(name))
    if as_json:
        print_json({"profileId": name, "forgotten": True})
    else:
        say("forgot [b]{}[/b]", name)
