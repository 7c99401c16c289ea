"""A bucket of S3 for checkpoints and files of entries. An object is written once, and by us not replaced or deleted.

S3 has no file that takes additions, so each checkpoint is an object, `checkpoints/minutes/DAY/TIME-CHAIN.jsonl`. The
first of each day is also `checkpoints/days/DAY-CHAIN.jsonl`: rules of the bucket delete the former after a month, the
latter after a year. `entries/CHAIN/FIRST-LAST.jsonl` is as in a folder. The name of an object says of which chain and
time its checkpoint is, so that one which was copied over another is noticed.
"""

import io
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from datetime import datetime
from typing import BinaryIO, Literal

from earwitness.audit.folder import CHECKPOINTS, ENTRIES, LINES_KEPT, chain_name
from earwitness.aws.buckets import Bucket
from earwitness.errors import AuditPlaceUnavailable, BucketUnavailable

OBJECT_BYTES_MAX = 256 * 2**20
"""Of a file of entries that is read; ours have a hundredth of it."""

_MINUTES, _DAYS = f"{CHECKPOINTS}/minutes/", f"{CHECKPOINTS}/days/"
_SUFFIX = ".jsonl"


class AuditObject:
    """One object that is to be read, as a `Path` is."""

    def __init__(self, bucket: Bucket, name: str) -> None:
        self._bucket, self._name = bucket, name

    def __str__(self) -> str:
        return f"{self._bucket.address}/{self._name}"

    def open(self, _mode: Literal["rb"]) -> BinaryIO:
        """Return its content. Raise AuditPlaceUnavailable."""
        with _errors("read"):
            content = self._bucket.get(self._name, bytes_max=OBJECT_BYTES_MAX + 1)
        if content is None:
            raise AuditPlaceUnavailable(f"{self} is missing: it was deleted since the bucket was listed")
        if len(content) > OBJECT_BYTES_MAX:
            raise AuditPlaceUnavailable(f"{self} has more than {OBJECT_BYTES_MAX} bytes; copy it to a file and name it")
        return io.BytesIO(content)

    def is_named_for(self, chain: str, time: datetime) -> bool:
        """Return whether a checkpoint of this chain and time may lie here; where we do not write, any may."""
        key = str(self)
        if f"/{_DAYS}" in key:
            return key.endswith(f"/{_day_name(chain, time)}")
        return key.endswith(f"/{_minute_name(chain, time)}") if f"/{_MINUTES}" in key else True


class AuditBucket:
    """One such bucket, under a prefix. Its methods raise AuditPlaceUnavailable. Safe to use from several threads."""

    def __init__(self, bucket: Bucket, *, clock: Callable[[], datetime]) -> None:
        self._bucket, self._clock = bucket, clock
        self._days: dict[str, str] = {}

    @property
    def address(self) -> str:
        """See `AuditPlace`."""
        return self._bucket.address

    def add_checkpoint(self, chain: str, line: bytes, *, now: datetime) -> None:
        """See `AuditPlace`."""
        name, day = _minute_name(chain, now), f"{now:%Y-%m-%d}"
        with _errors("written"):
            if not self._bucket.put_new(name, line + b"\n"):
                raise AuditPlaceUnavailable(f"{self.address}/{name} is there already, and we did not write it")
            if self._days.get(chain) != day:
                # Where it is there already, another run of the service wrote it.
                self._bucket.put_new(_day_name(chain, now), line + b"\n")
                self._days[chain] = day

    def put_entries(self, chain: str, *, first: int, last: int, lines: Iterable[bytes]) -> None:
        """See `AuditPlace`. What a run wrote before it was killed is left as it is."""
        name, content = f"{ENTRIES}/{chain_name(chain)}/{first:012d}-{last:012d}{_SUFFIX}", b"".join(lines)
        with _errors("written"):
            if self._bucket.put_new(name, content):
                return
            there = self._bucket.get(name, bytes_max=OBJECT_BYTES_MAX + 1)
        if there is None or _entries_of(there) != _entries_of(content):
            raise AuditPlaceUnavailable(
                f"{self.address}/{name} holds something else than entries {first} to {last}; move it away and keep it"
            )

    def thin(self, *, now: datetime) -> None:
        """See `AuditPlace`. Rules of the bucket do it: whoever has our credentials is to delete nothing."""

    def checkpoint_files(self) -> list[AuditObject]:
        """See `AuditPlace`. Of days that are over for a while there is one checkpoint of each."""
        since = f"{_MINUTES}{self._clock() - LINES_KEPT:%Y-%m-%d}"
        return self._objects(_DAYS) + self._objects(_MINUTES, after=since)

    def entry_files(self) -> list[AuditObject]:
        """See `AuditPlace`."""
        return self._objects(f"{ENTRIES}/")

    def file(self, name: str) -> AuditObject:
        """Return the object of this name."""
        return AuditObject(self._bucket, name)

    def _objects(self, prefix: str, *, after: str = "") -> list[AuditObject]:
        with _errors("read"):
            names = self._bucket.names(prefix, after=after)
        return [AuditObject(self._bucket, name) for name in names if name.endswith(_SUFFIX)]


def _minute_name(chain: str, time: datetime) -> str:
    return f"{_MINUTES}{time:%Y-%m-%d/%H%M%S.%f}-{chain_name(chain)}{_SUFFIX}"


def _day_name(chain: str, time: datetime) -> str:
    return f"{_DAYS}{time:%Y-%m-%d}-{chain_name(chain)}{_SUFFIX}"


def _entries_of(content: bytes) -> bytes:
    """Return a file without its last line, which says when it was written."""
    return content.rstrip(b"\n").rpartition(b"\n")[0]


@contextmanager
def _errors(what: str) -> Generator[None]:
    try:
        yield
    except BucketUnavailable as error:
        raise AuditPlaceUnavailable(f"the audit trail cannot be {what}: {error}") from error
