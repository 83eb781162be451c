"""The version gates whose instances an executor may be able to run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from flowlet.clock import MICROSECONDS_PER_SECOND
from flowlet.engine.limits.open_lanes import OpenLanes
from flowlet.engine.wakeup import Wakeup
from flowlet.instance.instance import Instance
from flowlet.instance.version_gate import VersionGate, compute_lane
from flowlet.store.dialects.batch import LOCKED_MICROSECONDS
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
        self._pair_by_lane = {compute_lane(type, group): (type, group) for type in types for group in groups}
        self._digest = digest
        self._look_seconds = look_seconds
        self._gates: dict[str, tuple[str, str]] = {}
        self._looked_at: float | None = None
        self._marks: tuple[str, ...] = ()

    async def claim(self, limit: int, lanes: OpenLanes, *, now: int) -> list[Instance]:
        """Lease due instances behind the gates that the last look has found.

        Args:
            limit: How many at most.
            lanes: Their workflows and groups.
            now: The store's time, in microseconds since 1970 UTC.

        Raises:
            StoreUnavailableError: If the database is away.
        """
        claimed: list[Instance] = []
        for gate, (type, group) in list(self._gates.items()):
            if type not in lanes.types or group not in lanes.groups:
                continue
            wanted = limit - len(claimed)
            found, next_due = await self._store.version_gates.claim(GatedClaim(self._executor_id, gate, wanted, now))
            if len(found) < wanted:
                del self._gates[gate]
                is_locked = next_due is not None and next_due <= now
                self._wakeup.wake_at(self._store.clock.now() + LOCKED_MICROSECONDS if is_locked else next_due)
            claimed += found
            if len(claimed) == limit:
                break
        if 0 < len(claimed) < limit:  # what is behind limits was not asked for
            self._wakeup.wake_at(now)
        return claimed

    async def look(self, now: int) -> tuple[str, ...] | None:
        """Find the gates, unless that was done a moment ago; return the workflows that have instances behind limits.

        Returns:
            Their marks, as ``compute_type_mark`` returns them; None if nothing was looked for.

        Raises:
            StoreUnavailableError: If the database is away.
        """
        elapsed = self._store.clock.monotonic()
        if self._looked_at is not None and elapsed - self._looked_at < self._look_seconds:
            self._wakeup.wake_at(now + round(self._look_seconds * MICROSECONDS_PER_SECOND))
            return None
        self._gates = await self._find_gates()
        self._looked_at = elapsed
        return self._marks

    async def find_next_due(self, now: int) -> int | None:
        """Return when the next instance behind a gate that it may open becomes due, after ``now``; None if none does.

        Raises:
            StoreUnavailableError: If the database is away.
        """
        gates = self._store.version_gates
        found = [await gates.find_next_due(gate, now=now) for gate in await self._find_gates()]
        return min((due for due in found if due is not None), default=None)

    async def _find_gates(self) -> dict[str, tuple[str, str]]:
        gates, self._marks = await self._store.version_gates.find_gates()
        found = {gate: self._find_pair(gate) for gate in gates}
        return {gate: pair for gate, pair in found.items() if pair is not None}

    def _find_pair(self, gate: str) -> tuple[str, str] | None:
        """Return the workflow and the group behind a gate that this executor may open; None for any other gate."""
        parsed = VersionGate.parse(gate)
        return None if parsed is None or self._digest in parsed.digests else self._pair_by_lane.get(parsed.lane)
