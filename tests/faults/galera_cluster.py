"""A Galera cluster: MariaDB servers of which each takes writes, and certifies those of the others."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pymysql

from tests.database_programs import find_executable
from tests.database_servers import DatabaseServer, find_free_port, skip_or_fail
from tests.faults.fault_harness import REAL_CLOCK
from tests.mariadb_program import MARIADB, MariadbProgram

__all__ = ["SYNCED", "GaleraCluster", "open_galera_cluster"]

LIBRARIES = (
    Path("/usr/lib/galera/libgalera_smm.so"),
    Path("/usr/lib64/galera/libgalera_smm.so"),
    Path("/usr/lib64/galera-4/libgalera_smm.so"),
)
SYNCED = "4"
"""The local state of a node that has every transaction of the cluster, and takes writes."""
SYNC_SECONDS = 60.0
POLL_SECONDS = 0.1
CONNECT_SECONDS = 2
STATEMENT_SECONDS = 20

_pause = threading.Event()

# A node that was killed joins again at the position of its tables: so it is sent what it lacks, and not everything.
_START_SCRIPT = """
folder=$1; shift
if grep -q '^seqno: *-1' "$folder/data/grastate.dat" 2>/dev/null; then
    "$@" --wsrep-recover --log-error="$folder/recovery.log"
    position=$(sed -n 's/.*Recovered position: *//p' "$folder/recovery.log" | tail -n 1)
    set -- "$@" --wsrep-start-position="$position"
fi
exec "$@"
"""
# The default is 5 seconds for the first of them: so long all nodes wait for one that does not answer.
_GROUP_OPTIONS = {
    "evs.keepalive_period": "PT0.3S",
    "evs.inactive_check_period": "PT0.3S",
    "evs.suspect_timeout": "PT2S",
    "evs.inactive_timeout": "PT4S",
    "evs.install_timeout": "PT4S",
    "gcache.size": "64M",
}


@dataclass(frozen=True, slots=True)
class _NodePorts:
    """The ports by which a node talks to the others: the group's, and those of the two ways to catch up."""

    group: int
    increments: int
    snapshots: int

    @classmethod
    def find_free(cls) -> _NodePorts:
        """Return ports that are free."""
        return cls(find_free_port(), find_free_port(), find_free_port())


class GaleraProgram(MariadbProgram):
    """MariaDB as a node of a cluster.

    Args:
        place: Which one of the nodes it is; the first one founds the cluster.
        ports: The ports of all nodes.
    """

    name = "MariaDB with Galera"
    package = "galera-4"

    def __init__(self, place: int, ports: Sequence[_NodePorts]) -> None:
        self._place = place
        self._ports = ports

    def is_installed(self) -> bool:
        return bool(super().is_installed() and _find_library() and find_executable("rsync"))

    def build_setup_command(self, folder: Path) -> Sequence[str]:
        """Return the command that makes the data folder; that of a node that joins is sent to it."""
        command = super().build_setup_command(folder)
        return command if self._place == 0 else ["true"]

    def build_start_command(self, folder: Path, port: int, *, is_durable: bool) -> Sequence[str]:
        command = list(super().build_start_command(folder, port, is_durable=is_durable))
        ports = self._ports[self._place]
        provider = {
            **_GROUP_OPTIONS,
            # Of two nodes that lose each other, the first one stays a cluster: neither were a majority otherwise.
            "pc.weight": 2 if self._place == 0 and len(self._ports) == 2 else 1,
            "base_port": ports.group,
            "gmcast.listen_addr": f"tcp://127.0.0.1:{ports.group}",
            "ist.recv_addr": f"127.0.0.1:{ports.increments}",
        }
        settings = {
            "wsrep-on": "ON",
            "wsrep-provider": _find_library(),
            "wsrep-provider-options": ";".join(f"{name}={value}" for name, value in provider.items()),
            "wsrep-cluster-name": "flowlet",
            "wsrep-cluster-address": "gcomm://" + ",".join(f"127.0.0.1:{one.group}" for one in self._ports),
            "wsrep-node-name": f"node-{self._place}",
            "wsrep-node-address": "127.0.0.1",
            "wsrep-sst-method": "rsync",
            "wsrep-sst-receive-address": f"127.0.0.1:{ports.snapshots}",
            "binlog-format": "ROW",
            "innodb-autoinc-lock-mode": 2,
            "innodb-flush-log-at-trx-commit": 2,  # the processes are killed, not the machine
        }
        command += [f"--{name}={value}" for name, value in settings.items()]
        has_joined = (folder / "data" / "grastate.dat").exists()
        if self._place == 0 and not has_joined:
            command.append("--wsrep-new-cluster")
        else:  # the users are those of the cluster
            command = [option for option in command if not option.startswith("--init-file=")]
        return ["/bin/sh", "-c", _START_SCRIPT, "start-node", str(folder), *command]


