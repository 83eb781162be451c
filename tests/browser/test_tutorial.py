"""The tutorial, followed from its first line to its last one: in an editor, two terminals and a browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Browser

from tests.browser.browser_tab import mark_browser_tests
from tests.docs.console_reader import ConsoleReader
from tests.docs.pages import read_parts
from tests.docs.terminal import TerminalReader

pytestmark = mark_browser_tests(__name__)

TUTORIAL_PAGE = "docs/tutorial/first-workflow.md"
STEPS_IN_SENTENCES = 23
"""How many steps of the page are sentences: one that is worded otherwise would be left out silently."""


@pytest.mark.timeout(240)
async def test_the_tutorial_does_what_it_says(chromium: Browser, tmp_path: Path) -> None:
    context = await chromium.new_context()
    terminal = TerminalReader(tmp_path)
    console = ConsoleReader(await context.new_page(), terminal, file="article.py")

    try:
        for part in read_parts(TUTORIAL_PAGE):
            if isinstance(part, str):
                await console.follow_text(part)
            else:
                await terminal.follow_block(part)
    finally:
        await terminal.stop_serving()
        await context.close()

    assert console.steps == STEPS_IN_SENTENCES
