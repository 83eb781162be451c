"""The quarantine: instances under which executors have died begin one after another, with nothing beside them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Hashable

from flowlet.store.executors import SUSPECT_CRASHES

__all__ = ["Quarantine", "compute_alone_seconds"]

ALONE_SECONDS, ALONE_FACTOR, MAX_ALONE_SECONDS = 0.25, 8, 60.0
"""How long a suspect runs alone; each further crash makes it longer, to find a handler that kills its process late."""


def compute_alone_seconds(crashes: int) -> float:
    """Return for how long a suspect runs alone, by its crashes: 0.25 s, 2 s, 16 s, and then 60 s."""
    exponent = min(crashes - SUSPECT_CRASHES, 8)
    return min(ALONE_SECONDS * pow(float(ALONE_FACTOR), exponent), MAX_ALONE_SECONDS)


class Quarantine:
    """The turns of one executor's suspects.

    A suspect waits until nothing else runs, and then runs alone for a while: if the process dies then, the suspect is
    the cause. After that time the next one begins. While one waits or runs alone, the executor must claim nothing.

    Args:
        patience_seconds: How long a suspect waits for others that run. After that it runs beside them.
        on_free: Called when the last turn has ended.
    """

    def __init__(self, *, patience_seconds: float, on_free: Callable[[], None]) -> None:
        self._patience_seconds = patience_seconds
        self._on_free = on_free
        self._turn = asyncio.Lock()
        self._others: set[Hashable] = set()
        self._others_ended = asyncio.Event()
        self._suspect_count = 0

    @property
    def is_active(self) -> bool:
        """Whether a suspect waits for its turn, or runs alone."""
        return self._suspect_count > 0

    def add_other(self, other: Hashable) -> None:
        """Note that something that is no suspect runs."""
        self._others.add(other)

    def remove_other(self, other: Hashable) -> None:
        """Note that it has ended."""
        self._others.discard(other)
        if not self._others:
            self._others_ended.set()

    @contextlib.asynccontextmanager
    async def take_turn(self, crashes: int) -> AsyncIterator[bool]:
        """Wait for a suspect's turn, and yield whether it is alone. A turn may end before its block does."""
        self._suspect_count += 1
        try:
            await self._turn.acquire()
        except asyncio.CancelledError:
            self._leave()
            raise
        is_over = False

        def end_turn() -> None:
            nonlocal is_over
            if not is_over:
                is_over = True
                self._turn.release()
                self._leave()

        timer: asyncio.TimerHandle | None = None
        try:
            is_alone = await self._wait_for_others()
            timer = asyncio.get_running_loop().call_later(compute_alone_seconds(crashes), end_turn)
            yield is_alone
        finally:
            if timer is not None:
                timer.cancel()
            end_turn()

    def _leave(self) -> None:
        self._suspect_count -= 1
        if not self._suspect_count:
            self._on_free()

    async def _wait_for_others(self) -> bool:
        """Wait until nothing else runs, and return whether that is so."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience_seconds):
                while self._others:
                    self._others_ended.clear()
                    await self._others_ended.wait()
        return not self._others
