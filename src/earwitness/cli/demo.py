"""`earwitness demo`: the main job on real audio, with the commands a user would type."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from earwitness.cli.output import Exit, out, progress_of, reporting

if TYPE_CHECKING:
    from earwitness.app import Engine

_KNOWN_MAX, _STRANGERS_MAX = 6, 3
_ENROL_SECONDS, _CALL_SECONDS = 20.0, 10.0


@dataclass(frozen=True)
class Caller:
    """Somebody with recordings to enrol and others to search for."""

    name: str
    enrolment: list[Path]
    call: list[Path]


def register(app: typer.Typer) -> None:
    app.command()(demo)


def demo(
    speech: Annotated[
        Path | None,
        typer.Option(
            "--speech",
            metavar="DIR",
            help="Use your own recordings: one folder per person, several files in each.",
        ),
    ] = None,
) -> None:
    """Enrol some voices, name them in other calls, turn strangers away. Exit code 1: an answer was wrong."""
    from earwitness.cli.voices import engine_for
    from earwitness.voice.band import Band

    with reporting(as_json=False):
        engine = engine_for(Band.TELEPHONE)
        if speech is None:
            known, strangers = sample_callers()
            out.print("Six synthetic callers; four are enrolled from their first call, then everybody calls again.\n")
        else:
            with progress_of() as show:
                known, strangers = callers_in(
                    speech, engine, lambda done, total: show("looking for speech", done, total)
                )
            out.print(
                f"Callers from {speech}: {len(known)} are enrolled, then they and {len(strangers)} strangers call.\n",
                soft_wrap=True,
            )
        with TemporaryDirectory(prefix="earwitness-demo-") as folder:
            wrong = run(engine, known, strangers, Path(folder) / "gallery.json")
    if wrong:
        out.print(f"\n[red]{wrong} answers were wrong.[/red]")
        raise typer.Exit(Exit.NO)
    out.print(
        f"\nAll {len(known)} enrolled callers were named and all {len(strangers)} strangers turned away. Next: "
        f"[b]earwitness enroll NAME FILES…[/b], [b]earwitness identify FILE[/b], [b]earwitness evaluate[/b] on "
        "your own calls."
    )


def run(engine: "Engine", known: list[Caller], strangers: list[Caller], gallery_file: Path) -> int:
    """Enrol, call, compare; how many answers were wrong."""
    from earwitness.gallery.file import GalleryFile, read_gallery, write_gallery
    from earwitness.voice.decision import Outcome

    stored = GalleryFile(band=engine.band, encoder_id=engine.encoder.encoder_id)
    for caller in known:
        made = engine.voiceprints(caller.name, caller.enrolment)
        stored = stored.with_voiceprints(made)
        write_gallery(gallery_file, stored)
        seconds = sum(voiceprint.embedding.net_speech_seconds for voiceprint in made)
        out.print(f"[dim]$ earwitness enroll {caller.name} {_shown(caller.enrolment)}[/dim]", soft_wrap=True)
        out.print(f"  enrolled {caller.name} with {seconds:.1f} s of net speech")
    gallery = engine.empty_gallery()
    gallery.add_all(read_gallery(gallery_file).voiceprints)
    out.print()
    wrong = 0
    for caller in known + strangers:
        speech = engine.join(caller.call)
        decision = engine.identify(speech, gallery)
        best = decision.candidates[0]
        named = best.profile_id if decision.outcome is Outcome.MATCH else None
        right = named == (caller.name if caller in known else None)
        wrong += not right
        out.print(f"[dim]$ earwitness identify {_shown(caller.call)}[/dim]", soft_wrap=True)
        if named:
            answer = f"[green]{named}[/green], probability {100 * best.confidence:.1f} %"
        else:
            nobody = 100 * (decision.nobody_confidence or 0.0)
            answer = f"[yellow]a stranger[/yellow], probability {nobody:.1f} %; closest {best.profile_id}"
        threshold = decision.threshold.score if decision.threshold else 0.0
        mark = "" if right else "  [red]wrong[/red]"
        out.print(
            f"  {answer} (score {best.score:.2f}, threshold {threshold:.2f}, {speech.seconds:.1f} s){mark}",
            soft_wrap=True,
        )
    if decision.threshold:  # pyright: ignore[reportPossiblyUnboundVariable]  # there is at least one caller
        share = engine.strangers_named_percent
        out.print(f"\nThe threshold keeps strangers who get a name under {share:g} % with {len(gallery)} enrolled.")
    return wrong


def sample_callers() -> tuple[list[Caller], list[Caller]]:
    """The callers that come with earwitness."""
    from earwitness.samples import KNOWN, STRANGERS, first_call, second_call

    known, strangers = (
        [Caller(name, [first_call(name)], [second_call(name)]) for name in names] for names in (KNOWN, STRANGERS)
    )
    return known, strangers


def callers_in(
    folder: Path, engine: "Engine", progress: Callable[[int, int], None]
) -> tuple[list[Caller], list[Caller]]:
    """The people with most recordings are enrolled from their first ones; some others stay strangers."""
    from earwitness.app import people_in
    from earwitness.errors import AudioError, TooFewSpeakers

    callers: list[Caller] = []
    people = people_in(folder)
    for done, (name, files) in enumerate(people.items(), start=1):
        progress(done, len(people))
        try:
            enrolment, rest = engine.take(files, seconds=_ENROL_SECONDS)
            call, _ = engine.take(rest, seconds=_CALL_SECONDS)
        except AudioError:
            continue
        if enrolment and call:
            callers.append(Caller(name, enrolment, call))
        if len(callers) == _KNOWN_MAX + _STRANGERS_MAX:
            break
    if len(callers) < 2:
        raise TooFewSpeakers(
            f"{folder} has {len(callers)} people with {_ENROL_SECONDS:.0f} s and {_CALL_SECONDS:.0f} s of speech in "
            f"different files; two are needed"
        )
    strangers = max(1, min(_STRANGERS_MAX, len(callers) // 3))
    return callers[:-strangers], callers[-strangers:]


def _shown(files: list[Path]) -> str:
    return f"{files[0].parent.name}/{files[0].name}" + (f" … ({len(files)} files)" if len(files) > 1 else "")
