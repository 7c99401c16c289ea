"""`awsew` hands over to AWS's command line, and says what is missing."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from telephone import Telephone

from earwitness.testing import EarwitnessService

pytestmark = pytest.mark.slow

LIST = ("chime-sdk-voice", "list-voice-profile-domains", "--query", "VoiceProfileDomains[].Name", "--output", "text")


def awsew(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    program = Path(sys.executable).with_name("awsew")
    return subprocess.run([program, *arguments], env=own | environment, capture_output=True, text=True, check=False)


def a_program(folder: Path) -> str:
    """Return a PATH with an `aws` that says what it was given."""
    program = folder / "aws"
    program.write_text('#!/bin/sh\necho "$@"; echo "$AWS_ACCESS_KEY_ID $AWS_REGION $AWS_PROFILE"; exit 5\n')
    program.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def test_arguments_and_credentials_go_along_and_the_exit_code_comes_back(
    shared: EarwitnessService, tmp_path: Path
) -> None:
    path = a_program(tmp_path)
    done = awsew("sqs", "a b", EARWITNESS_URL=shared.url, PATH=path)
    assert (done.returncode, done.stdout) == (5, f"--endpoint-url {shared.url} sqs a b\ntest us-east-1 \n")
    own = {"AWS_ACCESS_KEY_ID": "EARW1", "AWS_SECRET_ACCESS_KEY": "s", "AWS_DEFAULT_REGION": "eu-central-1"}
    assert awsew("x", EARWITNESS_URL=shared.url, PATH=path, **own).stdout.endswith("EARW1  \n")
    assert awsew("x", EARWITNESS_URL=shared.url, PATH=path, AWS_PROFILE="p").stdout.endswith("\n us-east-1 p\n")


def test_the_real_command_line(telephone: Telephone) -> None:
    if shutil.which("aws") is None or subprocess.run(["aws", "--version"], capture_output=True, check=False).returncode:
        pytest.skip("the AWS CLI is not installed; `pip install awscli` in an environment of its own")
    done = awsew(*LIST, EARWITNESS_URL=telephone.service.url)
    assert done.returncode == 0, done.stderr
    assert telephone.domain["Name"] in done.stdout.split()


def test_no_aws(shared: EarwitnessService, tmp_path: Path) -> None:
    done = awsew(*LIST, EARWITNESS_URL=shared.url, PATH=str(tmp_path))
    assert done.returncode == 2
    assert "the AWS CLI is not installed" in done.stderr
    assert "pipx install awscli" in done.stderr


def test_no_service(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        done = awsew(*LIST, EARWITNESS_URL=f"http://127.0.0.1:{taken.getsockname()[1]}", PATH=a_program(tmp_path))
    assert done.returncode == 9
    assert "no earwitness answers at http://127.0.0.1:" in done.stderr
    assert "earwitness serve --dev" in done.stderr


@pytest.mark.parametrize("url", ["", "nonsense", "http://127.0.0.1:notaport", "http://no such host:1"])
def test_an_address_that_is_none(tmp_path: Path, url: str) -> None:
    done = awsew(*LIST, EARWITNESS_URL=url or "http://[", PATH=a_program(tmp_path))
    assert done.returncode == 9
    assert "Traceback" not in done.stderr


def test_help() -> None:
    assert awsew("--help").returncode == 0
    assert "chime-sdk-voice" in awsew("--help").stdout
    assert awsew().returncode == 2
