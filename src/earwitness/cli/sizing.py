"""`earwitness sizing`: how many machines so many calls take."""

from dataclasses import asdict
from typing import Annotated

import typer

from earwitness.cli.options import JsonOption
from earwitness.cli.output import print_json, print_table, remark


def sizing(
    calls: Annotated[int, typer.Option("--calls", min=1, max=10_000_000, help="In progress at the busiest time.")],
    minutes: Annotated[float, typer.Option("--minutes", min=0.1, max=480, help="How long a call lasts.")] = 3.0,
    voices: Annotated[int, typer.Option("--voices", min=1, max=16, help="Voices of a call that are listened to.")] = 1,
    bytes_per_second: Annotated[
        float, typer.Option("--bytes-per-second", min=1_000, max=1e6, help="Of one voice as it is sent.")
    ] = 16_000.0,
    profiles: Annotated[int, typer.Option("--profiles", min=0, max=100_000_000, help="In all domains.")] = 20_000,
    hours: Annotated[
        float, typer.Option("--hours", min=0, max=87_600, help="How long media are kept; 0: only while they are live.")
    ] = 0.0,
    cores: Annotated[int, typer.Option("--cores", min=1, max=1_024, help="Of one machine.")] = 8,
    as_json: JsonOption = False,
) -> None:
    """Calculate machines, processes, memory, disk and database connections for a number of calls."""
    from earwitness.nodes.sizing import USE, Load
    from earwitness.nodes.sizing import sizing as sizing_of

    load = Load(
        calls=calls,
        call_seconds=60 * minutes,
        voices=voices,
        bytes_per_second=bytes_per_second,
        profiles=profiles,
        retention_hours=hours,
        cores_per_machine=cores,
    )
    found = sizing_of(load)
    if as_json:
        print_json({"load": asdict(load), "sizing": asdict(found)})
        return
    rows = [
        ["machines", f"{found.machines:,}", f"of {cores} cores; one may die"],
        ["processes", f"{found.processes:,}", f"serve --processes {found.processes_per_machine} on each"],
        ["cores", f"{found.cores:,}", f"busy to {USE:.0%}: {_cores(found.model_cores, found.media_cores)}"],
        ["searches", f"{found.searches_per_second:,.1f} /s", "each call once, and its voice"],
        ["memory", f"{found.memory_bytes_per_machine / 1e9:,.1f} GB", "of each machine"],
        ["disk", f"{found.disk_bytes / 1e9:,.0f} GB", "for media, of all machines together"],
        ["network", f"{found.network_bytes_per_second * 8 / 1e6:,.0f} Mbit/s", "of media into all machines"],
        ["PostgreSQL", f"{found.postgres_connections:,}", "connections at most; from 200 on put PgBouncer before it"],
    ]
    print_table(["what", "how much", "which is"], rows)
    remark("from measurements on one machine; yours may do half or twice as much: try it with your calls")


def _cores(models: float, media: float) -> str:
    return f"{models:,.1f} for voice models, {media:,.1f} for media"
