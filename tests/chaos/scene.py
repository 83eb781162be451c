"""What the faults of a run act on."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from random import Random

from tests.chaos.cluster import ChaosCluster
from tests.chaos.evidence import LaneWindow
from tests.chaos.fleet import ExecutorProcess, Fleet, wait_until
from tests.chaos.machine.disk import SmallDisk
from tests.chaos.machine.network import Network
from tests.chaos.pair import SwitchingPair
from tests.chaos.raw_database import DATABASE_ERRORS, RawDatabase
from tests.chaos.recovery_times.lateness import LatenessMeter
from tests.chaos.recovery_times.recovery import RECOVERY_SECONDS, HeldInstances, Recovery, measure_progress
from tests.database_servers import DatabaseServer

__all__ = ["HELD_SECONDS", "Scene"]

CONTACT_SECONDS = 30.0
"""How long a fault of an executor waits until another one may judge leases."""
FIND_EXPERIENCED = "SELECT pid FROM flowlet_executor WHERE status = 'RUNNING' AND beat - started > {lease}"
HELD_SECONDS = 1.0
"""How long a fault of an executor waits until that holds an instance."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What faults act on.

    Attributes:
        fleet: The executors.
        database: The database, for a role with all rights.
        server: Its server; None for SQLite, a pair and a cluster.
        pair: Its two servers, of which one can be promoted; None for anything else.
        cluster: Its three nodes, of which one can be taken away; None for anything else.
        disk: The file system that it is on, where that can be filled; None for anything else.
        random: Where lengths and victims are drawn from.
        lease_seconds: The executors' lease.
        meter: How late the director's own waits are.
        key: An API key of an operator.
        lane_windows: When lanes were paused: faults add to it.
    """

    fleet: Fleet
    database: RawDatabase
    server: DatabaseServer | None
    pair: SwitchingPair | None
    cluster: ChaosCluster | None
    disk: SmallDisk | None
    random: Random
    lease_seconds: float
    meter: LatenessMeter
    key: str
    lane_windows: list[LaneWindow]

    def draw_seconds(self, least_leases: float, most_leases: float) -> float:
        """Return the seconds of a drawn number of leases."""
        return self.lease_seconds * self.random.uniform(least_leases, most_leases)

    def pause(self, least_leases: float, most_leases: float) -> None:
        """Wait for a drawn number of leases."""
        threading.Event().wait(self.draw_seconds(least_leases, most_leases))

    def choose_executor(self) -> ExecutorProcess:
        """Return the victim: an executor that is ready, at a moment at which it holds instances, if that comes soon.

        There is another one which has been in contact with the database for a lease: without that, a recovery is the
        time that a process takes to start.
        """
        candidates = self.fleet.list_ready()
        wait_until(lambda: len(self._find_experienced()) > 1, timeout_seconds=CONTACT_SECONDS)
        victim = self.random.choice([one for one in candidates if one.is_alive])
        wait_until(lambda: self.find_held(victim).count > 0, timeout_seconds=HELD_SECONDS)
        return victim

    def _find_experienced(self) -> list[int]:
        """Return the processes that may judge the leases of others."""
        sql = FIND_EXPERIENCED.format(lease=round(self.lease_seconds * 1_000_000))
        try:
            found = {pid for (pid,) in self.database.fetch(sql)}
        except DATABASE_ERRORS:
            return []
        return [one.pid for one in self.fleet.running if one.is_alive and one.pid in found]

    def find_held(self, victim: ExecutorProcess) -> HeldInstances:
        """Return what an executor holds now."""
        return HeldInstances(self.database, victim.pid, self.meter)

    def measure_progress(self, *, executor_count: int = 1, timeout_seconds: float = RECOVERY_SECONDS) -> Recovery:
        """Return how long it takes until so many executors have committed a transition."""
        return measure_progress(
            self.database, self.meter, executor_count=executor_count, timeout_seconds=timeout_seconds
        )

    def get_server(self) -> DatabaseServer:
        """Return the database's server."""
        assert self.server, "SQLite has no server"
        return self.server

    def get_cluster(self) -> ChaosCluster:
        """Return the database's nodes."""
        assert self.cluster, "a single server is no cluster"
        return self.cluster

    def get_pair(self) -> SwitchingPair:
        """Return the two servers of the database."""
        assert self.pair, "a single server has no standby"
        return self.pair

    def get_network(self) -> Network:
        """Return the network in whose namespace an executor runs."""
        assert self.fleet.network, "no executor has a network of its own"
        return self.fleet.network
