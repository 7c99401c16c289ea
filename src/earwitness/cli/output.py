"""How commands speak: results on standard output, everything else on standard error, and what exit codes mean."""

import contextlib
import csv
import io
import json
import logging
import os
import sys
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from earwitness import errors, progress
from earwitness.voice.decision import Outcome

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_PIPE_COLUMNS = 160
_GAP = 2
_FOLDED_MIN = 12

# Into a file or pipe there is no width to fit, so nothing is cut.
out = Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_COLUMNS)
note = Console(stderr=True, highlight=False)


class Exit(IntEnum):
    """Exit codes of every command; docs/cli.md is generated from these lines."""

    OK = 0  # it worked; for identify and verify: a match
    NO = 1  # the answer is no: no match, a requirement not met, a check of doctor failed
    USAGE = 2  # wrong options, or a setting that cannot be used
    SPEECH = 3  # not enough speech, or too poor to enrol
    AUDIO = 4  # the recording cannot be used
    MODEL = 5  # a voice model is missing, damaged or could not be fetched
    GALLERY = 6  # the enrolled voices cannot be used or written
    EVALUATION = 7  # the manifest, trial list or requirement cannot be used
    RECORDS = 8  # the service's records, media or master key cannot be used
    SERVICE = 9  # a running service did not answer, or refused
    LOOK = 10  # somebody should look: a match with a probability under 50 %, or several voices
    INTERNAL = 70  # a mistake of ours; run again with EARWITNESS_LOG_LEVEL=debug to see where
    INTERRUPTED = 130  # stopped by Ctrl-C


_EXIT_OF_ERROR: dict[type[errors.EarwitnessError], Exit] = {
    errors.SpeechError: Exit.SPEECH,
    errors.AudioError: Exit.AUDIO,
    errors.ModelError: Exit.MODEL,
    errors.GalleryError: Exit.GALLERY,
    errors.EvaluationError: Exit.EVALUATION,
    errors.StoreError: Exit.RECORDS,
    errors.VaultError: Exit.RECORDS,
    errors.BackupError: Exit.RECORDS,
    errors.ArchiveInvalid: Exit.GALLERY,
    errors.AuditPlaceUnavailable: Exit.RECORDS,
    errors.AskingError: Exit.SERVICE,
    errors.FragmentLogError: Exit.RECORDS,
}
_EXIT_OF_OUTCOME = {
    Outcome.MATCH: Exit.OK,
    Outcome.NO_MATCH: Exit.NO,
    Outcome.NOT_ENOUGH_SPEECH: Exit.SPEECH,
    Outcome.SEVERAL_VOICES: Exit.LOOK,
}


def exit_for(error: errors.EarwitnessError) -> Exit:
    """Return the exit code of an error; settings and the like are usage."""
    return next((code for kind, code in _EXIT_OF_ERROR.items() if isinstance(error, kind)), Exit.USAGE)


# `Any`: a JSON object, as voice.decision.decision_document makes it, here and below.
def exit_of(decision: Mapping[str, Any]) -> Exit:
    """Return the exit code of an answer."""
    return Exit.LOOK if decision["weak"] else _EXIT_OF_OUTCOME[Outcome(decision["outcome"])]


@contextlib.contextmanager
def reporting(*, as_json: bool) -> Generator[None]:
    """Turn every error of ours inside into one clear line, for scripts an object as well, and an exit code."""
    try:
        yield
    except errors.EarwitnessError as error:
        if as_json:
            print_json({"error": {"type": type(error).__name__, "message": str(error), "retryable": error.retryable}})
        remark("[red]error:[/red] {}", error)
        raise typer.Exit(exit_for(error)) from error


def report_mistake(error: Exception) -> None:
    """Say that an error escaped, which is a mistake of ours: one line, and the trace for those who ask."""
    logging.getLogger("earwitness").debug("an unexpected error", exc_info=True)
    remark("[red]internal error:[/red] {}: {}; please report it", type(error).__name__, error)


# `object`: numbers are formatted as the template says, anything else as its text.
def say(template: str, *values: object, to: Console = out) -> None:
    """Print a line whose markup is the template's alone: names and paths may hold brackets of their own."""
    safe = [value if isinstance(value, int | float) else escape(visible(str(value))) for value in values]
    to.print(template.format(*safe), soft_wrap=True)


def remark(template: str, *values: object) -> None:
    """Print a line on standard error, as `say` does."""
    say(template, *values, to=note)


def warn(template: str, *values: object) -> None:
    """Print a warning on standard error."""
    remark("[yellow]warning:[/yellow] " + template, *values)


def visible(text: str) -> str:
    """Return control characters and line ends as their codes, so that a name cannot rewrite the screen."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def percent(share: float) -> str:
    """Return a probability as people read it; at the ends, where it was capped, as a bound."""
    if share >= 0.999:
        return "over 99.9 %"
    return "under 0.1 %" if share <= 0.001 else f"{100 * share:.1f} %"


# `object`: whatever plain() can turn into JSON.
def print_json(value: object) -> None:
    """Print one JSON document on standard output."""
    sys.stdout.write(json.dumps(plain(value), indent=2) + "\n")


# `Any`: the values of a dataclass of any kind.
def plain(value: Any) -> Any:
    """Return dataclasses, tuples, paths and unmeasured numbers as JSON has them (NaN and infinity become null).

    Fields get names as the JSON API's members have them: `profile_id` becomes `profileId`.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {_member(field.name): plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, float) and value - value != 0.0:
        return None
    return str(value) if isinstance(value, Path) else value


