"""The lock of a connection that all units of work share: short ones before long ones."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import ContextVar

__all__ = ["LONG_ROWS", "MAX_PASSES", "WriteLock", "mark_work"]

LONG_ROWS = 8
"""A unit of work that writes more instances than this is a long one."""
MAX_PASSES = 4
"""How many short units pass the long ones that wait, before one of these has its turn."""


_is_long: ContextVar[bool] = ContextVar("flowlet_long_work", default=False)


@contextlib.contextmanager
def mark_work(*, rows: int) -> Iterator[None]:
    """Let the units of work of the block be long ones, if they write so many rows."""
    token = _is_long.set(rows > LONG_ROWS)
    try:
        yield
    finally:
        _is_long.reset(token)


def _get_no_deadline() -> None:
    return None


class WriteLock:
    """A lock that is handed on in the order of arrival, but to short units of work first.

    A lone workflow takes it three times: behind hundreds of rows each time, it would wait for a multiple of its own
    work.

    Args:
        get_deadline: Returns until when the current unit of work may wait, in the time of the event loop; None for
            without limit.
    """

    def __init__(self, get_deadline: Callable[[], float | None] = _get_no_deadline) -> None:
        self._get_deadline = get_deadline
        self._is_held = False
        self._short: deque[asyncio.Future[None]] = deque()
        self._long: deque[asyncio.Future[None]] = deque()
        self._passes = 0

    async def __aenter__(self) -> None:
        """Wait for the lock.

        Raises:
            TimeoutError: If the time of the unit of work is over before.
        """
        if not self._is_held:
            self._is_held = True
            return
        queue = self._long if _is_long.get() else self._short
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            async with asyncio.timeout_at(self._get_deadline()):
                await turn
        except BaseException:
            if turn.done() and not turn.cancelled():  # it has the lock already
                self._hand_on()
            raise

    async def __aexit__(self, *_: object) -> None:
        """Let the next one have the lock."""
        self._hand_on()

    def _hand_on(self) -> None:
        while (turn := self._take_next()) is not None:
            if not turn.done():  # it is done where its work was cancelled
                turn.set_result(None)
                return
        self._is_held = False

    def _take_next(self) -> asyncio.Future[None] | None:
        if self._long and (not self._short or self._passes >= MAX_PASSES):
            self._passes = 0
            return self._long.popleft()
        if not self._short:
            return None
        self._passes += bool(self._long)
        return self._short.popleft()
