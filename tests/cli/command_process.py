"""``flowlet`` as a process of its own, whose output is read as text."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TextIO

from tests.forked_process import ForkedProcess

__all__ = ["CommandProcess"]


class CommandProcess:
    """The command with these arguments, as ``subprocess.Popen`` has it, but forked: it starts without its imports.

    Args:
        arguments: What follows ``flowlet``.
        env: Its environment.
        cwd: Its working directory.
        output: The descriptor that becomes its stdout; None for a pipe.

    Attributes:
        stdout: What it writes there; None where that was given.
        stderr: What it writes there.
    """

    def __init__(
        self, arguments: Sequence[str], *, env: Mapping[str, str], cwd: Path, output: int | None = None
    ) -> None:
        self.stdout: TextIO | None = None
        command = ("-m", "flowlet", *arguments)
        with _open_pipe() as (self.stderr, errors), contextlib.ExitStack() as stack:
            if output is None:
                self.stdout, output = stack.enter_context(_open_pipe())
            self._process = ForkedProcess(command, env=env, cwd=cwd, output=output, errors=errors)

    @property
    def returncode(self) -> int | None:
        """Its exit code, which is minus the signal that killed it; None while it runs."""
        return self._process.returncode

    def wait(self, timeout: float) -> int | None:
        """Wait for its end, so many seconds at most, and return its exit code; None if it still runs."""
        return self._process.wait(timeout)

    def send_signal(self, signal_number: int) -> None:
        """Send it a signal, unless it has ended."""
        self._process.send_signal(signal_number)

    def communicate(self, timeout: float) -> tuple[str, str]:
        """Return all that it still writes to stdout and to stderr until its end, which is awaited."""
        with ThreadPoolExecutor(1) as pool:
            errors = pool.submit(self.stderr.read)
            shown = self.stdout.read() if self.stdout else ""
            self._process.wait(timeout)
            return shown, errors.result()

    def close(self) -> None:
        """Kill it where it still runs, and close what is read of it."""
        self._process.kill()
        self._process.wait()
        self.stderr.close()
        if self.stdout:
            self.stdout.close()


@contextlib.contextmanager
def _open_pipe() -> Iterator[tuple[TextIO, int]]:
    """Yield the reading end of a pipe, which stays open, and the writing end, which is closed."""
    reader, writer = os.pipe()
    try:
        yield os.fdopen(reader), writer
    finally:
        os.close(writer)