def _member(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


@contextlib.contextmanager
def progress_of(*, sizes: bool = False) -> Generator[progress.Progress]:
    """Show work as bars on standard error, which go away when it is done. Into a file or pipe nothing is shown."""
    amount = DownloadColumn() if sizes else MofNCompleteColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), amount, TimeRemainingColumn())
    with Progress(*columns, console=note, transient=True, disable=not note.is_terminal) as bars:
        tasks: dict[str, TaskID] = {}

        def show(doing: str, done: int, total: int) -> None:
            if doing not in tasks:
                tasks[doing] = bars.add_task(doing, total=total)
            bars.update(tasks[doing], completed=done, total=total)

        yield show


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a table with a line of titles; to standard output where the path is `-`. Raise ConfigurationError."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(rows)
    if str(path) == "-":
        out.file.write(text.getvalue())
        return
    try:
        path.write_text(text.getvalue(), encoding="utf-8")
    except OSError as error:
        raise errors.ConfigurationError(f"{path} cannot be written: {error.strerror}") from error
    remark("wrote {}", path)


def write_privately(path: Path, text: str) -> None:
    """Write a file that its owner alone can read, whole or not at all. Raise ConfigurationError."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(descriptor, 0o600)
            file.write(text)
        partial.replace(path)
    except OSError as error:
        raise errors.ConfigurationError(f"{path} cannot be written: {error.strerror}; name another file") from error


def print_table(
    titles: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    folds: Collection[str] = (),
    title: str = "",
    bold: Collection[int] = (),
    to: Console = out,
) -> None:
    """Print rows under their titles, the important columns first; rows whose numbers are in `bold` stand out.

    Columns in `folds` hold free text, which may go over several lines; an id, a number or a time never does. On a
    terminal, columns that do not fit are left out from the right and named on standard error. Into a file or pipe a
    row is one line with tabs between its cells, whole, after a line of titles.
    """
    cells = [[[visible(line) for line in cell.split("\n")] for cell in row] for row in rows]
    if title:
        say("{}", title, to=to)
    if not to.is_terminal:
        for line in [titles, *([" ".join(cell) for cell in row] for row in cells)]:
            to.file.write("\t".join(line) + "\n")  # rich would turn tabs into blanks
        return
    fitted = _fitting(titles, cells, folds, width=to.width)
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0))
    for column in titles[:fitted]:
        table.add_column(escape(column), overflow="fold", no_wrap=column not in folds)
    for number, row in enumerate(cells):
        style = "bold" if number in bold else None
        table.add_row(*(escape("\n".join(cell)) for cell in row[:fitted]), style=style)
    to.print(table)
    if missing := ", ".join(titles[fitted:]):
        remark("[dim]no room for {}: widen the window, pipe this, or use --json[/dim]", missing)


def _fitting(
    titles: Sequence[str], cells: Sequence[Sequence[Sequence[str]]], folds: Collection[str], *, width: int
) -> int:
    """Return how many columns, from the left, have room; the first one always has."""
    used = 0
    for number, title in enumerate(titles):
        wide = max(map(cell_len, [title, *(line for row in cells for line in row[number])]))
        used += min(wide, max(_FOLDED_MIN, cell_len(title))) if title in folds else wide
        if used > width and number > 0:
            return number
        used += _GAP
    return len(titles)


def print_decision(decision: Mapping[str, Any]) -> None:
    """Print the answer of a search: first the answer, then the ranked candidates, then what the numbers rest on."""
    if decision["leakageSeconds"]:
        seconds = decision["leakageSeconds"]
        say("[yellow]left out[/yellow]: {:.1f} s of speech far quieter than the rest, another party's leakage", seconds)
    if decision["outcome"] == Outcome.SEVERAL_VOICES:
        say("[yellow]several voices[/yellow]: {}", len(decision["voices"]))
        for number, voice in enumerate(decision["voices"], start=1):
            say("\nvoice {}, {:.1f} s of net speech used", number, voice["netSpeechSeconds"])
            print_decision(voice)
        return
    if decision["outcome"] == Outcome.NOT_ENOUGH_SPEECH:
        used = decision["netSpeechSeconds"]
        say("[yellow]not enough speech[/yellow]: {:.1f} s of net speech, and a search needs 3 s", used)
        return
    if not (candidates := decision["candidates"]):
        say("[yellow]no match[/yellow]: nobody is enrolled")
        return
    best = candidates[0]["profileId"], percent(candidates[0]["probability"])
    if decision["weak"]:
        say("[yellow]weak match[/yellow]: [b]{}[/b], probability {}", *best)
    elif decision["outcome"] == Outcome.MATCH:
        say("[green]match[/green]: [b]{}[/b], probability {}", *best)
    else:
        say("[yellow]no match[/yellow]: a stranger, probability {}", percent(decision["nobodyProbability"]))
    if decision["ambiguous"]:
        second = candidates[1]["profileId"]
        say("[yellow]ambiguous[/yellow]: {} fits nearly as well; enrolled twice, or very alike", second)
    _print_candidates(decision)
    _print_threshold(decision["threshold"], margin=decision["margin"])
    _print_line(decision)


def _print_candidates(decision: Mapping[str, Any]) -> None:
    """Print all alternatives; their probabilities add up to 1."""
    candidates, threshold = decision["candidates"], decision["threshold"]
    rows = [
        (str(rank), one["profileId"], f"{one['score']:.2f}", percent(one["probability"]))
        for rank, one in enumerate(candidates, start=1)
    ]
    if decision["othersProbability"]:
        rows.append(("", "the others enrolled", "", percent(decision["othersProbability"])))
    rows.append(("", "nobody enrolled", "", percent(decision["nobodyProbability"])))
    named = [number for number, one in enumerate(candidates) if one["score"] >= threshold["score"]]
    print_table(["", "profile", "score", "probability"], rows, folds={"profile"}, bold=named)


def _print_threshold(threshold: Mapping[str, Any], *, margin: float | None) -> None:
    size = threshold["gallerySize"]
    before = "" if margin is None else f"margin to the second {margin:.2f}; "
    out.print(
        f"{before}threshold {threshold['score']:.2f}: at most "
        f"{threshold['strangersNamedPercent']:g} % of strangers are named among {size} "
        f"voiceprint{'s' if size > 1 else ''} ({100 * threshold['pairFalseMatchRate']:.2g} % of pairs of people"
        f"{_beyond(threshold)})",
        soft_wrap=True,
    )


def _print_line(decision: Mapping[str, Any]) -> None:
    """Say what was known of the line; nothing is known of that in answers of former versions."""
    if (line := decision["line"]) is None:
        return
    of = f", from {line['voices']} voices" if line["voices"] else ""
    margin = decision["threshold"]["lineMargin"]
    higher = f"; the threshold is {margin:.2f} higher for that" if round(margin, 2) else ""
    say("line {}{}{}", line["state"], of, higher)


def _beyond(threshold: Mapping[str, Any]) -> str:
    """Say that a rate was not measured, and how many persons would be needed to measure it."""
    if not threshold["extrapolated"]:
        return ""
    if threshold["persons"] is None or threshold["personsNeeded"] is None:
        return ", beyond the measured pairs"
    return (
        f", extrapolated beyond the {threshold['persons']:,} people of the calibration; "
        f"{threshold['personsNeeded']:,} would be needed"
    )


class _PipeWriter(io.RawIOBase):
    """Writes to a file descriptor, and to nowhere once its reader is gone, as with `| head -1`.

    The command answers all the same, so its exit code keeps its meaning; what cannot be written any more is dropped.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.reader_is_gone = False

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, data: "ReadableBuffer", /) -> int:
        if not self.reader_is_gone:
            try:
                return os.write(self._descriptor, data)
            except BrokenPipeError:
                self.reader_is_gone = True
        return memoryview(data).nbytes


