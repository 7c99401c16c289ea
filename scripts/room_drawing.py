"""The drawing of the rooms: their order from the import contract, the lines from the imports of the code.

A line says that a room imports another one. It is left out where another way leads there too, over a third room: with
all lines nobody could read the drawing.
"""

import tomllib
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[1]
WIDTH, ROW, HEIGHT, TOP = 1000, 78, 34, 20
_STYLE = (
    "text{font:600 15px ui-sans-serif,system-ui,sans-serif;fill:#1c2333;text-anchor:middle}"
    ".room{fill:#fff;stroke:#4051b5;stroke-width:1.5}.file{stroke-dasharray:5 3}"
    ".import{fill:none;stroke:#4051b5;stroke-opacity:.45;stroke-width:1.3}"
)


def layers() -> list[list[str]]:
    """Return the rooms as the contract orders them, the highest first."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (lines,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [[room.strip() for room in line.split("|")] for line in lines]


def imports(rooms: Sequence[str]) -> dict[str, set[str]]:
    """Return which rooms each of them imports."""
    graph = grimp.build_graph("earwitness", cache_dir=None)
    found: dict[str, set[str]] = {room: set() for room in rooms}
    for module in graph.modules:
        room = _room_of(module)
        if room in found:
            others = {_room_of(one) for one in graph.find_modules_directly_imported_by(module)}
            found[room] |= (others & found.keys()) - {room}
    return found


def _room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def shortened(found: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Return the imports without those to which another way leads over a third room."""

    def reached(room: str) -> set[str]:
        return found[room].union(*(reached(other) for other in found[room])) if found[room] else set()

    everything = {room: reached(room) for room in found}
    return {room: {one for one in own if not any(one in everything[two] for two in own)} for room, own in found.items()}


def drawing() -> str:
    """Return the drawing as SVG."""
    rows = layers()
    rooms = [room for row in rows for room in row]
    files = {room for room in rooms if (ROOT / "src" / "earwitness" / f"{room}.py").is_file()}
    places: dict[str, tuple[float, float, float]] = {}  # middle, top, width
    for number, row in enumerate(rows):
        # Every other row lies further left, so that lines down do not lie on one another.
        share, shift = WIDTH / len(row), (45 if number % 2 else -45)
        for place, room in enumerate(row):
            width = 9.2 * len(_name(room, files)) + 30
            places[room] = (share * (place + 0.5) + shift, TOP + number * ROW, width)
    height = TOP * 2 + ROW * (len(rows) - 1) + HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        "<title>The rooms of earwitness: each imports only from below</title>",
        f'<style>{_STYLE}</style><rect width="{WIDTH}" height="{height}" rx="12" fill="#f6f7fb"/>',
    ]
    for room, others in shortened(imports(rooms)).items():
        parts += [_line(places[room], places[other]) for other in sorted(others)]
    for room in rooms:
        middle, top, width = places[room]
        kind = "room file" if room in files else "room"
        parts.append(
            f'<rect class="{kind}" x="{middle - width / 2:.0f}" y="{top}" '
            f'width="{width:.0f}" height="{HEIGHT}" rx="7"/>'
            f'<text x="{middle:.0f}" y="{top + 22}">{escape(_name(room, files))}</text>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _name(room: str, files: set[str]) -> str:
    return f"{room}.py" if room in files else room


def _line(above: tuple[float, float, float], below: tuple[float, float, float]) -> str:
    (x1, y1, _), (x2, y2, _) = above, below
    y1 += HEIGHT
    bend = min((y2 - y1) / 2, 90)
    points = " ".join(f"{x:.0f} {y:.0f}" for x, y in ((x1, y1 + bend), (x2, y2 - bend), (x2, y2)))
    return f'<path class="import" d="M{x1:.0f} {y1:.0f}C{points}"/>'
