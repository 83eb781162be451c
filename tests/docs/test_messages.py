"""The messages that the pages explain are messages of the product, and what they say of the log is so."""

from __future__ import annotations

import ast
import json
import logging
from collections.abc import Iterator
from functools import cache
from io import StringIO
from pathlib import Path

import pytest
import structlog

from flowlet.log_setup import configure_logging
from flowlet.testing import Harness
from tests.docs.pages import ROOT, read_block_text, read_table_rows

TROUBLESHOOTING_PAGE = "docs/how-to/troubleshoot.md"
LOG_PAGE = "docs/how-to/log-and-debug.md"
HEADINGS = ("A module is not loaded", "Nothing runs", "The database", "The API and the console")


@pytest.fixture
def log_output() -> Iterator[StringIO]:
    """What is logged as JSON."""
    root, output = logging.getLogger(), StringIO()
    handlers, level = list(root.handlers), root.level
    configure_logging(log_format="json", output=output)
    yield output
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize("heading", HEADINGS)
def test_every_explained_message_is_one_of_the_product(heading: str) -> None:
    messages = [names[0] for names, _ in read_table_rows(TROUBLESHOOTING_PAGE, heading)]

    unknown = [message for message in messages if not is_message(message)]

    assert messages
    assert not unknown


def test_a_message_that_the_product_does_not_have_is_found() -> None:
    assert not is_message("the database has too many Flowlet tables.")


async def test_lines_of_a_handler_have_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log_output: StringIO
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "parcel.py").write_text(read_block_text(LOG_PAGE, "parcel.py"))

    async with Harness("parcel") as flow:
        id = await flow.start("ParcelWorkflow", vars={"weight": 3})
        history = [line.text for line in await flow.history(id) if line.text]

    lines = [json.loads(line) for line in log_output.getvalue().splitlines()]
    line = next(line for line in lines if line["logger"] == "parcel")
    assert line["event"] == "sending a parcel of 3 kg"
    assert {"workflow_id", "external_id", "type", "state", "attempt", "token"} <= set(line)
    assert f'"workflow_id": {id}' in log_output.getvalue()
    assert history == ["handed to the parcel service"]


def is_message(message: str) -> bool:
    """Return whether one text of the source has all parts of a message, in their order; three dots are what differs."""
    parts = [part.strip() for part in message.split("...") if part.strip()]
    return any(has_parts(text, parts) for text in list_texts())


def has_parts(text: str, parts: list[str]) -> bool:
    place = 0
    for part in parts:
        place = text.find(part, place)
        if place < 0:
            return False
        place += len(part)
    return True


@cache
def list_texts() -> tuple[str, ...]:
    """Return every text of the source: one of several literals in one piece, with three dots for what is inserted."""
    texts = []
    for path in sorted((ROOT / "flowlet").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                pieces = [one.value if isinstance(one, ast.Constant) else "..." for one in node.values]
                texts.append("".join(map(str, pieces)))
    return tuple(texts)
