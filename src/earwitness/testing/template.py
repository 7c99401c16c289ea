"""The template of services for tests: a process that has loaded all that a service needs, and forks each from there.

Loading takes nearly all of a start; one template pays it once for a whole test run. It runs nothing and has one thread,
so that a fork of it is whole. It ends when the process of the tests does, whatever ended that.
"""

import gc
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable


def main() -> None:
    """Fork a service for each socket that comes over the one whose descriptor the command line names."""
    orders = socket.socket(fileno=int(sys.argv[1]))
    serve = _load()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests, which end their services
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the services
    while True:
        order, descriptors, *_ = socket.recv_fds(orders, 1, 1)
        if not order:
            return
        if os.fork() == 0:
            orders.close()
            _serve_at(descriptors[0], serve)
        os.close(descriptors[0])


def _load() -> Callable[[socket.socket], None]:
    """Load what a service needs, and return what serves.

    All of it stays, so that looking for garbage meanwhile would find none and take a seventh of the time.
    """
    gc.disable()
    from earwitness.testing import served

    gc.freeze()  # nor do services look through it
    gc.enable()
    return served.serve


def _serve_at(descriptor: int, serve: Callable[[socket.socket], None]) -> None:
    """Be a service, and end with it."""
    code = 0
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        serve(socket.socket(fileno=descriptor))
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        sys.stderr.flush()
        os._exit(code)  # not back into the template


if __name__ == "__main__":
    main()
