"""Every command of ours in the pages is one that its parser takes: its name, its options, its arguments."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from earwitness.cli.main import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(set((ROOT / "docs").glob("*.md")) - {ROOT / "docs" / "cli.md"})]
"""cli.md is written from the parser itself."""

BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands(page: Path) -> Iterator[str]:
    """The lines of a page's console blocks that start earwitness, continued lines joined."""
    for block in BLOCK.findall(page.read_text(encoding="utf-8")):
        for line in re.sub(r"\\\n\s*", " ", block).splitlines():
            if found := re.match(r"\$ (?:[A-Z_]+=\S+ )*(earwitness .*)", line):
                yield found[1]


ALL = [(page.name, command) for page in PAGES for command in commands(page)]


def test_there_are_commands_to_look_at() -> None:
    assert len(ALL) > 80


@pytest.mark.parametrize(("page", "command"), ALL, ids=[f"{page}-{number}" for number, (page, _) in enumerate(ALL)])
def test_the_parser_takes_it(page: str, command: str) -> None:
    lexer = shlex.shlex(command, posix=True, punctuation_chars="|&;<>")  # what comes after is the shell's
    lexer.whitespace_split = True
    words = []
    for word in lexer:
        if set(word) <= set("|&;<>"):
            break
        words.append(word)
    command_of: Any = typer.main.get_command(app)  # `Any`: groups have commands, and typer's stubs no name for them
    context = typer.Context(command_of, info_name="earwitness")
    rest = words[1:]
    while hasattr(command_of, "commands") and rest and not rest[0].startswith("-"):
        assert rest[0] in command_of.commands, f"{page}: {command}: there is no `{rest[0]}`"
        command_of = command_of.commands[rest[0]]
        context = typer.Context(command_of, info_name=rest[0], parent=context)
        rest = rest[1:]
    _, left, _ = command_of.make_parser(context).parse_args(args=rest)
    assert left == [], f"{page}: {command}: nobody reads {left}"
