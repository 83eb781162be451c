"""How a process is told to stop: once to end in good order, twice to end now."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

__all__ = ["Shutdown", "wait_for_all", "watch_stop_signals"]

logger = logging.getLogger(__name__)


class Shutdown:
    """What everything that runs in a process listens to.

    Attributes:
        begun: Set when it is to end: take nothing new, and finish what is under way.
        at_once: Set when it is to end now.
    """

    def __init__(self) -> None:
        self.requested = asyncio.Event()
        self.forced = asyncio.Event()

    def request(self) -> None:
        """Say that it is to end; said again, that it is to end now."""
        if self.requested.is_set():
            self.forced.set()
        self.requested.set()


@contextmanager
def watch_stop_signals(on_signal: Callable[[], object]) -> Iterator[None]:
    """Call ``on_signal`` at each SIGTERM and SIGINT while the block runs, on the running loop."""
    loop = asyncio.get_running_loop()

    def receive_signal() -> None:
        logger.info("told to stop; activations may end first, unless told again")
        on_signal()

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in before:
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(receive_signal))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def wait_for_all(parts: Sequence[Awaitable[None]], shutdown: Shutdown) -> None:
    """Wait until every part has ended. Where one breaks off the others are told to stop; then its error is raised."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        shutdown.requested.set()
        await asyncio.wait(tasks)
    finally:
        for task in tasks:
            task.cancel()
    for task in tasks:
        task.result()
