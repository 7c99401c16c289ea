"""Tables as text that spreadsheets write: commas, semicolons or tabs; UTF-8, UTF-16 or UTF-32."""

import codecs
import csv
import io
from collections.abc import Iterator
from pathlib import Path

from earwitness.errors import ManifestInvalid

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins with UTF-16's mark
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


def rows_of(path: Path, *, needed: set[str]) -> Iterator[tuple[int, dict[str, str | None]]]:
    """Each row with the number of its last line, by the names of the first row, without blanks around names.

    Raises ManifestInvalid when the file is no such table or lacks a needed column; it says which and where.
    """
    text = text_of(path)
    delimiter = _delimiter(text.partition("\n")[0], needed)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        names = [name.strip() for name in next(rows, list[str]())]
        told_by = _DELIMITERS[delimiter]
        if missing := needed - set(names):
            found = (
                f"its columns, told by {_DELIMITERS[delimiter]}, are {', '.join(names)}"
                if any(names)
                else "it is empty"
            )
            raise ManifestInvalid(f"{path.name} lacks the column {' and '.join(sorted(missing))}; {found}")
        for row in rows:
            if len(row) > len(names):
                raise ManifestInvalid(
                    f"{path.name} line {rows.line_num}: {len(row)} cells and {len(names)} columns; put a cell that "
                    f"holds {told_by} in quotes"
                )
            if any(cell.strip() for cell in row):
                yield rows.line_num, dict(zip(names, row, strict=False))
    except csv.Error as error:
        raise ManifestInvalid(f"{path.name} line {rows.line_num} cannot be read: {error}") from error


def _delimiter(heading: str, needed: set[str]) -> str:
    """The one that gives the needed columns; a comma when none does, unless another one is all there is."""
    for delimiter in _DELIMITERS:
        if needed <= {name.strip().strip('"') for name in heading.split(delimiter)}:
            return delimiter
    return "," if "," in heading else max(_DELIMITERS, key=heading.count)


def text_of(path: Path) -> str:
    """The file as text; ManifestInvalid when it cannot be read, or is in none of these encodings."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ManifestInvalid(f"the manifest {path} cannot be read: {error.strerror}") from error
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), None) or _unmarked(content)
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ManifestInvalid(
            f"the manifest {path} cannot be read as {encoding.upper()}: line {line} holds other bytes; save it as UTF-8"
        ) from error


def _unmarked(content: bytes) -> str:
    """Which encoding it is, as a table begins with a letter of ASCII."""
    if content[1:2] == b"\0":
        return "utf-16-le"
    return "utf-16-be" if content[:1] == b"\0" else "utf-8"
