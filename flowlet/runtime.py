"""How an application is hosted: its event loop, the end of its executor, and the lifespan of a server that knows ASGI.

What belongs to the web is imported where it is asked for: an executor without it is a smaller process.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from socket import socket
from typing import TYPE_CHECKING, Any

from flowlet.engine.activation import THREAD_PREFIX
from flowlet.engine.executor import Executor
from flowlet.settings import Settings
from flowlet.shutdown import Shutdown

try:
    from uvloop import new_event_loop
except ImportError:  # it does not exist for Windows
    from asyncio import new_event_loop  # type: ignore[assignment]  # the same function of a slower loop

try:
    import resource
except ImportError:  # nor does this
    resource = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from flowlet.web.metrics import Metrics

__all__ = [
    "Receive",
    "Send",
    "create_metrics",
    "exit_despite_running_threads",
    "format_listener_address",
    "open_listener",
    "raise_open_file_limit",
    "run_executor",
    "run_lifespan",
    "run_loop",
    "wait_until_ready",
]

MAX_OPEN_FILES = 65_536
"""How many files a process that serves may want to have open at once."""

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
logger = logging.getLogger(__name__)


def run_loop(main: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine to its end in a process of our own: on uvloop where that is installed, with a patient collector.

    Activations make many short-lived objects and few cycles: the garbage collector looks less often than by default,
    and not at what was loaded before, which takes a tenth off the CPU time of a workflow.
    """
    raise_open_file_limit()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main)


def raise_open_file_limit() -> None:
    """Let the process have more files open than it is given by default, which is often 1,024, as far as it may.

    Each client is one. Where none is left even the heartbeat, which opens connections of its own, does not get through.
    """
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(MAX_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):  # a system's own limit may be lower than the one it names
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def exit_despite_running_threads() -> None:
    """End the process where a plain ``def`` handler runs on past the grace period: Python would wait for its thread."""
    handlers = [thread for thread in threading.enumerate() if thread.name.startswith(THREAD_PREFIX)]
    for thread in handlers:
        thread.join(0.1)  # one that has nothing to do is about to end
    stuck = [thread.name for thread in handlers if thread.is_alive()]
    if stuck:
        logger.warning("leaving %d handlers behind that do not end: %s", len(stuck), ", ".join(stuck))
        logging.shutdown()
        sys.stdout.flush()
        os._exit(0)


async def run_executor(executor: Executor, shutdown: Shutdown) -> None:
    """Run an executor until told to stop, and end it at once where told again."""

    async def stop_executor() -> None:
        await shutdown.requested.wait()
        executor.stop()
        await shutdown.forced.wait()
        executor.stop()

    hearing = asyncio.create_task(stop_executor())
    try:
        await executor.run()
    finally:
        hearing.cancel()


async def wait_until_ready(task: asyncio.Task[None], is_ready: asyncio.Event) -> None:
    """Wait until ready, or until the task has broken off, and raise what it raised."""
    waiting = asyncio.create_task(is_ready.wait())
    await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if task.done():
        task.result()


async def run_lifespan(application: AbstractAsyncContextManager[None], receive: Receive, send: Send) -> None:
    """Hold a block open for as long as the server's lifespan lasts: opened at its startup, closed at its shutdown.

    What keeps the block from opening is told to the server, and logged.
    """
    await receive()
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(application)
        except Exception as error:
            logger.exception("the application cannot start")
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
    await send({"type": "lifespan.shutdown.complete"})


def create_metrics() -> Metrics:
    """Return metrics with nothing measured yet."""
    from flowlet.web.metrics import Metrics

    return Metrics()


def open_listener(settings: Settings) -> socket:
    """Return a socket that listens where the settings say.

    Raises:
        SettingsError: If that cannot be.
    """
    from flowlet.web.server import create_listener

    return create_listener(settings.host, settings.port)


def format_listener_address(listener: socket) -> str:
    """Return a socket's address for a browser."""
    from flowlet.web.server import format_address

    return format_address(listener)
