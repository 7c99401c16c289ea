"""What is inside a backup: tars of plain files, written and read as streams, so that any size fits into memory.

A tar here has regular files alone, with names of a form that ours have; whoever reads one is told of anything else as
of a damaged backup, and no name ever leads to a file outside of where it is put.
"""

import re
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from earwitness.errors import BackupInvalid

_BLOCK = tarfile.BLOCKSIZE
_END = bytes(2 * _BLOCK)
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
_NAME_LENGTH_MAX = 100
_DAMAGED = "the backup is damaged inside, or was put together from others; take another backup"


@dataclass(frozen=True, kw_only=True)
class BackedFile:
    """A file on its way into a backup or out of it. Its blocks are taken once, before the next file."""

    name: str
    size: int
    blocks: Iterator[bytes]


def tar_of(files: Iterable[BackedFile]) -> Iterator[bytes]:
    """Yield a tar of these files. One that ends before its size is filled up with zeros, one that goes on is cut."""
    for file in files:
        header = tarfile.TarInfo(file.name)
        header.size, header.mode = file.size, 0o600
        yield header.tobuf(tarfile.GNU_FORMAT)
        left = file.size
        for block in file.blocks:
            yield block[:left]
            left -= min(left, len(block))
        while left > 0:
            yield bytes(min(left, 2**20))
            left -= min(left, 2**20)
        yield bytes(-file.size % _BLOCK)
    yield _END


def files_in(stream: Iterator[bytes]) -> Iterator[BackedFile]:
    """Yield the files of a tar; what is not taken of one is passed over. Raise BackupInvalid for any but ours."""
    source = _Source(stream)
    while (block := source.take(_BLOCK)) != bytes(_BLOCK):
        try:
            header = tarfile.TarInfo.frombuf(block, "ascii", "strict")
        except (tarfile.TarError, ValueError) as error:
            raise BackupInvalid(_DAMAGED) from error
        name = header.name
        if header.type != tarfile.REGTYPE or header.size < 0 or len(name) > _NAME_LENGTH_MAX:
            raise BackupInvalid(_DAMAGED)
        if not _NAME.fullmatch(name):
            raise BackupInvalid("the backup names a file in a way that could lead out of its folder; do not use it")
        blocks = source.blocks(header.size)
        yield BackedFile(name=name, size=header.size, blocks=blocks)
        for _ in blocks:
            pass
        source.take(-header.size % _BLOCK)
    if source.take(_BLOCK) != bytes(_BLOCK) or source.has_more():
        raise BackupInvalid(_DAMAGED)


class _Source:
    """Bytes of a stream, in pieces of any wanted size."""

    def __init__(self, stream: Iterator[bytes]) -> None:
        self._stream = stream
        self._rest: bytes = b""

    def take(self, size: int) -> bytes:
        """Return so many bytes; raise BackupInvalid when there are fewer."""
        return b"".join(self.blocks(size))

    def blocks(self, size: int) -> Iterator[bytes]:
        while size > 0:
            if not self._rest:
                self._rest = next(self._stream, b"")
                if not self._rest:
                    raise BackupInvalid("the backup ends in the middle of a file; take another backup")
            some, self._rest = self._rest[:size], self._rest[size:]
            size -= len(some)
            yield some

    def has_more(self) -> bool:
        return bool(self._rest) or any(self._stream)
