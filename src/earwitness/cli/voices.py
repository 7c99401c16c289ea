"""`earwitness enroll`, `identify`, `verify`, `profiles`, `forget`: voices in, names out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earwitness.cli.domains import list_domain
from earwitness.cli.options import (
    AudioFile,
    BandOption,
    Channel,
    GalleryOption,
    Json,
    KnownBand,
    Raw,
    RegionOption,
    UrlOption,
    parse_raw,
)
from earwitness.cli.output import Exit, note, out, percent, print_json, progress_of, reporting, say, visible
from earwitness.voice.band import Band
from earwitness.voice.decision import Decision, Outcome

if TYPE_CHECKING:
    from earwitness.flows.engine import Engine
    from earwitness.gallery.gallery import Gallery
    from earwitness.voice.speech import NetSpeech

_EXIT_OF = {Outcome.MATCH: Exit.OK, Outcome.NO_MATCH: Exit.NO, Outcome.NOT_ENOUGH_SPEECH: Exit.SPEECH}


def register(app: typer.Typer) -> None:
    for command in (enroll, identify, verify, profiles, forget):
        app.command()(command)


def engine_for(band: Band) -> "Engine":
    """The engine of a band; models that are missing are pulled first, with a progress bar."""
    from earwitness import config
    from earwitness.app import build_engine
    from earwitness.cli.models import pull_models

    pull_models()
    return build_engine(config.load(), band)


def gallery_path(given: Path | None) -> Path:
    """The gallery the user named, or the one of the settings."""
    from earwitness import config

    return given or config.load().gallery_file


def enroll(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who speaks in the files.")],
    files: Annotated[list[Path], typer.Argument(metavar="FILES…", help="Recordings of this one person.")],
    gallery: GalleryOption = None,
    band: BandOption = Band.TELEPHONE,
    channel: Channel = None,
    raw: Raw = None,
    as_json: Json = False,
) -> None:
    """Add a voice to the gallery. Each recording with 10 s of speech becomes a voiceprint; shorter ones are joined."""
    from earwitness.audio.files import open_recording
    from earwitness.errors import GalleryOfAnotherModel
    from earwitness.gallery.file import GalleryFile, changing, read_gallery, write_gallery

    if not name.strip() or visible(name) != name:
        raise typer.BadParameter("a name needs at least one letter and no control characters", param_hint="NAME")
    with reporting(as_json=as_json):
        path = gallery_path(gallery)
        raw_format = parse_raw(raw)
        for file in files:
            open_recording(file, channel=channel, raw=raw_format)
        engine = engine_for(band)
        with progress_of() as show:
            made = engine.voiceprints(
                name, files, channel=channel, raw=raw_format, progress=lambda n, of: show("listening", n, of)
            )
        with changing(path):
            start = GalleryFile(band=band, encoder_id=engine.encoder.encoder_id)
            known = read_gallery(path) if path.exists() else start
            if known.band is not band:
                raise GalleryOfAnotherModel(f"the gallery {path} is of the {known.band} band; add --band {known.band}")
            changed = known.require(engine.encoder.encoder_id).with_voiceprints(made)
            write_gallery(path, changed)
    seconds = [voiceprint.embedding.net_speech_seconds for voiceprint in made]
    enrolled = len({voiceprint.profile_id for voiceprint in changed.voiceprints})
    made = list({voiceprint.voiceprint_id: voiceprint for voiceprint in made}.values())
    if as_json:
        print_json({"profile": name, "gallery": path, "voiceprint_seconds": seconds, "profiles_enrolled": enrolled})
        return
    prints = ", ".join(f"{each:.1f} s" for each in seconds)
    say(
        "[green]enrolled[/green] [b]{}[/b]: {} voiceprint{} ({} of net speech); {} enrolled in {}",
        name,
        len(made),
        "s" if len(made) > 1 else "",
        prints,
        enrolled,
        path,
    )


def identify(
    file: AudioFile,
    known: Annotated[
        Path | None,
        typer.Option("--known", metavar="DIR", help="Search among these people: one folder or file per person."),
    ] = None,
    gallery: GalleryOption = None,
    band: KnownBand = None,
    channel: Channel = None,
    raw: Raw = None,
    as_json: Json = False,
) -> None:
    """Say who of the enrolled voices speaks in a recording, if anyone. Exit code 0: a match, 1: none, 3: too little
    speech.
    """
    from earwitness.audio.files import open_recording

    if known is not None and gallery is not None:
        raise typer.BadParameter("give either a folder of known people or a gallery", param_hint="--known")
    if known is None and band is not None:
        raise typer.BadParameter("a gallery has its band; --band goes with --known", param_hint="--band")
    with reporting(as_json=as_json):
        raw_format = parse_raw(raw)
        open_recording(file, channel=channel, raw=raw_format)
        left_out: dict[str, str] = {}
        if known is None:
            engine, voices = stored_voices(gallery)
        else:
            engine, voices, left_out = known_voices(known, probe=file, band=band or Band.TELEPHONE)
        speech = engine.listen(file, channel=channel, raw=raw_format)
        decision = engine.identify(speech, voices)
    if as_json:
        heard = {"quality": speech.quality, "heard_seconds": speech.heard_seconds, "left_out": left_out}
        print_json({"decision": decision, **heard})
    else:
        print_decision(decision, speech)
    raise typer.Exit(_EXIT_OF[decision.outcome])


def stored_voices(gallery: Path | None) -> "tuple[Engine, Gallery]":
    """The engine of a gallery file's band, and its voices."""
    from earwitness.gallery.file import read_gallery

    stored = read_gallery(gallery_path(gallery))
    engine = engine_for(stored.band)
    voices = engine.empty_gallery()
    voices.add_all(stored.require(engine.encoder.encoder_id).voiceprints)
    return engine, voices


