"""Work that needs a process of its own: fresh memory, other environment variables, another Python."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.benchmark import ROOT, Numbers

ONE_THREAD: dict[str, str] = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
}
"""Settings under which numerical libraries use one native thread."""


def run_worker(
    module: str,
    arguments: Sequence[str | Path] = (),
    *,
    settings: Mapping[str, str] | None = None,
    python: Path | None = None,
) -> str:
    """Run `python -m benchmarks.MODULE`; what it printed on standard output. Its standard error goes to ours."""
    finished = subprocess.run(
        [python or sys.executable, "-m", f"benchmarks.{module}", *arguments],
        cwd=ROOT,
        env={**os.environ, **(settings or {})},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return finished.stdout


def numbers_of(module: str, arguments: Sequence[str | Path] = ()) -> Numbers:
    """The numbers that a worker printed as JSON."""
    numbers: Numbers = json.loads(run_worker(module, arguments))
    return numbers
