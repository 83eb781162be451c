"""The heartbeat: a thread with a connection of its own, so that it beats on while a handler blocks the loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from datetime import timedelta

from flowlet.clock import to_microseconds
from flowlet.errors import StoreUnavailableError
from flowlet.store.connection import Connections
from flowlet.store.executors import ExecutorStore
from flowlet.store.opening import Store

__all__ = ["Heartbeat"]

MAX_CLOCK_SYNC_SECONDS = 0.5
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
        on_missed_beat: Callable[[], None],
        get_last_claim: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._store = store
        self._executor_id = executor_id
        self._lease = lease
        self._on_lost = on_lost
        self._on_missed_beat = on_missed_beat
        self._get_last_claim = get_last_claim
        self._executor_loop = asyncio.get_running_loop()
        self._thread_loop: asyncio.AbstractEventLoop | None = None
        self._stop_event: asyncio.Event | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run_thread, name="flowlet-heartbeat", daemon=True)

    def start(self) -> None:
        """Begin to beat; the executor's registration was the first beat."""
        self._thread.start()

    async def stop(self) -> None:
        """Stop beating and close the connection."""
        self._stopping.set()
        if self._thread_loop is not None and self._stop_event is not None:
            with contextlib.suppress(RuntimeError):  # the thread's loop has just ended by itself
                self._thread_loop.call_soon_threadsafe(self._stop_event.set)
        await asyncio.to_thread(self._thread.join, 15)

    def _run_thread(self) -> None:
        asyncio.run(self._beat_until_stopped())

    async def _beat_until_stopped(self) -> None:
        self._stop_event = asyncio.Event()
        self._thread_loop = asyncio.get_running_loop()
        if self._stopping.is_set():
            return
        seconds = self._lease.total_seconds() / 3
        connections: Connections | None = None
        try:
            while not await self._wait_for_stop(seconds):
                try:
                    connections = connections or await self._connect()
                    if not await self._beat_once(connections):
                        self._call_in_executor_loop(self._on_lost)
                        return
                    seconds = self._lease.total_seconds() / 3
                except StoreUnavailableError as error:
                    logger.warning("a heartbeat did not get through: %s", error)
                    self._call_in_executor_loop(self._on_missed_beat)
                    seconds = min(1.0, self._lease.total_seconds() / 10)
                except Exception:  # a heart that stops for an odd answer would give up everything that runs here
                    logger.exception("a heartbeat broke off, and tries again")
                    self._call_in_executor_loop(self._on_missed_beat)
                    seconds = min(1.0, self._lease.total_seconds() / 10)
        finally:
            if connections is not None:
                await connections.close()

    async def _connect(self) -> Connections:
        connections = Connections(
            self._store.url,
            self._store.connections.dialect,
            for_engine=False,
            timeout_seconds=self._lease.total_seconds() / 3,
        )
        await connections.open()
        return connections

    async def _beat_once(self, connections: Connections) -> bool:
        clock = self._store.clock
        began = clock.monotonic()
        now = await ExecutorStore(connections).renew_lease(
            self._executor_id, lease_microseconds=to_microseconds(self._lease), claimed_at=self._get_last_claim()
        )
        if now is None:
            return False
        if clock.monotonic() - began < MAX_CLOCK_SYNC_SECONDS:  # an answer that was long under way tells an old time
            clock.synchronize(now)
        return True

    async def _wait_for_stop(self, seconds: float) -> bool:
        """Wait, and return whether it is over."""
        assert self._stop_event is not None  # noqa: S101 - set where the loop began
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop_event.wait()
        return self._stop_event.is_set()

    def _call_in_executor_loop(self, callback: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the executor's loop is closed: nobody is left to tell
            self._executor_loop.call_soon_threadsafe(callback)
