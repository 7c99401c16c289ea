"""A newcomer's pages, typed in: every command, in the order of the page, against a running service."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from serving import ROOT, Served

from patience import PATIENCE_SECONDS

BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)

RUN_ELSEWHERE = {
    "python3 -m venv .venv": "make's own set-up",
    ".venv/bin/pip install .": ".ci/versions installs the wheel",
    "source .venv/bin/activate": "the same",
    "earwitness serve --dev": "serving.py starts it, on a free port",
    "python examples/live_call.py": "test_live_call.py, because calls take their time",
}


def typed(page: str, url: str) -> list[str]:
    """Return the commands of a page, those of RUN_ELSEWHERE left out; at the address of a service."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8").replace("http://127.0.0.1:4500", url)
    blocks = [re.sub(r"\\\n\s*", "", block) for block in BLOCK.findall(text)]
    lines = [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    return [line for line in lines if not line.startswith(tuple(RUN_ELSEWHERE))]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("quickstart.md", ["match: sally", "no match", "exit code 1"]),
        ("from-voice-id.md", ["same", "vpd-"]),
        ("from-chime-sdk.md", ["callers"]),
    ],
)
def test_its_commands_do_what_it_says(served: Served, tmp_path: Path, page: str, said: list[str]) -> None:
    commands = typed(page, served.url)
    if any(line.startswith("aws ") for line in commands) and shutil.which("aws") is None:
        pytest.skip("the AWS CLI is not installed; `pip install awscli` in an environment of its own")
    own = served.environment | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "XDG_DATA_HOME": str(tmp_path),
        "EARWITNESS_URL": served.url,
        "EARWITNESS_TOKEN": "test",
    }
    own |= {name: os.environ[name] for name in ("EARWITNESS_CONFIG", "EARWITNESS_MODELS_DIR") if name in os.environ}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(commands)],
        cwd=ROOT,
        env=own,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert len(commands) >= 3
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    for words in said:
        assert words in done.stdout, done.stdout
