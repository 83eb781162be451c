"""Waiting until instances reach a state: one loop looks for all who wait, and runs only while somebody does.

What is committed in this process is announced, and looked at at once. What other processes commit is looked for when
they tell of it, and ten times a second (oftener on a database where they cannot): in one statement for every thousand
instances, however many wait for them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from flowlet.clock import Clock
from flowlet.engine.herald import Herald
from flowlet.errors import RefusedError, StoreUnavailableError, UnknownInstanceError, WaitTimeoutError
from flowlet.instances import ENDED, Instance, Status
from flowlet.store.changes import LARGEST_ID
from flowlet.store.opening import Store
from flowlet.store.reads import Standing
from flowlet.transitions import Transition

__all__ = ["LONGEST_SECONDS", "MOST_WAITERS", "Arrivals", "Wait"]

LONGEST_SECONDS = 3600.0
"""How long one wait may be."""
MOST_WAITERS = 10_000
"""How many may wait at once."""

TICK_SECONDS = 0.1
SHORTEST_TICK_SECONDS = 0.01
LATE_SHARE = 0.1
"""Where nobody can tell: how late an answer may be for having been looked for, as a share of how long it took."""
LOOK_SHARE = 2
"""The loop rests this many times as long as a look took, at least: looking takes a third of the time at most."""
ROUNDING_SECONDS = 1e-4
"""By how much a pause may end early: clocks count in microseconds, and floats of them are not exact."""
CHUNK = 1_000
STUCK_SECONDS = 2.0
"""Real seconds after its end that a wait holds out for a database that does not answer."""

Wait = Callable[..., Awaitable[Instance]]
"""Waits for an instance."""

logger = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Waiter:
    """One who waits. ``since`` is the last line of history that was looked at; None before the first look."""

    id: int
    states: frozenset[str]
    deadline: float
    done: asyncio.Future[Instance]
    since: int | None
    version: int = -1
    has_arrived: bool = False

    def is_there(self, state: str, *, has_ended: bool) -> bool:
        """Return whether an instance that stands so is what is waited for."""
        return has_ended or state in self.states

    def is_behind(self, standing: Standing | None) -> bool:
        """Return whether the history may by now hold a state that is waited for."""
        return standing is not None and bool(self.states) and self.version != standing.version

    def read(self, lines: Iterable[tuple[int, str]], *, version: int) -> None:
        """Take in which states were entered, each with its line of history."""
        since = self.since or 0
        new = [(line, state) for line, state in lines if line > since]
        self.has_arrived = self.has_arrived or any(state in self.states for _, state in new)
        self.since = max((line for line, _ in new), default=since)
        self.version = version


class Arrivals:
    """Those who wait for instances of one database, in one process.

    Args:
        store: The database.
        clock: By which waits end.
        herald: Tells other processes of commits, and hears of theirs; None for looking now and then.
    """

    def __init__(self, store: Store, clock: Clock, *, herald: Herald | None = None) -> None:
        self._reads = store.reads
        self._clock = clock
        self._herald = herald
        self._waiters: dict[int, set[_Waiter]] = {}
        self._number = 0
        self._told: set[int] = set()
        self._looked = self._rested = self._latest = -math.inf
        self._has_heard = False
        self._loop: asyncio.Task[None] | None = None
        self._nap: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """How many wait now."""
        return self._number

    async def wait(
        self, id: int, states: str | Collection[str] | None = None, *, timeout: float, since: int | None = None
    ) -> Instance:
        """Return an instance as soon as it has reached one of these states, or has ended.

        A state that it has entered and left again between two looks counts: the history tells. So what comes back may
        have gone further, and one that has ended without ever reaching a state comes back too: look at it. While the
        database is away the wait goes on.

        Args:
            id: The instance.
            states: The states that are waited for; None, or none of them, for its end only.
            timeout: For how many seconds at most; 0 to 3,600.
            since: The line of history, by its id, after which a state counts; 0 for its whole history. None means
                from now on; the state that it is in counts in any case.

        Raises:
            WaitTimeoutError: If it has not come so far in this time; carries the instance as it is. Also if the
                application stops meanwhile.
            UnknownInstanceError: If there is none of this id.
            RefusedError: If the time is out of its bounds, or 10,000 wait already.
        """
        with self.admitted(timeout) as wait:
            return await wait(id, states, since=since)

    @contextlib.contextmanager
    def admitted(self, timeout: float) -> Iterator[Wait]:
        """Hold a place among those who wait, for the length of the block: before something is done that is waited for.

        What it yields is ``wait``, with this timeout.

        Raises:
            RefusedError: If the time is out of its bounds, or 10,000 wait already.
        """
        if not 0 <= timeout <= LONGEST_SECONDS:
            raise RefusedError(f"a wait of {timeout} seconds: it has to be from 0 to {LONGEST_SECONDS:.0f}")
        if self._number >= MOST_WAITERS:
            raise RefusedError(f"{MOST_WAITERS:,} wait already: ask again later, or look from time to time")
        self._number += 1
        try:
            yield partial(self._wait, timeout=timeout)
        finally:
            self._number -= 1

    async def _wait(
        self, id: int, states: str | Collection[str] | None = None, *, timeout: float, since: int | None = None
    ) -> Instance:
        if not 0 < id <= LARGEST_ID:
            raise _unknown(id)
        wanted = frozenset((states,) if isinstance(states, str) else states or ())
        done: asyncio.Future[Instance] = asyncio.get_running_loop().create_future()
        waiter = _Waiter(id, wanted, self._clock.elapsed() + timeout, done, since)
        with self._entered(waiter):
            try:
                async with asyncio.timeout(timeout + STUCK_SECONDS):
                    return await done
            except WaitTimeoutError:
                raise
            except TimeoutError:
                raise _too_late(waiter, None) from None

    def committed(self, transition: Transition) -> None:
        """Tell those who wait for its instance of a transition that has become durable."""
        if transition.instance.id in self._waiters:
            self._announce(transition.instance.id, transition.state, transition.status)
        if self._herald is not None:
            self._herald.tell()

    def changed(self, instance: Instance) -> None:
        """Tell those who wait for it of an instance that somebody has changed."""
        if instance.id in self._waiters:
            self._announce(instance.id, instance.state, instance.status)
        if self._herald is not None:
            self._herald.tell()

    async def close(self) -> None:
        """End every wait, and stop."""
        for waiter in self._all():
            why = f"the wait for workflow {waiter.id} was cut short: the application stops"
            _refuse(waiter, WaitTimeoutError(why))
        if self._loop is not None:
            self._loop.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._loop
        if self._herald is not None:
            await self._herald.close()

    @contextlib.contextmanager
    def _entered(self, waiter: _Waiter) -> Iterator[None]:
        """Hold a waiter on the list, and the loop alive, for the length of the block."""
        self._waiters.setdefault(waiter.id, set()).add(waiter)
        self._latest = self._clock.elapsed()
        self._look_soon(waiter.id)
        if self._loop is None or self._loop.done():
            self._loop = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            if waiter.done.done() and not waiter.done.cancelled():
                waiter.done.exception()  # looked at: who was cancelled at this very moment will not
            beside = self._waiters[waiter.id]
            beside.remove(waiter)
            if not beside:
                del self._waiters[waiter.id]
                self._told.discard(waiter.id)
            if not self._waiters and self._nap is not None:
                self._nap.cancel()

    def _announce(self, id: int, state: str, status: Status) -> None:
        for waiter in self._waiters[id]:
            if waiter.is_there(state, has_ended=status in ENDED):
                waiter.has_arrived = True
                self._look_soon(id)

    def _look_soon(self, id: int) -> None:
        self._told.add(id)
        if self._nap is not None:
            self._nap.cancel()

    def _all(self) -> Iterator[_Waiter]:
        return (waiter for waiters in self._waiters.values() for waiter in waiters)

    async def _watch(self) -> None:
        """Look, let go whose time is over, and rest, as long as somebody waits."""
        if self._herald is not None:
            await self._herald.hear(self._heard)
        while self._waiters:
            began = self._clock.elapsed()
            looks_at_all = began >= self._next_look() - ROUNDING_SECONDS
            late = [waiter for waiter in self._all() if waiter.deadline <= began and not waiter.done.done()]
            ids = {*(self._waiters if looks_at_all else self._told), *(waiter.id for waiter in late)}
            self._told.clear()
            self._has_heard = self._has_heard and not looks_at_all
            found = await self._found(sorted(ids), late)
            for waiter in late:
                _refuse(waiter, _too_late(waiter, found.get(waiter.id)))
            if looks_at_all:
                self._looked = self._clock.elapsed()
                self._rested = self._looked + LOOK_SHARE * (self._looked - began)
            await self._rest()

    def _heard(self) -> None:
        """Look at all as soon as the last look at all is long enough ago: another process has committed something."""
        self._has_heard = True
        if self._nap is not None:
            self._nap.cancel()

    def _next_look(self) -> float:
        """Return when to look at all: as soon as it has rested where another process has told of something."""
        if self._has_heard:
            return self._rested
        tick = TICK_SECONDS
        if self._herald is None or not self._herald.hears:
            tick = min(tick, max(SHORTEST_TICK_SECONDS, LATE_SHARE * (self._looked - self._latest)))
        return max(self._rested, self._looked + tick)

    async def _rest(self) -> None:
        """Sleep until the next look or the end of a wait, or until somebody tells of something."""
        if self._told:
            return
        ends = (waiter.deadline for waiter in self._all() if not waiter.done.done())
        until = min(self._next_look(), min(ends, default=math.inf))
        self._nap = asyncio.create_task(self._clock.sleep(max(0.0, until - self._clock.elapsed())))
        try:
            await asyncio.wait([self._nap])
        finally:
            self._nap.cancel()
            self._nap = None

    async def _found(self, ids: Sequence[int], late: Iterable[_Waiter]) -> dict[int, Instance]:
        """Look at instances, tell those who wait for one that has arrived, and return what was read of the others."""
        found: dict[int, Instance] = {}
        overdue = {waiter.id for waiter in late}
        try:
            async with asyncio.timeout(STUCK_SECONDS * 10):
                for first in range(0, len(ids), CHUNK):
                    found |= await self._look(ids[first : first + CHUNK], overdue)
        except (StoreUnavailableError, TimeoutError) as error:
            logger.debug("%d waits go on, the store is away: %s", self._number, error)
        except Exception:
            logger.exception("%d waits go on, a look broke off", self._number)
        return found

    async def _look(self, ids: Sequence[int], overdue: Collection[int]) -> dict[int, Instance]:
        waiters = [waiter for id in ids for waiter in self._waiters.get(id, ()) if not waiter.done.done()]
        standings = await self._standings(waiters)
        await self._read_on(waiters, standings)
        arrived = []
        for waiter in waiters:
            standing = standings.get(waiter.id)
            if standing is None:
                _refuse(waiter, _unknown(waiter.id))
            elif waiter.has_arrived or waiter.is_there(standing.state, has_ended=standing.has_ended):
                arrived.append(waiter)
        wanted = sorted({*(waiter.id for waiter in arrived), *(id for id in overdue if id in standings)})
        instances = await self._reads.several(wanted) if wanted else {}
        for waiter in arrived:
            if not waiter.done.done() and waiter.id in instances:
                waiter.done.set_result(instances[waiter.id])
        return instances

    async def _standings(self, waiters: Sequence[_Waiter]) -> dict[int, Standing]:
        """Return where their instances stand; for those who have just come, mark where its history ends."""
        fresh = {waiter.id for waiter in waiters if waiter.since is None}
        known = {waiter.id for waiter in waiters} - fresh
        found = await self._reads.marked_standings(sorted(fresh)) if fresh else []
        found += await self._reads.standings(sorted(known)) if known else []
        standings = {standing.id: standing for standing in found}
        for waiter in waiters:
            if waiter.since is None and waiter.id in standings:
                waiter.since = standings[waiter.id].mark or 0
                waiter.version = standings[waiter.id].version
        return standings

    async def _read_on(self, waiters: Sequence[_Waiter], standings: Mapping[int, Standing]) -> None:
        """Read what has been added to the histories since the last look, for those who wait for a state."""
        behind = [waiter for waiter in waiters if waiter.is_behind(standings.get(waiter.id))]
        if not behind:
            return
        least = min(waiter.since or 0 for waiter in behind)
        entered: dict[int, list[tuple[int, str]]] = {}
        for id, line, state in await self._reads.entries(sorted({waiter.id for waiter in behind}), after=least):
            entered.setdefault(id, []).append((line, state))
        for waiter in behind:
            waiter.read(entered.get(waiter.id, ()), version=standings[waiter.id].version)


def _refuse(waiter: _Waiter, error: Exception) -> None:
    if not waiter.done.done():
        waiter.done.set_exception(error)


def _unknown(id: int) -> UnknownInstanceError:
    return UnknownInstanceError(f"no workflow has the id {id}")


def _too_late(waiter: _Waiter, instance: Instance | None) -> WaitTimeoutError:
    aim = f"reached {', '.join(sorted(waiter.states))}" if waiter.states else "ended"
    if instance is None:
        return WaitTimeoutError(f"workflow {waiter.id} has not {aim} in time, and the store does not answer")
    stands = f"it is {instance.status} in state {instance.state!r}"
    return WaitTimeoutError(f"workflow {waiter.id} has not {aim} in time: {stands}", instance)
