"""Processes of a test: what they print is waited for, rather than time."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

__all__ = ["ManagedProcess", "StartProcess"]

SHOWN_LINES = 40


class StartProcess(Protocol):
    """Starts a script of this folder."""

    async def __call__(self, script: str, *arguments: str, **settings: str) -> ManagedProcess:
        """Return the process, which ends with the test."""
        ...


class ManagedProcess:
    """A process of a test's own. Its stdout and stderr are read as they come, and kept."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.lines: list[str] = []
        self._process = process
        self._has_ended = False
        self._more = asyncio.Condition()
        self._reading = asyncio.create_task(self._read_lines())

    @classmethod
    async def start_command(cls, command: Sequence[str], *, env: dict[str, str], cwd: Path) -> ManagedProcess:
        """Start a command with this environment, in this folder."""
        pipe, stdout = asyncio.subprocess.PIPE, asyncio.subprocess.STDOUT
        return cls(await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=stdout, env=env, cwd=cwd))

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return not self._has_ended

    def find_lines(self, text: str) -> list[str]:
        """Return the lines so far that hold the text."""
        return [line for line in self.lines if text in line]

    async def wait_for_lines(self, text: str, *, times: int = 1, timeout_seconds: float = 30) -> list[str]:
        """Wait until so many of its lines hold the text, and return them.

        Raises:
            AssertionError: If it ends before, or the seconds are over; its last lines are shown.
        """
        await self._wait_until(lambda: len(self.find_lines(text)) >= times, timeout_seconds=timeout_seconds)
        found = self.find_lines(text)
        assert len(found) >= times, (
            f"{len(found)} of {times} lines with {text!r} came. The last ones:\n{self.read_last_lines()}"
        )
        return found

    async def wait_for_exit(self, *, timeout_seconds: float = 30) -> int:
        """Wait for its end and return its exit code, which is minus the signal that killed it."""
        async with asyncio.timeout(timeout_seconds):
            await self._reading
            return await self._process.wait()

    def send_signal(self, signal_number: signal.Signals) -> None:
        """Send it a signal, unless it has ended."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal_number)

    async def kill(self) -> None:
        """Kill it as a power cut does, and wait for its end."""
        self.send_signal(signal.SIGKILL)
        await self.wait_for_exit()

    async def close(self) -> None:
        """Kill what is left of it, and print its last lines: pytest shows them where the test has failed."""
        await self.kill()
        print(f"--- process {self.pid} ended with {self._process.returncode}:\n{self.read_last_lines()}")  # noqa: T201

    def read_last_lines(self) -> str:
        """Return its last lines, without those that handlers print."""
        return "\n".join([line for line in self.lines if not line.startswith("ran ")][-SHOWN_LINES:])

    async def _wait_until(self, condition: Callable[[], bool], *, timeout_seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds), self._more:
                await self._more.wait_for(lambda: condition() or self._has_ended)

    async def _read_lines(self) -> None:
        assert self._process.stdout
        async for line in self._process.stdout:
            self.lines.append(line.decode(errors="replace").rstrip())
            async with self._more:
                self._more.notify_all()
        self._has_ended = True
        async with self._more:
            self._more.notify_all()
