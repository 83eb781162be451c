"""A reader at the terminal: types the commands of a page, and compares what comes with what the page shows."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from tests.database_servers import find_free_port
from tests.docs.pages import CodeBlock

__all__ = ["TerminalReader"]

READ_ONLY_COMMANDS = ("flowlet show", "flowlet list", "flowlet doctor")
"""Commands that change nothing: what an executor is about to do may take a moment to be seen."""
MAX_TRIES = 20
SHOWN_WITHIN_SECONDS = 40.0
"""How long the second terminal may take to show what the page says."""
_PASSWORD = re.compile(r"Its password, which is not shown again: (\S+)")


class TerminalReader:
    """Two terminals in one folder. A command in the first one ends; one in the second runs until it is stopped.

    Attributes:
        port: Where the server of the second terminal answers, instead of 8080.
    """

    def __init__(self, folder: Path) -> None:
        self.port = find_free_port()
        self._folder = folder
        settings = {name: value for name, value in os.environ.items() if not name.startswith("FLOWLET_")}
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        terminal = {"PATH": path, "COLUMNS": "200", "NO_COLOR": "1"}
        self._environment = {**settings, **terminal, "FLOWLET_PORT": str(self.port)}
        self._serving: asyncio.subprocess.Process | None = None
        self._shown = ""
        """What the second terminal has shown."""
        self._matched = 0
        """Up to where the page has said so."""

    async def follow_block(self, block: CodeBlock) -> None:
        """Do what a block of the page says: write its file, type its commands, or wait for what it shows."""
        if block.language == "python" and block.title:
            (self._folder / block.title).write_text(block.text, encoding="utf-8")
        elif block.language == "console" and block.title:
            command, _, expected = block.text.partition("\n") if block.text.startswith("$") else ("", "", block.text)
            if command:
                await self._serve_command(command.removeprefix("$ "))
            await self._wait_for_output(expected.replace(":8080", f":{self.port}"))
        elif block.language == "console":
            for command in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
                line, _, expected = command.partition("\n")
                await asyncio.to_thread(self._check_command, line, expected)

    def replace_text(self, file: str, old: str, new: str) -> None:
        """Edit a file as the page says: the text has to be there once."""
        path = self._folder / file
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{old!r} is not once in {file}"
        path.write_text(text.replace(old, new), encoding="utf-8")

    def read_password(self) -> str:
        """Return the password that the second terminal has shown."""
        found = _PASSWORD.search(self._shown)
        assert found, f"no password is shown: {self._shown}"
        return found[1]

    async def stop_serving(self) -> None:
        """Press Ctrl-C in the second terminal; what runs there has to end in order."""
        process, self._serving = self._serving, None
        if process is not None:
            process.send_signal(signal.SIGINT)
            await process.communicate()
            assert process.returncode == 0

    async def _serve_command(self, command: str) -> None:
        await self.stop_serving()
        self._serving = await asyncio.create_subprocess_exec(
            *command.split(),
            cwd=self._folder,
            env=self._environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    async def _wait_for_output(self, expected: str) -> None:
        """Wait until the second terminal shows the lines of the page, after those that it has shown before."""
        assert self._serving
        assert self._serving.stdout
        pattern = _build_pattern(f"...\n{expected}")
        try:
            async with asyncio.timeout(SHOWN_WITHIN_SECONDS):
                while not (found := pattern.match(self._shown, self._matched)):
                    line = await self._serving.stdout.readline()
                    assert line, f"the second terminal ended, and has shown: {self._shown}"
                    self._shown += _normalize_whitespace(line.decode())
        except TimeoutError:
            rest = self._shown[self._matched :]
            raise AssertionError(f"it shows:\n{rest}\nand not what the page says:\n{expected}") from None
        self._matched = found.end()

    def _check_command(self, command: str, expected: str) -> None:
        pattern = _build_pattern(expected)
        for _ in range(MAX_TRIES if command.startswith(READ_ONLY_COMMANDS) else 1):
            shown = self._run_command(command)
            if pattern.fullmatch(_normalize_whitespace(shown)):
                return
        raise AssertionError(f"$ {command}\nshows:\n{shown}\nand not what the page says:\n{expected}")

    def _run_command(self, command: str) -> str:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        return done.stdout if done.returncode == 0 else f"{done.stdout}\n(exit code {done.returncode})"


def _build_pattern(expected: str) -> re.Pattern[str]:
    """Return what an output has to match: three dots stand for anything in a line, or on a line alone for any lines."""
    lines = (_build_line_pattern(line) for line in _normalize_whitespace(expected).splitlines())
    return re.compile("".join(lines))


def _build_line_pattern(line: str) -> str:
    return r"(?:.*\n)*?" if line == "..." else ".*".join(map(re.escape, line.split("..."))) + r"\n"


def _normalize_whitespace(text: str) -> str:
    """Return a text without blank lines, and with one space wherever there is white space in a line."""
    lines = (" ".join(line.split()) for line in text.splitlines())
    return "".join(f"{line}\n" for line in lines if line)
