"""The second place of the audit trail: a folder or a bucket, which do the same."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol, TypeAlias

from earwitness.audit.bucket import AuditBucket, AuditObject
from earwitness.audit.folder import AuditFolder
from earwitness.aws.buckets import bucket_of, is_bucket
from earwitness.aws.clients import AwsClients, AwsSettings
from earwitness.errors import AuditPlaceUnavailable, ConfigurationError

AuditFile: TypeAlias = Path | AuditObject
"""What is read: both have `open("rb")`, and `str()` says where it is."""

_CONNECT_SECONDS, _READ_SECONDS = 3.0, 5.0
"""A checkpoint is some hundred bytes, and the next minute brings another."""

_FETCHED_AHEAD = 4
"""So many objects are fetched at once. With one that waits and one that is read, six are in memory at most: files of
entries have a megabyte."""


def content_of(file: AuditFile, *, bytes_max: int, what: str) -> bytes:
    """Return a file's content.

    Raise AuditPlaceUnavailable when it cannot be read, or is larger than any that is `what`.
    """
    try:
        with file.open("rb") as opened:
            content = opened.read(bytes_max + 1)
    except OSError as error:
        raise AuditPlaceUnavailable(f"{file} cannot be read: {error.strerror}") from error
    if len(content) > bytes_max:
        raise AuditPlaceUnavailable(f"{file} has more than {bytes_max:,} bytes: it is no {what}; give another file")
    return content


def fetched_ahead(files: Sequence[AuditFile]) -> Generator[tuple[AuditFile, BinaryIO | None]]:
    """Give files in their order: an object with its content, a file of a folder with None, because it is opened fast.

    Each object takes a round trip, so the next ones are fetched while one is looked at. Raise AuditPlaceUnavailable.
    """
    waiting: deque[tuple[AuditFile, Future[BinaryIO] | None]] = deque()
    with ThreadPoolExecutor(_FETCHED_AHEAD, thread_name_prefix="earwitness audit files") as threads:
        try:
            for file in files:
                waiting.append((file, None if isinstance(file, Path) else threads.submit(file.open, "rb")))
                if len(waiting) > _FETCHED_AHEAD:
                    yield _fetched(waiting)
            while waiting:
                yield _fetched(waiting)
        finally:
            threads.shutdown(cancel_futures=True)


def _fetched(waiting: "deque[tuple[AuditFile, Future[BinaryIO] | None]]") -> tuple[AuditFile, BinaryIO | None]:
    file, content = waiting.popleft()
    return file, None if content is None else content.result()


class AuditPlace(Protocol):
    """Such a place. Every method raises AuditPlaceUnavailable."""

    @property
    def address(self) -> str:
        """Return what the operator calls it."""
        ...

    def add_checkpoint(self, chain: str, line: bytes, *, now: datetime) -> None:
        """Keep a checkpoint of a chain, made `now`; return when it is durable."""
        ...

    def put_entries(self, chain: str, *, first: int, last: int, lines: Iterable[bytes]) -> None:
        """Write a file of entries, whole or not at all; that it is there from a run before is no error."""
        ...

    def thin(self, *, now: datetime) -> None:
        """Keep one checkpoint of days that are over for a while, and none of those that are over for long."""
        ...

    def checkpoint_files(self) -> Sequence[AuditFile]:
        """Return the files of checkpoints."""
        ...

    def entry_files(self) -> Sequence[AuditFile]:
        """Return the files of entries, each chain in its order."""
        ...


def bucket_at(address: str, *, endpoint_url: str, region: str, clock: Callable[[], datetime]) -> AuditBucket:
    """Return the place of `s3://BUCKET/PREFIX`. Raise ConfigurationError for anything else."""
    reached = AwsSettings(
        endpoint_url=endpoint_url or None, connect_seconds=_CONNECT_SECONDS, read_seconds=_READ_SECONDS
    )
    bucket = bucket_of(address, AwsClients(reached), region=region)
    if bucket is None:
        raise ConfigurationError(f"{address!r} is no bucket; name a folder, or s3://BUCKET/PREFIX")
    return AuditBucket(bucket, clock=clock)


def place_of(address: str, *, endpoint_url: str, region: str, clock: Callable[[], datetime]) -> AuditPlace:
    """Return the place of a folder or a bucket. Raise ConfigurationError for an address that is neither."""
    if is_bucket(address):
        return bucket_at(address, endpoint_url=endpoint_url, region=region, clock=clock)
    if not address or "://" in address:
        raise ConfigurationError(f"the audit trail cannot go to {address!r}; name a folder, or s3://BUCKET/PREFIX")
    return AuditFolder(Path(address).expanduser())
