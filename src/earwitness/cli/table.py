"""Tables: fitted to a terminal without cutting an id, and as plain rows into a file or pipe."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape

from earwitness.cli.output import note, out, say, visible

_GAP = 2
_FOLDED_MIN = 12


@dataclass(frozen=True)
class TableColumn:
    """A column of a table; the important ones come first."""

    title: str
    folds: bool = False
    """Free text may go over several lines; an id, a number or a time never does."""


def print_table(
    columns: Sequence[TableColumn | str],
    rows: Sequence[Sequence[str]],
    *,
    title: str = "",
    bold: Collection[int] = (),
    to: Console = out,
) -> None:
    """Print rows under their titles; those whose numbers are in `bold` stand out on a terminal.

    On a terminal, columns that do not fit are left out from the right and named on standard error. Into a file or pipe
    a row is one line with tabs between its cells, whole, after a line of titles.
    """
    known = [column if isinstance(column, TableColumn) else TableColumn(column) for column in columns]
    cells = [[[visible(line) for line in cell.split("\n")] for cell in row] for row in rows]
    if title:
        say("{}", title, to=to)
    if not to.is_terminal:
        for line in [[column.title for column in known], *([" ".join(cell) for cell in row] for row in cells)]:
            to.file.write("\t".join(line) + "\n")  # rich would turn tabs into blanks
        return
    fitted = _fitting(known, cells, width=to.width)
    _print_fitted(known[:fitted], cells, bold, to)
    if fitted < len(known):
        missing = ", ".join(column.title for column in known[fitted:])
        say("[dim]no room for {}: widen the window, pipe this, or use --json[/dim]", missing, to=note)


def _print_fitted(columns: list[TableColumn], cells: list[list[list[str]]], bold: Collection[int], to: Console) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0))
    for column in columns:
        table.add_column(escape(column.title), overflow="fold", no_wrap=not column.folds)
    for number, row in enumerate(cells):
        style = "bold" if number in bold else None
        table.add_row(*(escape("\n".join(cell)) for cell in row[: len(columns)]), style=style)
    to.print(table)


def _fitting(columns: list[TableColumn], cells: list[list[list[str]]], *, width: int) -> int:
    """How many columns, from the left, have room; the first one always has."""
    used = 0
    for number, column in enumerate(columns):
        lines = [column.title, *(line for row in cells for line in row[number])]
        wide = max(map(cell_len, lines))
        used += min(wide, max(_FOLDED_MIN, cell_len(column.title))) if column.folds else wide
        if used > width and number > 0:
            return number
        used += _GAP
    return len(columns)
