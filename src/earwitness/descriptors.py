"""File descriptors: how many this process may have, whether some are free, and what to say when none is.

What belongs here: the limit of the process. What must never: who may have how many of them.
"""

import errno
import os
import resource

SPARE = 8
"""Free ones without which the service is not ready: a connection, a file of media and its folder, and the records."""

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE})


def raise_limit(*, wanted: int = 0) -> int:
    """Let this process have as many as the system allows; return how many these are.

    Where the system names no bound it is `wanted`, or what it is already. The limit that a shell or systemd begins
    with, often 1,024, is for programs that call `select`; nothing here does.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = max(soft, wanted) if hard == resource.RLIM_INFINITY else hard
    if soft in (resource.RLIM_INFINITY, most):
        return most
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


def limit() -> int:
    """Return how many this process may have as it is."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def is_exhausted(error: BaseException) -> bool:
    """Return whether this error says that no descriptor is free."""
    return isinstance(error, OSError) and error.errno in _EXHAUSTED


def advice() -> str:
    """Return what to say where none is free."""
    return (
        f"no file descriptor is free: this process may have {limit():,}; raise its hard limit (LimitNOFILE= of "
        "systemd, --ulimit nofile= of Docker), and start it again"
    )


def shortage() -> str | None:
    """Return why the service cannot work for want of descriptors; None when SPARE are free."""
    taken: list[int] = []
    try:
        while len(taken) < SPARE:
            taken.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        if not is_exhausted(error):
            raise
        return advice()
    finally:
        for descriptor in taken:
            os.close(descriptor)
    return None
