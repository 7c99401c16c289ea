"""A wall clock that tests set, for real processes: what `date` says jumps, the monotonic clock goes on.

A library that is loaded before all others adds a number of seconds, which lies in a file, to what the kernel says.
"""

import functools
import mmap
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

import pytest

import started

_LIBRARY = """
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static volatile long long *ahead;
__attribute__((constructor)) static void find(void) {
    const char *path = getenv("WALL_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *shared = file < 0 ? MAP_FAILED : mmap(0, sizeof *ahead, PROT_READ, MAP_SHARED, file, 0);
    if (shared != MAP_FAILED) ahead = shared;
    if (file >= 0) close(file);
}
static time_t seconds(void) { return ahead ? *ahead : 0; }
int clock_gettime(clockid_t id, struct timespec *now) {
    int failed = (int) syscall(SYS_clock_gettime, id, now);
    if (!failed && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) now->tv_sec += seconds();
    return failed;
}
int gettimeofday(struct timeval *now, void *zone) {
    int failed = (int) syscall(SYS_gettimeofday, now, zone);
    if (!failed) now->tv_sec += seconds();
    return failed;
}
time_t time(time_t *where) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (where) *where = now.tv_sec;
    return now.tv_sec;
}
"""


class WallClock:
    """The wall clock of the processes that are started with its `environment`."""

    def __init__(self, folder: Path, *, ahead_seconds: int = 0) -> None:
        """Skip the test where there is no C compiler."""
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "wall-clock"
        file.write_bytes(bytes(8))
        self.environment = {"LD_PRELOAD": str(_library()), "WALL_CLOCK": str(file)}
        with file.open("r+b") as opened:
            self._shared = mmap.mmap(opened.fileno(), 8)
        self.ahead_seconds = 0
        self.set(ahead_seconds)

    def set(self, ahead_seconds: int) -> None:
        """Let it be so far ahead of ours from now on; behind it where that is below 0."""
        self.ahead_seconds = ahead_seconds
        self._shared[:] = struct.pack("=q", ahead_seconds)

    def jump(self, seconds: int) -> None:
        """Set it forward, or back."""
        self.set(self.ahead_seconds + seconds)


@functools.cache
def _library() -> Path:
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler here, and a wall clock that is set needs one")
    folder = Path(tempfile.mkdtemp(prefix="earwitness-clock-"))
    started.remove_at_the_end(folder)
    source, library = folder / "clock.c", folder / "clock.so"
    source.write_text(_LIBRARY, encoding="utf-8")
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, source], check=True)
    return library
