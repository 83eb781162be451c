"""The version gates whose instances an executor may be able to run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from flowlet.clock import MICROSECONDS_PER_SECOND
from flowlet.engine.wakeup import Wakeup
from flowlet.instance.instance import Instance
from flowlet.instance.version_gate import VersionGate, compute_lane
from flowlet.store.gates.version_gates import GatedClaim
from flowlet.store.opening import Store

__all__ = ["VersionGateClaims"]

LOOK_SECONDS = 0.25
"""How long the gates that were found are taken to be all of them: gates come and go with deploys."""


class VersionGateClaims:
    """Claims of one executor through the gates that do not list its definitions.

    Args:
        store: The database.
        wakeup: Is set to the time of the next look at the gates, if one was asked for too early.
        executor_id: The id under which instances are claimed.
        groups: The executor groups of the executor.
        types: The workflows that it knows.
        digest: The digest of their definitions.
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
    ) -> None:
        self._store = store
        self._wakeup = wakeup
        self._executor_id = executor_id
        self._lanes = frozenset(compute_lane(type, group) for type in types for group in groups)
        self._digest = digest
        self._gates: list[str] = []
        self._looked_at: float | None = None

    async def claim(self, limit: int, *, now: int) -> list[Instance]:
        """Lease due instances behind gates, at most half of the limit: what has no gate is not held up.

        Args:
            limit: How many instances the executor can run.
            now: The store's time, in microseconds since 1970 UTC.

        Raises:
            StoreUnavailableError: If the database is away.
        """
        await self._look(now)
        claimed: list[Instance] = []
        left = (limit + 1) // 2
        for gate in list(self._gates):
            found = await self._store.version_gates.claim(GatedClaim(self._executor_id, gate, left, now))
            if len(found) < left:
                self._gates.remove(gate)
            claimed += found
            left -= len(found)
            if not left:
                break
        return claimed

    async def _look(self, now: int) -> None:
        elapsed = self._store.clock.monotonic()
        if self._looked_at is not None and elapsed - self._looked_at < LOOK_SECONDS:
            self._wakeup.wake_at(now + round(LOOK_SECONDS * MICROSECONDS_PER_SECOND))
            return
        self._gates = [gate for gate in await self._store.version_gates.find_gates() if self._may_open(gate)]
        self._looked_at = elapsed

    def _may_open(self, gate: str) -> bool:
        parsed = VersionGate.parse(gate)
        return parsed is not None and parsed.lane in self._lanes and self._digest not in parsed.digests
