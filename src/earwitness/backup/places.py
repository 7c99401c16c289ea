"""Where backups and ledgers lie: a folder, or a bucket under a prefix. Files come whole or not at all.

What belongs here: names and bytes. What must never: what is in them.
"""

import errno
import fcntl
import os
import re
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from earwitness.aws.buckets import Bucket, bucket_of
from earwitness.aws.clients import AwsClients, AwsSettings
from earwitness.errors import BackupInvalid, BackupPlaceUnavailable, BucketUnavailable, ConfigurationError

FILE_BYTES_MAX = 256 * 2**20
"""Of one file; ours have a tenth of it."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_UPLOAD_SECONDS = 120.0
_PAGE_BYTES = 4_096
_PAST_CACHE = getattr(os, "O_DIRECT", 0)  # Linux has it


class Place(Protocol):
    """A place. Every method raises BackupPlaceUnavailable."""

    @property
    def address(self) -> str:
        """Return what the operator calls it."""
        ...

    def put(self, name: str, content: bytes) -> None:
        """Write a file, durably; it has this content or, after a failure, the one it had before."""
        ...

    def put_soon(self, name: str, content: memoryview) -> None:
        """Write a new file that is durable after `settle`. It is fastest with content that begins a page of memory."""
        ...

    def settle(self, names: Sequence[str]) -> None:
        """Make files durable that were written by `put_soon`, all in one folder."""
        ...

    def get(self, name: str) -> bytes:
        """Return a file's content. Raise BackupInvalid when there is none, or it is larger than any of ours."""
        ...

    def names(self, prefix: str) -> list[str]:
        """Return the names of all files whose names begin so, sorted; none where nothing is."""
        ...

    def delete(self, name: str) -> None:
        """Delete a file; one that is not there is no error."""
        ...


def place_of(address: str, *, endpoint_url: str = "", region: str = "us-east-1") -> Place:
    """Return the place of a folder or of `s3://BUCKET/PREFIX`. Raise ConfigurationError for anything else."""
    if "://" not in address:
        if not address:
            raise ConfigurationError("the place of the backups is empty; name a folder, or s3://BUCKET/PREFIX")
        return FolderPlace(Path(address).expanduser().absolute())
    clients = AwsClients(AwsSettings(endpoint_url=endpoint_url or None, read_seconds=_UPLOAD_SECONDS))
    bucket = bucket_of(address, clients, region=region)
    if bucket is None:
        raise ConfigurationError(f"backups cannot lie at {address!r}; name a folder, or s3://BUCKET/PREFIX")
    return BucketPlace(bucket)


class FolderPlace:
    """A folder. Its files can be read by their owner alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def address(self) -> str:
        """See `Place`."""
        return str(self._folder)

    def put(self, name: str, content: bytes) -> None:
        """See `Place`."""
        path = self._path(name)
        with self._errors("written"):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(temporary, path)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise
            _sync(path.parent)

    def put_soon(self, name: str, content: memoryview) -> None:
        """See `Place`. To sync each of many files takes many times as long as to sync all at their end."""
        path = self._path(name)
        with self._errors("written"):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                written = _write_past_cache(descriptor, content)
                while written < len(content):
                    written += os.write(descriptor, content[written:])
            finally:
                os.close(descriptor)

    def settle(self, names: Sequence[str]) -> None:
        """See `Place`."""
        with self._errors("written"):
            for name in names:
                _sync(self._path(name))
            if names:
                _sync(self._path(names[0]).parent)
                _sync(self._path(names[0]).parent.parent)

    def get(self, name: str) -> bytes:
        """See `Place`."""
        path = self._path(name)
        with self._errors("read"):
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
            except FileNotFoundError:
                raise BackupInvalid(f"{name} is missing at {self.address}; it was deleted, or never written") from None
            with os.fdopen(descriptor, "rb") as file:
                return _bounded(name, file.read(FILE_BYTES_MAX + 1))

    def names(self, prefix: str) -> list[str]:
        """See `Place`."""
        folder = self._folder / prefix.rpartition("/")[0]
        found: list[str] = []
        with self._errors("read"):
            for parent, folders, files in os.walk(folder, onerror=_raise):
                folders.sort()
                found += [(Path(parent) / file).relative_to(self._folder).as_posix() for file in files]
        return sorted(one for one in found if one.startswith(prefix) and _NAME.fullmatch(one))

    def delete(self, name: str) -> None:
        """See `Place`. A folder that is empty then is removed too."""
        path = self._path(name)
        with self._errors("deleted"):
            path.unlink(missing_ok=True)
            if path.parent != self._folder and path.parent.exists() and not any(path.parent.iterdir()):
                path.parent.rmdir()
                _sync(path.parent.parent)

    def _path(self, name: str) -> Path:
        _require_name(name)
        return self._folder / name

    @contextmanager
    def _errors(self, what: str) -> Generator[None]:
        try:
            yield
        except OSError as error:
            raise BackupPlaceUnavailable(
                f"{self._folder} cannot be {what}: {error.strerror or error}; look after it, and run this again"
            ) from error


class BucketPlace:
    """A bucket of S3, or of what speaks as S3 does."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    @property
    def address(self) -> str:
        """See `Place`."""
        return self._bucket.address

    def put(self, name: str, content: bytes) -> None:
        """See `Place`."""
        _require_name(name)
        with _errors_of_bucket():
            self._bucket.put(name, content)

    def put_soon(self, name: str, content: memoryview) -> None:
        """See `Place`."""
        self.put(name, bytes(content))

    def settle(self, names: Sequence[str]) -> None:
        """See `Place`. What a bucket has taken is durable."""

    def get(self, name: str) -> bytes:
        """See `Place`."""
        _require_name(name)
        with _errors_of_bucket():
            content = self._bucket.get(name, bytes_max=FILE_BYTES_MAX + 1)
        if content is None:
            raise BackupInvalid(f"{name} is missing at {self.address}; it was deleted, or never written")
        return _bounded(name, content)

    def names(self, prefix: str) -> list[str]:
        """See `Place`."""
        with _errors_of_bucket():
            return [one for one in self._bucket.names(prefix) if _NAME.fullmatch(one)]

    def delete(self, name: str) -> None:
        """See `Place`."""
        _require_name(name)
        with _errors_of_bucket():
            self._bucket.delete(name)


@contextmanager
def _errors_of_bucket() -> Generator[None]:
    try:
        yield
    except BucketUnavailable as error:
        raise BackupPlaceUnavailable(f"{error}; mend that, and run this again") from error


def _require_name(name: str) -> None:
    """Raise BackupInvalid for a name that none of ours is; one that climbs out of the place among them."""
    if not _NAME.fullmatch(name) or ".." in name:
        raise BackupInvalid("a file is named in a way that no backup names one; take another backup")


def _bounded(name: str, content: bytes) -> bytes:
    if len(content) > FILE_BYTES_MAX:
        raise BackupInvalid(f"{name} is larger than any file of a backup; take another backup")
    return content


def _raise(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _write_past_cache(descriptor: int, content: memoryview) -> int:
    """Write content to the disk itself, as far as its pages are whole, and return how many bytes that were.

    So the system's cache of files keeps what a running service reads, and little is left to be written when files are
    made durable. Not every file system can, nor every alignment in memory: then it is fewer bytes, or none.
    """
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    size, written = len(content) // _PAGE_BYTES * _PAGE_BYTES, 0
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | _PAST_CACHE)
        while written < size:
            written += os.write(descriptor, content[written:size])
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
            raise
    finally:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags)
    return written


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
