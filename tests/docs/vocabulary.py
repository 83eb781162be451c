"""The tables of the vocabulary page, row by row."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tests.docs.pages import ROOT

__all__ = ["read_column", "read_rows", "read_table_cells"]


PAGE = "docs/reference/vocabulary.md"

Row = Mapping[str, list[str]]


def read_table_cells(heading: str) -> list[tuple[list[str], list[str]]]:
    """Return the rows of a table whose first cell is plain text: the names in each row, and its cells."""
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    section = text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|") and not line.startswith("|--")]
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [(re.findall(r"`([^`]+)`", " ".join(cells)), cells) for cells in table]


def read_rows(heading: str) -> list[Row]:
    """Return the rows of a table by the heading of each column: the names in a cell, or its text; none for a dash."""
    (_, headings), *rows = read_table_cells(heading)
    names = [cell.strip("`") for cell in headings]
    return [dict(zip(names, map(read_cell, cells), strict=True)) for _, cells in rows]


def read_cell(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell) or ([] if cell in ("—", "") else [cell])


def read_column(heading: str, column: str) -> list[str]:
    """Return every name of a column, which has none twice."""
    names = [name for row in read_rows(heading) for name in row[column]]
    assert len(names) == len(set(names)), f"{column}: {sorted(names)}"
    return names