_pipe: _PipeWriter | None = None


def write_until_nobody_reads() -> None:
    """Let standard output go on when its reader goes away. Call this once, before anything is printed."""
    global _pipe  # noqa: PLW0603
    own = sys.stdout
    if isinstance(own, io.TextIOWrapper):
        _pipe = _PipeWriter(own.fileno())
        sys.stdout = io.TextIOWrapper(
            io.BufferedWriter(_pipe), encoding=own.encoding, errors="replace", line_buffering=_pipe.isatty()
        )


def reader_is_gone() -> bool:
    """Return whether nobody reads any more: a command that goes on by itself ends then."""
    return _pipe is not None and _pipe.reader_is_gone


def line_in_words(line: Mapping[str, Any]) -> str:
    """Return what is known of a line of a domain, as the JSON API tells it, in a line."""
    of = f", version {line['version']} of {line['voices']} voices" if line["voices"] else ""
    waiting = f", {line['waitingVoices']} voices wait to be learnt from" if line["waitingVoices"] else ""
    scores = [
        f"{name} {line[member]:+.2f}"
        for member, name in (("voiceprintsMean", "voiceprints that did not match"), ("callersMean", "other callers"))
        if line[member] is not None
    ]
    measured = f" (mean score of {', '.join(scores)})" if scores else ""
    return f"{line['state']}{of}{waiting}; {line['health']}{measured}"


def advice_of(lines: Mapping[str, Any]) -> list[str]:
    """Return what to do about the lines and former voiceprints of a domain, as the JSON API tells it."""
    told = [f"line {line['codec']}: {line['advice']}" for line in lines["lines"] if line["advice"]]
    return told + ([lines["advice"]] if lines["advice"] else [])


def warn_of_lines(lines: Mapping[str, Any]) -> None:
    """Print the same as warnings."""
    for advice in advice_of(lines):
        warn("{}: {}", lines["domainId"], advice)
