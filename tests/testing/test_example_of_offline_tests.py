"""The example project, as somebody copies it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from patience import PATIENCE_SECONDS

EXAMPLE = Path(__file__).parents[2] / "examples" / "pytest_offline"


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["-n", "2"]])
def test_its_tests_pass(tmp_path: Path, options: list[str]) -> None:
    project = shutil.copytree(EXAMPLE, tmp_path / "project", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-W", "error", *options]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "12 passed" in done.stdout


def test_its_action_runs_what_its_page_says() -> None:
    page, action = (EXAMPLE / "README.md").read_text(), (EXAMPLE / ".github" / "workflows" / "tests.yml").read_text()
    for command in ("pip install -r requirements.txt", "python -m pytest"):
        assert command in page
        assert f"- run: {command}" in action
