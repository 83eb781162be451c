"""A reader at the browser: does what the sentences of a page say, and looks for what they say is shown.

These are the sentences that it understands; the rest of a page is for people:

    Open http://127.0.0.1:8080/path      go there
    write `text` into *Label*            fill in the field; also: the password from the second terminal into *Label*
    press *Name*                         press the button, the link, or what unfolds
    shows `text`                         the page has this text, at once or soon
    replace `old` with `new`             edit the file that the page is about
    Stop the executor with Ctrl-C        in the second terminal
"""

from __future__ import annotations

import re

from playwright.async_api import Page, expect

from tests.docs.terminal import TerminalReader

__all__ = ["ConsoleReader"]

_STEP = re.compile(
    r"open http://127\.0\.0\.1:8080(?P<open>/[\w/]*)?"
    r"|`(?P<text>[^`]+)` into \*(?P<field>[^*]+)\*"
    r"|(?P<password>the password) from the second terminal into \*(?P<password_field>[^*]+)\*"
    r"|press \*(?P<press>[^*]+)\*"
    r"|shows `(?P<shows>[^`]+)`"
    r"|replace `(?P<old>[^`]+)` with `(?P<new>[^`]+)`"
    r"|(?P<stop>stop the executor with Ctrl-C)",
    re.IGNORECASE,
)


class ConsoleReader:
    """Follows the sentences of a page.

    Args:
        page: The browser's.
        terminal: The two terminals.
        file: The file that the page is about.

    Attributes:
        steps: How many steps were done.
    """

    def __init__(self, page: Page, terminal: TerminalReader, *, file: str) -> None:
        self.steps = 0
        self._page = page
        self._terminal = terminal
        self._file = file

    async def follow_text(self, text: str) -> None:
        """Do each step of a text, in its order."""
        for step in _STEP.finditer(text):
            await self._take_step(step)
            self.steps += 1

    async def _take_step(self, step: re.Match[str]) -> None:
        if step["shows"]:
            await expect(self._page.get_by_text(step["shows"]).first).to_be_visible()
        elif step["press"]:
            await self._press(step["press"])
        elif step["field"]:
            await self._page.get_by_label(step["field"]).fill(step["text"])
        elif step["password"]:
            await self._page.get_by_label(step["password_field"]).fill(self._terminal.read_password())
        elif step["old"]:
            self._terminal.replace_text(self._file, step["old"], step["new"])
        elif step["stop"]:
            await self._page.goto("about:blank")
            await self._terminal.stop_serving()
        else:
            answer = await self._page.goto(f"http://127.0.0.1:{self._terminal.port}{step['open'] or '/'}")
            assert answer, step[0]
            assert answer.ok, step[0]

    async def _press(self, name: str) -> None:
        exact = re.compile(rf"^{re.escape(name)}( \d+)?$")  # "Inbox 1" is the link to the inbox
        button = self._page.get_by_role("button", name=exact)
        link = self._page.get_by_role("link", name=exact)
        unfolding = self._page.locator("summary", has_text=exact)
        await button.or_(link).or_(unfolding).first.click()
