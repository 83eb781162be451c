"""Every block of every page: its language is known, and something checks it."""

from __future__ import annotations

import ast
import configparser
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import asyncpg
import yaml

from flowlet import errors
from flowlet.client import errors as client_errors
from tests.docs.pages import ROOT, list_pages, read_blocks
from tests.docs.test_messages import is_message
from tools.doc_blocks import write_blocks

CHECKED_ELSEWHERE = {
    "console": "tests/docs/test_commands.py, the tutorial's in tests/browser/test_tutorial.py",
    "dockerfile": "tests/house/test_image.py",
    "python": "make lint, by tools/doc_blocks.py",
    "sh": "tests/docs/test_commands.py",
    "sql": "tests/store/test_rights.py, and below",
}
PARSED = {"ini", "json", "toml", "yaml", "js", "mermaid", "text", ""}
ALL_BLOCKS = [(page.relative_to(ROOT).as_posix(), block) for page in list_pages() for block in read_blocks(page)]


def read_texts(*languages: str) -> list[tuple[str, str]]:
    """Return the blocks in these languages, each with its page."""
    return [(page, block.text) for page, block in ALL_BLOCKS if block.language in languages]


def test_something_checks_the_blocks_of_every_language() -> None:
    assert {block.language for _, block in ALL_BLOCKS} <= {*CHECKED_ELSEWHERE, *PARSED}


def test_the_blocks_of_data_can_be_parsed() -> None:
    unit: Any = configparser.RawConfigParser(strict=False, allow_no_value=True)

    for _, text in read_texts("json"):
        json.loads(text)
    for _, text in read_texts("toml"):
        tomllib.loads(text)
    for _, text in read_texts("yaml"):
        assert yaml.safe_load(text)
    for _, text in read_texts("ini"):
        unit.read_string(text if text.startswith("[") else f"[file]\n{text}")


def test_every_block_of_python_is_written_for_mypy(tmp_path: Path) -> None:
    count = write_blocks(tmp_path)

    written = list(tmp_path.rglob("*.py"))
    for path in written:
        ast.parse(path.read_text(encoding="utf-8"))
    assert len(written) == count == len(read_texts("python"))


async def test_the_database_of_the_page_is_made_in_utf_8(empty_postgres_url: str) -> None:
    page = "docs/how-to/connect-to-a-server.md"
    (statement,) = [text for each, text in read_texts("sql") if each == page]
    connection = await asyncpg.connect(empty_postgres_url)

    try:
        await connection.execute(statement.replace("shop", "shop_in_utf_8"))
        encoding = "SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = 'shop_in_utf_8'"
        assert await connection.fetchval(encoding) == "UTF8"
        await connection.execute("DROP DATABASE shop_in_utf_8")
    finally:
        await connection.close()


def test_the_trees_of_errors_are_those_of_the_classes() -> None:
    trees = [(page, text) for page, text in read_texts("text") if "└──" in text]
    modules: dict[str, Any] = {"docs/reference/errors.md": errors, "docs/reference/client.md": client_errors}

    assert {page for page, _ in trees} == set(modules)
    for page, text in trees:
        for name, parent in read_tree(text):
            assert getattr(modules[page], name).__mro__[1].__name__ == parent, name


def test_reasons_and_events_that_pages_show_are_those_of_the_product() -> None:
    reasons = [line for _, text in read_texts("") for line in text.splitlines() if line.startswith("waits for another")]
    first = reasons[0].partition(":")[0]

    assert is_message(f"{first}: ...")
    for _, text in read_texts(""):
        for event in re.findall(r'^\{"id":.+', text, re.MULTILINE):
            shown = json.loads(event.replace(",...", ""))
            assert set(shown) <= EVENT_FIELDS


EVENT_FIELDS = {"id", "workflowId", "workflowType", "externalId", "type", "fromState", "toState"}


def read_tree(text: str) -> list[tuple[str, str]]:
    """Return each name of a tree but the first, with the name above it."""
    found: list[tuple[str, str]] = []
    above: dict[int, str] = {}
    for line in text.splitlines():
        name = line.lstrip("│├└─ ")
        depth = (len(line) - len(name)) // 4
        if depth:
            found.append((name, above[depth - 1]))
        above[depth] = name
    return found
