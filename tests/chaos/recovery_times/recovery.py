"""How long a run takes to recover from each fault."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median_low

from tests.chaos.fleet import REAL_CLOCK, wait_until
from tests.chaos.raw_database import DATABASE_ERRORS, RawDatabase
from tests.chaos.recovery_times.lateness import LatenessMeter

__all__ = ["RECOVERY_SECONDS", "HeldInstances", "Recovery", "RecoveryLog", "measure_progress"]

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


DATABASE_BACK_LIMIT = (0.0, 2.0)
MEDIAN_LIMITS: Mapping[str, tuple[float, float]] = {
    **dict.fromkeys(("node killed", "node restarted", "node frozen", "node isolated"), (1.5, 6.0)),
    "executor killed": (1, 1),
    "executor stopped": (0, 1),
    "executor frozen": (1, 1),
    "executor cut off": (1, 1),
    "executor unplugged": (1, 1),
    "machine lost": (1, 12),
    "primary killed": (0, 5),
    "disk full, no log": (0, 5),
    "executor killed, server frozen": (2.5, 1),
}
"""How long the median recovery from a fault may take, in leases and seconds; from all others ``DATABASE_BACK_LIMIT``.
A server is frozen for one and a half leases at most, which are no part of a lease. The nodes of a cluster give a lost
one up after two seconds, and every executor has to have gone on. What a lost machine has locked is freed after ten or
eleven seconds; a standby that is promoted, and a server that has ended itself, have to start first."""
LONGEST_LIMIT = (1.0, 1.0)
"""How much more the longest recovery may take. Where the others were without contact meanwhile, as on a machine that
stood still, they have to be in contact for the length of a lease before they may judge the leases of others."""
SUSPENSION_LIMITS: Mapping[str, tuple[float, float]] = dict.fromkeys(
    ("executor frozen", "executor cut off", "executor unplugged"), (3.0, 1.0)
)
"""The same for executors that are suspended for three leases at most: what their open transaction has locked cannot be
released before its end."""
MIN_COUNT_FOR_MEDIAN = 3
"""From how many recoveries on a median says something."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """How long one recovery took, and by how much the director's own waits were late meanwhile, in seconds."""

    seconds: float
    lateness: float

    @property
    def own_seconds(self) -> float:
        """How long it took without what the machine has added."""
        return max(0.0, self.seconds - self.lateness)

    def add(self, other: Recovery) -> Recovery:
        """Return this recovery and the one that has followed it as one."""
        return Recovery(self.seconds + other.seconds, self.lateness + other.lateness)


@dataclass(slots=True)
class RecoveryLog:
    """The recoveries from each kind of fault, in order."""

    recoveries: dict[str, list[Recovery]] = field(default_factory=dict)

    def add(self, fault: str, recovery: Recovery) -> None:
        """Note one recovery."""
        self.recoveries.setdefault(fault, []).append(recovery)

    @property
    def fault_count(self) -> int:
        """How many faults there were."""
        return sum(map(len, self.recoveries.values()))

    def describe(self) -> Mapping[str, tuple[int, float, float, float, float]]:
        """Return for each kind of fault how many there were, and the median and the longest recovery.

        Both in seconds, first as measured, and then without the lateness of the machine.
        """
        return {
            fault: (
                len(found),
                *_find_median_and_longest([one.seconds for one in found]),
                *_find_median_and_longest([one.own_seconds for one in found]),
            )
            for fault, found in sorted(self.recoveries.items())
        }

    def find_slow(self, *, lease_seconds: float) -> list[str]:
        """Return which recoveries took longer than their limits, without the lateness of the machine."""
        slow = []
        for fault, (count, _, _, median, longest) in self.describe().items():
            leases, seconds = MEDIAN_LIMITS.get(fault, DATABASE_BACK_LIMIT)
            limit = leases * lease_seconds + seconds
            more_leases, more_seconds = SUSPENSION_LIMITS.get(fault, LONGEST_LIMIT)
            longest_limit = limit + more_leases * lease_seconds + more_seconds
            if count >= MIN_COUNT_FOR_MEDIAN and median > limit:
                slow.append(f"{fault}: the median recovery took {median:.2f} s, more than {limit:g} s")
            if longest > longest_limit:
                slow.append(f"{fault}: the longest recovery took {longest:.2f} s, more than {longest_limit:g} s")
        return slow


def _find_median_and_longest(seconds: Sequence[float]) -> tuple[float, float]:
    return median_low(seconds), max(seconds)


class HeldInstances:
    """What a process held at the moment of its fault, from which the recovery is measured.

    Args:
        database: The database.
        pid: The process.
        meter: How late the director's own waits are.
    """

    def __init__(self, database: RawDatabase, pid: int, meter: LatenessMeter) -> None:
        self._stopwatch = _Stopwatch(meter)
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

    def wait_for_release(self, *, timeout_seconds: float = RECOVERY_SECONDS) -> Recovery:
        """Wait until they are released, and return how long after the fault that was."""
        wait_until(self.are_released, timeout_seconds=timeout_seconds)
        return self._stopwatch.read()


def measure_progress(
    database: RawDatabase,
    meter: LatenessMeter,
    *,
    executor_count: int = 1,
    timeout_seconds: float = RECOVERY_SECONDS,
) -> Recovery:
    """Return how long it takes until so many executors have committed a transition."""
    stopwatch = _Stopwatch(meter)
    wait_until(_build_progress_check(database, executor_count), timeout_seconds=timeout_seconds)
    return stopwatch.read()


class _Stopwatch:
    def __init__(self, meter: LatenessMeter) -> None:
        self._meter = meter
        self._began = REAL_CLOCK.monotonic()
        self._late_before = meter.read_seconds()

    def read(self) -> Recovery:
        return Recovery(REAL_CLOCK.monotonic() - self._began, self._meter.read_seconds() - self._late_before)


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
