"""What an open harness is made of, and when the next thing in it is due."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flowlet.engine.gates.version_gates import VersionGateClaims
from flowlet.engine.schedules.scheduler import Scheduler
from flowlet.engine.worker import Worker
from flowlet.operations.service import Operations
from flowlet.store.opening import Store

__all__ = ["OpenHarness"]


@dataclass(frozen=True, slots=True)
class OpenHarness:
    """The parts of an open harness."""

    store: Store
    operations: Operations
    worker: Worker
    gates: VersionGateClaims
    scheduler: Scheduler

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
        )
        return min((due for due in dues if due is not None), default=None)
