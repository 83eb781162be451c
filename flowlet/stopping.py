"""How a process is told to stop: once to end in good order, twice to end now."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

__all__ = ["Stop", "stopped_by_signals", "together"]

logger = logging.getLogger(__name__)


class Stop:
    """What everything that runs in a process listens to.

    Attributes:
        begun: Set when it is to end: take nothing new, and finish what is under way.
        at_once: Set when it is to end now.
    """

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.at_once = asyncio.Event()

    def tell(self) -> None:
        """Say that it is to end; said again, that it is to end now."""
        if self.begun.is_set():
            self.at_once.set()
        self.begun.set()


@contextmanager
def stopped_by_signals(stop: Callable[[], object]) -> Iterator[None]:
    """Call ``stop`` at each SIGTERM and SIGINT while the block runs, on the running loop."""
    loop = asyncio.get_running_loop()

    def heard() -> None:
        logger.info("told to stop; activations may end first, unless told again")
        stop()

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in before:
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(heard))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def together(parts: Sequence[Awaitable[None]], stop: Stop) -> None:
    """Wait until every part has ended. Where one breaks off the others are told to stop; then its error is raised."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        stop.begun.set()
        await asyncio.wait(tasks)
    finally:
        for task in tasks:
            task.cancel()
    for task in tasks:
        task.result()
