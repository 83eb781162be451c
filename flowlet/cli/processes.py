"""The additional executors of ``flowlet serve --processes``, each in its own process, which is restarted if it ends.

Each stops when the process that started it has ended, also by a kill: its standard input ends then.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence

from flowlet.clock import Clock, StoreClock
from flowlet.settings import Settings
from flowlet.shutdown import Shutdown, end_when_requested, wait_for_first

__all__ = ["ExecutorProcesses", "stop_with_parent"]

MAX_RESTART_DELAY_SECONDS = 30.0
"""The longest delay between the end of a process and the start of its replacement, in seconds."""
STABLE_AFTER_SECONDS = 60.0
"""How many seconds a process has to run to count as stable: it is then replaced without a growing delay."""

logger = logging.getLogger(__name__)


class ExecutorProcesses:
    """Executors in addition to the first one, to use more cores.

    Each is ``flowlet serve --no-web`` for the same modules and settings. A process that ends by itself is replaced, at
    first at once and then with growing delays, so that a process that cannot start does not keep the machine busy.

    Args:
        modules: The modules, as on the command line.
        settings: Passed through the environment: the database URL contains a password, and all users of the machine can
            see a process's arguments.
        count: How many executors to start.
        clock: Measures how long a process has run; None for the real clock.
    """

    def __init__(self, modules: Sequence[str], settings: Settings, count: int, *, clock: Clock | None = None) -> None:
        options = ("--no-web", "--no-feed", "--stop-with-parent")
        self._command = (sys.executable, "-m", "flowlet", "serve", *modules, *options)
        self._environment = {
            **os.environ,
            "FLOWLET_DATABASE_URL": settings.database_url,
            "FLOWLET_GROUPS": ",".join(settings.groups),
            "FLOWLET_SLOTS": str(settings.slots),
        }
        self._count = count
        self._clock = clock or StoreClock()

    async def __call__(self, stop: Shutdown) -> None:
        """Keep the executors running until a stop is requested, pass it on, and return when the last one has ended."""
        await asyncio.gather(*(self._keep_running(stop) for _ in range(self._count)))

    async def _keep_running(self, stop: Shutdown) -> None:
        pause = 0.5
        while not stop.requested.is_set():
            began = self._clock.monotonic()
            try:
                end = await self._run_process(stop)
            except OSError as error:  # the machine has no process, or no memory, to give at the moment
                end = f"an executor process cannot be started: {error}"
            if stop.requested.is_set():
                return
            pause = (
                0.5
                if self._clock.monotonic() - began > STABLE_AFTER_SECONDS
                else min(2 * pause, MAX_RESTART_DELAY_SECONDS)
            )
            logger.error("%s; a new one starts in %s s", end, pause)
            await wait_for_first(stop.requested.wait(), self._clock.sleep(pause))

    async def _run_process(self, stop: Shutdown) -> str:
        """Run one process to its end, and return how it has ended.

        Raises:
            OSError: If it cannot be started.
        """
        # In a session of its own: Ctrl-C at a terminal goes to its whole session, and would be a second signal.
        process = await asyncio.create_subprocess_exec(
            *self._command, env=self._environment, start_new_session=True, stdin=asyncio.subprocess.PIPE
        )
        try:
            code = await _wait_for_exit(process, stop)
        finally:
            _send_signal(process, signal.SIGKILL)
        return f"executor process {process.pid} ended with exit code {code}"


async def stop_with_parent(stop: Shutdown) -> None:
    """Request a stop when the process that started this one has ended: it holds the other end of standard input."""
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    try:
        async with end_when_requested(stop):
            await reader.read()
            logger.error("the process that has started this one has ended: stopping")
            stop.request()
    finally:
        transport.close()


async def _wait_for_exit(process: asyncio.subprocess.Process, stop: Shutdown) -> int:
    """Wait until a process ends; a requested stop is passed on to it as SIGTERM."""
    ending = asyncio.create_task(process.wait())
    for event in (stop.requested, stop.forced):
        await wait_for_first(asyncio.wait([ending]), event.wait())
        if ending.done():
            break
        _send_signal(process, signal.SIGTERM)
    return await ending


def _send_signal(process: asyncio.subprocess.Process, signal_number: signal.Signals) -> None:
    if process.returncode is None:
        process.send_signal(signal_number)
