"""The pages of the documentation, and the blocks of code in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ROOT", "CodeBlock", "list_pages", "read_block_text", "read_blocks", "read_parts", "read_table_rows"]

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r'^```(\w*)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
_CELL = re.compile(r"`([^`]+)`")


@dataclass(frozen=True, slots=True)
class CodeBlock:
    """A fenced block: its language, its title (a file's name, or the terminal it belongs to), its text."""

    language: str
    title: str
    text: str


def list_pages() -> list[Path]:
    """Return every page that people read, the README first."""
    top = [ROOT / name for name in ("README.md", "CHANGELOG.md", "DECISIONS.md", "CONTRIBUTING.md")]
    return [*top, *sorted((ROOT / "docs").rglob("*.md"))]


def read_blocks(page: Path | str) -> list[CodeBlock]:
    """Return the blocks of a page, in their order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [CodeBlock(language, title, body) for language, title, body in _BLOCK.findall(text)]


def read_parts(page: Path | str) -> list[CodeBlock | str]:
    """Return a page in its order: each block, and the text before, between and after them on one line."""
    text = (ROOT / page).read_text(encoding="utf-8")
    parts: list[CodeBlock | str] = []
    end = 0
    for match in _BLOCK.finditer(text):
        parts += [" ".join(text[end : match.start()].split()), CodeBlock(*match.groups(default=""))]
        end = match.end()
    return [*parts, " ".join(text[end:].split())]


def read_block_text(page: Path | str, title: str) -> str:
    """Return the text of the last block of a page with this title."""
    return [block.text for block in read_blocks(page) if block.title == title][-1]


def read_table_rows(page: str, heading: str) -> list[tuple[list[str], list[str]]]:
    """Return the table rows under a heading, up to the next one: the names in the first cell, and all cells."""
    text = (ROOT / page).read_text(encoding="utf-8")
    section = re.split(rf"^#+ {re.escape(heading)}$", text, maxsplit=1, flags=re.MULTILINE)[1]
    section = re.split(r"^#+ ", section, maxsplit=1, flags=re.MULTILINE)[0]
    lines = [line for line in section.splitlines() if line.startswith("|") and not line.startswith("|--")]
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [(_CELL.findall(cells[0]), cells) for cells in table if _CELL.findall(cells[0])]
