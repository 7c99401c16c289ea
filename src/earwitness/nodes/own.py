"""This process as a node: what others know it by, its clock and lease, and its internal listener."""

import os
import secrets
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from earwitness.errors import InstallationIncomplete
from earwitness.nodes.clock import NodeClock
from earwitness.nodes.lease import Lease
from earwitness.store.leading import Renewal


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
        yield OwnNode(
            node_id=node_id,
            internal_url=(internal_url or f"http://{shown}:{port}").rstrip("/"),
            node_url=node_url.rstrip("/"),
            listener=listener,
            clock=NodeClock(monotonic=monotonic),
            lease=Lease(monotonic=monotonic),
        )


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
