"""The heartbeat: a thread with a connection of its own, so that it beats on while a handler blocks the loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial

from flowlet.clock import Clock, to_microseconds
from flowlet.engine.outage import Backoff
from flowlet.shutdown import cancel_and_wait
from flowlet.store.connection import Connections
from flowlet.store.executors import ExecutorStore
from flowlet.store.opening import Store

__all__ = ["Heartbeat", "LeaseTimer"]

MAX_CLOCK_SYNC_SECONDS = 0.5
"""How long a heartbeat's answer may take for the clock to be set by it: a slow one carries an old time."""

STOP_SECONDS = 15.0
"""How long a heartbeat that is under way may take to end."""

RESTART_SECONDS = 0.1
"""After how long a heartbeat that has ended by itself starts again."""

logger = logging.getLogger(__name__)


class LeaseTimer:
    """How long an executor may rely on its lease, by its own count. Read and written by several threads.

    It counts from the time at which the last acknowledged heartbeat was sent: the store counts from a later time, so
    the lease has run out here before another executor may take what it holds.
    """

    def __init__(self, clock: Clock, lease: timedelta) -> None:
        self._clock = clock
        self._seconds = lease.total_seconds()
        self._renewed_at: float | None = None

    @property
    def remaining_seconds(self) -> float:
        """How long the lease lasts; the whole length before the first heartbeat, and 0 or less where it has run out."""
        renewed_at = self._renewed_at
        return self._seconds if renewed_at is None else renewed_at + self._seconds - self._clock.monotonic()

    def renew(self, sent_at: float) -> None:
        """Note that a heartbeat was acknowledged which was sent at this time, in monotonic seconds of the clock."""
        self._renewed_at = sent_at

    def is_claim_valid(self, sent_at: float) -> bool:
        """Return whether what a claim has leased may be run: sent at this time, it may have been answered too late."""
        return self.remaining_seconds > 0 and self._clock.monotonic() - sent_at < self._seconds * 2 / 3


class Heartbeat:
    """Renews an executor's lease three times within its length, and sets the clock by each answer.

    Args:
        store: The database, and the clock to set.
        executor_id: The executor.
        lease: The length of its lease.
        timer: Renewed by each acknowledged heartbeat.
        on_lost: Called in the executor's loop when the executor has been marked as lost.
        on_beat: Called in the executor's loop when a heartbeat was acknowledged.
        on_missed_beat: Called in the executor's loop when a heartbeat failed, with the time at which it was sent.
        on_expired: Called in the executor's loop when the lease has run out by the executor's own count.
        on_renewed: Called in the executor's loop when it has been renewed after that.
        get_last_claim: Returns when the executor last claimed. It is stored with each heartbeat, so that an executor
            that is alive and does not claim can be seen. Called in the heartbeat's thread.
    """

    def __init__(
        self,
        store: Store,
        executor_id: str,
        lease: timedelta,
        timer: LeaseTimer,
        *,
        on_lost: Callable[[], None],
        on_beat: Callable[[], None],
        on_missed_beat: Callable[[int], None],
        on_expired: Callable[[], None],
        on_renewed: Callable[[], None],
        get_last_claim: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._store = store
        self._executor_id = executor_id
        self._lease = lease
        self._timer = timer
        self._on_lost = on_lost
        self._on_beat = on_beat
        self._on_missed_beat = on_missed_beat
        self._on_expired = on_expired
        self._on_renewed = on_renewed
        self._get_last_claim = get_last_claim
        self._executor_loop = asyncio.get_running_loop()
        self._thread_loop: asyncio.AbstractEventLoop | None = None
        self._stop_event: asyncio.Event | None = None
        self._stopping = threading.Event()
        self._has_ended = asyncio.Event()
        self._thread = threading.Thread(target=self._run_thread, name="flowlet-heartbeat", daemon=True)

    def start(self) -> None:
        """Begin to beat; the executor's registration was the first heartbeat."""
        self._thread.start()

    async def stop(self) -> None:
        """Stop, close the connection, and return when the thread has ended."""
        self._stopping.set()
        if self._thread.ident is None:
            return
        if self._thread_loop is not None and self._stop_event is not None:
            with contextlib.suppress(RuntimeError):  # the thread's loop has just ended by itself
                self._thread_loop.call_soon_threadsafe(self._stop_event.set)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await self._has_ended.wait()
        self._thread.join(1.0)  # it has nothing left to do
        if self._thread.is_alive():
            logger.error("the heartbeat's thread of executor %s has not ended within 15 s", self._executor_id)

    def _run_thread(self) -> None:
        try:
            while not self._stopping.is_set():
                try:
                    asyncio.run(self._beat_until_stopped())
                except BaseException:  # whatever it is: if the thread ended, all that runs here would be given up
                    logger.exception("the heartbeat of executor %s has ended; it starts again", self._executor_id)
                    self._stopping.wait(RESTART_SECONDS)
                else:
                    return
        finally:
            self._call_in_executor_loop(self._has_ended.set)

    async def _beat_until_stopped(self) -> None:
        self._stop_event = asyncio.Event()
        self._thread_loop = asyncio.get_running_loop()
        if self._stopping.is_set():
            return
        lease_seconds = self._lease.total_seconds()
        seconds = lease_seconds / 3
        connections: Connections | None = None
        watch = asyncio.create_task(self._watch_lease())
        try:
            with Backoff("renewing the executor's lease") as backoff:
                while not await self._wait_for_stop(seconds):
                    sent_at = self._store.clock.now()
                    try:
                        connections = connections or await self._connect()
                        if not await self._beat_once(connections):
                            self._call_in_executor_loop(self._on_lost)
                            return
                    except Exception as error:  # noqa: BLE001 - if the thread ended, all that runs here would be given up
                        self._call_in_executor_loop(partial(self._on_missed_beat, sent_at))
                        seconds = min(backoff.next_delay(error), lease_seconds / 10)
                    else:
                        self._call_in_executor_loop(self._on_beat)
                        backoff.reset()
                        seconds = lease_seconds / 3
        finally:
            await cancel_and_wait(watch)
            if connections is not None:
                await connections.close()

    async def _watch_lease(self) -> None:
        """Report when the lease has run out, and when it has been renewed, until stopped or cancelled."""
        is_expired, look_again = False, self._lease.total_seconds() / 6
        while True:
            remaining = self._timer.remaining_seconds
            if is_expired != (remaining <= 0):
                is_expired = not is_expired
                self._call_in_executor_loop(self._on_expired if is_expired else self._on_renewed)
            if await self._wait_for_stop(look_again if is_expired else min(remaining, look_again)):
                return

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
        self._timer.renew(began)
        if clock.monotonic() - began < MAX_CLOCK_SYNC_SECONDS:
            clock.synchronize(now)
        return True

    async def _wait_for_stop(self, seconds: float) -> bool:
        """Wait, and return whether the heartbeat is to stop."""
        assert self._stop_event is not None  # noqa: S101 - set where the loop began
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop_event.wait()
        return self._stop_event.is_set()

    def _call_in_executor_loop(self, callback: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the executor's loop is closed
            self._executor_loop.call_soon_threadsafe(callback)
