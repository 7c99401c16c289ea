"""A test of one room loads this room: no engine, no onnxruntime, no models."""

import subprocess
import sys

import pytest

HEAVY = ("onnxruntime", "onnx", "earwitness.app", "earwitness.engine.engine", "earwitness.models", "soundfile", "scipy")
PROGRAM = """
import sys, pytest
code = pytest.main(["-q", "-n", "0", "-p", "no:cacheprovider", sys.argv[1]])
print("loaded:", *(name for name in sys.argv[2:] if name in sys.modules))
sys.exit(code)
"""


@pytest.mark.slow
@pytest.mark.parametrize("file", ["tests/wire/test_router.py", "tests/voice/test_task_status.py"])
def test_a_test_of_one_room_loads_this_room(file: str) -> None:
    command = [sys.executable, "-c", PROGRAM, file, *HEAVY]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "loaded:"
