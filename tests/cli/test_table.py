"""Tables on a narrow terminal and into a pipe: the first columns are there, and ids are whole."""

import io
import uuid

import pytest
from rich.console import Console

from earwitness.cli.output import print_table

ID, LONG = (str(uuid.UUID(int=16**31 * first)) for first in (8, 9))


def shown(width: int, *, terminal: bool) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None)
    titles = ["task", "outcome", "message", "pipeline"]
    rows = [(ID, "no match", "a text of many words \x1b[2J", LONG)]
    print_table(titles, rows, folds={"message"}, to=console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [20, 40, 80, 100, 160])
def test_an_id_is_whole_or_absent(width: int) -> None:
    text = shown(width, terminal=True)
    assert "\x1b[2J" not in text
    assert (ID in text) == (width >= 36)
    assert LONG in text or "90000000" not in text
    if width >= 80:
        assert "no match" in text
    assert ("pipeline" in text) == (width >= 36 + 10 + 14 + 36)


def test_into_a_pipe_a_row_is_a_line_with_tabs() -> None:
    lines = shown(20, terminal=False).splitlines()
    assert lines == ["task\toutcome\tmessage\tpipeline", f"{ID}\tno match\ta text of many words \\x1b[2J\t{LONG}"]
