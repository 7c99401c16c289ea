"""Calls come and go, and leave no memory behind. `CALLS=300` is the long form, by hand."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from calls import Application
from serving import Served, start, stop

from earwitness.samples import first_call

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("model_cache")]

AT_ONCE = 3
CALLS = int(os.environ.get("CALLS", "15"))
AT_FIRST = 6
"""Calls until models are open, and what is kept for the next call is there."""

GROWTH_BYTES_MAX = 12 * 2**20
"""Less than one megabyte a call."""

CALLERS: tuple[str, ...] = ("kal", "sally", "marvin")


def resident_bytes(served: Served) -> int:
    pages = Path(f"/proc/{served.process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def test_memory_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # glibc gives blocks of this size back at once, so that what is resident is what is in use, not what was.
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "65536")
    served = start(tmp_path)
    app = Application(served, "memory")
    domain = app.domain("callers")

    def call(number: int) -> None:
        app.call(first_call(CALLERS[number % AT_ONCE]), stream=app.stream(str(number)), domain=domain)

    app.configuration()
    resident = list[int]()
    with ThreadPoolExecutor(AT_ONCE) as lines:
        for first in range(0, AT_FIRST + CALLS, AT_ONCE):
            list(lines.map(call, range(first, first + AT_ONCE)))
            resident.append(resident_bytes(served))  # while no call is in progress, which would use some itself
    at_first = AT_FIRST // AT_ONCE
    assert max(resident[-3:]) - max(resident[:at_first]) < GROWTH_BYTES_MAX
    app.close()
    stop(served)
