"""`earwitness records`: where a service keeps its records."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from earwitness import config
from earwitness.cli.options import DataOption, JsonOption
from earwitness.cli.output import print_json, progress_of, remark, reporting, say
from earwitness.errors import ConfigurationError

records = typer.Typer(help="The records of a service: move them to PostgreSQL.", no_args_is_help=True)


@records.command("move")
def move_records(
    source: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="The SQLite file; default: records.db in the data folder."),
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Move the records from SQLite to the PostgreSQL database that EARWITNESS_STORE_URL names.

    Stop the service first. All rows are compared before anything counts; media and master key stay where they are.
    """
    from earwitness.installation import move_installation
    from earwitness.tasks.leading import this_process

    with reporting(as_json=as_json):
        settings = config.load()
        if data is not None:
            settings = replace(settings, data_dir=data)
        if not settings.store_url:
            raise ConfigurationError(
                "the settings name no database to move to; set EARWITNESS_STORE_URL=postgresql://… as `serve` shall "
                "use it (docs/records.md)"
            )
        with progress_of() as show:
            moved = move_installation(settings, source=source, me=this_process(), progress=show)
    if as_json:
        print_json({"rows": moved.rows, "former": moved.former})
        return
    say("moved {:,} rows; PostgreSQL has every one of them as it was", sum(moved.rows.values()))
    remark("the former database is {}; start the service with the same EARWITNESS_STORE_URL", moved.former)
