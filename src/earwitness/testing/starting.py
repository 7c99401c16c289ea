"""Starting services for tests from the test's process: the template that they are forked from, and the line to each.

What belongs here: processes and sockets. What must never: what a test asks a service for.
"""

import atexit
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from shutil import rmtree
from signal import SIGKILL
from typing import Any, TypeAlias

from earwitness import errors
from earwitness.config.exported import environment_without
from earwitness.errors import EarwitnessError, ServiceNotStarted

START_SECONDS_MAX = 60.0
"""How long a start may take on a busy machine; an idle one needs less than a second."""

ANSWER_SECONDS_MAX = 60.0
END_SECONDS_MAX = 15.0
"""How long a service may take to end before it is killed; it gives itself a third of that."""

ServiceAnswer: TypeAlias = dict[str, Any]
"""A JSON object. `Any`: whatever JSON can hold; both sides are of one version."""


class _Template:
    """The template process of this process, started with the first service."""

    def __init__(self) -> None:
        self._orders, theirs = socket.socketpair()
        command = [sys.executable, "-P", "-m", "earwitness.testing.template", str(theirs.fileno())]
        # Nothing of the user's AWS account: a service for tests must not send events there, whatever a test forgets.
        environment = environment_without("AWS_", "EARWITNESS_") | {
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "OPENBLAS_NUM_THREADS": "1",  # a process with threads cannot be forked whole
        }
        with theirs:
            self._process = subprocess.Popen(
                command,
                env=environment,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        self.owner = os.getpid()

    def fork(self, control: socket.socket) -> None:
        """Start a service at the other end of `control`. Raise ServiceNotStarted when the template has ended."""
        try:
            socket.send_fds(self._orders, [b"+"], [control.fileno()])
        except OSError:
            raise ServiceNotStarted(f"no service can be started: {self.last_words()}") from None

    def last_words(self) -> str:
        """Return why it has ended; empty while it runs."""
        try:
            _, said = self._process.communicate(timeout=1.0)
        except (subprocess.TimeoutExpired, ValueError):
            return ""
        return said.decode(errors="replace").strip() or f"exit code {self._process.returncode}"

    def is_usable(self) -> bool:
        """Return whether it runs and is this process's own, not that of the process we were forked from."""
        return self.owner == os.getpid() and self._process.poll() is None

    def end(self) -> None:
        """Let it end, if it is this process's."""
        if self.owner == os.getpid():
            self._orders.close()
            self._process.wait(END_SECONDS_MAX)
            if self._process.stderr is not None:
                self._process.stderr.close()


_template: _Template | None = None
_starting = threading.Lock()


def load_services() -> None:
    """Begin to load what services need, beside what this process has to do before it starts one."""
    _use_template()


def _use_template() -> _Template:
    global _template  # noqa: PLW0603  # one for the process, as long as it lives
    with _starting:
        if _template is None or not _template.is_usable():
            _template = _Template()
            atexit.register(_template.end)
        return _template


class ServiceLine:
    """The line to one service. Its end is the service's."""

    def __init__(self, options: Mapping[str, object]) -> None:
        """Start a service and wait until it answers. Raise ServiceNotStarted, or what kept it from starting."""
        template = _use_template()
        self._control, theirs = socket.socketpair()
        self._control.settimeout(START_SECONDS_MAX)
        self._lines = self._control.makefile("r", encoding="utf-8")
        self._asking = threading.Lock()
        self.started: ServiceAnswer = {}
        try:
            with theirs:
                template.fork(theirs)
            self.started = self._ask(options)
        except ServiceNotStarted as error:
            self.end()
            why = template.last_words()
            raise ServiceNotStarted(f"{error}: {why}" if why and why not in str(error) else str(error)) from None
        except BaseException:
            self.end()
            raise
        self._control.settimeout(ANSWER_SECONDS_MAX)

    def ask(self, what: str, **values: object) -> ServiceAnswer:
        """Return the answer. Raise ServiceNotStarted when the service is gone, and what it raises."""
        return self._ask({"do": what, **values})

    def log(self) -> str:
        """Return what the service has logged; empty when it is gone."""
        with suppress(OSError):
            return (self._folder / "service.log").read_text(encoding="utf-8", errors="replace")
        return ""

    @property
    def _folder(self) -> Path:
        return Path(self.started.get("folder") or os.devnull)

    def _ask(self, message: Mapping[str, object]) -> ServiceAnswer:
        with self._asking:
            try:
                self._control.sendall(json.dumps(message).encode() + b"\n")
                line = self._lines.readline()
            except TimeoutError:
                raise ServiceNotStarted(
                    f"the service for tests does not answer; its log: {self.log()[-2000:]}"
                ) from None
            except (OSError, ValueError):  # ValueError: the line was closed
                line = ""
        if not line:
            raise ServiceNotStarted("the service for tests is gone: it was closed, killed, or ended by itself")
        answer: ServiceAnswer = json.loads(line)
        if "error" in answer:
            raise _error_of(answer)
        return answer

    def end(self) -> None:
        """End the service and wait for that; kill it where it does not end by itself. It may be called again."""
        if self._control.fileno() < 0:
            return
        with suppress(OSError):
            self._control.shutdown(socket.SHUT_WR)
        self._control.settimeout(END_SECONDS_MAX)
        try:
            while self._lines.readline():
                continue
        except (OSError, ValueError):
            if "pid" in self.started:
                with suppress(ProcessLookupError):
                    os.kill(self.started["pid"], SIGKILL)
        self._lines.close()
        self._control.close()
        if "folder" in self.started:
            rmtree(self._folder, ignore_errors=True)


def _error_of(answer: ServiceAnswer) -> EarwitnessError:
    """Return the error that the service tells of, as the class that it is there."""
    kind = getattr(errors, answer["error"], ServiceNotStarted)
    return kind(answer["message"])
