"""How many cores this process may use, which in a container are fewer than the machine has."""

import math
import os
from pathlib import Path

_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


def usable_cores(cpu_max: Path = _CPU_MAX) -> int:
    """Return the cores that the process may run on, or fewer when its control group has a quota; at least 1.

    `cpu_max` is a file as Linux's cgroup v2 has it: microseconds of CPU, or `max`, and of a period. `os.cpu_count`
    counts the machine's cores: in a container of two on a large host it made threads, and memory for each, for all.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    try:
        quota, period = cpu_max.read_text(encoding="ascii").split()
        allowed = math.ceil(int(quota) / int(period))
    except (OSError, ValueError, ZeroDivisionError):  # no control group, or no quota
        return cores
    return max(1, min(cores, allowed))
