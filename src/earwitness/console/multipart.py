"""Forms with files as browsers send them (multipart/form-data, RFC 7578): fed bytes, calls back with fields and files.

Nothing is kept of a file here, and little of anything else: names of fields, the heads of parts and the fields together
are bounded. What belongs here: where parts begin and end. What must never: sockets, what a field means.
"""

import re
from collections.abc import Callable
from enum import Enum, auto
from typing import TypeAlias

from earwitness.errors import BadRequest

HEAD_BYTES_MAX = 4_096
"""Of one part: browsers send its name, the file's name and type."""

FIELD_BYTES_MAX = 65_536
"""Of all fields that are no files together; as a form without files may have."""

BOUNDARY_BYTES_MAX = 70
"""RFC 2046, 5.1.1."""

KeepPiece: TypeAlias = Callable[[bytes], object]

_BOUNDARY = re.compile(r'multipart/form-data\s*;\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))\s*', re.ASCII | re.I)
_NAME = re.compile(r'form-data\s*;\s*name="([A-Za-z0-9]{1,64})"(?:\s*;\s*filename="([^"\r\n]*)")?\s*', re.I)

_DAMAGED = "the form cannot be read; open the page again and send it again"
CUT_OFF = "the form was cut off on its way; send it again"


def boundary_of(content_type: str) -> bytes:
    """Return what divides the parts of a form with files. Raise BadRequest for another content type."""
    found = _BOUNDARY.fullmatch(content_type.strip())
    if found is None:
        raise BadRequest("this is no form with files; open the console and send it there")
    return (found[1] or found[2]).encode("ascii", "replace")


class _State(Enum):
    BEGIN = auto()
    HEAD = auto()
    BODY = auto()
    AFTER_DELIMITER = auto()
    END = auto()


class FormReader:
    """Reads one form. Raise BadRequest for what is none, at the first byte that shows it."""

    def __init__(
        self,
        boundary: bytes,
        *,
        take_field: Callable[[str, str], None],
        begin_file: Callable[[str, str], KeepPiece],
        parts_max: int,
    ) -> None:
        """`take_field` gets the name and text of a field; `begin_file` the field and name of a file, and returns what
        keeps its pieces. A file's name is what a stranger says, and nothing else."""
        self._delimiter = b"\r\n--" + boundary
        self._take_field = take_field
        self._begin_file = begin_file
        self._parts_max = parts_max
        self._buffer = bytearray(b"\r\n")  # so that the first delimiter is like all others
        self._state = _State.BEGIN
        self._parts = 0
        self._field_bytes = 0
        self._field: tuple[str, bytearray] | None = None
        self._keep: KeepPiece | None = None

    def feed(self, piece: bytes) -> None:
        """Read more of the form."""
        self._buffer += piece
        while self._step():
            continue

    def end(self) -> None:
        """Raise BadRequest when the form is not at its end."""
        if self._state is not _State.END:
            raise BadRequest(CUT_OFF)

    def _step(self) -> bool:
        """Return whether there may be more to read in what is there."""
        match self._state:
            case _State.BEGIN:
                return self._begin()
            case _State.HEAD:
                return self._head()
            case _State.BODY:
                return self._body()
            case _State.AFTER_DELIMITER:
                return self._after_delimiter()
            case _State.END:
                self._buffer.clear()  # an epilogue says nothing
                return False

    def _begin(self) -> bool:
        if len(self._buffer) < len(self._delimiter):
            return False
        if not self._buffer.startswith(self._delimiter):
            raise BadRequest(_DAMAGED)
        del self._buffer[: len(self._delimiter)]
        self._state = _State.AFTER_DELIMITER
        return True

    def _after_delimiter(self) -> bool:
        if len(self._buffer) < 2:
            return False
        following = bytes(self._buffer[:2])
        del self._buffer[:2]
        if following == b"--":
            self._state = _State.END
        elif following == b"\r\n":
            self._parts += 1
            if self._parts > self._parts_max:
                raise BadRequest(f"the form has more than {self._parts_max} parts; send fewer files")
            self._state = _State.HEAD
        else:
            raise BadRequest(_DAMAGED)
        return True

    def _head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end > HEAD_BYTES_MAX or (end < 0 and len(self._buffer) > HEAD_BYTES_MAX):
            raise BadRequest(_DAMAGED)
        if end < 0:
            return False
        name, file_name = _named(bytes(self._buffer[:end]))
        del self._buffer[: end + 4]
        if file_name is None:
            self._field, self._keep = (name, bytearray()), self._keep_field
        else:
            self._field, self._keep = None, self._begin_file(name, file_name)
        self._state = _State.BODY
        return True

    def _keep_field(self, piece: bytes) -> None:
        self._field_bytes += len(piece)
        if self._field_bytes > FIELD_BYTES_MAX:
            raise BadRequest(f"the fields of the form are longer than {FIELD_BYTES_MAX} bytes; shorten them")
        if self._field is not None:
            self._field[1].extend(piece)

    def _body(self) -> bool:
        found = self._buffer.find(self._delimiter)
        # The last bytes may be the beginning of a delimiter.
        ready = found if found >= 0 else max(0, len(self._buffer) - len(self._delimiter) + 1)
        if ready and self._keep is not None:
            self._keep(bytes(self._buffer[:ready]))
        del self._buffer[:ready]
        if found < 0:
            return False
        del self._buffer[: len(self._delimiter)]
        if self._field is not None:
            self._take_field(self._field[0], _text(self._field[1]))
        self._field = self._keep = None
        self._state = _State.AFTER_DELIMITER
        return True


def _named(head: bytes) -> tuple[str, str | None]:
    """Return the field of a part and the name of its file; None for a field without one."""
    for line in _text(head).split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() == "content-disposition":
            found = _NAME.fullmatch(value.strip())
            if found is not None:
                return found[1], found[2]
    raise BadRequest(_DAMAGED)


def _text(content: bytes | bytearray) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise BadRequest("the form is not in UTF-8; open the console and send it there") from None
