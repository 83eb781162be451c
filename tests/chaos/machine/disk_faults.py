"""The faults of a disk that runs full."""

from __future__ import annotations

from collections.abc import Callable

from tests.chaos.fleet import wait_until
from tests.chaos.raw_database import DATABASE_ERRORS
from tests.chaos.recovery_times.recovery import Recovery
from tests.chaos.scene import Scene

__all__ = ["fill_disk", "fill_disk_of_log"]

NOTICE_SECONDS = 10.0
"""How long a disk is full at most until a write is refused."""


def fill_disk(scene: Scene) -> Recovery:
    """Leave no space on the database's disk until an executor notices, and then for up to two leases."""
    outage_count = scene.fleet.count_outages()

    def has_refused() -> bool:
        return scene.fleet.count_outages() > outage_count

    return _fill_disk_until(scene, has_refused)


def fill_disk_of_log(scene: Scene) -> Recovery:
    """Leave no space on the disk until PostgreSQL has none for its log, at which it ends itself, and then as above."""
    scene.database.execute("ALTER SYSTEM SET wal_recycle = off", "SELECT pg_reload_conf()", "CHECKPOINT")

    def has_ended() -> bool:
        try:
            scene.database.fetch("SELECT pg_switch_wal()")
        except DATABASE_ERRORS:
            return True
        return False

    return _fill_disk_until(scene, has_ended)


def _fill_disk_until(scene: Scene, has_refused: Callable[[], bool]) -> Recovery:
    """Fill the disk, and start a server that has ended for it again when there is space."""
    assert scene.disk, "the database is on no disk that can be filled"
    with scene.disk.fill():
        wait_until(has_refused, timeout_seconds=NOTICE_SECONDS)
        scene.pause(0.3, 2)
    if scene.server:
        scene.server.start_server()
    return scene.measure_progress()
