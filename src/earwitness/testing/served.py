"""One service for tests, in a process of its own: built as `serve --dev` builds it, and steered by the test beside it.

The test steers it over a socket that only its own process holds: there is no address, route or password by which
anybody else could script a verdict. When the socket closes, because the test is over or its process was killed, the
service ends and its folder goes.
"""

import asyncio
import json
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable, Generator, Mapping
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Thread
from typing import Any, TypeAlias

from earwitness import app, config, log
from earwitness.development import DEFAULTS, Development, ensure_development_key
from earwitness.engine.voice_models import ModelPreparation, require_models
from earwitness.errors import ConfigurationError, EarwitnessError
from earwitness.models.cache import ModelCache
from earwitness.server import run
from earwitness.store.records import Scope
from earwitness.tasks.attempt import Attempt, AttemptWatch
from earwitness.testing.scripted_tasks import Script, ScriptedTasks, refuse_unscripted
from earwitness.testing.turned_clock import TurnedClock
from earwitness.testing.verdicts import verdict_of

HOST = "127.0.0.1"
STOP_SECONDS_MAX = 5.0
"""For requests in progress and all else: nobody waits for the end of a test."""

LOG_FILE = "service.log"

_Json: TypeAlias = dict[str, Any]
"""A JSON object. `Any`: whatever JSON can hold; both sides are of one version."""


@dataclass(frozen=True, kw_only=True)
class _Options:
    """What a test asks for."""

    account: str
    region: str
    port: int
    models: bool
    #: By name, as variables have them.
    settings: Mapping[str, str]


def serve(control: socket.socket) -> None:
    """Serve until the other end of `control` closes; the first line that comes says how, the first answer is told."""
    lines, folder = control.makefile("r", encoding="utf-8"), Path(tempfile.mkdtemp(prefix="earwitness-test-"))
    try:
        first = lines.readline()
        if not first:
            return
        _log_to(folder / LOG_FILE)
        with log.without_waiting():
            _Steered(control, _Options(**json.loads(first)), folder).serve(lines)
    except EarwitnessError as error:
        _send(control, {"error": type(error).__name__, "message": str(error)})
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        control.close()


class _Steered:
    """A service and who steers it."""

    def __init__(self, control: socket.socket, options: _Options, folder: Path) -> None:
        self._control = control
        self._options = options
        self._folder = folder
        self._scope = Scope(account_id=options.account, region=options.region)
        self._clock = TurnedClock()

    def serve(self, lines: Any) -> None:  # `Any`: a text file over a socket has no type of its own
        settings = self._settings()
        if self._options.models:
            require_models(ModelCache(settings.models_dir))
        listening = run.Listening(
            host=settings.host,
            port=settings.port,
            certificate=None,
            head_seconds_max=settings.limits.client_seconds,
            stop_seconds_max=settings.limits.stop_seconds,
        )
        with run.open_socket(listening) as opened, self._built(settings) as (built, development, script):
            url = f"http://{HOST}:{opened.getsockname()[1]}"

            def tell() -> None:
                _send(self._control, {"url": url, "pid": os.getpid(), "folder": str(self._folder)})

            def started() -> None:
                steer = _Steering(built, development, script, self._clock, self._scope, asyncio.get_running_loop())
                listener = Thread(target=self._listen, args=(lines, steer, server.stop), daemon=True)
                listener.start()
                if self._options.models:
                    built.prepare_models(_preparation(opened=tell, failed=server.stop))
                else:
                    tell()

            server = run.prepare(built.root, listening, on_started=started, on_stopping=built.begin_to_stop)
            server.run([opened])
            built.require_started()

    def _settings(self) -> config.Settings:
        """Return the settings of a test: none of the user's own file or variables."""
        empty = self._folder / "settings.toml"
        empty.touch()
        variables = {f"EARWITNESS_{name.upper()}": value for name, value in self._options.settings.items()}
        if unknown := config.mistyped(variables):
            raise ConfigurationError(f"{'; '.join(unknown)}; docs/settings.md lists the settings")
        variables["EARWITNESS_CONFIG"] = str(empty)
        settings = config.load(variables, defaults=DEFAULTS)
        limits = replace(settings.limits, stop_seconds=STOP_SECONDS_MAX)
        return replace(settings, host=HOST, port=self._options.port, data_dir=self._folder / "data", limits=limits)

    @contextmanager
    def _built(self, settings: config.Settings) -> Generator[tuple[app.Service, Development, Script]]:
        log.install(level=settings.log_level)
        with (
            closing(app.open_records(settings, clock=self._clock)) as store,
            app.serving(store, None, on_waiting=_mute),
        ):
            ensure_development_key(store, self._options.account)
            script = Script(store)
            conclude = ScriptedTasks(
                script, self._clock, otherwise=_hear if self._options.models else refuse_unscripted
            )
            development = Development(account_id=self._options.account, clock=self._clock, conclude=conclude)
            with closing(app.Service(settings, store, development=development)) as built:
                yield built, development, script

    def _listen(self, lines: Any, steer: "_Steering", stop: Callable[[], None]) -> None:  # `Any`: as above
        for line in lines:
            asked: _Json = json.loads(line)
            try:
                answer = steer.do(asked.pop("do"), asked)
            except EarwitnessError as error:
                answer = {"error": type(error).__name__, "message": str(error)}
            _send(self._control, answer)
        stop()


