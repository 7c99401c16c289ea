"""`earwitness demo`: the main job on real audio, with the commands a user would type."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from earwitness.cli.options import JsonOption
from earwitness.cli.output import Exit, out, print_json, progress_of, reporting, say

if TYPE_CHECKING:
    from earwitness.engine.engine import Engine
    from earwitness.voice.decision import Decision
    from earwitness.voice.embedding import Voiceprint
    from earwitness.voice.speech import NetSpeech

_KNOWN_MAX, _STRANGERS_MAX = 6, 3
_ENROL_SECONDS, _CALL_SECONDS = 20.0, 10.0


@dataclass(frozen=True)
class SimulatedCaller:
    """Somebody with recordings to enrol and others to search for."""

    name: str
    enrolment: list[Path]
    call: list[Path]


@dataclass(frozen=True, kw_only=True)
class CallOutcome:
    """What was answered to one call, and whether it was right."""

    caller: str
    is_known: bool
    named: str | None
    """Every name, where several voices were heard and have one each."""

    closest: str | None
    """None when nobody was searched for: there was too little speech."""

    voices: int
    probability: float
    """Of the name that was given first, or that it is nobody enrolled."""

    score: float
    threshold: float
    net_speech_seconds: float

    @property
    def right(self) -> bool:
        return self.closest is not None and self.named == (self.caller if self.is_known else None)


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
    as_json: JsonOption = False,
) -> None:
    """Enrol some voices, name them in other calls, turn strangers away. Exit code 1: an answer was wrong."""
    from earwitness.cli.voices import engine_for
    from earwitness.voice.band import Band

    with reporting(as_json=as_json):
        engine = engine_for(Band.TELEPHONE)
        if speech is None:
            known, strangers = sample_callers()
        else:
            with progress_of() as show:
                known, strangers = callers_in(
                    speech, engine, lambda done, total: show("looking for speech", done, total)
                )
        if not as_json:
            whose = "Synthetic callers" if speech is None else f"Callers from {speech}"
            say(
                "{}: {} are enrolled from one call; then they and {} strangers call.\n",
                whose,
                len(known),
                len(strangers),
            )
        with TemporaryDirectory(prefix="earwitness-demo-") as folder:
            enrolled = list(enrol_callers(engine, known, Path(folder) / "gallery.json", quiet=as_json))
            answers = list(answer_calls(engine, known, strangers, enrolled, quiet=as_json))
    wrong = sum(not answer.right for answer in answers)
    if as_json:
        print_json({"enrolled": len(known), "wrong": wrong, "answers": answers})
    else:
        conclude(engine, known, strangers, wrong)
    if wrong:
        raise typer.Exit(Exit.NO)


def enrol_callers(
    engine: "Engine", known: list[SimulatedCaller], gallery_file: Path, *, quiet: bool
) -> "Iterator[Voiceprint]":
    """Enrol each caller into a gallery file, as the command would; then everything that is in the file."""
    from earwitness.engine.gallery_file import GalleryFile, read_gallery, write_gallery

    stored = GalleryFile(band=engine.band, encoder_id=engine.encoder.encoder_id)
    for caller in known:
        made = engine.voiceprints(caller.name, caller.enrolment).voiceprints
        stored = stored.with_voiceprints(made)
        write_gallery(gallery_file, stored)
        seconds = sum(voiceprint.embedding.net_speech_seconds for voiceprint in made)
        if not quiet:
            say("[dim]$ earwitness enroll {} {}[/dim]", caller.name, _shown(caller.enrolment))
            say("  enrolled {} with {:.1f} s of net speech", caller.name, seconds)
    yield from read_gallery(gallery_file).voiceprints


def answer_calls(
    engine: "Engine",
    known: list[SimulatedCaller],
    strangers: list[SimulatedCaller],
    enrolled: "list[Voiceprint]",
    *,
    quiet: bool,
) -> "Iterator[CallOutcome]":
    """Search for every caller's other call."""
    gallery = engine.empty_gallery()
    gallery.add_all(enrolled)
    for caller in known + strangers:
        speech = _joined(engine, caller.call)
        answer = answer_of(caller, engine.identify(speech, gallery), is_known=caller in known)
        if not quiet:
            say("[dim]$ earwitness identify {}[/dim]", _shown(caller.call))
            print_answer(answer)
        yield answer


