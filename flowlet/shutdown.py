"""The ends of tasks: signals that stop a process, work that no cancellation tears apart, loops that have to run on."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from types import FrameType
from typing import Any, NoReturn, TypeVar

from flowlet.protected_tasks import build_own_context, create_protected_task, protect_awaitable

__all__ = [
    "BackgroundTask",
    "Shutdown",
    "are_stop_signals_watched",
    "cancel_and_wait",
    "end_process",
    "end_when_requested",
    "observe_stop_signals",
    "run_to_end",
    "wait_for_all",
    "wait_for_first",
    "wait_until_done",
    "watch_stop_signals",
]

GRACE_SECONDS = 30.0
"""How long work may take after its caller was cancelled; it is then cancelled itself."""

FORCED_STOP_SECONDS = 5.0
"""How long a process may take to stop after a second signal; it is then ended as it is."""

MIN_RESTART_SECONDS, MAX_RESTART_SECONDS = 0.05, 5.0
"""After how long a background task that has ended by itself starts again; the pauses double while it ends soon."""

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


class BackgroundTask:
    """The owner of a loop that has to run until it is closed.

    A loop that ends by an error, or by a cancellation that is not its owner's, is logged and started again. One that
    returns has nothing left to do, and may be started again by its owner. It runs in a context of its own: what the
    caller has bound to its log lines does not belong to the loop.

    Args:
        name: What it is, for log lines and as the name of its task: "maintenance".
        run: Called for each start.
    """

    def __init__(self, name: str, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._name = name
        self._run = run
        self._task: asyncio.Task[None] | None = None
        self._restart: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._started_at = 0.0
        self._pause = MIN_RESTART_SECONDS

    @property
    def is_running(self) -> bool:
        """Whether it runs, or is about to be started again."""
        return self._restart is not None or (self._task is not None and not self._task.done())

    def start(self) -> None:
        """Start it, unless it runs or is closed."""
        if not (self._is_closed or self.is_running):
            self._start()

    def cancel(self) -> None:
        """Close it without waiting for its end."""
        self._is_closed = True
        if self._restart is not None:
            self._restart.cancel()
            self._restart = None
        if self._task is not None:
            self._task.cancel()

    async def close(self) -> None:
        """Cancel it, and return when it has ended. It is never started again."""
        self.cancel()
        if self._task is not None:
            await cancel_and_wait(self._task)

    def _start(self) -> None:
        self._restart = None
        self._started_at = asyncio.get_running_loop().time()
        context = build_own_context(contextvars.Context())
        task = create_protected_task(self._run(), name=f"flowlet-{self._name}", context=context)
        task.add_done_callback(self._watch_end)
        self._task = task

    def _watch_end(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if self._is_closed or (error is None and not task.cancelled()):
            return
        loop = task.get_loop()
        lasted = loop.time() - self._started_at
        self._pause = MIN_RESTART_SECONDS if lasted > MAX_RESTART_SECONDS else min(2 * self._pause, MAX_RESTART_SECONDS)
        what = "was cancelled" if error is None else "has ended by an error"
        logger.error("the background task %r %s; it starts again", self._name, what, exc_info=error)
        self._restart = loop.call_later(self._pause, self._start, context=contextvars.Context())


@asynccontextmanager
async def end_when_requested(stop: Shutdown) -> AsyncIterator[None]:
    """Leave the block, as by a cancellation, when the stop is requested. Nothing is raised then."""
    loop, limit, is_inside = asyncio.get_running_loop(), asyncio.timeout(None), True

    def leave(watching: asyncio.Task[bool]) -> None:
        if is_inside and not watching.cancelled():
            limit.reschedule(loop.time())

    watching = asyncio.create_task(stop.requested.wait())
    watching.add_done_callback(leave)
    try:
        async with limit:
            try:
                yield
            finally:
                is_inside = False
                watching.cancel()
    except TimeoutError:
        if not limit.expired():
            raise


@contextmanager
def watch_stop_signals(on_signal: Callable[[], object]) -> Iterator[None]:
    """Call ``on_signal`` on the running loop at each SIGTERM and SIGINT while the block runs.

    A second signal ends the process if it is still in the block 5 seconds later: neither a handler that blocks the loop
    nor a database that does not answer keeps it. Another executor takes over what it holds when its lease has run out.
    """
    loop = asyncio.get_running_loop()
    timer = threading.Timer(FORCED_STOP_SECONDS, _end_stuck_process)
    timer.daemon = True
    signal_count = 0

    def receive_signal(*_: object) -> None:
        nonlocal signal_count
        signal_count += 1
        if signal_count == 2:
            timer.start()
        loop.call_soon_threadsafe(pass_signal_on)

    def pass_signal_on() -> None:
        logger.info("stop signal received; running activations may finish, a second signal stops them")
        on_signal()

    global _watcher_count  # noqa: PLW0603 - signals belong to the process, not to an object
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in before:
        signal.signal(number, receive_signal)
    _watcher_count += 1
    try:
        yield
    finally:
        timer.cancel()
        _watcher_count -= 1
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def observe_stop_signals(on_signal: Callable[[], object]) -> Iterator[None]:
    """Call ``on_signal`` on the running loop at each SIGTERM and SIGINT, beside what another server does at them.

    An ASGI server reports its stop only after its open requests have ended, so that what waits has to learn of it by
    itself. Outside of the main thread, which alone may handle signals, nothing is observed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()

    def receive_signal(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(on_signal)
        handler = before[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)
        elif handler == signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in before:
        signal.signal(number, receive_signal)
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is receive_signal:
                signal.signal(number, handler)


def end_process(code: int) -> NoReturn:
    """End the process with this exit code, whatever runs in it: nothing is closed but the log and the output."""
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)


def _end_stuck_process() -> None:
    logger.error(
        "the process has not stopped within %g s of the second signal and is ended; what it holds is freed when its "
        "lease runs out",
        FORCED_STOP_SECONDS,
    )
    end_process(1)


def are_stop_signals_watched() -> bool:
    """Return whether a ``watch_stop_signals`` block runs: no signal raises ``KeyboardInterrupt`` then."""
    return _watcher_count > 0


_watcher_count = 0


async def wait_for_all(parts: Sequence[Awaitable[None]], shutdown: Shutdown) -> None:
    """Run every part to its end. Where one raises, the others are asked to stop; then its error is raised.

    Where the caller is cancelled, every part is cancelled, and has ended when the cancellation is raised.
    """
    tasks = [protect_awaitable(part) for part in parts]
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
    task = protect_awaitable(work)
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


async def wait_until_done(task: asyncio.Task[Any]) -> None:
    """Wait until a task is done, and raise a cancellation only then."""
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
