"""A TCP proxy that cuts or silences one PutMedia connection in the middle, and lets all others pass."""

import socket
import threading
from urllib.parse import urlsplit

from patience import PATIENCE_SECONDS


class CuttingProxy:
    """Cuts the first PutMedia after `up_bytes` of it went up and `down_marks` marks of its answer came down.

    A context manager. `url` is where it listens; a service names its data endpoint by the Host header, so producers
    come back here.
    """

    def __init__(self, url: str, *, up_bytes: int, down_mark: bytes, down_marks: int, hangs_up: bool = True) -> None:
        """Without `hangs_up` nobody hears anything from then on, as when a network goes away."""
        self._hangs_up = hangs_up
        parts = urlsplit(url)
        self._target = (parts.hostname, parts.port)
        self._up_bytes, self._mark, self._marks = up_bytes, down_mark, down_marks
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._cut = threading.Event()
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> "CuttingProxy":
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for one in [self._listener, *self._sockets]:
            one.close()
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)

    def _start(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            self._sockets += [client, server]
            media = b"/putMedia" in client.recv(64, socket.MSG_PEEK)
            doomed = media and not self._cut.is_set()
            self._start(self._up, client, server, doomed)
            self._start(self._down, server, client, doomed)

    def _up(self, client: socket.socket, server: socket.socket, doomed: bool) -> None:
        left = self._up_bytes if doomed else 1 << 62
        while left and (data := _receive(client, min(left, 65_536))):
            left -= len(data)
            try:
                server.sendall(data)
            except OSError:  # `_down` has hung up, or the service has
                return
        if left:  # the client is done
            _shut(server, socket.SHUT_WR)
        # else: nothing more goes up, and `_down` hangs up when it has seen its marks

    def _down(self, server: socket.socket, client: socket.socket, doomed: bool) -> None:
        seen = b""
        while data := _receive(server, 65_536):
            try:
                client.sendall(data)
            except OSError:
                return
            seen = seen + data if doomed else b""
            if doomed and seen.count(self._mark) >= self._marks:
                self._cut.set()
                while not self._hangs_up and _receive(client, 65_536):
                    continue
                break
        for one in (server, client):
            _shut(one, socket.SHUT_RDWR)


def _receive(source: socket.socket, size: int) -> bytes:
    try:
        return source.recv(size)
    except OSError:
        return b""


def _shut(one: socket.socket, how: int) -> None:
    try:
        one.shutdown(how)
    except OSError:
        return  # it is closed already
