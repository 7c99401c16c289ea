"""Fixtures shared by all tests: the real models, the real sample calls, settings that touch nothing of the user's."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from earwitness import config
from earwitness.app import ENCODER_MODEL, VAD_MODEL, build_engine
from earwitness.flows.engine import Engine
from earwitness.models.cache import ModelCache
from earwitness.models.catalogue import entry
from earwitness.models.sessions import Session, open_session
from earwitness.samples import first_call
from earwitness.voice.band import Band

SPEECH_DIR = Path(os.environ.get("EARWITNESS_SPEECH_DIR", Path(__file__).parents[2] / "shared" / "speech"))


@pytest.fixture(scope="session")
def model_cache() -> ModelCache:
    """The user's own models, pulled on the first run; several test processes at once share one download."""
    cache = ModelCache(config.load().models_dir)
    for model_id in (ENCODER_MODEL, VAD_MODEL):
        cache.install(entry(model_id))
    return cache


@pytest.fixture(autouse=True)
def _own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model_cache: ModelCache) -> None:
    """No test reads or writes the user's gallery or settings file."""
    for name in list(os.environ):
        if name.startswith("EARWITNESS_"):
            monkeypatch.delenv(name)
    empty = tmp_path / "settings.toml"
    empty.write_text("", encoding="utf-8")
    monkeypatch.setenv("EARWITNESS_CONFIG", str(empty))
    monkeypatch.setenv("EARWITNESS_MODELS_DIR", str(model_cache.folder))
    monkeypatch.setenv("EARWITNESS_GALLERY_FILE", str(tmp_path / "gallery.json"))


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:
    """A command that runs in a test sets the log up for its process; the next test gets it as it was."""
    logger = logging.getLogger("earwitness")
    before = logger.handlers[:], logger.level, logger.propagate
    yield
    logger.handlers[:], logger.level, logger.propagate = before


@pytest.fixture(scope="session")
def vad(model_cache: ModelCache) -> Session:
    return open_session(model_cache, VAD_MODEL)


@pytest.fixture(scope="session")
def engine(model_cache: ModelCache) -> Engine:
    return build_engine(config.Settings(models_dir=model_cache.folder), Band.TELEPHONE)


@pytest.fixture(scope="session")
def wideband_engine(model_cache: ModelCache) -> Engine:
    return build_engine(config.Settings(models_dir=model_cache.folder), Band.WIDEBAND)


@pytest.fixture(scope="session")
def call() -> np.ndarray:
    """A sample call: 35 s at 8 kHz."""
    samples, _ = soundfile.read(first_call("sally"), dtype="float32")
    return samples


@pytest.fixture(scope="session")
def speech_dir() -> Path:
    """The development speech; its tests are skipped where it is not."""
    if not (SPEECH_DIR / "manifest.csv").is_file():
        pytest.skip(f"no speech at {SPEECH_DIR}; set EARWITNESS_SPEECH_DIR to run this on real recordings")
    return SPEECH_DIR
