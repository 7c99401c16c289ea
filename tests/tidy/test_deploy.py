"""What is in deploy/ names settings that there are, and pins what the tests ran with."""

import re
import shutil
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest

from earwitness.config import Settings

ROOT = Path(__file__).parents[2]
SETTINGS = {f"EARWITNESS_{field.name.upper()}" for field in fields(Settings)}


@pytest.mark.parametrize("file", sorted((ROOT / "deploy").iterdir()), ids=lambda file: file.name)
def test_every_variable_is_a_setting(file: Path) -> None:
    assert set(re.findall(r"EARWITNESS_[A-Z_]+", file.read_text())) <= SETTINGS


def test_an_installation_is_of_the_versions_that_were_tested() -> None:
    def versions(lock: Path) -> dict[str, str]:
        return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", lock.read_text(), re.MULTILINE))

    deployed, tested = versions(ROOT / "deploy" / "requirements.lock"), versions(ROOT / "requirements.lock")
    assert len(deployed) > 30
    assert deployed.items() <= tested.items()


def test_kubernetes_knows_every_word() -> None:
    program = shutil.which("kubernetes-validate")
    if program is None:
        pytest.skip("kubernetes-validate is not here; pip install it")
    manifests = ROOT / "deploy" / "kubernetes.yaml"
    checked = subprocess.run([program, "--strict", manifests], check=False, capture_output=True, text=True)
    said = checked.stdout + checked.stderr
    assert (checked.returncode, said.count(" passed for resource ")) == (0, manifests.read_text().count("\nkind: "))
