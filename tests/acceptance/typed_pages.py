"""Pages of docs/ as somebody types them: the commands of their console blocks, in order, in one shell."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from serving import ROOT, Served

import started
from patience import PATIENCE_SECONDS

BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)

_SHELL = r"""
SAMPLES={root}/src/earwitness/samples
typed={folder}/typed.txt; touch "$typed"
earwitness() {{ command earwitness "$@" | tee -a "$typed"; }}
curl() {{ command curl --silent --show-error --fail-with-body "$@" | tee -a "$typed"; echo; }}
last() {{ grep -o "$1" "$typed" | tail -1; }}  # what was printed last of this form
"""


@dataclass(frozen=True, kw_only=True)
class Page:
    """How one page is typed: what its reader has beforehand, and what stands for the ids that the page shows."""

    name: str
    #: What the shell prints when all went well, on standard output or standard error.
    said: tuple[str, ...]
    #: Bash, before the first command: the files and the domain that the page speaks of.
    beforehand: str = ""
    #: A pattern of the page's own words to what is typed instead.
    words: dict[str, str] = field(default_factory=dict[str, str])
    #: How a command begins that is not typed, to the reason.
    elsewhere: dict[str, str] = field(default_factory=dict[str, str])
    #: Where its commands are typed: in the checkout instead of an empty folder.
    in_checkout: bool = False

    def commands(self) -> list[str]:
        """Return the commands of the page, with what is typed for its ids; those typed elsewhere are left out."""
        text = (ROOT / "docs" / self.name).read_text(encoding="utf-8")
        blocks = [re.sub(r"\\\n\s*", "", block) for block in BLOCK.findall(text)]
        lines = [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]
        for start in self.elsewhere:
            assert any(line.startswith(start) for line in lines), f"{self.name} has no `{start}` any more"
        typed = "\n".join(line for line in lines if not line.startswith(tuple(self.elsewhere)))
        for pattern, instead in self.words.items():
            typed, times = re.subn(pattern, lambda _, instead=instead: instead, typed)
            assert times, f"{self.name} has nothing like {pattern} any more"
        return typed.splitlines()


def type_it(page: Page, served: Served, folder: Path) -> tuple[list[str], subprocess.CompletedProcess[str]]:
    """Return the commands of the page and what came of them, typed in a folder of their own."""
    commands = page.commands()
    own = served.environment | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "XDG_DATA_HOME": str(folder / "data"),
        "EARWITNESS_URL": served.url,
        "EARWITNESS_TOKEN": "test",
        "SERVED_DATA": str(served.data),
        "COLUMNS": "200",
    }
    own |= {name: os.environ[name] for name in ("EARWITNESS_CONFIG", "EARWITNESS_MODELS_DIR") if name in os.environ}
    script = "\n".join([_SHELL.format(root=ROOT, folder=folder), page.beforehand, *commands])
    script = script.replace("http://127.0.0.1:4500", served.url)
    with started.process(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=ROOT if page.in_checkout else folder,
        env=own,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as shell:
        said, told = shell.communicate(timeout=PATIENCE_SECONDS)
    return commands, subprocess.CompletedProcess(shell.args, shell.returncode, said, told)
