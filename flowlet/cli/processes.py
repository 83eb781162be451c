"""Further executors of ``flowlet serve --processes``: each a process of its own, kept running until all are to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Sequence
from typing import Any

from flowlet.clock import Clock, StoreClock
from flowlet.settings import Settings
from flowlet.shutdown import Shutdown

__all__ = ["ExecutorProcesses"]

MAX_RESTART_DELAY_SECONDS = 30.0
"""Seconds between the end of a process and the start of the one in its place, at most."""
STABLE_AFTER_SECONDS = 60.0
"""After how many seconds a process counts as one that runs well."""

logger = logging.getLogger(__name__)


class ExecutorProcesses:
    """Executors beside the first one, for more cores.

    Each is ``flowlet serve --no-web`` for the same modules and settings. One that ends by itself is replaced, at once
    and then ever more slowly: a process that cannot start is not to keep a machine busy.

    Args:
        modules: As on the command line.
        settings: Handed on by the environment: the database's URL has a password, and everybody sees arguments.
        number: How many.
    """

    def __init__(self, modules: Sequence[str], settings: Settings, count: int, *, clock: Clock | None = None) -> None:
        self._command = (sys.executable, "-m", "flowlet", "serve", *modules, "--no-web")
        self._environment = {
            **os.environ,
            "FLOWLET_DATABASE_URL": settings.database_url,
            "FLOWLET_GROUPS": ",".join(settings.groups),
            "FLOWLET_SLOTS": str(settings.slots),
        }
        self._count = count
        self._clock = clock or StoreClock()

    async def __call__(self, stop: Shutdown) -> None:
        """Keep them running; when told to stop, tell them, and return when the last one has ended."""
        await asyncio.gather(*(self._keep_running(stop) for _ in range(self._count)))

    async def _keep_running(self, stop: Shutdown) -> None:
        pause = 0.5
        while not stop.requested.is_set():
            began = self._clock.monotonic()
            # In a session of its own: Ctrl-C at a terminal goes to all of its session, and would be a second signal.
            process = await asyncio.create_subprocess_exec(
                *self._command, env=self._environment, start_new_session=True, stdin=asyncio.subprocess.DEVNULL
            )
            try:
                code = await _wait_for_exit(process, stop)
            finally:
                _send_signal(process, signal.SIGKILL)
            if stop.requested.is_set():
                return
            pause = (
                0.5
                if self._clock.monotonic() - began > STABLE_AFTER_SECONDS
                else min(2 * pause, MAX_RESTART_DELAY_SECONDS)
            )
            logger.error("executor process %d ended with %d; another one starts in %s s", process.pid, code, pause)
            await _wait_for_first(stop.requested.wait(), self._clock.sleep(pause))


async def _wait_for_exit(process: asyncio.subprocess.Process, stop: Shutdown) -> int:
    """Wait for the end of a process, handing on what it is told."""
    ending = asyncio.create_task(process.wait())
    for event in (stop.requested, stop.forced):
        await _wait_for_first(asyncio.shield(ending), event.wait())
        if ending.done():
            break
        _send_signal(process, signal.SIGTERM)
    return await ending


async def _wait_for_first(*waits: Awaitable[Any]) -> None:
    """Return when one of them is done; the others are cancelled."""
    tasks = [asyncio.ensure_future(one) for one in waits]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()


def _send_signal(process: asyncio.subprocess.Process, signal_number: signal.Signals) -> None:
    if process.returncode is None:
        process.send_signal(signal_number)
