"""The heartbeat: a thread with a connection of its own, so that it beats on while a handler blocks the loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from datetime import timedelta

from flowlet.clock import microseconds
from flowlet.errors import StoreUnavailableError
from flowlet.store.connection import Connections
from flowlet.store.executors import ExecutorStore
from flowlet.store.opening import Store

__all__ = ["Heartbeat"]

PROMPT_SECONDS = 0.5
"""How long an answer may take whose time the clock is set by."""

logger = logging.getLogger(__name__)


class Heartbeat:
    """Prolongs an executor's lease three times within its length, and sets the clock by each answer.

    Args:
        store: Whose database to beat on, and whose clock to set.
        executor_id: Whose lease.
        lease: Its length.
        on_lost: Called in the executor's loop when the executor has been given up as lost.
        on_silence: Called in the executor's loop when a beat did not get through.
        last_claim: Tells when the executor last claimed; noted with each beat, so that one can see who beats on, and
            claims no more. Called in the heartbeat's thread.
    """

    def __init__(
        self,
        store: Store,
        executor_id: str,
        lease: timedelta,
        *,
        on_lost: Callable[[], None],
        on_silence: Callable[[], None],
        last_claim: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._store = store
        self._executor_id = executor_id
        self._lease = lease
        self._on_lost = on_lost
        self._on_silence = on_silence
        self._last_claim = last_claim
        self._loop = asyncio.get_running_loop()
        self._beating: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="flowlet-heartbeat", daemon=True)

    def start(self) -> None:
        """Begin to beat; the executor's registration was the first beat."""
        self._thread.start()

    async def stop(self) -> None:
        """Stop beating and close the connection."""
        self._stopping.set()
        if self._beating is not None and self._stop is not None:
            with contextlib.suppress(RuntimeError):  # the thread's loop has just ended by itself
                self._beating.call_soon_threadsafe(self._stop.set)
        await asyncio.to_thread(self._thread.join, 15)

    def _run(self) -> None:
        asyncio.run(self._beat())

    async def _beat(self) -> None:
        self._stop = asyncio.Event()
        self._beating = asyncio.get_running_loop()
        if self._stopping.is_set():
            return
        seconds = self._lease.total_seconds() / 3
        connections: Connections | None = None
        try:
            while not await self._waits(seconds):
                try:
                    connections = connections or await self._connected()
                    if not await self._beats_once(connections):
                        self._call(self._on_lost)
                        return
                    seconds = self._lease.total_seconds() / 3
                except StoreUnavailableError as error:
                    logger.warning("a heartbeat did not get through: %s", error)
                    self._call(self._on_silence)
                    seconds = min(1.0, self._lease.total_seconds() / 10)
                except Exception:  # a heart that stops for an odd answer would give up everything that runs here
                    logger.exception("a heartbeat broke off, and tries again")
                    self._call(self._on_silence)
                    seconds = min(1.0, self._lease.total_seconds() / 10)
        finally:
            if connections is not None:
                await connections.close()

    async def _connected(self) -> Connections:
        connections = Connections(
            self._store.url, self._store.connections.dialect, for_engine=False, patience=self._lease.total_seconds() / 3
        )
        await connections.open()
        return connections

    async def _beats_once(self, connections: Connections) -> bool:
        clock = self._store.clock
        began = clock.elapsed()
        now = await ExecutorStore(connections).beat(
            self._executor_id, lease_microseconds=microseconds(self._lease), claimed=self._last_claim()
        )
        if now is None:
            return False
        if clock.elapsed() - began < PROMPT_SECONDS:  # an answer that was long under way tells an old time
            clock.set(now)
        return True

    async def _waits(self, seconds: float) -> bool:
        """Wait, and return whether it is over."""
        assert self._stop is not None  # noqa: S101 - set where the loop began
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        return self._stop.is_set()

    def _call(self, callback: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the executor's loop is closed: nobody is left to tell
            self._loop.call_soon_threadsafe(callback)