def answer_of(caller: SimulatedCaller, decision: "Decision", *, is_known: bool) -> CallOutcome:
    """What a search came to. Of several voices the one counts that was named, else the one that was heard longest."""
    from earwitness.voice.decision import Outcome

    voices = decision.voices or (decision,)
    matches = [voice for voice in voices if voice.outcome is Outcome.MATCH]
    names = dict.fromkeys(match.candidates[0].profile_id for match in matches)
    voice = (*matches, *voices)[0]
    best = voice.candidates[0] if voice.candidates else None
    return CallOutcome(
        caller=caller.name,
        is_known=is_known,
        named=" and ".join(names) or None,
        closest=best.profile_id if best else None,
        voices=len(voices),
        probability=best.confidence if best and matches else voice.nobody_confidence or 0.0,
        score=best.score if best else 0.0,
        threshold=voice.threshold.score if voice.threshold else 1.0,
        net_speech_seconds=decision.net_speech_seconds,
    )


def print_answer(answer: CallOutcome) -> None:
    """One line; wrong ones say so."""
    if answer.closest is None:
        say("  [yellow]not enough speech[/yellow]: {:.1f} s  [red]wrong[/red]", answer.net_speech_seconds)
        return
    if answer.voices > 1:
        say("  [yellow]several voices[/yellow]: {}", answer.voices)
    numbers = (100 * answer.probability, answer.score, answer.threshold, answer.net_speech_seconds)
    mark = "" if answer.right else "  [red]wrong[/red]"
    if answer.named:
        line = "  [green]{}[/green], probability {:.1f} % (score {:.2f}, threshold {:.2f}, {:.1f} s)"
        say(line + mark, answer.named, *numbers)
    else:
        line = "  [yellow]a stranger[/yellow], probability {:.1f} % (closest score {:.2f}, threshold {:.2f}, {:.1f} s)"
        say(line + mark, *numbers)


def conclude(engine: "Engine", known: list[SimulatedCaller], strangers: list[SimulatedCaller], wrong: int) -> None:
    """What it came to, what the threshold means, and where to go on."""
    out.print(
        f"\nThe threshold was set so that at most {engine.strangers_named_percent:g} % of strangers are given a "
        f"name while {len(known)} people are enrolled.",
        soft_wrap=True,
    )
    if wrong:
        out.print(f"[red]{wrong} of {len(known) + len(strangers)} answers were wrong.[/red]")
        return
    out.print(
        f"All {len(known)} enrolled callers were named and all {len(strangers)} strangers turned away.\n"
        "Next, on your own calls: [b]earwitness enroll NAME FILES…[/b], [b]earwitness identify FILE[/b], "
        "[b]earwitness evaluate LIST.csv[/b].",
        soft_wrap=True,
    )


def _joined(engine: "Engine", files: list[Path]) -> "NetSpeech":
    """The net speech of one person's recordings as if they were one call."""
    import numpy as np

    from earwitness.voice.band import CANONICAL_RATE
    from earwitness.voice.embedding import SPEECH_SECONDS_MAX

    pieces = [engine.listen(file) for file in files]
    samples = np.concatenate([piece.samples for piece in pieces])[: round(SPEECH_SECONDS_MAX * CANONICAL_RATE)]
    seconds = len(samples) / CANONICAL_RATE
    return replace(pieces[0], samples=samples, seconds=seconds, heard_seconds=sum(p.heard_seconds for p in pieces))


def _take(engine: "Engine", files: list[Path], *, seconds: float) -> tuple[list[Path], list[Path]]:
    """The first recordings that are good enough and together hold this much net speech, and the rest."""
    from earwitness.errors import AudioError
    from earwitness.voice.speech import enrolment_fault

    taken: list[Path] = []
    heard = 0.0
    for count, file in enumerate(files, start=1):
        try:
            speech = engine.listen(file)
        except AudioError:
            continue  # a folder of recordings may hold one that cannot be read; the others will do
        if not speech.segments or enrolment_fault(speech):
            continue
        taken.append(file)
        heard += speech.seconds
        if heard >= seconds:
            return taken, files[count:]
    return [], []


def sample_callers() -> tuple[list[SimulatedCaller], list[SimulatedCaller]]:
    """The callers that come with earwitness."""
    from earwitness.samples import KNOWN, STRANGERS, first_call, second_call

    known, strangers = (
        [SimulatedCaller(name, [first_call(name)], [second_call(name)]) for name in names]
        for names in (KNOWN, STRANGERS)
    )
    return known, strangers


def callers_in(
    folder: Path, engine: "Engine", progress: Callable[[int, int], None]
) -> tuple[list[SimulatedCaller], list[SimulatedCaller]]:
    """The first people with enough speech in different recordings; the last third of them stay strangers."""
    from earwitness.engine.folders import people_in
    from earwitness.errors import TooFewSpeakers

    callers: list[SimulatedCaller] = []
    people = people_in(folder)
    for done, (name, files) in enumerate(people.items(), start=1):
        progress(done, len(people))
        enrolment, rest = _take(engine, files, seconds=_ENROL_SECONDS)
        call, _ = _take(engine, rest, seconds=_CALL_SECONDS)
        if enrolment and call:
            callers.append(SimulatedCaller(name, enrolment, call))
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
