"""A reader at the terminal: types the commands of a page, and compares what comes with what the page shows."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from tests.docs.pages import CodeBlock

__all__ = ["TerminalReader"]

READ_ONLY_COMMANDS = ("flowlet show", "flowlet list", "flowlet doctor")
"""Commands that change nothing: what an executor is about to do may take a moment to be seen."""
MAX_TRIES = 20


class TerminalReader:
    """Two terminals in one folder. A command in the first one ends; one in the second runs until the next one there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        settings = {name: value for name, value in os.environ.items() if not name.startswith("FLOWLET_")}
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        self._environment = {**settings, "PATH": path, "COLUMNS": "200", "NO_COLOR": "1", "FLOWLET_PORT": "0"}
        self._serving: asyncio.subprocess.Process | None = None

    async def follow_block(self, block: CodeBlock) -> None:
        """Do what a block of the page says: write its file, or type its commands."""
        if block.language == "python" and block.title:
            (self._folder / block.title).write_text(block.text, encoding="utf-8")
        elif block.language == "console" and block.title:
            await self._serve_command(block.text.removeprefix("$ ").strip())
        elif block.language == "console":
            for command in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
                line, _, expected = command.partition("\n")
                self._check_command(line, expected)

    async def stop_serving(self) -> None:
        """Press Ctrl-C in the second terminal; what runs there has to end in order."""
        process, self._serving = self._serving, None
        if process is not None:
            process.send_signal(signal.SIGINT)
            assert await process.wait() == 0

    async def _serve_command(self, command: str) -> None:
        await self.stop_serving()
        process = await asyncio.create_subprocess_exec(
            *command.split(),
            cwd=self._folder,
            env=self._environment,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        self._serving = process
        assert process.stderr
        lines = ""
        while "executor" not in lines:
            line = await process.stderr.readline()
            assert line, f"{command!r} ended before it ran: {lines}"
            lines += line.decode()

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
