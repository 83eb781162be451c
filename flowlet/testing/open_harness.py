"""What an open harness is made of, and when the next thing in it is due."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flowlet.engine.gates.gate_claims import GateClaims
from flowlet.engine.people.due_questions import process_due_questions
from flowlet.engine.schedules.scheduler import Scheduler
from flowlet.engine.spawns.spawner import Spawner
from flowlet.engine.worker import Worker
from flowlet.operations.service import Operations
from flowlet.store.opening import Store
from flowlet.store.people.due_entries import find_next_due_entry

__all__ = ["OpenHarness"]


@dataclass(frozen=True, slots=True)
class OpenHarness:
    """The parts of an open harness."""

    store: Store
    operations: Operations
    worker: Worker
    gates: GateClaims
    scheduler: Scheduler
    spawner: Spawner

    async def run_due(self, executor_id: str) -> None:
        """Run whatever is due, and what becomes due by it, until nothing is due any more.

        Raises:
            StoreUnavailableError: If the database is away.
        """
        while True:
            await self.scheduler.fire_due()
            while await process_due_questions(self.store, executor_id):
                pass
            while await self.spawner.make_parts():
                pass
            await self.worker.claim_due()
            if not self.worker.running:
                return
            await self.worker.wait_until_idle()

    async def find_next_due(self, groups: Sequence[str], types: Sequence[str], *, now: int) -> int | None:
        """Return when the next instance or schedule becomes due, in microseconds since 1970 UTC; None if none does.

        Args:
            groups: The executor groups of the instances.
            types: Their workflows.
            now: After when.

        Raises:
            StoreUnavailableError: If the database is away.
        """
        dues = (
            await self.store.instances.find_next_due(groups, types, now=now),
            await self.gates.find_next_due(now),
            await self.scheduler.find_next_due(now),
            await find_next_due_entry(self.store.connections, now=now),
        )
        return min((due for due in dues if due is not None), default=None)
