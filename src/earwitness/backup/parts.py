"""Parts: a stream cut into files of some megabytes, each hashed, and encrypted for a recipient by itself.

Several parts are hashed and written at the same time, while the next is read; that runs outside of Python's lock, and
encrypting seldom does. Memory for parts is taken once and used again, so a backup takes some tens of megabytes of it,
whatever its size, and the system does not have to clear it anew for each.
"""

import hashlib
import mmap
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from earwitness.backup.documents import BackupPart
from earwitness.backup.places import Place
from earwitness.errors import ArchiveInvalid, BackupInvalid
from earwitness.vault.age import decrypt, encrypt_into, encrypted_bytes_max

PART_BYTES = 16 * 2**20
_WRITERS = 3
BUFFERS = _WRITERS + 1
"""One for each writer, and one that is filled meanwhile."""

_NICE = 10
"""How much less urgent than others writers are: a service on the same machine goes first."""


class _Buffer:
    """Memory for one part, as it is read and, for a recipient, encrypted."""

    def __init__(self, *, encrypted: bool) -> None:
        self.plain = _pages(PART_BYTES)
        self.encrypted = _pages(encrypted_bytes_max(PART_BYTES)) if encrypted else None
        self.size = 0


class PartWriter:
    """Writes the parts of a backup below a name. Close it, or leave its `with`, to end its threads."""

    def __init__(self, place: Place, prefix: str, *, recipient: str | None, written: Callable[[int], None]) -> None:
        """`written` is told how many bytes of a stream were taken, again and again."""
        self._place, self._prefix, self._recipient, self._written = place, prefix, recipient, written
        self._threads = ThreadPoolExecutor(_WRITERS, thread_name_prefix="earwitness backup", initializer=_give_way)
        self._encrypting = threading.Lock()
        self._waiting: deque[tuple[Future[BackupPart], _Buffer]] = deque()
        self._made = 0
        self._unused: list[_Buffer] = []
        self.parts: list[BackupPart] = []
        """Those that are at their place."""

    def __enter__(self) -> "PartWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown(cancel_futures=True)

    def write(self, kind: str, stream: Iterable[bytes]) -> None:
        """Write a stream as parts of this kind; return when all are at their place. Raise BackupPlaceUnavailable."""
        number, buffer = 1, self._buffer()
        for block in stream:
            rest = memoryview(block)
            while rest:
                if buffer.size == PART_BYTES:
                    self._begin(kind, number, buffer)
                    number, buffer = number + 1, self._buffer()
                some = rest[: PART_BYTES - buffer.size]
                buffer.plain[buffer.size : buffer.size + len(some)] = some
                buffer.size += len(some)
                rest = rest[len(some) :]
        if buffer.size:
            self._begin(kind, number, buffer)
        else:
            self._unused.append(buffer)
        while self._waiting:
            self._end_one()

    def settle(self) -> None:
        """Make all parts durable, at the end."""
        self._place.settle([f"{self._prefix}/{part.name}" for part in self.parts])

    def _buffer(self) -> _Buffer:
        """Return an empty buffer, as soon as there is one."""
        if not self._unused and self._made < BUFFERS:
            self._made += 1
            return _Buffer(encrypted=self._recipient is not None)
        while not self._unused:
            self._end_one()
        return self._unused.pop()

    def _begin(self, kind: str, number: int, buffer: _Buffer) -> None:
        name = f"{kind}-{number:06}.tar-part{'' if self._recipient is None else '.age'}"
        self._waiting.append((self._threads.submit(self._put, kind, name, buffer), buffer))

    def _put(self, kind: str, name: str, buffer: _Buffer) -> BackupPart:
        content = buffer.plain[: buffer.size]
        if self._recipient is not None and buffer.encrypted is not None:
            # One at a time, because each holds Python's lock: so one is hashed while the next is encrypted.
            with self._encrypting:
                size = encrypt_into(buffer.encrypted, content, recipient=self._recipient)
            content = buffer.encrypted[:size]
        digest = hashlib.sha256(content).hexdigest()
        self._place.put_soon(f"{self._prefix}/{name}", content)
        return BackupPart(name=name, kind=kind, bytes=len(content), sha256=digest, plain_bytes=buffer.size)

    def _end_one(self) -> None:
        future, buffer = self._waiting.popleft()
        part = future.result()
        buffer.size = 0
        self._unused.append(buffer)
        self.parts.append(part)
        self._written(part.plain_bytes)


def _pages(size: int) -> memoryview:
    """Return memory of our own that begins at the begin of a page."""
    return memoryview(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))


def _give_way() -> None:
    """Make this thread less urgent, where threads have an urgency of their own."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + _NICE)


def read_parts(
    place: Place, prefix: str, parts: Iterable[BackupPart], *, identity: str | None, read: Callable[[int], None]
) -> Iterator[bytes]:
    """Yield the content of parts, one after the other, each once it is proved to be the listed one.

    Raise BackupInvalid for a part that is missing, damaged, in another's place, or for another key.
    """
    for part in parts:
        content = checked_part(place, prefix, part)
        if part.name.endswith(".age"):
            if identity is None:
                raise BackupInvalid("the backup is encrypted; give the recipient's secret key with --key")
            try:
                content = decrypt(content, identity=identity)
            except ArchiveInvalid as error:
                raise BackupInvalid(f"{part.name}: {error}") from error
        if len(content) != part.plain_bytes:
            raise BackupInvalid(f"{part.name} has another length inside than its manifest says; take another backup")
        read(part.plain_bytes)
        yield content


def checked_part(place: Place, prefix: str, part: BackupPart) -> bytes:
    """Return a part as it lies at its place; raise BackupInvalid when it is not the listed one."""
    content = place.get(f"{prefix}/{part.name}")
    if len(content) != part.bytes or hashlib.sha256(content).hexdigest() != part.sha256:
        raise BackupInvalid(f"{part.name} is damaged, cut short, or another backup's; take another backup")
    return content
