"""Processes of a test: what they print is waited for, rather than time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from tests.forked_process import ForkedProcess

__all__ = ["ManagedProcess", "StartProcess"]

SHOWN_LINES = 40


class StartProcess(Protocol):
    """Starts a script of this folder."""

    async def __call__(self, script: str, *arguments: str, **settings: str) -> ManagedProcess:
        """Return the process, which ends with the test."""
        ...


class ManagedProcess:
    """A process of a test's own. Its stdout and stderr are read as they come, and kept.

    Args:
        process: The process.
        output: The descriptor from which its output is read; it is closed at its end.
    """

    def __init__(self, process: ForkedProcess | subprocess.Popen[bytes], output: int) -> None:
        self.lines: list[str] = []
        self._process = process
        self._has_ended = False
        self._more = asyncio.Condition()
        self._reading = asyncio.create_task(self._read_lines(output))

    @classmethod
    def start_command(cls, command: Sequence[str], *, env: Mapping[str, str], cwd: Path) -> ManagedProcess:
        """Start a command with this environment, in this folder."""
        with _open_output_pipe() as (reader, writer):
            return cls(subprocess.Popen(command, stdout=writer, stderr=writer, env=env, cwd=cwd), reader)

    @classmethod
    def start_python(cls, arguments: Sequence[str], *, env: Mapping[str, str], cwd: Path) -> ManagedProcess:
        """Start a program of Python with this environment, in this folder, as ``ForkedProcess`` says."""
        with _open_output_pipe() as (reader, writer):
            return cls(ForkedProcess(arguments, env=env, cwd=cwd, output=writer), reader)

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
            await asyncio.shield(self._reading)  # it goes on where the time is over, until the process is killed
            code = await asyncio.to_thread(self._process.wait)
            assert code is not None
            return code

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

    async def _read_lines(self, output: int) -> None:
        lines = asyncio.StreamReader()
        with open(output, "rb", buffering=0) as file:  # noqa: ASYNC230  # a pipe that is open already
            await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), file)
            async for line in lines:
                self.lines.append(line.decode(errors="replace").rstrip())
                async with self._more:
                    self._more.notify_all()
        self._has_ended = True
        async with self._more:
            self._more.notify_all()


@contextlib.contextmanager
def _open_output_pipe() -> Iterator[tuple[int, int]]:
    """Open a pipe whose writing end this process closes at the end of the block."""
    reader, writer = os.pipe()
    try:
        yield reader, writer
    except BaseException:
        os.close(reader)
        raise
    finally:
        os.close(writer)
