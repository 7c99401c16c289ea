"""`earwitness demo`: the main job on real audio, with the commands a user would type."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earwitness.cli.options import JsonOption
from earwitness.cli.output import Exit, out, print_json, progress_of, reporting, say
from earwitness.cli.voices import engine_for
from earwitness.errors import AudioError, TooFewSpeakers
from earwitness.progress import Progress
from earwitness.samples import KNOWN, STRANGERS, first_call, second_call
from earwitness.voice.band import CANONICAL_RATE, Band
from earwitness.voice.decision import Outcome

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
    #: Every name, where several voices were heard and have one each.
    named: str | None
    #: None when nobody was searched for: there was too little speech.
    closest: str | None
    voices: int
    #: Of the name that was given first, or that it is nobody enrolled.
    probability: float
    score: float
    threshold: float
    net_speech_seconds: float

    @property
    def right(self) -> bool:
        return self.closest is not None and self.named == (self.caller if self.is_known else None)


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
    with reporting(as_json=as_json):
        engine = engine_for(Band.TELEPHONE)
        if speech is None:
            known, strangers = _sample_callers(KNOWN), _sample_callers(STRANGERS)
        else:
            with progress_of() as show:
                known, strangers = callers_in(speech, engine, show)
        if not as_json:
            say(
                "{}: {} are enrolled from one call; then they and {} strangers call.\n",
                "Synthetic callers" if speech is None else f"Callers from {speech}",
                len(known),
                len(strangers),
            )
        gallery = engine.gallery(list(_enrolled(engine, known, quiet=as_json)))
        answers: list[CallOutcome] = []
        for caller in known + strangers:
            decision = engine.identify(_joined(engine, caller.call), gallery)
            answers.append(answer_of(caller, decision, is_known=caller in known))
            if not as_json:
                say("[dim]$ earwitness identify {}[/dim]", _shown(caller.call))
                print_answer(answers[-1])
    wrong = sum(not answer.right for answer in answers)
    if as_json:
        print_json({"enrolled": len(known), "wrong": wrong, "answers": answers})
    else:
        _conclude(engine, known, strangers, wrong)
    if wrong:
        raise typer.Exit(Exit.NO)


def _enrolled(engine: "Engine", known: list[SimulatedCaller], *, quiet: bool) -> "Iterator[Voiceprint]":
    """Yield the voiceprints of each caller."""
    from earwitness.engine.enrol import voiceprints_of

    for caller in known:
        made = voiceprints_of(engine, caller.name, caller.enrolment).voiceprints
        seconds = sum(voiceprint.embedding.net_speech_seconds for voiceprint in made)
        if not quiet:
            say("[dim]$ earwitness enroll {} {}[/dim]", caller.name, _shown(caller.enrolment))
            say("  enrolled {} with {:.1f} s of net speech", caller.name, seconds)
        yield from made


def answer_of(caller: SimulatedCaller, decision: "Decision", *, is_known: bool) -> CallOutcome:
    """Return what a search came to. Of several voices the first that was named counts, else the longest."""
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
    """Print one line; a wrong answer says so."""
    if answer.closest is None:
        say("  [yellow]not enough speech[/yellow]: {:.1f} s  [red]wrong[/red]", answer.net_speech_seconds)
        return
    if answer.voices > 1:
        say("  [yellow]several voices[/yellow]: {}", answer.voices)
    who = "[green]{}[/green]" if answer.named else "[yellow]{}[/yellow]"
    closest = "score" if answer.named else "closest score"
    mark = "" if answer.right else "  [red]wrong[/red]"
    say(
        f"  {who}, probability {{:.1f}} % ({closest} {{:.2f}}, threshold {{:.2f}}, {{:.1f}} s){mark}",
        answer.named or "a stranger",
        100 * answer.probability,
        answer.score,
        answer.threshold,
        answer.net_speech_seconds,
    )


def _conclude(engine: "Engine", known: list[SimulatedCaller], strangers: list[SimulatedCaller], wrong: int) -> None:
    """Print what it came to, what the threshold means, and where to go on."""
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
    """Return the net speech of one person's recordings as if they were one call."""
    import numpy as np

    from earwitness.voice.durations import SPEECH_SECONDS_MAX

    pieces = [engine.listen(file) for file in files]
    samples = np.concatenate([piece.samples for piece in pieces])[: round(SPEECH_SECONDS_MAX * CANONICAL_RATE)]
    return replace(pieces[0], samples=samples, seconds=len(samples) / CANONICAL_RATE)


def _take(engine: "Engine", files: list[Path], *, seconds: float) -> tuple[list[Path], list[Path]]:
    """Return the first recordings that are good enough and together hold this much net speech, and the rest."""
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


def _sample_callers(names: tuple[str, ...]) -> list[SimulatedCaller]:
    """Return callers that come with earwitness."""
    return [SimulatedCaller(name, [first_call(name)], [second_call(name)]) for name in names]


def callers_in(
    folder: Path, engine: "Engine", progress: Progress
) -> tuple[list[SimulatedCaller], list[SimulatedCaller]]:
    """Return the first people with enough speech in different recordings; the last third of them stay strangers."""
    from earwitness.engine.enrol import people_in

    callers: list[SimulatedCaller] = []
    people = people_in(folder)
    for done, (name, files) in enumerate(people.items(), start=1):
        progress("looking for speech", done, len(people))
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
