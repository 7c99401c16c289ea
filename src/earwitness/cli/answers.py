"""How the answer of a search is printed, whether it was made here or by a running service."""

from collections.abc import Mapping
from typing import Any

from earwitness.cli.output import Exit, out, percent, say
from earwitness.cli.table import TableColumn, print_table
from earwitness.voice.decision import Outcome

_EXIT_OF = {
    Outcome.MATCH: Exit.OK,
    Outcome.NO_MATCH: Exit.NO,
    Outcome.NOT_ENOUGH_SPEECH: Exit.SPEECH,
    Outcome.SEVERAL_VOICES: Exit.LOOK,
}


# `Any`: a JSON object, as voice.decision.decision_document makes it, here and below.
def exit_of(decision: Mapping[str, Any]) -> Exit:
    """The exit code of an answer."""
    return Exit.LOOK if decision["weak"] else _EXIT_OF[Outcome(decision["outcome"])]


def print_decision(decision: Mapping[str, Any]) -> None:
    """Print the answer first, then the ranked candidates, then what the numbers rest on."""
    if decision["leakageSeconds"]:
        seconds = decision["leakageSeconds"]
        say("[yellow]left out[/yellow]: {:.1f} s of speech far quieter than the rest, another party's leakage", seconds)
    if decision["outcome"] == Outcome.SEVERAL_VOICES:
        say("[yellow]several voices[/yellow]: {}", len(decision["voices"]))
        for number, voice in enumerate(decision["voices"], start=1):
            say("\nvoice {}, {:.1f} s of net speech used", number, voice["netSpeechSeconds"])
            print_decision(voice)
        return
    outcome, threshold, candidates = decision["outcome"], decision["threshold"], decision["candidates"]
    if outcome == Outcome.NOT_ENOUGH_SPEECH:
        used = decision["netSpeechSeconds"]
        say("[yellow]not enough speech[/yellow]: {:.1f} s of net speech, and a search needs 3 s", used)
        return
    if not candidates:
        say("[yellow]no match[/yellow]: nobody is enrolled")
        return
    best = candidates[0]
    if decision["weak"]:
        say("[yellow]weak match[/yellow]: [b]{}[/b], probability {}", best["profileId"], percent(best["probability"]))
    elif outcome == Outcome.MATCH:
        say("[green]match[/green]: [b]{}[/b], probability {}", best["profileId"], percent(best["probability"]))
    else:
        say("[yellow]no match[/yellow]: a stranger, probability {}", percent(decision["nobodyProbability"]))
    if decision["ambiguous"]:
        second = candidates[1]["profileId"]
        say("[yellow]ambiguous[/yellow]: {} fits nearly as well; enrolled twice, or very alike", second)
    _print_candidates(decision)
    _print_threshold(threshold, margin=decision["margin"])


def _print_candidates(decision: Mapping[str, Any]) -> None:
    """All alternatives; their probabilities add up to 1."""
    candidates, threshold = decision["candidates"], decision["threshold"]
    rows = [
        (str(rank), one["profileId"], f"{one['score']:.2f}", percent(one["probability"]))
        for rank, one in enumerate(candidates, start=1)
    ]
    if decision["othersProbability"]:
        rows.append(("", "the others enrolled", "", percent(decision["othersProbability"])))
    rows.append(("", "nobody enrolled", "", percent(decision["nobodyProbability"])))
    named = [number for number, one in enumerate(candidates) if one["score"] >= threshold["score"]]
    print_table(["", TableColumn("profile", folds=True), "score", "probability"], rows, bold=named)


def _print_threshold(threshold: Mapping[str, Any], *, margin: float | None) -> None:
    beyond = ", beyond the measured pairs" if threshold["extrapolated"] else ""
    size = threshold["gallerySize"]
    before = "" if margin is None else f"margin to the second {margin:.2f}; "
    out.print(
        f"{before}threshold {threshold['score']:.2f}: at most "
        f"{threshold['strangersNamedPercent']:g} % of strangers are named among {size} "
        f"voiceprint{'s' if size > 1 else ''} ({100 * threshold['pairFalseMatchRate']:.2g} % of pairs{beyond})",
        soft_wrap=True,
    )
