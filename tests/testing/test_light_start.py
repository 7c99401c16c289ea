"""What a service for tests loads before it answers: nothing that only a voice, or an account at AWS, needs."""

import subprocess
import sys

import pytest

HEAVY = ["boto3", "botocore.parsers", "numpy", "onnxruntime", "scipy", "soxr", "urllib3"]
_PROGRAM = """
import sys
import earwitness.app
from earwitness.testing import served
print(*set(sys.argv[1:]) & sys.modules.keys())
"""


@pytest.mark.slow
def test_nothing_heavy_is_loaded_that_a_scripted_service_does_not_need() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM, *HEAVY], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
