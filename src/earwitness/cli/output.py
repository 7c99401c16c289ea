"""How commands speak: results on standard output, everything else on standard error, and what exit codes mean."""

import contextlib
import json
import sys
from collections.abc import Callable, Generator
from dataclasses import fields, is_dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, NoReturn

import typer
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

from earwitness import errors

_PIPE_COLUMNS = 160

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


_EXITS: tuple[tuple[type[errors.EarwitnessError], Exit], ...] = (
    (errors.SpeechError, Exit.SPEECH),
    (errors.AudioError, Exit.AUDIO),
    (errors.ModelError, Exit.MODEL),
    (errors.GalleryError, Exit.GALLERY),
    (errors.EvaluationError, Exit.EVALUATION),
    (errors.StoreError, Exit.RECORDS),
    (errors.VaultError, Exit.RECORDS),
    (errors.AskingError, Exit.SERVICE),
    (errors.FragmentLogError, Exit.RECORDS),
)


def exit_for(error: errors.EarwitnessError) -> Exit:
    """The exit code of an error; settings and the like are usage."""
    return next((code for kind, code in _EXITS if isinstance(error, kind)), Exit.USAGE)


def fail(error: errors.EarwitnessError, *, as_json: bool) -> NoReturn:
    """Report one clear line (and, for scripts, an object) and leave."""
    if as_json:
        print_json({"error": {"type": type(error).__name__, "message": str(error), "retryable": error.retryable}})
    say("[red]error:[/red] {}", error, to=note)
    raise typer.Exit(exit_for(error))


@contextlib.contextmanager
def reporting(*, as_json: bool) -> Generator[None]:
    """Turn every error of ours inside into a line and an exit code."""
    try:
        yield
    except errors.EarwitnessError as error:
        fail(error, as_json=as_json)


# `object`: whatever plain() can turn into JSON.
def print_json(value: object) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(json.dumps(plain(value), indent=2) + "\n")


# `Any`: the values of a dataclass of any kind.
def plain(value: Any) -> Any:
    """Dataclasses, tuples, paths and unmeasured numbers as JSON has them (NaN and infinity become null).

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
def progress_of(*, sizes: bool = False) -> Generator[Callable[[str, int, int], None]]:
    """A function that shows (doing, done, total) as a bar on standard error; it goes away when the work is done.

    Into a file or pipe nothing is shown.
    """
    amount = DownloadColumn() if sizes else MofNCompleteColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), amount, TimeRemainingColumn())
    with Progress(*columns, console=note, transient=True, disable=not note.is_terminal) as bars:
        tasks: dict[str, TaskID] = {}

        def show(doing: str, done: int, total: int) -> None:
            if doing not in tasks:
                tasks[doing] = bars.add_task(doing, total=total)
            bars.update(tasks[doing], completed=done, total=total)

        yield show


# `object`: numbers are formatted as the template says, anything else as its text.
def say(template: str, *values: object, to: Console = out) -> None:
    """Print a line whose markup is the template's alone: names and paths may hold brackets of their own."""
    safe = [value if isinstance(value, int | float) else escape(visible(str(value))) for value in values]
    to.print(template.format(*safe), soft_wrap=True)


def visible(text: str) -> str:
    """Control characters and line ends as their codes, so that a name cannot rewrite the screen."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def percent(share: float) -> str:
    """A probability as people read it; at the ends, where it was capped, as a bound."""
    if share >= 0.999:
        return "over 99.9 %"
    return "under 0.1 %" if share <= 0.001 else f"{100 * share:.1f} %"
