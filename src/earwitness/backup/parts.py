"""Parts: a stream cut into files of some megabytes, each hashed, and encrypted for a recipient by itself.

Several parts are encrypted, hashed and written at the same time, while the next is read; all of that runs outside of
Python's lock. Only a few parts are in memory, so a backup takes some tens of megabytes of it, whatever its size.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from earwitness.backup.documents import BackupPart
from earwitness.backup.places import Place
from earwitness.errors import ArchiveInvalid, BackupInvalid
from earwitness.vault.age import decrypt, encrypt

PART_BYTES = 16 * 2**20
_WRITERS = 2
_WAITING_MAX = 3


class PartWriter:
    """Writes the parts of a backup below a name. Close it, or leave its `with`, to end its threads."""

    def __init__(self, place: Place, prefix: str, *, recipient: str | None, written: Callable[[int], None]) -> None:
        """`written` is told how many bytes of a stream were taken, again and again."""
        self._place, self._prefix, self._recipient, self._written = place, prefix, recipient, written
        self._threads = ThreadPoolExecutor(_WRITERS, thread_name_prefix="earwitness backup")
        self._waiting: deque[Future[BackupPart]] = deque()
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
        number, gathered, size = 0, list[bytes](), 0
        for block in stream:
            gathered.append(block)
            size += len(block)
            if size >= PART_BYTES:
                number += 1
                self._begin(kind, number, gathered)
                gathered, size = [], 0
        if size:
            self._begin(kind, number + 1, gathered)
        while self._waiting:
            self._end_one()

    def settle(self) -> None:
        """Make all parts durable, at the end."""
        self._place.settle([f"{self._prefix}/{part.name}" for part in self.parts])

    def _begin(self, kind: str, number: int, content: list[bytes]) -> None:
        while len(self._waiting) >= _WAITING_MAX:
            self._end_one()
        name = f"{kind}-{number:06}.tar-part{'' if self._recipient is None else '.age'}"
        self._waiting.append(self._threads.submit(self._put, kind, name, content))

    def _put(self, kind: str, name: str, content: list[bytes]) -> BackupPart:
        plain_bytes = sum(map(len, content))
        if self._recipient is not None:
            plain = b"".join(content)
            content.clear()  # a part is in memory twice at most
            content = [encrypt(plain, recipient=self._recipient)]
            del plain
        digest = hashlib.sha256()
        for block in content:
            digest.update(block)
        self._place.put_soon(f"{self._prefix}/{name}", content)
        return BackupPart(
            name=name, kind=kind, bytes=sum(map(len, content)), sha256=digest.hexdigest(), plain_bytes=plain_bytes
        )

    def _end_one(self) -> None:
        part = self._waiting.popleft().result()
        self.parts.append(part)
        self._written(part.plain_bytes)


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
