"""Fixtures shared by all tests. What is heavy is imported and opened by the fixture that needs it, so that a test of
one room loads only this room. A test that runs a command which needs models asks for `model_cache`.
"""

import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

import started

if TYPE_CHECKING:
    import numpy as np

    from earwitness.engine.engine import Engine
    from earwitness.models.cache import ModelCache
    from earwitness.models.sessions import ModelSession
    from earwitness.voice.band import Band

SPEECH_DIR = Path(os.environ.get("EARWITNESS_SPEECH_DIR", Path(__file__).parents[2] / "shared" / "speech"))
hypothesis.settings.register_profile("without a deadline", deadline=None)
hypothesis.settings.load_profile("without a deadline")  # how long an example takes says how busy the machine is

MODELS_DIR = os.environ.get("EARWITNESS_MODELS_DIR")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    """A process that a test started ends with it, whatever became of it; fixtures own theirs."""
    owned = started.running()
    try:
        return (yield)
    finally:
        started.end_all_but(owned)


def pytest_sessionfinish() -> None:
    """End what a fixture left whose set-up or end failed."""
    started.end_all_but(())


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes are no part of a test's name: masks and ids in them are random, and all processes need the same names."""
    return argname if isinstance(val, bytes) else None


@pytest.fixture(autouse=True)
def _own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's gallery, data or settings file; the models are the user's own."""
    for name in list(os.environ):
        if name.startswith("EARWITNESS_"):
            monkeypatch.delenv(name)
    empty = tmp_path / "settings.toml"
    empty.write_text("", encoding="utf-8")
    monkeypatch.setenv("EARWITNESS_CONFIG", str(empty))
    monkeypatch.setenv("EARWITNESS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("EARWITNESS_GALLERY_FILE", str(tmp_path / "gallery.json"))
    if MODELS_DIR:
        monkeypatch.setenv("EARWITNESS_MODELS_DIR", MODELS_DIR)


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:
    """A command that runs in a test sets the log up for its process; the next test gets it as it was."""
    logger = logging.getLogger("earwitness")
    before = logger.handlers[:], logger.level, logger.propagate
    yield
    logger.handlers[:], logger.level, logger.propagate = before


@pytest.fixture(scope="session")
def promtool() -> str:
    """Prometheus's own checker of metrics and rules (Debian: `prometheus`)."""
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not here; install the package prometheus")
    return found


@pytest.fixture(scope="session")
def model_cache() -> "ModelCache":
    """The user's own models, fetched on the first run; several test processes at once share one download."""
    from earwitness import config
    from earwitness.models.cache import ModelCache
    from earwitness.models.catalogue import ENCODER_MODEL, VAD_MODEL, entry

    folder = Path(MODELS_DIR) if MODELS_DIR else config.Settings().models_dir
    cache = ModelCache(folder)
    for model_id in (ENCODER_MODEL, VAD_MODEL):
        cache.install(entry(model_id))
    return cache


@pytest.fixture(scope="session")
def vad(model_cache: "ModelCache") -> "ModelSession":
    from earwitness.models.catalogue import VAD_MODEL
    from earwitness.models.sessions import open_session

    return open_session(model_cache, VAD_MODEL)


@pytest.fixture(scope="session")
def engine(model_cache: "ModelCache") -> "Engine":
    from earwitness.voice.band import Band

    return _engine(model_cache, Band.TELEPHONE)


@pytest.fixture(scope="session")
def wideband_engine(model_cache: "ModelCache") -> "Engine":
    from earwitness.voice.band import Band

    return _engine(model_cache, Band.WIDEBAND)


@pytest.fixture(scope="session")
def call() -> "np.ndarray":
    """A sample call: 35 s at 8 kHz."""
    import soundfile

    from earwitness.samples import first_call

    samples, _ = soundfile.read(first_call("sally"), dtype="float32")
    return samples


@pytest.fixture(scope="session")
def speech_dir() -> Path:
    """The development speech; its tests are skipped where it is not."""
    if not (SPEECH_DIR / "manifest.csv").is_file():
        pytest.skip(f"no speech at {SPEECH_DIR}; set EARWITNESS_SPEECH_DIR to run this on real recordings")
    return SPEECH_DIR


def _engine(model_cache: "ModelCache", band: "Band") -> "Engine":
    from earwitness.config import Settings
    from earwitness.engine.engine import build_engine

    return build_engine(Settings(models_dir=model_cache.folder), band)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that signs itself, and its key."""
    from datetime import UTC, datetime, timedelta
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = (tmp_path / "certificate.pem", tmp_path / "key.pem")
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files
