"""The examples run against a real service, with AWS's own clients, and call every operation that is served."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from serving import ROOT, Served

from earwitness.api.operations import TABLE

EXAMPLES = ROOT / "examples"

EXPECTED = {(row.service, row.operation) for row in TABLE}
"""With PutMedia, though no SDK here has it: each example sends its calls with earwitness's own producer."""


def run(command: Sequence[str | Path], served: Served, *, folder: Path = EXAMPLES) -> set[tuple[str, str]]:
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # `earwitness` is beside Python
    done = subprocess.run(
        [str(part) for part in command],
        env=served.environment | {"PATH": programs},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=900,  # the AWS CLI starts some hundred times
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return {(found[1], found[2]) for found in re.finditer(r"^ok (\S+) (\w+)$", done.stdout, re.MULTILINE)}


@pytest.mark.slow
def test_boto3_calls_every_operation(served: Served) -> None:
    called = run([sys.executable, "every_operation.py"], served)
    assert called == EXPECTED


@pytest.mark.slow
def test_the_aws_command_line(served: Served) -> None:
    if shutil.which("aws") is None:
        pytest.skip("the AWS CLI is not installed; `pip install awscli` in an environment of its own")
    called = run(["bash", "every_operation.sh"], served)
    assert called == EXPECTED


@pytest.mark.slow
def test_the_javascript_sdk(served: Served) -> None:
    folder = EXAMPLES / "javascript"
    if shutil.which("node") is None or not (folder / "node_modules").is_dir():
        pytest.skip("Node or the SDK is missing; `npm install` in examples/javascript")
    called = run(["node", "every_operation.mjs"], served, folder=folder)
    assert called == EXPECTED


@pytest.mark.slow
@pytest.mark.parametrize("example", ["every_operation.py", "live_call.py"])
@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}, "Could not connect to the endpoint"),
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "the signature does not match"),
    ],
)
def test_an_example_that_fails_ends_in_a_sentence(
    served: Served, example: str, wrong: dict[str, str], sentence: str
) -> None:
    done = subprocess.run(
        [sys.executable, example, *(["none.wav"] * 3 if example == "live_call.py" else [])],
        env=served.environment | wrong,
        cwd=EXAMPLES,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
