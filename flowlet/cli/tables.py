"""Tables for the terminal: they fit its width, and no id is ever broken over lines.

A table that is too wide first loses its optional columns, the least important one first; then names are cut, with an
ellipsis. Where output is not a terminal, everything is printed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flowlet.text import escape_control_characters

__all__ = ["TableColumn", "build_table", "create_console", "fit_table", "print_table"]

UNLIMITED_WIDTH = 10_000
MIN_CUT_WIDTH = 8
"""How short a name may be cut, in characters."""
_GAP = 3
"""Characters between two columns; the edges of the table have as many together."""


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column.

    Attributes:
        title: Its heading.
        may_be_cut: Whether its texts may be shortened with an ellipsis; ids, statuses and times may not.
        rank: If the table is too wide, columns are left out from the highest rank to 1; one of rank 0 always stays.
    """

    title: str
    may_be_cut: bool = False
    rank: int = 0


def create_console(*, stderr: bool = False) -> Console:
    """Return a console on stdout, or on stderr. If that is not a terminal, it never wraps or shortens."""
    terminal = Console(stderr=stderr)
    return terminal if terminal.is_terminal else Console(width=UNLIMITED_WIDTH, highlight=False, stderr=stderr)


def print_table(columns: Sequence[TableColumn], rows: Iterable[Sequence[object]]) -> None:
    """Print a table of plain texts on stdout, as wide as the terminal is."""
    console = create_console()
    console.print(fit_table(columns, rows, width=console.width))


def fit_table(columns: Sequence[TableColumn], rows: Iterable[Sequence[object]], *, width: int) -> Table:
    """Return a table of plain texts that fits a width, with one line for each row."""
    cells = [[escape_control_characters(cell) for cell in row] for row in rows]
    natural = [
        max([cell_len(column.title), *(cell_len(row[index]) for row in cells)]) for index, column in enumerate(columns)
    ]
    least = [
        min(natural[index], max(cell_len(column.title), MIN_CUT_WIDTH)) if column.may_be_cut else natural[index]
        for index, column in enumerate(columns)
    ]
    shown = _choose_columns(columns, least, width)
    widths = _widen_columns(natural, least, shown, width)
    drawn = Table(box=SIMPLE_HEAD, pad_edge=False)
    for index in shown:
        drawn.add_column(columns[index].title, no_wrap=True, overflow="ellipsis", width=widths[index])
    for row in cells:
        drawn.add_row(*(Text(row[index]) for index in shown))
    return drawn


def build_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """Return a table of plain texts whose long cells continue on the next line."""
    drawn = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        drawn.add_column(column, overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(escape_control_characters(cell)) for cell in row))
    return drawn


def _choose_columns(columns: Sequence[TableColumn], widths: Sequence[int], width: int) -> list[int]:
    """Return the indexes of the columns that fit, with at least these widths."""
    shown = list(range(len(columns)))
    while _measure_table(widths, shown) > width:
        optional = [index for index in shown if columns[index].rank]
        if not optional:
            break
        shown.remove(max(optional, key=lambda index: columns[index].rank))
    return shown


def _widen_columns(natural: Sequence[int], least: Sequence[int], shown: Sequence[int], width: int) -> list[int]:
    """Return the width of each column: room that is left goes to the columns that were cut, from the left."""
    widths = list(least)
    room = width - _measure_table(least, shown)
    for index in shown:
        more = max(0, min(room, natural[index] - least[index]))
        widths[index] += more
        room -= more
    return widths


def _measure_table(widths: Sequence[int], shown: Sequence[int]) -> int:
    return sum(widths[index] + _GAP for index in shown)
