"""Waiting until instances reach a state: one loop reads for all waits, and runs only while there are any.

After a commit of this process the loop reads the instances that it changed, at once. After a commit of another process
it reads all that are waited for: in one statement for every thousand instances, however many waits there are.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial

from flowlet.clock import Clock
from flowlet.definition.versions.state_names import NO_RENAMES
from flowlet.engine.waits.waiter import Waiter, WaitResult, build_timeout_error, build_unknown_error
from flowlet.errors import RefusedError, StoreUnavailableError, WaitStoppedError, WaitTimeoutError
from flowlet.instance.instance import ENDED_STATUSES, Instance
from flowlet.shutdown import BackgroundTask
from flowlet.store.commits import Commit
from flowlet.store.opening import Store
from flowlet.store.queries import InstancePosition
from flowlet.text import MAX_INTEGER

__all__ = ["MAX_WAITERS", "MAX_WAIT_SECONDS", "WaitFunction", "Waiters"]

MAX_WAIT_SECONDS = 3600.0
"""How long one wait may be."""
MAX_WAITERS = 10_000
"""How many may wait at once."""

FALLBACK_SECONDS = 1.0
"""How often the loop looks without a signal: a process that dies may not have sent its last one."""
TICK_SECONDS = 0.1
"""How often it looks while signals cannot be heard, and how often a database is polled, at least."""
MIN_TICK_SECONDS = 0.01
MAX_DELAY_SHARE = 0.1
"""On a database that is polled: how late an answer may be, as a share of how long the latest wait has taken."""
REST_FACTOR = 2
"""The loop rests this many times as long as a look took, up to ``FALLBACK_SECONDS``."""
ROUNDING_SECONDS = 1e-4
"""By how much a pause may end early: clocks count in microseconds, and floats of them are not exact."""
CHUNK_SIZE = 1_000
STORE_GRACE_SECONDS, LOOK_SECONDS = 1.5, 20.0
"""Real seconds after its timeout that a wait still gives a database that does not answer; how long a look may take."""

WaitFunction = Callable[..., Awaitable[WaitResult]]
"""Waits for an instance."""

logger = logging.getLogger(__name__)


class Waiters:
    """The waits for instances of one database, in one process.

    Args:
        store: The database.
        clock: The clock by which waits time out.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._reads = store.queries
        self._state_names = store.state_names
        self._clock = clock
        self._commit_signal = store.commit_signal
        self._waiters: dict[int, set[Waiter]] = {}
        self._reserved_count = 0
        self._announced_ids: set[int] = set()
        self._last_look = self._rest_until = self._last_arrival = -math.inf
        self._has_unseen_commit = False
        self._is_closed = False
        self._watch_task = BackgroundTask("waiters", self._watch_instances)
        self._sleep_task: asyncio.Task[None] | None = None

    @property
    def waiter_count(self) -> int:
        """How many waits there are now."""
        return self._reserved_count

    async def wait(
        self, id: int, states: str | Collection[str] | None = None, *, timeout: float, since: int | None = None
    ) -> Instance:
        """Return an instance as soon as it has reached one of these states, or has ended.

        A state that it has entered and left again between two looks counts: the history shows it. So the instance may
        have gone further, and one that has ended without reaching any of the states is returned too: check its state.
        The wait continues while the database is away.

        Args:
            id: The instance.
            states: The states to wait for, by their present or former names; None, or an empty collection, for its end
                only.
            timeout: In seconds; 0 to 3,600.
            since: The id of the line of history after which a state counts; 0 for its whole history. None means
                from now on; its present state counts in any case.

        Raises:
            WaitTimeoutError: If it has not reached a state in time; carries the instance as it is.
            WaitStoppedError: If the application stops meanwhile.
            UnknownInstanceError: If no instance has this id.
            RefusedError: If the timeout is out of its bounds, or there are 10,000 waits already.
        """
        with self.reserve_wait(timeout) as wait:
            return (await wait(id, states, since=since)).instance

    @contextlib.contextmanager
    def reserve_wait(self, timeout: float) -> Iterator[WaitFunction]:
        """Reserve a wait for the length of the block, before the change whose result is waited for.

        Yields ``wait``, with this timeout.

        Raises:
            RefusedError: If the timeout is out of its bounds, or there are 10,000 waits already.
            WaitStoppedError: If the application stops.
        """
        if not 0 <= timeout <= MAX_WAIT_SECONDS:
            raise RefusedError(f"a timeout of {timeout} seconds: it has to be from 0 to {MAX_WAIT_SECONDS:.0f}")
        if self._is_closed:
            raise WaitStoppedError
        if self._reserved_count >= MAX_WAITERS:
            raise RefusedError(f"there are {MAX_WAITERS:,} waits already: try again later, or poll the workflow")
        self._reserved_count += 1
        try:
            yield partial(self._wait_for_instance, timeout=timeout)
        finally:
            self._reserved_count -= 1

    async def _wait_for_instance(
        self, id: int, states: str | Collection[str] | None = None, *, timeout: float, since: int | None = None
    ) -> WaitResult:
        if not 0 < id <= MAX_INTEGER:
            raise build_unknown_error(id)
        if self._is_closed:
            raise WaitStoppedError(id)
        wanted = frozenset((states,) if isinstance(states, str) else states or ())
        done: asyncio.Future[WaitResult] = asyncio.get_running_loop().create_future()
        waiter = Waiter(id, wanted, self._clock.monotonic() + timeout, done, since)
        with self._register_waiter(waiter):
            try:
                async with asyncio.timeout(timeout + STORE_GRACE_SECONDS):
                    return await done
            except WaitTimeoutError:
                raise
            except TimeoutError:
                raise build_timeout_error(waiter, None) from None

    def end_waits(self) -> None:
        """End every wait with ``WaitStoppedError``, and refuse new ones."""
        self._is_closed = True
        for waiter in self._iterate_waiters():
            waiter.fail(WaitStoppedError(waiter.id))

    async def close(self) -> None:
        """End every wait, and stop."""
        self.end_waits()
        await self._watch_task.close()

    @contextlib.contextmanager
    def _register_waiter(self, waiter: Waiter) -> Iterator[None]:
        """Keep a wait registered, and the loop running, for the length of the block."""
        self._waiters.setdefault(waiter.id, set()).add(waiter)
        self._last_arrival = self._clock.monotonic()
        self._request_look(waiter.id)
        self._commit_signal.refresh_poll()
        self._watch_task.start()
        try:
            yield
        finally:
            if waiter.future.done() and not waiter.future.cancelled():
                waiter.future.exception()  # retrieved: a caller that was cancelled at this very moment will not do it
            beside = self._waiters[waiter.id]
            beside.remove(waiter)
            if not beside:
                del self._waiters[waiter.id]
                self._announced_ids.discard(waiter.id)
            if not self._waiters and self._sleep_task is not None:
                self._sleep_task.cancel()

    def _on_commit(self, commit: Commit) -> None:
        """Look at the changed instances at once; at all, as soon as the loop has rested, where these are unknown."""
        if commit.instances is None:
            self._has_unseen_commit = True
            self._wake_loop()
            return
        for id, state, status in commit.instances:
            for waiter in self._waiters.get(id, ()):
                if waiter.note_position(state, has_ended=status in ENDED_STATUSES):
                    self._request_look(id)

    def _request_look(self, id: int) -> None:
        self._announced_ids.add(id)
        self._wake_loop()

    def _wake_loop(self) -> None:
        if self._sleep_task is not None:
            self._sleep_task.cancel()

    def _iterate_waiters(self) -> Iterator[Waiter]:
        return (waiter for waiters in self._waiters.values() for waiter in waiters)

    async def _watch_instances(self) -> None:
        """Look, fail the waits that have timed out, and rest, as long as there are waits."""
        unsubscribe = self._commit_signal.subscribe(self._on_commit, get_poll_seconds=self._compute_poll_seconds)
        try:
            while self._waiters:
                await self._look_once()
                await self._sleep_until_next_look()
        finally:
            unsubscribe()

    async def _look_once(self) -> None:
        began = self._clock.monotonic()
        looks_at_all = began >= self._compute_next_look() - ROUNDING_SECONDS
        late = [waiter for waiter in self._iterate_waiters() if waiter.deadline <= began and not waiter.future.done()]
        ids = {*(self._waiters if looks_at_all else self._announced_ids), *(waiter.id for waiter in late)}
        self._announced_ids.clear()
        self._has_unseen_commit = self._has_unseen_commit and not looks_at_all
        found = await self._check_instances(sorted(ids), late)
        for waiter in late:
            waiter.fail(build_timeout_error(waiter, found.get(waiter.id)))
        if looks_at_all:
            self._last_look = self._clock.monotonic()
            self._rest_until = self._last_look + min(REST_FACTOR * (self._last_look - began), FALLBACK_SECONDS)

    def _compute_next_look(self) -> float:
        """Return when to look at all instances: after a commit of another process, as soon as the loop has rested."""
        if self._has_unseen_commit:
            return self._rest_until
        tick = FALLBACK_SECONDS if self._commit_signal.is_listening else TICK_SECONDS
        return max(self._rest_until, self._last_look + tick)

    def _compute_poll_seconds(self) -> float:
        """Return how often to poll a database that has to be polled: the oftener, the younger the latest wait is."""
        age = self._clock.monotonic() - self._last_arrival
        return min(TICK_SECONDS, max(MIN_TICK_SECONDS, MAX_DELAY_SHARE * age))

    async def _sleep_until_next_look(self) -> None:
        """Sleep until the next look or the next timeout, or until a commit asks for a look."""
        if self._announced_ids:
            return
        ends = (waiter.deadline for waiter in self._iterate_waiters() if not waiter.future.done())
        until = min(self._compute_next_look(), min(ends, default=math.inf))
        self._sleep_task = asyncio.create_task(self._clock.sleep(max(0.0, until - self._clock.monotonic())))
        try:
            await asyncio.wait([self._sleep_task])
        finally:
            self._sleep_task.cancel()
            self._sleep_task = None

    async def _check_instances(self, ids: Sequence[int], expired: Iterable[Waiter]) -> dict[int, Instance]:
        """Read instances, end the waits for those that have arrived, and return the instances that were read whole."""
        found: dict[int, Instance] = {}
        overdue = {waiter.id for waiter in expired}
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                for first in range(0, len(ids), CHUNK_SIZE):
                    found |= await self._check_chunk(ids[first : first + CHUNK_SIZE], overdue)
        except (StoreUnavailableError, TimeoutError) as error:
            logger.debug("%d waits continue, the store is away: %s", self._reserved_count, error)
        except Exception:
            logger.exception("%d waits continue after an unexpected error", self._reserved_count)
        return found

    async def _check_chunk(self, ids: Sequence[int], overdue: Collection[int]) -> dict[int, Instance]:
        waiters = [waiter for id in ids for waiter in self._waiters.get(id, ()) if not waiter.future.done()]
        positions = await self._read_positions(waiters)
        await self._read_names(waiters, positions)
        await self._read_new_entries(waiters, positions)
        arrived = []
        for waiter in waiters:
            position = positions.get(waiter.id)
            if position is None:
                waiter.fail(build_unknown_error(waiter.id))
            elif waiter.note_position(position.state, has_ended=position.has_ended):
                arrived.append(waiter)
        wanted = sorted({*(waiter.id for waiter in arrived), *(id for id in overdue if id in positions)})
        instances = await self._reads.get_many(wanted) if wanted else {}
        for waiter in arrived:
            if waiter.id in instances:
                waiter.succeed(instances[waiter.id])
        return instances

    async def _read_positions(self, waiters: Sequence[Waiter]) -> dict[int, InstancePosition]:
        """Return the positions of their instances; for new waits, note where the history ends."""
        fresh = {waiter.id for waiter in waiters if waiter.since is None}
        known = {waiter.id for waiter in waiters} - fresh
        found = await self._reads.read_positions_with_last_action(sorted(fresh)) if fresh else []
        found += await self._reads.read_positions(sorted(known)) if known else []
        positions = {position.id: position for position in found}
        for waiter in waiters:
            if waiter.since is None and waiter.id in positions:
                waiter.since = positions[waiter.id].last_action_id or 0
                waiter.version = positions[waiter.id].version
        return positions

    async def _read_names(self, waiters: Sequence[Waiter], positions: Mapping[int, InstancePosition]) -> None:
        """Read the names of the states that are waited for, of instances that may have entered one since.

        They are read again whenever an instance has moved: a version in which its states were renamed may have come.
        """
        moved = [waiter for waiter in waiters if waiter.is_behind(positions.get(waiter.id)) or waiter.is_new]
        moved = [waiter for waiter in moved if waiter.states and waiter.id in positions]
        names = await self._state_names.read() if moved else NO_RENAMES
        for waiter in moved:
            waiter.names = names.expand(positions[waiter.id].type, waiter.states)
            waiter.is_new = False

    async def _read_new_entries(self, waiters: Sequence[Waiter], positions: Mapping[int, InstancePosition]) -> None:
        """Read what has been added to the histories since the last look, for the waits that name a state."""
        behind = [waiter for waiter in waiters if waiter.is_behind(positions.get(waiter.id))]
        if not behind:
            return
        least = min(waiter.since or 0 for waiter in behind)
        entered: dict[int, list[tuple[int, str]]] = {}
        for id, line, state in await self._reads.read_entered_states(
            sorted({waiter.id for waiter in behind}), after=least
        ):
            entered.setdefault(id, []).append((line, state))
        for waiter in behind:
            waiter.add_entries(entered.get(waiter.id, ()), version=positions[waiter.id].version)
