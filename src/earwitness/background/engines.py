"""The voice engines of a service, one a band, opened when first needed: models take a second and 60 MB."""

from threading import Lock
from typing import TYPE_CHECKING

from earwitness.config import Settings
from earwitness.voice.band import Band

if TYPE_CHECKING:
    from earwitness.flows.engine import Engine


class Engines:
    """Safe to use from several threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._engines: dict[Band, Engine] = {}
        self._lock = Lock()

    def get(self, band: Band) -> "Engine":
        """The engine of a band. ModelMissing when its models were not pulled."""
        with self._lock:
            if band not in self._engines:
                from earwitness.app import build_engine

                self._engines[band] = build_engine(self._settings, band)
            return self._engines[band]