class _Steering:
    """What a test may do to its service, by name."""

    def __init__(
        self,
        built: app.Service,
        development: Development,
        script: Script,
        clock: TurnedClock,
        scope: Scope,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._built = built
        self._provoked = development.provoked
        self._script = script
        self._clock = clock
        self._scope = scope
        self._loop = loop

    def do(self, name: str, asked: _Json) -> _Json:
        """Do it and return what is told of it. Raise ScriptInvalid and ConfigurationError."""
        return {
            "script": self._write_script,
            "fail": self._fail,
            "reset": self._reset,
            "forward": self._forward,
            "now": self._now,
        }[name](asked)

    def _write_script(self, asked: _Json) -> _Json:
        verdicts = [verdict_of(document) for document in asked["verdicts"]]
        self._script.add(self._scope, verdicts, stream=asked["stream"], caller=asked["caller"])
        return {}

    def _fail(self, asked: _Json) -> _Json:
        self._provoked.provoke(asked["operation"], asked["error"], times=asked["times"])
        return {}

    def _reset(self, _asked: _Json) -> _Json:
        self._script.forget()
        self._provoked.forget()
        return {}

    def _forward(self, asked: _Json) -> _Json:
        async def forward() -> None:
            self._clock.forward(asked["seconds"])
            await self._built.catch_up()

        asyncio.run_coroutine_threadsafe(forward(), self._loop).result()
        return self._now(asked)

    def _now(self, _asked: _Json) -> _Json:
        return {"now": self._clock().isoformat()}


async def _hear(attempt: Attempt, watch: AttemptWatch) -> None:
    from earwitness.tasks.follow import hear_stream  # with the codecs, for services that hear calls

    await hear_stream(attempt, watch)


def _preparation(*, opened: Callable[[], None], failed: Callable[[], None]) -> ModelPreparation:
    def unwatched(_doing: str, _done: int, _total: int) -> None:
        return None

    return ModelPreparation(may_fetch=False, progress=lambda: nullcontext(unwatched), opened=opened, failed=failed)


def _mute(_text: str) -> None:
    """Nobody else serves these records."""


def _log_to(file: Path) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def _send(control: socket.socket, answer: _Json) -> None:
    try:
        control.sendall(json.dumps(answer).encode() + b"\n")
    except OSError:  # the test is gone, and the end of the socket says so
        signal.raise_signal(signal.SIGTERM)
