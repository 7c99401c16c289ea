"""A thousand finished tasks leave nothing behind in the process but their records on the disk."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest
from calls import Application
from serving import Served, start, stop

from patience import until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts are read from /proc"),
]

CALLERS = 8
WARM_UP, MEASURED = 200, int(os.environ.get("TASKS", "1000"))
POOLS_MAX = 40
"""Threads, and connections that they read records with, by which bounded pools may still fill up after the warm-up: far
fewer than one for each task."""

RESIDENT_BYTES_MAX = 8_000
"""Of growth for each task: 2.9 kB over 1,000 and 1.4 kB over 3,200 are measured, the database's cache included."""


class Used(NamedTuple):
    """What a process holds."""

    descriptors: int
    """Without those of the records, which a thread that reads keeps for the next one that does."""
    record_descriptors: int
    threads: int
    files: int
    """Without those of the audit trail: one a day, made in the first minute."""
    resident_bytes: int


def used(served: Served) -> Used:
    process = Path("/proc") / str(served.process.pid)
    targets = [target_of(descriptor) for descriptor in (process / "fd").iterdir()]
    of_records = sum("records.db" in target for target in targets)
    resident_pages = int((process / "statm").read_text("ascii").split()[1])
    return Used(
        descriptors=len(targets) - of_records,
        record_descriptors=of_records,
        threads=len(list((process / "task").iterdir())),
        files=sum("audit" not in path.relative_to(served.data).parts for path in served.data.rglob("*")),
        resident_bytes=resident_pages * os.sysconf("SC_PAGE_SIZE"),
    )


def target_of(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except FileNotFoundError:  # closed meanwhile
        return ""


def run_tasks(app: Application, streams: list[str], domain: str, count: int) -> None:
    """Start and stop so many tasks, on all streams at once."""

    def one_line(stream: str) -> None:
        pipeline = app.pipeline(stream)
        for _ in range(count // len(streams)):
            try:
                task = app.start(pipeline, domain)
            except app.pipelines.exceptions.ConflictException:  # it ended: for 15 s nothing was heard, nor begun
                pipeline = app.pipeline(stream)
                task = app.start(pipeline, domain)
            app.pipelines.stop_speaker_search_task(Identifier=pipeline, SpeakerSearchTaskId=task)
            until(lambda pipeline=pipeline, task=task: app.status(pipeline, task) == "Stopped")

    with ThreadPoolExecutor(len(streams)) as threads:
        list(threads.map(one_line, streams))


def test_finished_tasks_leave_nothing_in_the_process(tmp_path: Path) -> None:
    served = start(tmp_path / "data")
    app = Application(served, "many")
    try:
        domain = app.domain("callers")
        app.configuration()  # once, for the pipelines of all threads
        streams = [app.stream(f"line-{number}") for number in range(CALLERS)]
        run_tasks(app, streams, domain, WARM_UP)
        before = used(served)
        run_tasks(app, streams, domain, MEASURED)
        until(lambda: used(served).descriptors <= before.descriptors)  # connections that are just being closed
        after = used(served)
        assert after.record_descriptors - before.record_descriptors <= POOLS_MAX
        assert after.threads - before.threads <= POOLS_MAX
        assert after.files <= before.files
        assert after.resident_bytes - before.resident_bytes < MEASURED * RESIDENT_BYTES_MAX
    finally:
        app.close()
        stop(served)
