"""Faults of a Galera cluster of three nodes, of which one is taken at a time."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager

from tests.chaos.fleet import REAL_CLOCK
from tests.chaos.recovery_times.recovery import RECOVERY_SECONDS, Recovery
from tests.chaos.scene import Scene

__all__ = ["freeze_node", "isolate_node", "kill_node", "restart_node"]


def kill_node(scene: Scene) -> Recovery:
    """Kill a node of a cluster, and start it again when the others go on."""
    cluster = scene.get_cluster()
    place = cluster.choose_victim(scene.random)
    cluster.nodes.nodes[place].kill_server()
    recovery = _measure_cluster(scene)
    cluster.begin_start(place)
    return recovery


def restart_node(scene: Scene) -> Recovery:
    """Shut a node down in good order, and start it again when the others go on."""
    cluster = scene.get_cluster()
    place = cluster.choose_victim(scene.random)
    cluster.nodes.nodes[place].stop_server()
    recovery = _measure_cluster(scene)
    cluster.begin_start(place)
    return recovery


def freeze_node(scene: Scene) -> Recovery:
    """Suspend a node for up to one and a half leases."""
    cluster = scene.get_cluster()
    place = cluster.choose_victim(scene.random)
    return _suspend_node(scene, cluster.nodes.nodes[place].freeze_server())


def isolate_node(scene: Scene) -> Recovery:
    """Cut a node off from the others, but not from its clients, for as long."""
    cluster = scene.get_cluster()
    return _suspend_node(scene, cluster.isolate_node(cluster.choose_victim(scene.random)))


def _suspend_node(scene: Scene, suspension: AbstractContextManager[None]) -> Recovery:
    """Suspend a node for a drawn time, and return after how long all executors have gone on."""
    length = scene.draw_seconds(0.2, 1.5)
    until = REAL_CLOCK.monotonic() + length
    with suspension:
        recovery = _measure_cluster(scene, timeout_seconds=length)
        threading.Event().wait(max(0.0, until - REAL_CLOCK.monotonic()))
    return recovery if recovery.seconds < length else recovery.add(_measure_cluster(scene))


def _measure_cluster(scene: Scene, *, timeout_seconds: float = RECOVERY_SECONDS) -> Recovery:
    """Return after how many seconds every executor, whichever node it has used, has committed a transition.

    One that is starting meanwhile is not waited for.
    """
    count = len(scene.fleet.list_ready())
    return scene.measure_progress(executor_count=count, timeout_seconds=timeout_seconds)
