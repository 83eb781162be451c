"""The faults of a primary and its standby."""

from __future__ import annotations

from tests.chaos.recovery_times.recovery import Recovery
from tests.chaos.scene import Scene

__all__ = ["freeze_standby", "kill_primary", "promote_standby"]


def promote_standby(scene: Scene) -> Recovery:
    """Promote the standby of a pair in good order, and make the old primary its standby."""
    scene.get_pair().switch_over()
    return scene.measure_progress()


def kill_primary(scene: Scene) -> Recovery:
    """Kill the primary of a pair without warning, promote the standby, and make the old primary its standby."""
    scene.get_pair().fail_over()
    return scene.measure_progress()


def freeze_standby(scene: Scene) -> Recovery:
    """Suspend the standby of a pair for up to two leases: no commit is acknowledged meanwhile."""
    with scene.get_pair().freeze_standby():
        scene.pause(0.3, 2)
    return scene.measure_progress()
