"""The `earwitness` command: its subcommands, and what happens when one fails.

Modules with heavy imports are imported by the command that needs them, so that `--help` answers at once.
"""

import signal
import sys
from io import TextIOWrapper
from types import FrameType
from typing import Annotated

import typer

from earwitness import config, log
from earwitness.cli import (
    audit,
    backfill,
    backups,
    calibration,
    calls,
    certificate,
    connectors,
    consent,
    demo,
    doctor,
    domains,
    doors,
    evaluate,
    exports,
    identify,
    imports,
    inspect,
    keys,
    labels,
    line,
    look_back,
    master_key,
    models,
    nodes,
    prototypes,
    records,
    retention,
    serve,
    sizing,
    stream,
    voices,
)
from earwitness.cli.output import Exit, out, report_mistake, reporting, warn, write_until_nobody_reads

app = typer.Typer(
    name="earwitness",
    help="Who is speaking? Speaker search on your own machine: enrol voices, name callers, measure how well it works.",
    epilog="Exit codes: 0 yes, 1 no, 2 usage, 3 speech, 4 audio, 5 model, 6 gallery, 7 evaluation, 8 records, "
    "9 service, 10 somebody should look.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=True,
)
for command in (
    demo.demo,
    voices.enroll,
    identify.identify,
    voices.verify,
    voices.profiles,
    voices.forget,
    inspect.inspect,
    evaluate.evaluate,
    serve.serve,
    serve.migrate,
    backups.restore,
    calls.status,
    stream.stream,
    calls.tasks,
    calls.watch,
    doors.doors,
    doors.call,
    doctor.doctor,
    sizing.sizing,
):
    app.command()(command)
app.command("look-back")(look_back.look_back)
for command in (exports.export, exports.check):
    domains.domains.command()(command)
domains.domains.command("import")(imports.import_domain)
app.add_typer(calibration.calibration, name="calibration")
app.add_typer(keys.keys, name="keys")
app.add_typer(domains.domains, name="domains")
app.add_typer(prototypes.voices, name="voices")
app.add_typer(audit.audit, name="audit")
app.add_typer(backfill.backfill, name="backfill")
app.add_typer(backups.backup, name="backup")
app.add_typer(connectors.connectors, name="connectors")
app.add_typer(consent.consent, name="consent")
app.add_typer(labels.labels, name="labels")
app.add_typer(line.line, name="line")
app.add_typer(retention.retention, name="retention")
app.add_typer(certificate.certificate, name="certificate")
app.add_typer(calls.events, name="events")
app.add_typer(models.models, name="models")
app.add_typer(records.records, name="records")
app.add_typer(nodes.nodes, name="nodes")
app.add_typer(master_key.master_key, name="master-key")


def _show_version(wanted: bool) -> None:
    if wanted:
        from earwitness import __version__

        out.print(f"earwitness {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[  # noqa: ARG001  # handled by its callback
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Who is speaking?"""
    for warning in config.mistyped():
        warn("{}", warning)
    with reporting(as_json=False):
        log.install(level=config.load().log_level)


def main() -> None:
    """Run a command. Typer turns an interruption into exit code 130; everything half-done is cleaned up on the way."""
    signal.signal(signal.SIGTERM, _as_interruption)
    if isinstance(sys.stderr, TextIOWrapper):
        sys.stderr.reconfigure(errors="replace")  # a name must not fail because a terminal cannot show it
    write_until_nobody_reads()
    try:
        app()
    except Exception as error:
        report_mistake(error)
        sys.exit(Exit.INTERNAL)


def _as_interruption(_signal: int, _frame: FrameType | None) -> None:
    """Clean up after a polite kill as after Ctrl-C."""
    raise KeyboardInterrupt
