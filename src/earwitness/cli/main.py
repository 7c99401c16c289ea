"""The `earwitness` command: its subcommands, and what happens when one fails.

Modules with heavy imports are imported by the command that needs them, so that `--help` answers at once.
"""

import sys
from typing import Annotated

import typer

from earwitness import __version__
from earwitness.cli import demo, doctor, evaluate, inspect, models, voices
from earwitness.cli.output import Exit, note, out

app = typer.Typer(
    name="earwitness",
    help="Who is speaking? Speaker search on your own machine: enrol voices, name callers, measure how well it works.",
    epilog="Exit codes: 0 yes, 1 no, 2 usage, 3 speech, 4 audio, 5 model, 6 gallery, 7 evaluation; see docs/cli.md.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=True,
)
for module in (demo, voices, inspect, evaluate, models, doctor):
    module.register(app)


def _show_version(wanted: bool) -> None:
    if wanted:
        out.print(f"earwitness {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[  # noqa: ARG001  # handled by its callback
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Who is speaking?"""
    from earwitness import config, log
    from earwitness.cli.output import reporting

    with reporting(as_json=False):
        log.install(level=config.load().log_level)


def main() -> None:
    """Entry point; an interruption is no crash."""
    try:
        app()
    except KeyboardInterrupt:
        note.print("interrupted; nothing was left half-done")
        sys.exit(Exit.INTERRUPTED)
