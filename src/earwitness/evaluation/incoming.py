"""Labelled calls that somebody sends: a private folder, files under the names they were sent with, or in a ZIP archive.

Sizes, counts and names are bounded. What belongs here: what lies where. What must never: listening.
"""

import fcntl
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO

from earwitness.errors import BadRequest, BodyTooLarge, Unavailable

PREFIX = "earwitness-evaluation-"
MANIFEST = "manifest.csv"
LOCK = ".lock"

FILES_MAX = 2_000
SENT_BYTES_MAX = 500_000_000
SENT_SECONDS_MAX = 900.0
UNPACKED_BYTES_MAX = 2_000_000_000

_NAME = re.compile(r"[^\x00-\x1f\x7f<>:\"|?*\\/]{1,120}")
_DEPTH_MAX = 8
_PIECE_BYTES = 1 << 20


class IncomingCalls:
    """A folder of recordings and their manifest, as they come."""

    def __init__(self) -> None:
        try:
            self.folder = Path(tempfile.mkdtemp(prefix=PREFIX))  # for nobody else: mode 0700
        except OSError as error:
            raise _no_room(error) from error
        # It ends with this process; without it the next one would delete the folder.
        self._lock = (self.folder / LOCK).open("wb")
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._open: IO[bytes] | None = None
        self._files = 0
        self.archive: Path | None = None
        self._is_kept = False

    def begin_file(self, field: str, file_name: str) -> Callable[[bytes], object]:
        """Return what keeps the pieces of a file. Raise BadRequest for a field or name that is none."""
        self.close()
        if not file_name:  # nothing was chosen
            return len
        self._files += 1
        if self._files > FILES_MAX:
            raise BadRequest(f"more than {FILES_MAX} files were sent; send fewer, or a ZIP archive")
        if field == "manifest":
            path = self.folder / MANIFEST
        elif field == "archive":
            path = self.archive = self.folder / "sent.zip"
        elif field == "recordings":
            path = self._place(file_name)
        else:
            raise BadRequest("the form has a file that it does not take; open the page again and send it again")
        try:
            self._open = path.open("xb")
        except FileExistsError:
            raise BadRequest("two files of one name were sent; give each a name of its own") from None
        except OSError as error:
            raise _no_room(error) from error
        return self._keep

    def _keep(self, piece: bytes) -> None:
        try:
            if self._open is not None:
                self._open.write(piece)
        except OSError as error:
            raise _no_room(error) from error

    def close(self) -> None:
        """Finish the file that came last."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def complete(self) -> None:
        """Unpack an archive. Raise BadRequest, without a manifest too, and BodyTooLarge."""
        self.close()
        if self.archive is not None:
            self._unpack(self.archive)
            self.archive.unlink()
        if not (self.folder / MANIFEST).is_file():
            raise BadRequest(
                "there is no manifest; send a CSV file with the columns file and speaker_id, in an archive as "
                f"{MANIFEST}"
            )

    def keep(self) -> None:
        """Leave it to whoever evaluates it, who removes it then."""
        self._is_kept = True

    def remove_unless_kept(self) -> None:
        """Delete everything that was sent, unless somebody evaluates it."""
        if not self._is_kept:
            self.remove()

    def remove(self) -> None:
        """Delete everything that was sent."""
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.close()

    def _unpack(self, archive: Path) -> None:
        try:
            with zipfile.ZipFile(archive) as packed:
                members = [one for one in packed.infolist() if not one.is_dir()]
                if len(members) > FILES_MAX:
                    raise BadRequest(f"the archive has more than {FILES_MAX} files; send fewer")
                if any(one.flag_bits & 1 for one in members):
                    raise BadRequest("the archive is encrypted; send it without a password")
                left = UNPACKED_BYTES_MAX
                for member in members:
                    with packed.open(member) as source:
                        left = self._copy(source, self._place(member.filename), left)
        except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError) as error:
            raise BadRequest("the archive cannot be unpacked; send a ZIP file, or the files themselves") from error
        except OSError as error:
            raise _no_room(error) from error

    def _copy(self, source: IO[bytes], path: Path, left: int) -> int:
        """Copy what is really there: an archive may lie about its sizes."""
        try:
            with path.open("xb") as target:
                while piece := source.read(_PIECE_BYTES):
                    left -= len(piece)
                    if left < 0:
                        raise BodyTooLarge(
                            f"the archive holds more than {UNPACKED_BYTES_MAX // 1_000_000} MB; send fewer recordings"
                        )
                    target.write(piece)
        except FileExistsError:
            raise BadRequest("the archive has two files of one name; give each a name of its own") from None
        return left

    def _place(self, name: str) -> Path:
        """Return where a file of this name goes: below the folder, whatever it says."""
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if not 1 <= len(parts) <= _DEPTH_MAX or any(one in (".", "..") or not _NAME.fullmatch(one) for one in parts):
            raise BadRequest("a file has a name that cannot be used; use letters, digits, - and _, in folders at most")
        path = self.folder.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return path


def _no_room(error: OSError) -> Unavailable:
    return Unavailable(
        f"the calls cannot be kept while they are evaluated ({error.strerror or error}); make room in the service's "
        "temporary folder, and try again"
    )
