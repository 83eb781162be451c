"""The fault of a deploy: executors with two versions of a workflow run side by side."""

from __future__ import annotations

import signal

from tests.chaos.recovery_times.recovery import Recovery
from tests.chaos.scene import Scene

__all__ = ["change_version"]


def change_version(scene: Scene) -> Recovery:
    """Let one executor run the second version of a workflow; where one does, roll it back for up to a lease first."""
    fleet = scene.fleet
    for version in (1, 2) if 2 in fleet.wanted_versions else (2,):
        victim = next((one for one in fleet.list_ready() if one.version != version), scene.choose_executor())
        fleet.wanted_versions = [version, *[1] * (len(fleet.wanted_versions) - 1)]
        victim.send_signal(signal.SIGTERM)
        victim.wait_for_exit()
        fleet.start_missing()
        fleet.wait_until_ready()
        scene.pause(0.2, 1)
    return scene.measure_progress()
