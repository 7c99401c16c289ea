"""The voice models of a service, from its start on: fetched where they are missing, then opened.

What belongs here: whether the models can be used, and why not. What must never: how that is shown.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING

from earwitness.errors import ModelMissing, Unavailable
from earwitness.log import frames_of
from earwitness.models.cache import ModelCache
from earwitness.models.catalogue import CatalogueEntry, catalogue
from earwitness.progress import Progress
from earwitness.voice.band import Band

if TYPE_CHECKING:
    from earwitness.engine.engine import Engine

_log = logging.getLogger("earwitness.models")


@dataclass(frozen=True, kw_only=True)
class ModelPreparation:
    """How the models of a service are made ready at its start, and who is notified."""

    #: Whether what is missing or damaged is fetched.
    may_fetch: bool
    #: Shows the progress of a download for as long as the context lasts.
    progress: Callable[[], AbstractContextManager[Progress]]
    #: Called when the models are open.
    opened: Callable[[], None]
    #: Called when they cannot be had; `VoiceModels.failure` says why.
    failed: Callable[[], None]


class VoiceModels:
    """Safe to use from several threads. Before `begin`, and without it, an engine is opened when it is first needed."""

    def __init__(self, cache: ModelCache, build: "Callable[[Band], Engine]") -> None:
        self._cache = cache
        self._build = build
        self._engines: dict[Band, Engine] = {}
        self._building = Lock()
        self._thread: Thread | None = None
        self._stopping = Event()
        self._doing = ""
        """What is done to have models that are not there."""

        self._open: Future[None] = Future()
        self.failure: Exception | None = None
        """Why the models cannot be had."""

    def begin(self, preparation: ModelPreparation) -> None:
        """Make the models ready, in a thread of its own."""
        self._doing = "voice models are looked for" if preparation.may_fetch else ""
        self._thread = Thread(target=self._prepare, args=(preparation,), name="earwitness models")
        self._thread.start()

    def stop(self) -> None:
        """Break off a download. It takes a second at most; models that are being opened take one more."""
        self._stopping.set()
        if self._thread is not None and self._thread.ident is not None:  # it was started
            self._thread.join()

    def engine(self, band: Band) -> "Engine":
        """Return the engine of a band; the first call opens its models and takes a second.

        Raises Unavailable while models are fetched, ModelMissing and ModelDamaged where nobody fetches them.
        """
        self.require_installed()
        with self._building:
            if band not in self._engines:
                self._engines[band] = self._build(band)
            return self._engines[band]

    def require_installed(self) -> None:
        """Raise Unavailable while models are fetched: that may take minutes."""
        if self._doing:
            raise Unavailable(f"{self._doing}; try again when /ready says that the service is ready")

    def why_not_open(self) -> str:
        """Return why the models are not open yet; "" when they are, or when they are opened as needed."""
        if self._thread is None or self._open.done():
            return ""
        return self._doing or "voice models are being opened"

    async def opened(self) -> None:
        """Wait until the models are open."""
        if self.why_not_open():
            await asyncio.shield(asyncio.wrap_future(self._open))

    def _prepare(self, preparation: ModelPreparation) -> None:
        try:
            missing = [model for model in catalogue().values() if not self._cache.is_whole(model)]
            if missing and preparation.may_fetch:
                with preparation.progress() as progress:
                    for model in missing:
                        self._cache.ensure(model, progress=self._reporting(model, progress))
            self._doing = ""
            self.engine(Band.TELEPHONE)
        except _StoppedError:
            return
        except Exception as error:
            _log.error("no voice models", extra={"error": type(error).__name__, "frames": frames_of(error)})
            self.failure = error
            preparation.failed()
            return
        self._open.set_result(None)
        preparation.opened()

    def _reporting(self, model: CatalogueEntry, progress: Progress) -> Progress:
        def report(doing: str, done: int, total: int) -> None:
            if self._stopping.is_set():
                raise _StoppedError
            share = f" ({100 * done // total} %)" if 0 < done < total else ""
            self._doing = f"voice models are fetched: {model.id}, {doing}{share}"
            progress(f"{model.id}: {doing}", done, total)

        return report


class _StoppedError(Exception):
    """The service stops before its models are there."""


def require_models(cache: ModelCache) -> None:
    """Raise ModelMissing when models are missing and nobody is to fetch them."""
    missing = [model for model in catalogue().values() if not cache.is_installed(model)]
    if missing:
        names = " and ".join(model.id for model in missing)
        megabytes = sum(model.wheel_bytes for model in missing) / 1e6
        raise ModelMissing(
            f"voice models are not on this machine: {names}; fetch them with `earwitness models pull` "
            f"({megabytes:.0f} MB), or start without --no-fetch"
        )
