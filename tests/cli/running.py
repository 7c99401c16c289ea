"""Real `earwitness serve` processes, and clients for them."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
from botocore.config import Config

import started
from patience import PATIENCE_SECONDS

DEADLINE_SECONDS = PATIENCE_SECONDS


@cache
def _session() -> botocore.session.Session:
    """One for all clients: it reads each service's model once."""
    return botocore.session.Session()


class Process:
    """A service in a process of its own; what it says on standard error is gathered. A context manager."""

    def __init__(
        self,
        data: Path,
        *options: str,
        environment: Mapping[str, str] | None = None,
        open_files: int | None = None,
        program: Sequence[str] = ("-m", "earwitness"),
    ) -> None:
        """`open_files`: how many file descriptors it may have; `program`: what Python runs, instead of our own."""
        self.data = data
        command = [sys.executable, *program, "serve", "--port", "0", "--data", str(data), *options]
        if open_files is not None:
            command = ["sh", "-c", f'ulimit -n {open_files} && exec "$@"', "sh", *command]
        own = os.environ | {"EARWITNESS_LOG_LEVEL": "info"} | dict(environment or {})
        self.process = started.start(command, env=own, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.lines: list[str] = []
        self._answers = threading.Event()
        self._reader = threading.Thread(target=self._read)
        assert self.process.stderr
        started.is_read(self.process.stderr)
        with started.ended_if_it_fails(self.process):
            self._reader.start()
            assert self._answers.wait(DEADLINE_SECONDS), f"it neither starts nor ends: {self.said}"

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self.process.poll() is None:
                self.process.terminate()
            self.wait()
        finally:
            started.end(self.process)

    def _read(self) -> None:
        assert self.process.stderr
        with self.process.stderr as said:
            for line in said:
                self.lines.append(line)
                if "In the shell of your program" in line:
                    self._answers.set()
        self._answers.set()

    def wait(self) -> int:
        """Its exit code."""
        code = self.process.wait(DEADLINE_SECONDS)
        self._reader.join()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream
            stream.close()
        return code

    @property
    def said(self) -> str:
        """Everything on standard error."""
        return "".join(self.lines)

    @property
    def url(self) -> str:
        """Where it answers."""
        found = re.search(r"answers at (\S+) ", self.said)
        assert found, self.said
        return found[1]

    def client(self, key: Mapping[str, str] | None = None, service: str = "chime-sdk-voice") -> Any:
        """A botocore client with one attempt a call; without a key, that of `--dev`."""
        key = key or {"id": "test", "secret": "test"}
        return _session().create_client(
            service,
            region_name="us-east-1",
            endpoint_url=self.url,
            aws_access_key_id=key["id"],
            aws_secret_access_key=key["secret"],
            config=Config(retries={"total_max_attempts": 1}, max_pool_connections=50, read_timeout=PATIENCE_SECONDS),
        )


def domain_input(name: str = "callers") -> dict[str, Any]:
    """What CreateVoiceProfileDomain needs."""
    return {
        "Name": name,
        "ServerSideEncryptionConfiguration": {"KmsKeyArn": "arn:aws:kms:us-east-1:111122223333:key/1"},
    }
