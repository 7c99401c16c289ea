"""`earwitness enroll`, `verify`, `profiles`, `forget`; and the engine and gallery of all commands on recordings."""

import contextlib
from collections.abc import Generator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earwitness import config
from earwitness.cli.domains import list_domain
from earwitness.cli.models import pull_models
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
from earwitness.cli.output import exit_of, out, percent, print_json, progress_of, remark, reporting, say, visible, warn
from earwitness.errors import GalleryOfAnotherModel, SeveralVoices
from earwitness.voice.band import Band
from earwitness.voice.decision import Outcome, decision_document

if TYPE_CHECKING:
    from collections.abc import Sequence

    from earwitness.engine.engine import Engine
    from earwitness.engine.enrol import Enrolment
    from earwitness.engine.gallery_file import GalleryFile
    from earwitness.voice.embedding import Voiceprint


def engine_for(band: Band) -> "Engine":
    """Return the engine of a band; models that are missing are pulled first, with a progress bar."""
    from earwitness.engine.engine import build_engine

    pull_models()
    return build_engine(config.load(), band)


def gallery_path(given: Path | None) -> Path:
    """Return the gallery the user named, or the one of the settings."""
    return given or config.load().gallery_file


def enroll(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who speaks in the files.")],
    files: Annotated[list[Path], typer.Argument(metavar="FILES…", help="Recordings of this one person.")],
    gallery: GalleryOption = None,
    band: BandOption = Band.TELEPHONE,
    channel: ChannelOption = None,
    raw: Raw = None,
    force: Annotated[
        bool, typer.Option("--force", help="Enrol even when more than one voice is heard in the recordings.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Add a voice to the gallery. Each recording with 10 s of speech becomes a voiceprint; shorter ones are joined to
    voiceprints of 10 to 20 s. A recording that is in no voiceprint is named, with the reason. Recordings in which more
    than one voice is heard are refused.
    """
    from earwitness.audio.files import open_recording
    from earwitness.engine.enrol import voiceprints_of
    from earwitness.engine.gallery_file import profile_name

    name = profile_name(name)
    if not name or visible(name) != name:
        raise typer.BadParameter("a name needs at least one letter and no control characters", param_hint="NAME")
    with reporting(as_json=as_json), _naming_force():
        path = gallery_path(gallery)
        raw_format = parse_raw(raw)
        for file in files:
            open_recording(file, channel=channel, raw=raw_format)  # before models are fetched
        engine = engine_for(band)
        with progress_of() as show:
            enrolment = voiceprints_of(engine, name, files, channel=channel, raw=raw_format, force=force, progress=show)
        stored = _store(path, enrolment, band=band, encoder_id=engine.encoder.encoder_id)
        alike = engine.same_voice_as(enrolment.voiceprints, engine.gallery_of(stored))
    enrolled = len({voiceprint.profile_id for voiceprint in stored.voiceprints})
    if as_json:
        print_json(
            {
                "profileId": name,
                "gallery": path,
                "profilesEnrolled": enrolled,
                "sameVoiceAs": alike,
                "voiceprints": _documents(enrolment.voiceprints),
                "files": enrolment.files,
            }
        )
        return
    _print_enrolment(name, enrolment, enrolled=enrolled, path=path)
    for other in alike:
        warn(
            "{} sounds like {}, who is enrolled too; if they are one person, `earwitness forget` one of the names",
            name,
            other,
        )


@contextlib.contextmanager
def _naming_force() -> Generator[None]:
    """Refuse several voices with the way to enrol them all the same."""
    try:
        yield
    except SeveralVoices as error:
        raise SeveralVoices(f"{error}; if it is one person nevertheless, add --force") from error


def _store(path: Path, enrolment: "Enrolment", *, band: Band, encoder_id: str) -> "GalleryFile":
    """Write the voiceprints into the gallery file; return what it holds then."""
    from earwitness.engine.gallery_file import GalleryFile, changing, read_gallery, write_gallery

    with changing(path):
        known = read_gallery(path) if path.exists() else GalleryFile(band=band, encoder_id=encoder_id)
        if known.band is not band:
            raise GalleryOfAnotherModel(f"the gallery {path} is of the {known.band} band; add --band {known.band}")
        changed = known.require(encoder_id).with_voiceprints(enrolment.voiceprints)
        write_gallery(path, changed)
    return changed


def _print_enrolment(name: str, enrolment: "Enrolment", *, enrolled: int, path: Path) -> None:
    made = enrolment.voiceprints
    say(
        "[green]enrolled[/green] [b]{}[/b]: {} voiceprint{} ({} of net speech); {} enrolled in {}",
        name,
        len(made),
        "s" if len(made) > 1 else "",
        _lengths(made),
        enrolled,
        path,
    )
    for voiceprint in made:
        together = [use.file.name for use in enrolment.files if use.voiceprint_id == voiceprint.voiceprint_id]
        if len(together) > 1:
            say("joined to one voiceprint: {}", ", ".join(together))
    for use in enrolment.files:
        if use.left_out is not None:
            remark("[yellow]left out[/yellow] {}: {}", use.file, use.left_out)


def _lengths(voiceprints: "Sequence[Voiceprint]") -> str:
    return ", ".join(f"{voiceprint.embedding.net_speech_seconds:.1f} s" for voiceprint in voiceprints)


def _documents(voiceprints: "Sequence[Voiceprint]") -> list[dict[str, str | float]]:
    return [
        {"voiceprintId": one.voiceprint_id, "netSpeechSeconds": one.embedding.net_speech_seconds} for one in voiceprints
    ]


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
        shown = [
            {"profileId": name, "former": sum(map(stored.is_former, prints)), "voiceprints": _documents(prints)}
            for name, prints in enrolled.items()
        ]
        print_json({"band": stored.band, "encoderId": stored.encoder_id, "profiles": shown})
        return
    for name, prints in enrolled.items():
        former = sum(map(stored.is_former, prints))
        remark_former = f" ({former} by a former version)" if former else ""
        say("{}: {} of net speech{}", name, _lengths(prints), remark_former)
    say("{} enrolled, {} band, {}", len(enrolled), stored.band, stored.encoder_id)
    if stored.former_count:
        remark(
            "{} voiceprints were made by a former version and stay as they are; enrol the same recordings again, so "
            "that they can be compared on any line",
            stored.former_count,
        )


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
            write_gallery(path, read_gallery(path).without_profile(name))
    if as_json:
        print_json({"profileId": name, "forgotten": True})
    else:
        say("forgot [b]{}[/b]", name)
