"""A node, or the one process on SQLite, with many tasks that wait for audio: what it takes of a core, as JSON.

`cluster_idle_worker FOLDER STORE_URL TASKS SECONDS`. The records are made first, then the service runs as
`serve` runs it. Nobody sends media: that a stream had a fragment is only told, every few seconds, so that no task ends
because its call is silent.
"""

import json
import sys
import threading
import time
from contextlib import ExitStack, closing, nullcontext
from dataclasses import replace
from pathlib import Path

from benchmarks.cluster_records import idle_stream, make_idle_tasks
from earwitness import app, config
from earwitness.engine.voice_models import ModelPreparation
from earwitness.server import run

_TOLD_EVERY_SECONDS = 5.0
_MADE_AT_ONCE = 250
_SETTLING_SECONDS = 40.0
_WAIT_SECONDS_MAX = 600.0


def main(folder: Path, store_url: str, tasks: int, seconds: float) -> None:
    """Make records, serve, wait until all tasks run, and measure."""
    settings = replace(config.Settings(), data_dir=folder, store_url=store_url, tasks_at_once=tasks, host="127.0.0.1")
    with ExitStack() as stack:
        node = stack.enter_context(app.this_node(settings))
        opened = app.open_records(settings) if node is None else app.open_records(settings, clock=node.clock)
        store = stack.enter_context(closing(opened))
        stack.enter_context(app.serving(store, node, on_waiting=print))
        for first in range(0, tasks, _MADE_AT_ONCE):
            some = range(first, min(tasks, first + _MADE_AT_ONCE))
            store.write(lambda unit, some=some: make_idle_tasks(unit, some))
        service = stack.enter_context(closing(app.Service(settings, store, node=node)))
        listening = run.Listening(
            host="127.0.0.1",
            port=0,
            certificate=None,
            head_seconds_max=settings.limits.client_seconds,
            stop_seconds_max=settings.limits.stop_seconds,
        )

        def started() -> None:
            service.prepare_models(
                ModelPreparation(
                    may_fetch=False,
                    progress=lambda: nullcontext(lambda *_: None),
                    opened=lambda: None,
                    failed=lambda: server.stop(),  # noqa: PLW0108  it is made below
                )
            )
            threading.Thread(target=measuring, daemon=True).start()

        def measuring() -> None:
            try:
                print(json.dumps(_measure(service, tasks, seconds)), flush=True)
            finally:
                server.stop()

        server = run.prepare(service.root, listening, on_started=started, on_stopping=service.begin_to_stop)
        with run.open_socket(listening) as socket:
            server.run([socket])


def _measure(service: app.Service, tasks: int, seconds: float) -> dict[str, float]:
    background = service._background  # its arrivals are what media would tell
    streams = [idle_stream(number) for number in range(tasks)]

    def wait(seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            for stream in streams:
                background.heard_from(stream)
            time.sleep(min(left, _TOLD_EVERY_SECONDS))

    give_up = time.monotonic() + _WAIT_SECONDS_MAX
    while len(background.lags.all_seconds()) < tasks and time.monotonic() < give_up:
        wait(1.0)
    wait(_SETTLING_SECONDS)
    print("begins", flush=True)
    began, used = time.monotonic(), time.process_time()
    wait(seconds)
    used, passed = time.process_time() - used, time.monotonic() - began
    return {"tasks": len(background.lags.all_seconds()), "cores": used / passed, "seconds": passed}


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
