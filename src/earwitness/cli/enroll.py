"""`earwitness enroll`: recordings of one person into the gallery."""

import contextlib
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earwitness.cli.options import BandOption, ChannelOption, GalleryOption, JsonOption, Raw, parse_raw
from earwitness.cli.output import note, print_json, progress_of, reporting, say, visible
from earwitness.cli.voices import engine_for, gallery_path
from earwitness.engine.folders import profile_name
from earwitness.voice.band import Band

if TYPE_CHECKING:
    from earwitness.engine.enrol import Enrolment
    from earwitness.voice.embedding import Voiceprint


def register(app: typer.Typer) -> None:
    app.command()(enroll)


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

    name = profile_name(name)
    if not name or visible(name) != name:
        raise typer.BadParameter("a name needs at least one letter and no control characters", param_hint="NAME")
    with reporting(as_json=as_json), _telling_of_force():
        path = gallery_path(gallery)
        raw_format = parse_raw(raw)
        for file in files:
            open_recording(file, channel=channel, raw=raw_format)
        engine = engine_for(band)
        with progress_of() as show:
            enrolment = engine.voiceprints(
                name,
                files,
                channel=channel,
                raw=raw_format,
                force=force,
                progress=lambda n, of: show("listening", n, of),
            )
        stored = _store(path, enrolment, band=band, encoder_id=engine.encoder.encoder_id)
        gallery_now = engine.empty_gallery()
        gallery_now.add_all(stored)
        alike = engine.same_voice_as(enrolment.voiceprints, gallery_now)
    enrolled = len({voiceprint.profile_id for voiceprint in stored})
    if as_json:
        about = {"profileId": name, "gallery": path, "profilesEnrolled": enrolled, "sameVoiceAs": alike}
        print_json({**about, **_document(enrolment)})
    else:
        _print(name, enrolment, enrolled=enrolled, path=path)
        for other in alike:
            say(
                "[yellow]warning:[/yellow] {} sounds like {}, who is enrolled too; if they are one person, "
                "`earwitness forget` one of the names",
                name,
                other,
                to=note,
            )


@contextlib.contextmanager
def _telling_of_force() -> Generator[None]:
    """Several voices are refused with the way to enrol them all the same."""
    from earwitness.errors import SeveralVoices

    try:
        yield
    except SeveralVoices as error:
        raise SeveralVoices(f"{error}; if it is one person nevertheless, add --force") from error


def _store(path: Path, enrolment: "Enrolment", *, band: Band, encoder_id: str) -> "tuple[Voiceprint, ...]":
    """Write the voiceprints into the gallery file; return all that it holds then."""
    from earwitness.engine.gallery_file import GalleryFile, changing, read_gallery, write_gallery
    from earwitness.errors import GalleryOfAnotherModel

    with changing(path):
        known = read_gallery(path) if path.exists() else GalleryFile(band=band, encoder_id=encoder_id)
        if known.band is not band:
            raise GalleryOfAnotherModel(f"the gallery {path} is of the {known.band} band; add --band {known.band}")
        changed = known.require(encoder_id).with_voiceprints(enrolment.voiceprints)
        write_gallery(path, changed)
    return changed.voiceprints


# `object`: JSON.
def _document(enrolment: "Enrolment") -> dict[str, object]:
    return {
        "voiceprints": [
            {"voiceprintId": one.voiceprint_id, "netSpeechSeconds": one.embedding.net_speech_seconds}
            for one in enrolment.voiceprints
        ],
        "files": [
            {
                "file": use.file,
                "netSpeechSeconds": use.net_speech_seconds,
                "voiceprintId": use.voiceprint_id,
                "leftOut": use.left_out,
            }
            for use in enrolment.files
        ],
    }


def _print(name: str, enrolment: "Enrolment", *, enrolled: int, path: Path) -> None:
    made = enrolment.voiceprints
    prints = ", ".join(f"{voiceprint.embedding.net_speech_seconds:.1f} s" for voiceprint in made)
    say(
        "[green]enrolled[/green] [b]{}[/b]: {} voiceprint{} ({} of net speech); {} enrolled in {}",
        name,
        len(made),
        "s" if len(made) > 1 else "",
        prints,
        enrolled,
        path,
    )
    for voiceprint in made:
        together = [use.file.name for use in enrolment.files if use.voiceprint_id == voiceprint.voiceprint_id]
        if len(together) > 1:
            say("joined to one voiceprint: {}", ", ".join(together))
    for use in enrolment.left_out:
        say("[yellow]left out[/yellow] {}: {}", use.file, use.left_out, to=note)
