"""Nothing is kept for sending: in a fresh cache folder, without the variables of CI that would hide it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from earwitness.models import sessions

OPEN_A_SESSION = """
import onnxruntime
from onnx import TensorProto, helper
ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", ends[:1], ends[1:])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
"""
WITHOUT_NETWORK = ("unshare", "--net", "--map-root-user")


def opened(program: str, folder: Path, *before: str) -> tuple[list[str], str]:
    """Run a program with nothing in its environment but a fresh home; return all it left there, and what it said."""
    folder = folder / "home"
    folder.mkdir()
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache")}
    command = [*before, sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*")), done.stderr


@pytest.mark.slow
def test_a_session_leaves_nothing_in_a_fresh_cache(tmp_path: Path) -> None:
    assert opened("import earwitness" + OPEN_A_SESSION, tmp_path) == ([], "")


@pytest.mark.slow
def test_the_worker_processes_inherit_it(tmp_path: Path) -> None:
    program = f"import earwitness, subprocess, sys; subprocess.run([sys.executable, '-c', {OPEN_A_SESSION!r}])"
    assert opened(program, tmp_path) == ([], "")


@pytest.mark.slow
def test_onnxruntime_alone_would_leave_a_device_id(tmp_path: Path) -> None:
    """Else the tests above prove nothing. It runs without a network, so that it sends nothing."""
    if shutil.which("unshare") is None or subprocess.run([*WITHOUT_NETWORK, "true"], capture_output=True).returncode:
        pytest.skip("no network namespace can be made here")
    left, _ = opened(OPEN_A_SESSION, tmp_path, *WITHOUT_NETWORK)
    assert "cache/Microsoft/DeveloperTools/.onnxruntime/deviceid" in left
    known = {f"cache/Microsoft/DeveloperTools/.onnxruntime/{name}" for name in sessions._TELEMETRY_FILES}
    assert {name for name in left if ".onnxruntime/" in name} <= known, "it makes files that we do not remove"


@pytest.mark.slow
def test_an_import_that_comes_too_late_is_told(tmp_path: Path) -> None:
    program = "import sys, types; sys.modules['onnxruntime'] = types.ModuleType('onnxruntime'); import earwitness"
    _, said = opened(program, tmp_path)
    assert "RuntimeWarning: onnxruntime was imported before earwitness" in said
    (tmp_path / "home").rmdir()
    assert opened(f"import os; os.environ['ORT_DISABLE_TELEMETRY'] = '1'; {program}", tmp_path)[1] == ""


@pytest.fixture
def left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What an earlier version left, in the user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "cache" / "Microsoft" / "DeveloperTools" / ".onnxruntime"
    folder.mkdir(parents=True)
    for name in sessions._TELEMETRY_FILES:
        (folder / name).write_bytes(b"x")
    (tmp_path / "models").mkdir()
    return folder


def test_what_an_earlier_version_left_is_removed_once(left: Path, tmp_path: Path) -> None:
    sessions.remove_leftovers(tmp_path / "models")
    assert list((tmp_path / "cache").iterdir()) == []
    left.mkdir(parents=True)
    (left / "deviceid").touch()  # another program's, later
    sessions.remove_leftovers(tmp_path / "models")
    assert (left / "deviceid").exists()


def test_other_programs_files_stay(left: Path, tmp_path: Path) -> None:
    other = left.parent / "another program"
    other.touch()
    sessions.remove_leftovers(tmp_path / "models")
    assert list((tmp_path / "cache").rglob("*")) == [left.parent.parent, left.parent, other]


def test_a_link_is_not_followed(left: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    left.rename(elsewhere)
    left.symlink_to(elsewhere)
    sessions.remove_leftovers(tmp_path / "models")
    assert (elsewhere / "deviceid").exists()
