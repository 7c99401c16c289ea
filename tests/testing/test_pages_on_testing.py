"""Every snippet of docs/testing.md runs, as a user would write it into a file."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from earwitness.models.cache import ModelCache
from patience import PATIENCE_SECONDS

PAGE = (Path(__file__).parents[2] / "docs" / "testing.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = re.findall(r"^\$ (.+)$", PAGE, re.MULTILINE)


@pytest.mark.slow
def test_the_snippets_pass(tmp_path: Path, model_cache: ModelCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EARWITNESS_MODELS_DIR", str(model_cache.folder))
    for number, snippet in enumerate(SNIPPETS):
        (tmp_path / f"test_snippet_{number}.py").write_text(snippet, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n", encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    tests = sum(snippet.count("\ndef test_") for snippet in SNIPPETS)
    assert tests >= 10
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert f"{tests} passed" in done.stdout


def test_the_commands_are_those_that_other_tests_run() -> None:
    assert COMMANDS == [
        "pip install 'earwitness[testing]'",  # .ci/versions installs the wheel with its extras
        "earwitness serve --dev",
        "awsew chime-sdk-voice list-voice-profile-domains",  # test_awsew.py
    ]
