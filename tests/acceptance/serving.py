"""A real `earwitness serve --dev` process, and what a client's shell would have set."""

import os
import ssl
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

import started
from patience import PATIENCE_SECONDS, until

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


def start(
    data: Path,
    *options: str,
    port: int = 0,
    settings_file: Path | None = None,
    certificate: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Served:
    """Start a service, by itself on a free port, and wait until it answers. `certificate` is one of its settings."""
    command = [sys.executable, "-m", "earwitness", "serve", "--dev", "--port", str(port), "--data", str(data), *options]
    own = {name: value for name, value in os.environ.items() if not name.startswith("EARWITNESS_")}
    own |= {name: os.environ[name] for name in ("EARWITNESS_MODELS_DIR",) if name in os.environ}
    if settings_file is not None:
        own["EARWITNESS_CONFIG"] = str(settings_file)
    own |= dict(environment or {})
    process = started.start(command, env=own, stderr=subprocess.PIPE, text=True)
    url = started.first_match(process, r"answers at (https?://\S+) ")[1]
    trusted = True if certificate is None else ssl.create_default_context(cafile=certificate)
    with started.ended_if_it_fails(process):
        until(lambda: _is_ready(url, process, trusted))
    return Served(url=url, data=data, process=process)


def _is_ready(url: str, process: subprocess.Popen[str], trusted: ssl.SSLContext | bool) -> bool:
    assert process.poll() is None, f"the service ended with {process.returncode}"
    try:
        return httpx.get(f"{url}/ready", timeout=PATIENCE_SECONDS, verify=trusted).status_code == 200
    except httpx.ConnectError:
        return False


def stop(served: Served) -> None:
    """Stop a service politely."""
    try:
        served.process.terminate()
        assert served.process.wait(PATIENCE_SECONDS) == 0
    finally:
        started.end(served.process)


def kill(served: Served) -> None:
    """End a service in the middle of whatever it does; nothing happens where it has ended."""
    served.process.kill()
    served.process.wait()
    started.end(served.process)