class GaleraCluster:
    """A cluster of several nodes.

    Args:
        nodes: The servers.
        database: The name of its database.
    """

    def __init__(self, nodes: Sequence[DatabaseServer], database: str) -> None:
        self.nodes = nodes
        self._database = database

    def build_url(self, first: int = 0) -> str:
        """Return the URL of the database with all nodes as its hosts, beginning with one of them."""
        urls = [self.build_node_url(place) for place in range(len(self.nodes))]
        hosts = [urlsplit(url).netloc.rpartition("@")[2] for url in (*urls[first:], *urls[:first])]
        return urls[first].replace(hosts[0], ",".join(hosts), 1)

    def build_node_url(self, place: int) -> str:
        """Return the URL of the database on one node."""
        return self.nodes[place].build_url(self._database)

    def is_synced(self, place: int) -> bool:
        """Return whether a node has caught up with the cluster, and counts all nodes as members."""
        with suppress(pymysql.MySQLError, OSError):
            rows = self.fetch(place, "SHOW STATUS WHERE Variable_name IN ('wsrep_local_state', 'wsrep_cluster_size')")
            return dict(rows) == {"wsrep_local_state": SYNCED, "wsrep_cluster_size": str(len(self.nodes))}
        return False

    def are_synced(self) -> bool:
        """Return whether all nodes are members that have caught up."""
        return all(map(self.is_synced, range(len(self.nodes))))

    def wait_until_synced(self) -> None:
        """Wait until all nodes are members that have caught up.

        Raises:
            AssertionError: If they are not within a minute.
        """
        until = REAL_CLOCK.monotonic() + SYNC_SECONDS
        while not self.are_synced():
            log = "\n".join("".join(node.log) for node in self.nodes)
            assert REAL_CLOCK.monotonic() < until, f"the nodes are no cluster within {SYNC_SECONDS:g} s:\n{log}"
            _pause.wait(POLL_SECONDS)

    def fetch(self, place: int, sql: str) -> Sequence[tuple[Any, ...]]:
        """Run a statement on a node, on a connection of its own, and return its rows."""
        parts = urlsplit(self.nodes[place].build_url(MARIADB.maintenance_database))
        connection = pymysql.connect(
            host=parts.hostname,
            port=parts.port or 0,
            user=parts.username,
            password=parts.password or "",
            autocommit=True,
            connect_timeout=CONNECT_SECONDS,
            read_timeout=STATEMENT_SECONDS,
            ssl_disabled=True,
        )
        with connection, connection.cursor() as cursor:
            cursor.execute(sql)
            rows: Sequence[tuple[Any, ...]] = cursor.fetchall()
            return rows

    def close(self) -> None:
        """Stop all nodes; the last one ends without the others."""
        for node in reversed(self.nodes):
            node.close_server()


@contextmanager
def open_galera_cluster(database: str, *, size: int = 3) -> Iterator[GaleraCluster]:
    """Start a cluster with an empty database, for the length of the block; skip the test where there can be none."""
    ports = [_NodePorts.find_free() for _ in range(size)]
    nodes = [DatabaseServer(GaleraProgram(place, ports), is_durable=True) for place in range(size)]
    if not nodes[0].program.is_installed():
        skip_or_fail("Galera is not installed: install mariadb-server, galera-4 and rsync")
    cluster = GaleraCluster(nodes, database)
    try:
        for node in nodes:
            node.start_server()
        cluster.wait_until_synced()
        cluster.fetch(0, MARIADB.build_create_statement(database))
        yield cluster
    finally:
        cluster.close()


def _find_library() -> Path | None:
    return next((path for path in LIBRARIES if path.exists()), None)
