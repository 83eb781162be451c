"""How long a run takes to recover from each fault."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.chaos.fleet import REAL_CLOCK, wait_until
from tests.chaos.raw_database import DATABASE_ERRORS, RawDatabase

__all__ = ["RECOVERY_SECONDS", "HeldInstances", "RecoveryLog", "measure_progress"]

RECOVERY_SECONDS = 15.0
"""How long a recovery is waited for; what never comes is found at the end of the run."""
HELD_BY_PROCESS = (
    "SELECT id, token FROM flowlet_workflow "
    "WHERE executor_id IN (SELECT id FROM flowlet_executor WHERE pid = {pid}) ORDER BY id"
)
LAST_LINE = "SELECT COALESCE(MAX(id), 0) FROM flowlet_action"
EXECUTORS_SINCE = (
    "SELECT COUNT(DISTINCT executor_id) FROM flowlet_action WHERE id > {line} AND kind = 'TRANSITION' "
    "AND executor_id IS NOT NULL"
)


@dataclass(slots=True)
class RecoveryLog:
    """The seconds that each kind of fault took to recover from, in order."""

    seconds: dict[str, list[float]] = field(default_factory=dict)

    def add(self, fault: str, seconds: float) -> None:
        """Note one recovery."""
        self.seconds.setdefault(fault, []).append(seconds)

    @property
    def fault_count(self) -> int:
        """How many faults there were."""
        return sum(map(len, self.seconds.values()))

    def describe(self) -> Mapping[str, tuple[int, float, float]]:
        """Return for each kind of fault how many there were, and the median and the longest recovery in seconds."""
        return {
            fault: (len(seconds), sorted(seconds)[len(seconds) // 2], max(seconds))
            for fault, seconds in sorted(self.seconds.items())
        }


class HeldInstances:
    """What a process held at the moment of its fault, from which the recovery is measured.

    Args:
        database: The database.
        pid: The process.
    """

    def __init__(self, database: RawDatabase, pid: int) -> None:
        self._began = REAL_CLOCK.monotonic()
        self._database = database
        self._sql = HELD_BY_PROCESS.format(pid=pid)
        self._leases = {*database.fetch(self._sql)}

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._leases)

    def are_released(self) -> bool:
        """Return whether none of them is held under the same token any more."""
        try:
            return self._leases.isdisjoint(self._database.fetch(self._sql))
        except DATABASE_ERRORS:  # looked at again later
            return False

    def wait_for_release(self, *, timeout_seconds: float = RECOVERY_SECONDS) -> float:
        """Wait until they are released, and return how many seconds after the fault that was."""
        wait_until(self.are_released, timeout_seconds=timeout_seconds)
        return REAL_CLOCK.monotonic() - self._began


def measure_progress(
    database: RawDatabase, *, executor_count: int = 1, timeout_seconds: float = RECOVERY_SECONDS
) -> float:
    """Return after how many seconds so many executors have committed a transition."""
    began = REAL_CLOCK.monotonic()
    wait_until(_build_progress_check(database, executor_count), timeout_seconds=timeout_seconds)
    return REAL_CLOCK.monotonic() - began


def _build_progress_check(database: RawDatabase, executor_count: int) -> Callable[[], bool]:
    line: int | None = None

    def has_progressed() -> bool:
        nonlocal line
        try:
            if line is None:
                line = int(database.fetch(LAST_LINE)[0][0])
            ((found,),) = database.fetch(EXECUTORS_SINCE.format(line=line))
        except DATABASE_ERRORS:  # it is not back yet
            return False
        return bool(found >= executor_count)

    return has_progressed
