"""What a result was measured on: machine, Python and packages."""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from earwitness.cores import usable_cores

_PACKAGES = ("earwitness", "numpy", "scipy", "onnxruntime", "soxr", "soundfile")


def machine() -> dict[str, str]:
    """CPU model, cores, memory and operating system, in words."""
    gibibytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cpu": _cpu(),
        "cores": str(usable_cores()),
        "memory": f"{gibibytes:.0f} GiB",
        "os": f"{_system()}, {platform.machine()}",
    }


def load() -> float:
    """How many processes wanted a core during the last minute, on average."""
    return round(os.getloadavg()[0], 1)


def versions() -> dict[str, str]:
    """Python and the packages that do the work, with the linear algebra numpy was built with."""
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in _PACKAGES},
        "blas": _blas(),
    }


def _blas() -> str:
    # `Any`: numpy's own nested dictionary of strings.
    built: Any = np.show_config(mode="dicts")
    blas = built["Build Dependencies"]["blas"]
    return f"{blas['name']} {blas['version']}"


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or "unknown"


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return f"{platform.system()} {platform.release()}"
