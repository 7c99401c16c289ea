"""The line of a gallery file: shown, switched, forgotten, as it was before, and learnt by `identify`."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from earwitness.cli.output import print_json, print_table, remark, reporting, say
from earwitness.errors import GalleryUnwritable
from earwitness.voice.line import VOICES_MIN, LineLearning

if TYPE_CHECKING:
    from earwitness.engine.file_line import FileLine
    from earwitness.engine.space import Line


def require_no_domain_options(codec: str | None, url: str | None, region: str | None) -> None:
    """Raise BadParameter when options are given that only a domain has."""
    for value, option in ((codec, "--codec"), (url, "--url"), (region, "--region")):
        if value is not None:
            raise typer.BadParameter("it goes with --domain; a gallery file has one line", param_hint=option)


def show_file_line(path: Path, *, as_json: bool) -> None:
    """Print what a gallery file has learnt of its line."""
    from earwitness.engine.gallery_file import read_gallery

    with reporting(as_json=as_json):
        stored = read_gallery(path)
    document = line_of_file(path, stored.line)
    if as_json:
        print_json(document)
        return
    say("learning is [b]{}[/b] in {}", document["learning"], path)
    of = f", version {document['version']} of {document['voices']} voices" if document["voices"] else ""
    say("line {}{}", document["state"], of)
    rows = [
        (
            str(version["number"]),
            version["why"] + (f" to {version['revertedTo']}" if version["revertedTo"] else ""),
            str(version["voices"]) if version["voices"] else "shipped",
            version["createdAt"],
        )
        for version in document["versions"]
    ]
    if rows:
        print_table(("version", "why", "voices", "created"), rows)
    elif stored.line.learning is LineLearning.OFF:
        say("nothing is learnt of it before `earwitness line on`")
    else:
        say("it is learnt when `earwitness identify` is given {} or more recordings of different voices", VOICES_MIN)


def change_file_line(path: Path, change: "Callable[[FileLine, datetime], FileLine]", *, as_json: bool) -> None:
    """Change what a gallery file keeps of its line, and print it."""
    from dataclasses import replace

    from earwitness.engine.gallery_file import changing, read_gallery, write_gallery

    with reporting(as_json=as_json), changing(path):
        stored = read_gallery(path)
        write_gallery(path, replace(stored, line=change(stored.line, datetime.now(UTC))))
    show_file_line(path, as_json=as_json)


def keep_learnt_line(path: Path, line: "Line") -> "Line":
    """Write a line that was learnt into a gallery file, if it takes the place of the one there; return what counts.

    A gallery that may be read and not written is searched all the same.
    """
    from dataclasses import replace

    from earwitness.engine.gallery_file import changing, read_gallery, write_gallery

    try:
        with changing(path):
            stored = read_gallery(path)
            if stored.line.takes(line):
                stored = replace(stored, line=stored.line.learnt(line, at=datetime.now(UTC)))
                write_gallery(path, stored)
    except GalleryUnwritable as error:
        remark("[yellow]the line is learnt for this run alone[/yellow]: {}", error)
        return line
    return stored.line.current


# `Any`: JSON.
def line_of_file(path: Path, line: "FileLine") -> dict[str, Any]:
    """Return the line of a gallery file in the shape of `--json`; a mean is a matter of many voices, and not shown."""
    current = line.current
    return {
        "gallery": path,
        "learning": line.learning,
        "state": current.state,
        "voices": current.voices,
        "version": current.version,
        "versions": [
            {
                "number": version.number,
                "why": version.why,
                "voices": version.voices,
                "revertedTo": version.reverted_to,
                "createdAt": f"{version.created_at:%Y-%m-%dT%H:%M:%SZ}",
            }
            for version in line.versions
        ],
    }