def known_voices(known: Path, *, probe: Path, band: Band) -> "tuple[Engine, Gallery, dict[str, str]]":
    """The voices of a folder of people, enrolled for this one search, and why some had to be left out."""
    engine = engine_for(band)
    with progress_of() as show:
        voices, left_out = engine.gallery_of(
            known, probe=probe, progress=lambda done, total: show("enrolling the known", done, total)
        )
    for person, reason in left_out.items():
        say("[yellow]left out[/yellow] {}: {}", person, reason, to=note)
    return engine, voices, left_out


def verify(
    first: Annotated[Path, typer.Argument(metavar="A", help="A recording of one person.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="A recording that may be of the same person.")],
    band: BandOption = Band.TELEPHONE,
    channel: Channel = None,
    raw: Raw = None,
    as_json: Json = False,
) -> None:
    """Say whether two recordings are of the same person. Exit code 0: yes, 1: no, 3: too little speech."""
    with reporting(as_json=as_json):
        raw_format = parse_raw(raw)
        engine = engine_for(band)
        heard = [engine.listen(each, channel=channel, raw=raw_format) for each in (first, second)]
        decision = engine.verify(*heard)
    if as_json:
        print_json({"decision": decision, "quality": [each.quality for each in heard]})
        raise typer.Exit(_EXIT_OF[decision.outcome])
    (candidate,), threshold = decision.candidates, decision.threshold
    answer = (
        "[green]the same person[/green]"
        if decision.outcome is Outcome.MATCH
        else "[yellow]not the same person[/yellow]"
    )
    out.print(f"{answer}: probability {percent(candidate.confidence)}, score {candidate.score:.2f}")
    out.print(f"{100 * candidate.false_match_rate:.2g} % of pairs of different people score this high or higher")
    if threshold:
        out.print(
            f"threshold {threshold.score:.2f}: at most {threshold.strangers_named_percent:g} % of pairs of different "
            f"people reach it; judged on {decision.net_speech_seconds:.1f} s of net speech",
            soft_wrap=True,
        )
    raise typer.Exit(_EXIT_OF[decision.outcome])


def profiles(
    gallery: GalleryOption = None,
    domain: Annotated[
        str | None,
        typer.Option("--domain", metavar="ID", help="Of a running service instead: who is enrolled in this domain."),
    ] = None,
    url: UrlOption = None,
    region: RegionOption = None,
    as_json: Json = False,
) -> None:
    """List who is enrolled in the gallery, or in a domain of a running service."""
    from earwitness.gallery.file import read_gallery

    if domain is not None:
        if gallery is not None:
            raise typer.BadParameter("give either a gallery or a domain", param_hint="--domain")
        list_domain(domain, url=url, region=region, as_json=as_json)
        return
    with reporting(as_json=as_json):
        stored = read_gallery(gallery_path(gallery))
    seconds: dict[str, list[float]] = {}
    for voiceprint in stored.voiceprints:
        seconds.setdefault(voiceprint.profile_id, []).append(voiceprint.embedding.net_speech_seconds)
    if as_json:
        print_json({"band": stored.band, "encoder_id": stored.encoder_id, "profiles": seconds})
        return
    for name, each in seconds.items():
        say("{}: {} of net speech", name, ", ".join(f"{length:.1f} s" for length in each))
    say("{} enrolled, {} band, {}", len(seconds), stored.band, stored.encoder_id)


def forget(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who to remove.")],
    gallery: GalleryOption = None,
    as_json: Json = False,
) -> None:
    """Remove a person and all their voiceprints from the gallery file."""
    from earwitness.gallery.file import changing, read_gallery, write_gallery

    with reporting(as_json=as_json):
        path = gallery_path(gallery)
        with changing(path):
            stored = read_gallery(path)
            write_gallery(path, stored.without_profile(name))
    if as_json:
        print_json({"forgotten": name})
    else:
        say("forgot [b]{}[/b]", name)


def print_decision(decision: Decision, speech: "NetSpeech") -> None:
    """The answer first, then the ranked candidates, then what the numbers rest on."""
    from rich.markup import escape
    from rich.table import Table

    heard = f"{decision.net_speech_seconds:.1f} s of net speech used, {speech.heard_seconds:.1f} s heard"
    threshold = decision.threshold
    if threshold is None:
        out.print(f"[yellow]not enough speech[/yellow]: {heard}; a search needs 3 s")
        return
    if not decision.candidates:
        out.print("[yellow]no match[/yellow]: nobody is enrolled")
        return
    best = decision.candidates[0]
    if decision.outcome is Outcome.MATCH:
        say("[green]match[/green]: [b]{}[/b], probability {}", best.profile_id, percent(best.confidence))
    else:
        nobody = percent(decision.nobody_confidence or 0.0)
        out.print(f"[yellow]no match[/yellow]: a stranger, probability {nobody}")
    if decision.ambiguous:
        second = decision.candidates[1].profile_id
        say("[yellow]ambiguous[/yellow]: {} fits nearly as well; enrolled twice, or very alike", second)
    table = Table("", "profile", "score", "probability", box=None, pad_edge=False)
    for rank, candidate in enumerate(decision.candidates, start=1):
        name = escape(visible(candidate.profile_id))
        name = f"[b]{name}[/b]" if candidate.score >= threshold.score else name
        table.add_row(str(rank), name, f"{candidate.score:.2f}", percent(candidate.confidence))
    table.add_row("", "[i]nobody[/i]", "", percent(decision.nobody_confidence or 0.0))
    out.print(table)
    margin = "" if decision.margin is None else f"margin to the second {decision.margin:.2f}; "
    beyond = ", beyond the measured pairs" if threshold.extrapolated else ""
    prints = f"{threshold.gallery_size} voiceprint{'s' if threshold.gallery_size > 1 else ''}"
    out.print(
        f"{margin}threshold {threshold.score:.2f}: at most {threshold.strangers_named_percent:g} % of strangers are "
        f"named among {prints} ({100 * threshold.pair_false_match_rate:.2g} % of pairs{beyond})",
        soft_wrap=True,
    )
    out.print(heard)
