"""A whole demo talks to nobody outside this machine. A new dependency that calls home fails here."""

import os
from pathlib import Path

import pytest
from network_guard import PYTHON, can_trace, watched
from serving import ROOT

from earwitness.models.cache import ModelCache

pytestmark = pytest.mark.slow


@pytest.fixture
def newcomer(tmp_path: Path, model_cache: ModelCache) -> dict[str, str]:
    """The environment of a new user with the models, and without a variable that tells of CI or names AWS."""
    folders = {
        name: str(tmp_path / name.lower()) for name in ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")
    }
    for folder in folders.values():
        Path(folder).mkdir()
    return {"PATH": os.environ["PATH"], "EARWITNESS_MODELS_DIR": str(model_cache.folder), **folders}


def test_the_demo_talks_to_this_machine_only(newcomer: dict[str, str], tmp_path: Path) -> None:
    done = watched([PYTHON, ROOT / "scripts" / "live_demo.py"], newcomer, folder=tmp_path)
    assert done.code == 0, done.output
    assert "127.0.0.1" in done.hosts, "the guard saw nothing"
    assert done.outside == set()
    assert [path for path in Path(newcomer["XDG_CACHE_HOME"]).rglob("*") if "onnxruntime" in path.name] == []


def test_commands_on_recordings_talk_to_nobody(newcomer: dict[str, str], tmp_path: Path) -> None:
    done = watched([PYTHON, "-m", "earwitness", "demo"], newcomer, folder=tmp_path)
    assert done.code == 0, done.output
    assert done.outside == set()


REACHES_OUT = "import socket; s = socket.socket(); s.settimeout(1); s.connect_ex(('240.0.0.1', 443))"
IN_NATIVE_CODE = """
import ctypes, os, struct
libc = ctypes.CDLL(None)
address = struct.pack("=HH4s8x", 2, 443, bytes([240, 0, 0, 1]))
libc.connect(libc.socket(2, 1, 0), address, len(address))
"""
"""240.0.0.1 is reserved: the kernel refuses it, and nothing is sent."""


def test_the_guard_sees_a_python_dependency_that_calls_home(newcomer: dict[str, str], tmp_path: Path) -> None:
    assert watched([PYTHON, "-c", REACHES_OUT], newcomer, folder=tmp_path).outside == {"240.0.0.1"}
    again = "import socket; socket.getaddrinfo('collector.invalid', 443)"
    assert watched([PYTHON, "-c", again], newcomer, folder=tmp_path).outside >= {"collector.invalid"}


def test_the_guard_sees_native_code_that_calls_home(newcomer: dict[str, str], tmp_path: Path) -> None:
    if not can_trace():
        pytest.skip("strace does not work here")
    assert watched([PYTHON, "-c", IN_NATIVE_CODE], newcomer, folder=tmp_path).outside == {"240.0.0.1"}
