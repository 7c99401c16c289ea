"""A service that a benchmark has started ends with the benchmark, whatever ends that."""

import signal
import subprocess
import sys

import pytest
from benchmarks.benchmark import ROOT

import started

_BENCHMARK = """
import subprocess, sys
from benchmarks.served import ending_with_us
with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as service, ending_with_us(service):
    print("serving", flush=True)
    service.wait()
"""


@pytest.mark.parametrize("last", [signal.SIGTERM, signal.SIGKILL])
def test_a_service_ends_with_the_benchmark_that_is_killed(last: signal.Signals) -> None:
    command = [sys.executable, "-c", _BENCHMARK]
    with started.process(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "serving\n"
        process.send_signal(last)
        assert process.stdout.read() == ""  # its end comes when nobody holds the pipe any more
