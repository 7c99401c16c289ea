"""`make stress`: the test suite while other processes keep the machine busy, which finds tests that need an idle one.

python scripts/stress.py BUSY [PYTEST ARGUMENT ...]
"""

import os
import subprocess
import sys
from contextlib import ExitStack

MINUTES_MAX = 150
"""After which the suite is ended. On two cores with four busy processes it takes more than an hour."""

_BUSY = """
import os, time
parent, end = os.getppid(), time.monotonic() + 60 * {minutes}
while os.getppid() == parent and time.monotonic() < end:
    sum(range(1_000_000))
"""
"""Counts until the suite is over, however it ended."""


def main(arguments: list[str]) -> int:
    """Return the exit code of pytest, or 1 when the time was over."""
    count = int(arguments[0])
    with ExitStack() as stack:
        for _ in range(count):
            command = [sys.executable, "-S", "-E", "-c", _BUSY.format(minutes=MINUTES_MAX)]
            busy = stack.enter_context(subprocess.Popen(command))
            stack.callback(busy.kill)
        print(f"{count} processes keep the machine busy; load {os.getloadavg()[0]:.1f} at the start", flush=True)
        suite = [sys.executable, "-m", "pytest", *arguments[1:]]
        try:
            code = subprocess.run(suite, timeout=60 * MINUTES_MAX, check=False).returncode
        except subprocess.TimeoutExpired:
            print(f"the suite is not over after {MINUTES_MAX} minutes")
            code = 1
        print(f"load {os.getloadavg()[0]:.1f} at the end")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
