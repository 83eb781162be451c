"""The threads of plain ``def`` handlers: an attempt begins when it has one, which is taken until its handler ends."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

__all__ = ["THREAD_PREFIX", "HandlerThreads"]

THREAD_PREFIX = "flowlet-handler"
"""The prefix of the threads' names."""

T = TypeVar("T")
logger = logging.getLogger(__name__)


class HandlerThreads:
    """A number of threads, each of which is taken until the handler in it has ended, also after its attempt has.

    Args:
        max_threads: How many there are.
        on_free: Called in the event loop when a thread has become free, where none was.

    Attributes:
        max_threads: How many there are.
    """

    def __init__(self, max_threads: int, *, on_free: Callable[[], None] | None = None) -> None:
        self.max_threads = max_threads
        self._on_free = on_free
        self._pool = ThreadPoolExecutor(max_threads, thread_name_prefix=THREAD_PREFIX)
        self._free = asyncio.Semaphore(max_threads)
        self._taken_count = 0
        self._overdue: set[Future[Any]] = set()

    @property
    def free_count(self) -> int:
        """How many threads are free."""
        return self.max_threads - self._taken_count

    @property
    def overdue_count(self) -> int:
        """How many handlers still run although their attempt has ended: at its timeout, or because it was cancelled."""
        return len(self._overdue)

    async def take(self) -> None:
        """Return when a thread is free, and take it for the call of ``run`` that follows."""
        await self._free.acquire()
        self._taken_count += 1

    async def call_handler(
        self,
        handler: Callable[..., Any],
        arguments: dict[str, Any],
        *,
        subject: str,
        stop_requested: threading.Event | None,
    ) -> Any:
        """Return the result of a handler in the thread that ``take`` has taken, with its caller's context variables.

        Where it returns an awaitable, that is awaited in the event loop. ``subject`` and ``stop_requested`` are those
        of ``run``.

        Raises:
            BaseException: Whatever the handler raises.
        """
        context = contextvars.copy_context()
        result, error = await self.run(
            lambda: context.run(_call_and_catch, handler, arguments), subject=subject, stop_requested=stop_requested
        )
        if error is not None:
            raise error
        return await result if inspect.isawaitable(result) else result

    async def run(self, call: Callable[[], T], *, subject: str, stop_requested: threading.Event | None) -> T:
        """Return the result of a call in the thread that ``take`` has taken.

        Where the caller is cancelled, the call runs on, and its thread stays taken.

        Args:
            call: The call.
            subject: What it is, for the log: "the state 'pay' of Orders 41".
            stop_requested: Set where the caller is cancelled.
        """
        loop = asyncio.get_running_loop()
        running = self._pool.submit(call)
        running.add_done_callback(lambda _: self._release_soon(loop, running))
        try:
            return await asyncio.wrap_future(running)
        except asyncio.CancelledError:
            if not running.done():
                self._overdue.add(running)
                if stop_requested is not None:
                    stop_requested.set()
                logger.warning(
                    "%s still runs although its attempt has ended: %d of %d threads are taken by such handlers",
                    subject,
                    len(self._overdue),
                    self.max_threads,
                )
            raise

    def close(self) -> None:
        """Let the threads end; a handler that still runs in one runs to its end, without effect."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _release_soon(self, loop: asyncio.AbstractEventLoop, running: Future[Any]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(self._release, running)

    def _release(self, running: Future[Any]) -> None:
        self._overdue.discard(running)
        self._taken_count -= 1
        self._free.release()
        if self.free_count == 1 and self._on_free is not None:
            self._on_free()


def _call_and_catch(handler: Callable[..., Any], arguments: dict[str, Any]) -> tuple[Any, BaseException | None]:
    # A future cannot hold a StopIteration, and the loop would then wait forever.
    try:
        return handler(**arguments), None
    except BaseException as error:  # noqa: BLE001  # raised again where the thread is awaited
        return None, error
