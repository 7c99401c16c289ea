"""What an installed earwitness must do, run with the Python of an environment that holds nothing else.

It enrols and finds a voice of the sample calls, starts a service, asks it with boto3, and stops it while a client says
nothing: the stop leans on uvicorn's inner parts.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from socket import create_connection
from urllib.parse import urlsplit

import boto3

from earwitness.samples import first_call, second_call

COMMAND = [sys.executable, "-P", "-m", "earwitness"]
SECONDS_MAX = 180
NAMED = ("uvicorn", "starlette", "onnxruntime", "numpy", "sqlalchemy", "boto3")


def main() -> None:
    """Fail with a traceback where something does not work."""
    print(f"Python {sys.version.split()[0]};", ", ".join(f"{name} {version(name)}" for name in NAMED), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"EARWITNESS_GALLERY_FILE": str(Path(folder) / "gallery.json")}
        recordings(environment)
        service(Path(folder) / "data")
    if find_spec("psycopg") is None:
        without_extras()
    print("installed earwitness: enrolled, identified, served and stopped")


def recordings(environment: dict[str, str]) -> None:
    """Enrol two voices and find one of them."""
    for name in ("sally", "kal"):
        enroll = [*COMMAND, "enroll", name, str(first_call(name))]
        subprocess.run(enroll, env=environment, check=True, capture_output=True)
    identify = [*COMMAND, "identify", str(second_call("sally"))]
    said = subprocess.run(identify, env=environment, check=True, capture_output=True, text=True).stdout
    assert "sally" in said, said


def without_extras() -> None:
    """What needs an extra says which."""
    for command, variable, extra in (
        (["keys", "list"], {"EARWITNESS_STORE_URL": "postgresql://earwitness@localhost/earwitness"}, "postgres"),
        (["inspect", str(first_call("sally")), "--picture", "sally.png"], {}, "plots"),
    ):
        done = subprocess.run(
            [*COMMAND, *command], env=os.environ | variable, check=False, capture_output=True, text=True
        )
        assert f"pip install 'earwitness[{extra}]'" in " ".join(done.stderr.split()), done.stderr


def service(data: Path) -> None:
    """Start, answer boto3, and stop within the limit although a connection is open."""
    serve = [*COMMAND, "serve", "--dev", "--port", "0", "--data", str(data)]
    process = subprocess.Popen(serve, stderr=subprocess.PIPE, text=True)
    watchdog = threading.Timer(SECONDS_MAX, process.kill)
    watchdog.start()
    try:
        assert process.stderr
        said = ""
        while not (found := re.search(r"answers at (http://\S+) ", said)):
            line = process.stderr.readline()
            assert line, f"the service did not start: {said}"
            said += line
        draining = threading.Thread(target=process.stderr.read)
        draining.start()
        voice = boto3.client(
            "chime-sdk-voice",
            region_name="us-east-1",
            endpoint_url=found[1],
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        key = {"KmsKeyArn": "arn:aws:kms:us-east-1:000000000000:key/1"}
        voice.create_voice_profile_domain(Name="callers", ServerSideEncryptionConfiguration=key)
        assert [one["Name"] for one in voice.list_voice_profile_domains()["VoiceProfileDomains"]] == ["callers"]
        parts = urlsplit(found[1])
        with create_connection((parts.hostname, parts.port)) as silent:
            silent.sendall(b"GET /he")
            process.send_signal(signal.SIGTERM)
            assert process.wait(SECONDS_MAX) == 0
        draining.join()
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()


if __name__ == "__main__":
    main()
