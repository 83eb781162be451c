"""The version gates whose instances an executor may be able to run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from flowlet.clock import MICROSECONDS_PER_SECOND
from flowlet.engine.wakeup import Wakeup
from flowlet.instance.instance import Instance
from flowlet.instance.version_gate import VersionGate, compute_lane
from flowlet.store.gates.version_gates import GatedClaim
from flowlet.store.opening import Store

__all__ = ["LOOK_SECONDS", "VersionGateClaims"]

LOOK_SECONDS = 0.25
"""How long an executor takes the gates that it has found to be all of them: gates come and go with deploys."""


class VersionGateClaims:
    """Claims of one executor through the gates that do not list its definitions.

    Args:
        store: The database.
        wakeup: Is set to the time of the next look at the gates, if one was asked for too early.
        executor_id: The id under which instances are claimed.
        groups: The executor groups of the executor.
        types: The workflows that it knows.
        digest: The digest of their definitions.
        look_seconds: How long the gates that were found are taken to be all of them.
    """

    def __init__(
        self,
        store: Store,
        wakeup: Wakeup,
        *,
        executor_id: str,
        groups: Sequence[str],
        types: Iterable[str],
        digest: str,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._store = store
        self._wakeup = wakeup
        self._executor_id = executor_id
        self._type_by_lane = {compute_lane(type, group): type for type in types for group in groups}
        self._digest = digest
        self._look_seconds = look_seconds
        self._gates: dict[str, str] = {}
        self._looked_at: float | None = None
        self._has_odd_slot = False

    def split_slots(self, limit: int) -> int:
        """Return how many of some slots are for instances behind gates: half; the odd one every other time."""
        self._has_odd_slot = not self._has_odd_slot
        return (limit + self._has_odd_slot) // 2

    async def claim(self, limit: int, types: Collection[str], *, now: int) -> list[Instance]:
        """Lease due instances behind gates.

        Args:
            limit: How many at most.
            types: Their workflows.
            now: The store's time, in microseconds since 1970 UTC.

        Raises:
            StoreUnavailableError: If the database is away.
        """
        if limit <= 0:
            return []
        await self._look(now)
        claimed: list[Instance] = []
        for gate, type in list(self._gates.items()):
            if type not in types:
                continue
            wanted = limit - len(claimed)
            found, next_due = await self._store.version_gates.claim(GatedClaim(self._executor_id, gate, wanted, now))
            if len(found) < wanted:
                del self._gates[gate]
                self._wakeup.wake_at(next_due)
            claimed += found
            if len(claimed) == limit:
                break
        return claimed

    async def _look(self, now: int) -> None:
        elapsed = self._store.clock.monotonic()
        if self._looked_at is not None and elapsed - self._looked_at < self._look_seconds:
            self._wakeup.wake_at(now + round(self._look_seconds * MICROSECONDS_PER_SECOND))
            return
        self._gates = await self._find_gates()
        self._looked_at = elapsed

    async def find_next_due(self, now: int) -> int | None:
        """Return when the next instance behind a gate that it may open becomes due, after ``now``; None if none does.

        Raises:
            StoreUnavailableError: If the database is away.
        """
        gates = self._store.version_gates
        found = [await gates.find_next_due(gate, now=now) for gate in await self._find_gates()]
        return min((due for due in found if due is not None), default=None)

    async def _find_gates(self) -> dict[str, str]:
        found = {gate: self._find_type(gate) for gate in await self._store.version_gates.find_gates()}
        return {gate: type for gate, type in found.items() if type is not None}

    def _find_type(self, gate: str) -> str | None:
        """Return the workflow behind a gate that this executor may open; None for any other gate."""
        parsed = VersionGate.parse(gate)
        return None if parsed is None or self._digest in parsed.digests else self._type_by_lane.get(parsed.lane)
