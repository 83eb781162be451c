"""The lanes from which an executor may claim: its workflows and groups without those that a person has paused."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import NamedTuple

from flowlet.instance.instance import Instance
from flowlet.store.limits.table import LaneKind
from flowlet.store.opening import Store

__all__ = ["LanePauses", "OpenLanes"]


class OpenLanes(NamedTuple):
    """Workflows and executor groups of which instances may be claimed."""

    types: Sequence[str]
    groups: Sequence[str]


class LanePauses:
    """The paused lanes, as one executor has last read them.

    They are read before a claim: while some are paused before each one, so that the end of a pause is known at once,
    and else at most every ``look_seconds``. A pause costs a claim no more than one read of a table that is nearly
    always empty, and an instance nothing at all.

    Args:
        store: The database.
        look_seconds: How long the lanes are taken to be as they were read while none is paused.
    """

    def __init__(self, store: Store, *, look_seconds: float) -> None:
        self._store = store
        self._look_seconds = look_seconds
        self._looked_at = -math.inf
        self._names: dict[LaneKind, frozenset[str]] = {}

    async def find_open(self, types: Sequence[str], groups: Sequence[str]) -> OpenLanes:
        """Return which of some workflows and groups are not paused.

        Raises:
            StoreUnavailableError: If the database is away.
        """
        elapsed = self._store.clock.monotonic()
        if self._names or elapsed - self._looked_at >= self._look_seconds:
            await self._read()
            self._looked_at = elapsed
        if not self._names:
            return OpenLanes(types, groups)
        return OpenLanes(
            _without(types, self._names.get(LaneKind.WORKFLOW, ())),
            _without(groups, self._names.get(LaneKind.GROUP, ())),
        )

    def is_paused(self, instance: Instance) -> bool:
        """Return whether an instance was in a paused lane when the lanes were last read."""
        return bool(self._names) and (
            instance.type in self._names.get(LaneKind.WORKFLOW, ())
            or instance.group in self._names.get(LaneKind.GROUP, ())
        )

    async def _read(self) -> None:
        found: dict[LaneKind, set[str]] = {}
        for pause in await self._store.lane_pauses.list_all():
            found.setdefault(pause.kind, set()).add(pause.name)
        self._names = {kind: frozenset(names) for kind, names in found.items()}


def _without(names: Sequence[str], paused: Collection[str]) -> Sequence[str]:
    return tuple(name for name in names if name not in paused)
