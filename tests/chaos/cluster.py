"""A Galera cluster of three nodes of which one at a time is away, and its database as the judge reaches it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from random import Random

from tests.chaos.raw_database import RawDatabase, RawSession
from tests.faults.galera_cluster import GaleraCluster, open_galera_cluster

__all__ = ["ChaosCluster", "open_chaos_cluster"]

DATABASE = "chaos"
ISOLATE = "SET GLOBAL wsrep_provider_options = 'gmcast.isolate={number}'"


class ClusterDatabase(RawDatabase):
    """The database on a node that no fault is about, where each statement sees all that any node has committed."""

    def __init__(self, cluster: ChaosCluster) -> None:
        self._cluster = cluster
        self.kind = "mysql"

    @property
    def url(self) -> str:  # type: ignore[override]  # it depends on the fault
        """The URL of the database on such a node."""
        return self._cluster.nodes.build_node_url(self._cluster.witness)

    @contextmanager
    def open_session(self) -> Iterator[RawSession]:
        """Open a connection to such a node for the length of the block."""
        with super().open_session() as session:
            session.execute("SET SESSION wsrep_sync_wait = 15")
            yield session


class ChaosCluster:
    """Three nodes, of which a fault takes one, so that the others are a majority.

    Args:
        nodes: The servers.

    Attributes:
        nodes: The servers.
        database: The database as the judge reaches it.
        witness: The place of a node that no fault is about.
    """

    def __init__(self, nodes: GaleraCluster) -> None:
        self.nodes = nodes
        self.witness = 0
        self.database = ClusterDatabase(self)
        self._starter = ThreadPoolExecutor(1)
        self._start: Future[None] | None = None

    @property
    def executor_urls(self) -> list[str]:
        """The URLs for executors: each has all nodes, and another one first."""
        return [self.nodes.build_url(place) for place in range(len(self.nodes.nodes))]

    def choose_victim(self, random: Random) -> int:
        """Return the place of a node that may be taken away: all nodes are back then.

        Raises:
            AssertionError: If they are no cluster again within a minute.
        """
        self.wait_until_complete()
        place = random.randrange(len(self.nodes.nodes))
        self.witness = (place + 1) % len(self.nodes.nodes)
        return place

    def wait_until_complete(self) -> None:
        """Wait until the node that was taken away last has caught up with the others.

        Raises:
            AssertionError: If it has not within a minute.
        """
        if self._start:
            self._start.result()
        self.nodes.wait_until_synced()

    def begin_start(self, place: int) -> None:
        """Start a node again, without waiting until it has caught up: other faults may come meanwhile."""
        self._start = self._starter.submit(self.nodes.nodes[place].start_server)

    def close(self) -> None:
        """Wait until no node is being started."""
        self._starter.shutdown()

    @contextmanager
    def isolate_node(self, place: int) -> Iterator[None]:
        """Let no packet of the group reach a node for the length of the block; its clients reach it still."""
        self.nodes.fetch(place, ISOLATE.format(number=1))
        try:
            yield
        finally:
            self.nodes.fetch(place, ISOLATE.format(number=0))


@contextmanager
def open_chaos_cluster() -> Iterator[ChaosCluster]:
    """Start a cluster with an empty database for the length of the block."""
    with open_galera_cluster(DATABASE) as nodes:
        cluster = ChaosCluster(nodes)
        try:
            yield cluster
        finally:
            cluster.close()
