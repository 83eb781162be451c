"""The faults of a primary and its standby."""

from __future__ import annotations

from tests.chaos.recovery import measure_progress
from tests.chaos.scene import Scene

__all__ = ["freeze_standby", "kill_primary", "promote_standby"]


def promote_standby(scene: Scene) -> float:
    """Promote the standby of a pair in good order, and make the old primary its standby."""
    scene.get_pair().switch_over()
    return measure_progress(scene.database)


def kill_primary(scene: Scene) -> float:
    """Kill the primary of a pair without warning, promote the standby, and make the old primary its standby."""
    scene.get_pair().fail_over()
    return measure_progress(scene.database)


def freeze_standby(scene: Scene) -> float:
    """Suspend the standby of a pair for up to two leases: no commit is acknowledged meanwhile."""
    with scene.get_pair().freeze_standby():
        scene.pause(0.3, 2)
    return measure_progress(scene.database)
