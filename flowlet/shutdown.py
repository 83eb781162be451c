"""Orderly ends: the signals that stop a process, and work that a cancellation cannot tear apart."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

__all__ = ["Shutdown", "cancel_and_wait", "run_to_end", "wait_for_all", "wait_for_first", "watch_stop_signals"]

GRACE_SECONDS = 30.0
"""How long work may take after its caller was cancelled; it is then cancelled itself."""

T = TypeVar("T")
logger = logging.getLogger(__name__)


class Shutdown:
    """A request to stop, which everything that runs in a process waits for.

    Attributes:
        requested: Set when the process is to stop: take nothing new, finish what is under way.
        forced: Set when the process is to stop now.
    """

    def __init__(self) -> None:
        self.requested = asyncio.Event()
        self.forced = asyncio.Event()

    def request(self) -> None:
        """Request an orderly stop; a second call forces it."""
        if self.requested.is_set():
            self.forced.set()
        self.requested.set()

    def force(self) -> None:
        """Stop now."""
        self.requested.set()
        self.forced.set()


@contextmanager
def watch_stop_signals(on_signal: Callable[[], object]) -> Iterator[None]:
    """Call ``on_signal`` on the running loop at each SIGTERM and SIGINT while the block runs."""
    loop = asyncio.get_running_loop()

    def receive_signal() -> None:
        logger.info("stop signal received; running activations may finish, a second signal stops them")
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
    """Run every part to its end. Where one raises, the others are asked to stop; then its error is raised.

    Where the caller is cancelled, every part is cancelled, and has ended when the cancellation is raised.
    """
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        shutdown.requested.set()
        await asyncio.wait(tasks)
    finally:
        shutdown.force()
        await cancel_and_wait(*tasks)
    for task in tasks:
        task.result()


async def run_to_end(
    work: Awaitable[T], *, on_cancel: Callable[[], object] | None = None, grace_seconds: float = GRACE_SECONDS
) -> T:
    """Run work in a task of its own to its end, and only then raise a cancellation of the caller.

    Args:
        work: Usually short; no cancellation of the caller interrupts it at any of its awaits.
        on_cancel: Called at each cancellation of the caller, to bring the end nearer.
        grace_seconds: How long the work may take after the first cancellation. It is then cancelled itself.

    Raises:
        asyncio.CancelledError: If the caller was cancelled meanwhile; an error of the work is its cause.
        Exception: Whatever the work raises.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    deadline: float | None = None
    now = asyncio.get_running_loop().time
    while not task.done():
        try:
            await asyncio.wait([task], timeout=None if deadline is None else max(0.0, deadline - now()))
            if deadline is not None and not task.done() and now() >= deadline:
                task.cancel()
                deadline = None
        except asyncio.CancelledError as error:
            if cancelled is None:
                deadline = now() + grace_seconds
            cancelled = error
            if on_cancel is not None:
                on_cancel()
    if cancelled is not None:
        raise cancelled from (None if task.cancelled() else task.exception())
    return task.result()


async def cancel_and_wait(*tasks: asyncio.Future[Any]) -> None:
    """Cancel tasks, and return when each has ended. A cancellation of the caller is raised after that."""
    cancelled: asyncio.CancelledError | None = None
    for task in tasks:
        task.cancel()
    while running := [task for task in tasks if not task.done()]:
        try:
            await asyncio.wait(running)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


async def wait_for_first(*works: Coroutine[Any, Any, Any]) -> None:
    """Run several works until one of them has ended; cancel the others. What they return or raise is ignored."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await cancel_and_wait(*tasks)
        for task in tasks:
            if not task.cancelled():
                task.exception()  # looked at: asyncio would log one that is not
