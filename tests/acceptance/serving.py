"""A real `earwitness serve --dev` process, and what a client's shell would have set."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True)
class Served:
    """A running service."""

    url: str
    data: Path
    process: subprocess.Popen[str]

    @property
    def environment(self) -> dict[str, str]:
        """The shell of a program that uses it; nothing of the user's own AWS settings."""
        own = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "EARWITNESS_"))}
        return own | {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.url,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_PAGER": "",
        }


def start(data: Path, *options: str, port: int = 0, settings_file: Path | None = None) -> Served:
    """Start a service, by itself on a free port, and wait until it answers."""
    command = [sys.executable, "-m", "earwitness", "serve", "--dev", "--port", str(port), "--data", str(data), *options]
    own = {name: value for name, value in os.environ.items() if not name.startswith("EARWITNESS_")}
    own |= {name: os.environ[name] for name in ("EARWITNESS_MODELS_DIR",) if name in os.environ}
    if settings_file is not None:
        own["EARWITNESS_CONFIG"] = str(settings_file)
    process = subprocess.Popen(command, env=own, stderr=subprocess.PIPE, text=True)
    assert process.stderr
    for line in process.stderr:
        if found := re.search(r"answers at (http://\S+?);", line):
            served = Served(url=found[1], data=data, process=process)
            assert httpx.get(f"{served.url}/ready").status_code == 200
            return served
    raise AssertionError(f"the service did not start; exit code {process.wait()}")


def stop(served: Served) -> None:
    """Stop a service politely."""
    served.process.terminate()
    assert served.process.stderr
    served.process.stderr.read()
    assert served.process.wait(timeout=30) == 0
    served.process.stderr.close()
