"""A moto server in a process that is ours alone."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import started


@contextmanager
def moto() -> Iterator[str]:
    """Yield the URL of a server that knows nothing of the developer's AWS settings."""
    program = Path(sys.executable).with_name("moto_server")
    process = started.start(
        [program, "-H", "127.0.0.1", "-p", "0"],
        env={name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with started.ended_if_it_fails(process):
        yield started.first_match(process, r"http://127\.0\.0\.1:\d+")[0]
    started.end(process)
