"""Records that somebody else has locked even for readers: requests wait, and nothing else does."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from live import Live

import started

HEALTH = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"

_RECOVER = """
import fcntl, mmap, sys
with open(sys.argv[1], "r+b") as index, mmap.mmap(index.fileno(), 136) as header:
    fcntl.lockf(index, fcntl.LOCK_EX, 8, 120)
    before = header[:96]
    header[:96] = bytes(96)
    print("recovering", flush=True)
    sys.stdin.read()
    header[:96] = before
"""
"""Another process that recovers the write-ahead log, and takes its time: as SQLite does it, its index has no header
meanwhile (96 bytes) and all eight locks of the index are held, so that readers find the database busy (wal.c)."""


@contextmanager
def recovering(live: Live) -> Iterator[None]:
    index = live.settings.data_dir / "records.db-shm"
    command = [sys.executable, "-c", _RECOVER, str(index)]
    with started.process(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdin
        assert other.stdout
        assert other.stdout.readline() == b"recovering\n"
        yield
        other.stdin.close()


@pytest.mark.slow
def test_the_event_loop_waits_for_nobodys_lock(start: Callable[..., Live]) -> None:
    live = start(store_wait_seconds=1.0)
    assert live.ask(live.signed())[0] == 200
    quick = live.signed("GET", "/voice-profile-domains/none")  # a point read, run on the event loop
    assert live.ask(quick)[0] == 404
    with ThreadPoolExecutor(3) as pool, recovering(live):
        waiting = [pool.submit(live.ask, quick) for _ in range(3)]
        while not all(one.done() for one in waiting):
            assert live.ask(HEALTH)[0] == 200
        assert {one.result()[0] for one in waiting} == {503}
    assert live.ask(quick)[0] == 404


@pytest.mark.slow
def test_a_read_that_met_a_lock_is_answered_once_it_is_gone(start: Callable[..., Live]) -> None:
    live = start(store_wait_seconds=20.0)
    quick = live.signed("GET", "/voice-profile-domains/none")
    assert live.ask(quick)[0] == 404
    with ThreadPoolExecutor(1) as pool:
        with recovering(live):
            waiting = pool.submit(live.ask, quick)
            for _ in range(20):
                assert live.ask(HEALTH)[0] == 200
            assert not waiting.done()
        assert waiting.result()[0] == 404
