"""This process as a node: what others know it by, its clock and lease, and its internal listener."""

import logging
import os
import secrets
import signal
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from earwitness.errors import InstallationIncomplete
from earwitness.log import drain
from earwitness.nodes.clock import NodeClock
from earwitness.nodes.lease import Lease
from earwitness.store.leading import Renewal

LOST_EXIT_CODE = 8
"""As that of commands which cannot use the records."""

_log = logging.getLogger("earwitness.nodes")


@dataclass(frozen=True, kw_only=True)
class OwnNode:
    """This node."""

    node_id: str
    internal_url: str
    #: Where clients reach it and no other; empty where they do not.
    node_url: str
    #: Listens already; nobody answers yet.
    listener: socket.socket
    clock: NodeClock
    lease: Lease

    def renewed(self, renewal: Renewal) -> None:
        """Note that the database has renewed the lease, and what time it has."""
        self.clock.renewed(renewal)
        self.lease.renewed(renewal)


@contextmanager
def own_node(
    media_folder: Path,
    *,
    listen: Callable[[], socket.socket],
    internal_url: str,
    node_url: str,
    monotonic: Callable[[], float],
) -> Generator[OwnNode]:
    """Be the node whose media are in this folder. `listen` opens the internal listener, which is closed at the end."""
    node_id = node_id_of(media_folder)
    with listen() as listener:
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        lease = Lease(monotonic=monotonic)
        with _ended_by_a_late_waking(lease):
            yield OwnNode(
                node_id=node_id,
                internal_url=(internal_url or f"http://{shown}:{port}").rstrip("/"),
                node_url=node_url.rstrip("/"),
                listener=listener,
                clock=NodeClock(monotonic=monotonic),
                lease=lease,
            )


@contextmanager
def _ended_by_a_late_waking(lease: Lease) -> Generator[None]:
    """End this process at once when it goes on after it was stopped (SIGSTOP) for longer than its lease.

    What it was about to say when it was stopped, that a fragment is kept for example, it would say now, after others
    have taken over. A handler of SIGCONT runs before the next line of Python does.
    """
    if threading.current_thread() is not threading.main_thread():  # signals are for the main thread alone
        yield
        return

    def look(*_: object) -> None:
        if lease.has_lapsed():
            reason = "this node stood still for longer than its lease, and may have been taken for dead"
            _log.error("this process serves no longer, and stops", extra={"reason": reason})
            drain()
            os.write(2, f"error: {reason}\n".encode())  # the line for people; sys.stderr may be in use below this frame
            os._exit(LOST_EXIT_CODE)

    before = signal.signal(signal.SIGCONT, look)
    try:
        yield
    finally:
        signal.signal(signal.SIGCONT, before)


def node_id_of(media_folder: Path) -> str:
    """Return the id of the node whose media are in this folder, which it gets here at its first start."""
    path = media_folder / "node"
    try:
        media_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            fresh = media_folder / f"node.{os.getpid()}"
            fresh.write_text(secrets.token_hex(8))
            try:
                os.link(fresh, path)  # the first of two that do this at once
            except FileExistsError:
                return node_id_of(media_folder)
            finally:
                fresh.unlink()
        return path.read_text().strip()
    except OSError as error:
        raise InstallationIncomplete(f"the media folder {media_folder} cannot be used: {error.strerror}") from error
