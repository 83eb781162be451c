"""Lines of Markdown wrap at 120 characters, except in code blocks, tables and headings."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import ROOT, list_pages

MAX_LINE_LENGTH = 120
UNWRAPPED = ("|", "#")
"""The beginnings of lines that Markdown cannot wrap: rows of tables, and headings."""


@pytest.mark.parametrize("page", list_pages(), ids=lambda page: page.name)
def test_prose_wraps(page: Path) -> None:
    long = [number for number, line in _list_prose(page) if len(line) > MAX_LINE_LENGTH]

    assert not long, f"{page.relative_to(ROOT)} has lines above {MAX_LINE_LENGTH} characters: {long}"


def _list_prose(page: Path) -> list[tuple[int, str]]:
    """Return the lines outside of code blocks, tables and headings, with their numbers."""
    lines, is_code = [], False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        if line.lstrip().startswith("```"):
            is_code = not is_code
        elif not is_code and not line.startswith(UNWRAPPED):
            lines.append((number, line))
    return lines
