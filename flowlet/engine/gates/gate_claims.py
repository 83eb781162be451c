"""Claims of instances that are not in the common queue: behind version gates, and behind limits."""

from __future__ import annotations

from flowlet.engine.gates.version_gates import VersionGateClaims
from flowlet.engine.limits.claims import LimitClaims
from flowlet.engine.limits.open_lanes import OpenLanes
from flowlet.instance.instance import Instance
from flowlet.instance.limit_gate import is_limit_gate
from flowlet.instance.transition import Transition
from flowlet.instance.version_gate import VersionGate

__all__ = ["GateClaims"]


class GateClaims:
    """The claims of one executor through gates of both kinds.

    Args:
        versions: Claims what other versions could not run.
        limits: Claims what has a free slot of its limit.
    """

    def __init__(self, versions: VersionGateClaims, limits: LimitClaims) -> None:
        self._versions = versions
        self._limits = limits
        self._has_odd_slot = self._begins_with_limits = False

    def split_slots(self, limit: int) -> int:
        """Return how many of some slots are for instances behind gates: half; the odd one every other time."""
        self._has_odd_slot = not self._has_odd_slot
        return (limit + self._has_odd_slot) // 2

    async def claim(self, limit: int, lanes: OpenLanes, *, now: int) -> list[Instance]:
        """Lease due instances behind gates; the two kinds take turns.

        Args:
            limit: How many at most.
            lanes: Their workflows and groups.
            now: The store's time, in microseconds since 1970 UTC.

        Raises:
            StoreUnavailableError: If the database is away.
        """
        if limit <= 0:
            return []
        marks = await self._versions.look(now)
        if marks is not None:
            await self._limits.note_marks(marks)
        self._begins_with_limits = not self._begins_with_limits
        kinds = (self._limits, self._versions) if self._begins_with_limits else (self._versions, self._limits)
        # What one kind has leased runs before the other one is asked: it is not left without an activation.
        return await kinds[0].claim(limit, lanes, now=now) or await kinds[1].claim(limit, lanes, now=now)

    def note_transition(self, transition: Transition) -> bool:
        """Return whether a committed transition has freed a slot of a limit; remember one that cannot be run here."""
        if not is_limit_gate(transition.instance.gate):
            return False
        if VersionGate.parse(transition.gate) is not None:
            self._limits.note_refusal(transition.instance.id)
        return True

    async def find_next_due(self, now: int) -> int | None:
        """Return when the next instance behind a gate can be claimed, after ``now``; None if none can.

        Raises:
            StoreUnavailableError: If the database is away.
        """
        dues = (await self._versions.find_next_due(now), await self._limits.find_next_due(now))
        return min((due for due in dues if due is not None), default=None)
