"""The scheduler: an executor's part in firing schedules, from its start to its end."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from flowlet.clock import MICROSECONDS_PER_SECOND, to_datetime
from flowlet.definition.registry import Registry
from flowlet.engine.observer import ExecutorObserver
from flowlet.engine.outage import Backoff
from flowlet.engine.schedules.firing_plan import FiringPlan, plan_firing
from flowlet.engine.wakeup import Wakeup
from flowlet.errors import TimetableError, VariablesError
from flowlet.instance.instance import ENDED_STATUSES
from flowlet.settings import ExecutorSettings
from flowlet.store.commits import SCHEDULES_CHANGED, Commit
from flowlet.store.opening import Store
from flowlet.store.schedules.firing import FiredSchedule, PlannedFiring, ScheduleLook
from flowlet.store.schedules.statements import ScheduleScope
from flowlet.store.schedules.table import ScheduleRecord
from flowlet.text import MAX_REASON_LENGTH, clean_text

__all__ = ["MAX_INSTANCES", "Scheduler"]

MAX_SCHEDULES = 50
"""How many schedules one transaction fires at most: another executor fires the next ones at the same time."""
MAX_INSTANCES = 100
"""How many instances one transaction creates at most."""
REST_SECONDS = 0.5
"""How long at least between two looks for commits of which nothing is known: each may have changed a schedule."""
LOCKED_SECONDS = 0.05
"""How long to wait for another executor that fires what is due."""
FAULT_MICROSECONDS = 60 * MICROSECONDS_PER_SECOND
"""After how long a schedule is tried again that could not be fired."""
MAX_NAMED = 5
"""How many schedules a log line names."""
MAX_SAVE_ROUNDS = 1_000
"""How often a start fires what is due before it stores other times; 100 instances each time."""

logger = logging.getLogger(__name__)


class Scheduler:
    """Fires the schedules of the workflows that one executor has loaded, up to their versions.

    It sleeps until the first one is due, and is woken by commits that change schedules. While a time waits for the end
    of an instance, commits that may have ended it wake it as well.

    Args:
        store: The database.
        registry: The workflows.
        settings: How often it looks without being woken.
        observer: Is notified of what was fired.
    """

    def __init__(
        self,
        store: Store,
        registry: Registry,
        settings: ExecutorSettings,
        *,
        observer: ExecutorObserver | None = None,
    ) -> None:
        self._store = store
        self._registry = registry
        self._poll_seconds = settings.poll_interval.total_seconds()
        self._observer = observer
        self._versions = {definition.name: definition.version for definition in registry.definitions}
        self._scope = ScheduleScope(self._versions)
        self._wakeup = Wakeup(store.clock)
        self._awaited: frozenset[int] = frozenset()
        self._has_heard_commit = False

    async def save_declared(self) -> None:
        """Store the schedules of the loaded workflows; what is due fires first, at the times that are stored.

        Raises:
            StoreUnavailableError: If the database is away.
        """
        for _ in range(MAX_SAVE_ROUNDS):
            now = self._store.clock.now()
            saved = await self._store.schedules.save_declared(self._registry.definitions, now=now)
            for name in saved.taken:
                logger.warning("the schedule %r is not stored: another one has this name. Rename one of them", name)
            if saved.changed:
                shown = ", ".join(map(repr, saved.changed[:MAX_NAMED]))
                logger.info("%d schedules have changed, among them %s", len(saved.changed), shown)
            if not saved.due:
                return
            await self.fire_due()

    def subscribe(self) -> Callable[[], None]:
        """Be woken by commits from now on, and return what ends that."""
        return self._store.commit_signal.subscribe(self._on_commit, poll_rest_seconds=REST_SECONDS)

    async def run(self) -> None:
        """Fire what is due until cancelled."""
        unsubscribe = self.subscribe()
        try:
            with Backoff("firing schedules") as backoff:
                while True:
                    try:
                        look = await self.fire_due()
                        backoff.reset()
                    except Exception as error:  # noqa: BLE001 - without this loop no schedule would ever fire again
                        await self._store.clock.sleep(backoff.next_delay(error))
                        continue
                    self._wakeup.wake_at(min(look.next_fire.values(), default=None))
                    await self._rest(look)
                    # What is ready and was not fired is locked by others, whose transaction may be rolled back.
                    await self._wakeup.sleep(LOCKED_SECONDS if look.ready else self._poll_seconds)
        finally:
            unsubscribe()

    async def fire_due(self) -> ScheduleLook:
        """Fire what is due now, and return what there is to fire afterwards.

        Raises:
            StoreUnavailableError: If the database is away.
        """
        while True:
            now = self._store.clock.now()
            self._has_heard_commit = False
            look = await self._store.schedules.look(self._scope, now=now)
            self._awaited = look.awaited
            if look.awaited and self._has_heard_commit:
                self._wakeup.wake()  # it may have ended one of them after they were read
            due = {type for type, at in look.next_fire.items() if at <= now} | look.ready
            fired = [await self._fire_type(type) for type in sorted(due)]
            if not any(fired):  # nothing is due, or others are firing it: their commits wake this one
                return look

    async def find_next_due(self, now: int) -> int | None:
        """Return when the next schedule is due, after ``now``; None if none is.

        Raises:
            StoreUnavailableError: If the database is away.
        """
        look = await self._store.schedules.look(self._scope, now=now)
        return min((at for at in look.next_fire.values() if at > now), default=None)

    async def _fire_type(self, type: str) -> bool:
        """Fire the schedules of one workflow that are due, and return whether there were any."""
        try:
            return await self._fire_some(type, limit=MAX_SCHEDULES, max_instances=MAX_INSTANCES)
        except Exception as error:
            if not self._store.instances.is_refusal(error):
                raise
        # The database refuses an instance of one of them: each by itself, that one is found.
        try:
            return await self._fire_some(type, limit=1, max_instances=1)
        except Exception as error:
            if not self._store.instances.is_refusal(error):
                raise
            fault = f"the database refuses its instance: {error}"
        return await self._fire_some(type, limit=1, max_instances=1, fault=fault)

    async def _fire_some(self, type: str, *, limit: int, max_instances: int, fault: str | None = None) -> bool:
        now = self._store.clock.now()
        plans: dict[str, FiringPlan] = {}

        def plan(record: ScheduleRecord, is_running: bool, left: int) -> PlannedFiring:
            if fault is not None:
                return _postpone(record, fault, now)
            definition = self._registry.get_definition(record.type)
            try:
                planned, plans[record.name] = plan_firing(
                    record, definition, now=now, is_running=is_running, limit=left
                )
            except (TimetableError, VariablesError) as error:
                return _postpone(record, str(error), now)
            return planned

        fired = await self._store.schedules.fire(
            ScheduleScope({type: self._versions[type]}), plan, now=now, limit=limit, max_instances=max_instances
        )
        for one in fired:
            self._report(one, plans.get(one.planned.record.name), now)
        return bool(fired)

    def _report(self, fired: FiredSchedule, plan: FiringPlan | None, now: int) -> None:
        record = fired.planned.record
        if plan is None:
            logger.error("the schedule %r cannot be fired, next attempt in 60 s: %s", record.name, record.fault)
            return
        if plan.dropped is not None:
            logger.warning(
                "the schedule %r has passed over times since %s (overlap %s, catch_up %s)",
                record.name,
                to_datetime(plan.dropped),
                record.overlap,
                record.catch_up,
            )
        for created, due in zip(fired.created, fired.planned.due, strict=True):
            if created.is_new:
                logger.debug("the schedule %r has created workflow %d", record.name, created.id)
                if self._observer is not None:
                    self._observer.on_fire(record.type, (now - due) / MICROSECONDS_PER_SECOND)

    async def _rest(self, look: ScheduleLook) -> None:
        """Wait for a moment, but not beyond the time at which something is due; a moment too where others fire it."""
        first = min(look.next_fire.values(), default=None)
        left = REST_SECONDS if first is None else (first - self._store.clock.now()) / MICROSECONDS_PER_SECOND
        await self._store.clock.sleep(min(REST_SECONDS, left) if left > 0 else LOCKED_SECONDS)

    def _on_commit(self, commit: Commit) -> None:
        self._has_heard_commit = True
        if commit.may_concern((SCHEDULES_CHANGED,)) or self._may_end_awaited(commit):
            self._wakeup.wake()

    def _may_end_awaited(self, commit: Commit) -> bool:
        if not self._awaited:
            return False
        return commit.instances is None or any(
            one.id in self._awaited and one.status in ENDED_STATUSES for one in commit.instances
        )


def _postpone(record: ScheduleRecord, fault: str, now: int) -> PlannedFiring:
    """Return a schedule that cannot be fired now, and is tried again in a minute."""
    text = clean_text(fault, MAX_REASON_LENGTH)
    return PlannedFiring(replace(record, fault=text, next_fire=now + FAULT_MICROSECONDS))
