"""The faults: what is done to executors and databases. Each is bounded, and undone when it returns."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from urllib.parse import urlsplit

from tests.chaos.fleet import REAL_CLOCK, ExecutorProcess, wait_until
from tests.chaos.limits.lane_fault import pause_lane
from tests.chaos.machine.cluster_faults import freeze_node, isolate_node, kill_node, restart_node
from tests.chaos.machine.disk_faults import fill_disk, fill_disk_of_log
from tests.chaos.machine.pair_faults import freeze_standby, kill_primary, promote_standby
from tests.chaos.raw_database import DATABASE_ERRORS, RawDatabase
from tests.chaos.recovery_times.recovery import Recovery
from tests.chaos.scene import HELD_SECONDS, Scene
from tests.chaos.versions.version_fault import change_version

__all__ = ["list_faults", "make_fault", "restrict_role"]

LOCKED_ROWS = 20
READ_ONLY_SECONDS = 30.0
POSTGRES_TERMINATE = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
)
MARIADB_OTHERS = "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()"


Fault = Callable[[Scene], Recovery]
"""Makes a fault, and returns the run's recovery from it."""


def list_faults(scene: Scene) -> Sequence[str]:
    """Return the names of the faults that can be made in a scene."""
    return sorted((*_EXECUTOR_FAULTS, *_list_database_faults(scene)))


def make_fault(scene: Scene, name: str) -> Recovery:
    """Make a fault, and return the run's recovery from it."""
    if name in _EXECUTOR_FAULTS:
        return _EXECUTOR_FAULTS[name](scene)
    if not scene.cluster:
        scene.fleet.wait_until_ready()  # a process that finds no database at its start ends
    return _list_database_faults(scene)[name](scene)


def kill_executor(scene: Scene) -> Recovery:
    """Kill an executor as a power cut does."""
    victim = scene.choose_executor()
    victim.send_signal(signal.SIGKILL)
    held = scene.find_held(victim)
    victim.wait_for_exit()
    return held.wait_for_release()


def stop_executor(scene: Scene) -> Recovery:
    """Stop an executor in good order; what it holds is handed back before its process has ended."""
    victim = scene.choose_executor()
    victim.send_signal(signal.SIGTERM)
    recovery = scene.find_held(victim).wait_for_release()
    victim.wait_for_exit()
    return recovery


def freeze_executor(scene: Scene) -> Recovery:
    """Suspend an executor for up to three leases."""
    victim = scene.choose_executor()
    return _suspend_executor(scene, victim, _freeze_process(victim))


def cut_executor_off(scene: Scene) -> Recovery:
    """Lose all packets between an executor and the database for up to three leases."""
    link = scene.fleet.link
    assert link, "no executor reaches the database by a link"
    return _suspend_executor(scene, scene.fleet.get_linked(), link.cut())


def unplug_executor(scene: Scene) -> Recovery:
    """Drop all packets of an executor that has a network of its own, for up to three leases."""
    return _suspend_executor(scene, scene.fleet.get_networked(), scene.get_network().cut())


def lose_machine(scene: Scene) -> Recovery:
    """End an executor together with its machine: no packet tells the server that its connections are gone."""
    victim = scene.fleet.get_networked()
    wait_until(lambda: scene.find_held(victim).count > 0, timeout_seconds=HELD_SECONDS)
    with scene.get_network().replace_namespace():
        victim.send_signal(signal.SIGKILL)
        held = scene.find_held(victim)
        victim.wait_for_exit()
    scene.fleet.start_missing()
    return held.wait_for_release()


def kill_executor_in_frozen_server(scene: Scene) -> Recovery:
    """Kill an executor while the server is suspended, which learns of the end only afterwards."""
    server = scene.get_server()
    victim = scene.choose_executor()
    held = scene.find_held(victim)
    with server.freeze_server():
        victim.send_signal(signal.SIGKILL)
        scene.pause(0.3, 1.5)
    victim.wait_for_exit()
    scene.fleet.start_missing()
    return held.wait_for_release()


@contextlib.contextmanager
def _freeze_process(victim: ExecutorProcess) -> Iterator[None]:
    victim.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        victim.send_signal(signal.SIGCONT)


def _suspend_executor(scene: Scene, victim: ExecutorProcess, suspension: AbstractContextManager[None]) -> Recovery:
    """Suspend an executor for up to three leases, and return when others have released what it held, or it has."""
    length = scene.draw_seconds(0.3, 3)
    until = REAL_CLOCK.monotonic() + length
    with suspension:
        held = scene.find_held(victim)
        recovery = held.wait_for_release(timeout_seconds=length)
        threading.Event().wait(max(0.0, until - REAL_CLOCK.monotonic()))
    return recovery if recovery.seconds < length else held.wait_for_release()


def kill_server(scene: Scene) -> Recovery:
    """Kill the database server, and start it again at once."""
    server = scene.get_server()
    server.kill_server()
    server.start_server()
    return scene.measure_progress()


def restart_server(scene: Scene) -> Recovery:
    """Shut the database server down in good order, and start it again after up to four leases."""
    server = scene.get_server()
    server.stop_server()
    scene.pause(0.1, 4)
    server.start_server()
    return scene.measure_progress()


def freeze_server(scene: Scene) -> Recovery:
    """Suspend the database server for up to two leases."""
    with scene.get_server().freeze_server():
        scene.pause(0.3, 2)
    return scene.measure_progress()


def end_postgres_sessions(scene: Scene) -> Recovery:
    """Terminate all sessions of the database."""
    scene.database.fetch(POSTGRES_TERMINATE)
    return scene.measure_progress()


def end_mariadb_sessions(scene: Scene) -> Recovery:
    """Terminate all sessions of the database."""
    with scene.database.open_session() as session:
        for (id,) in session.fetch(MARIADB_OTHERS):
            with contextlib.suppress(*DATABASE_ERRORS):  # it has ended meanwhile
                session.execute(f"KILL {id}")
    return scene.measure_progress()


def refuse_postgres_writes(scene: Scene) -> Recovery:
    """Make every session read-only for up to one lease."""
    writable = "SET default_transaction_read_only = off"
    scene.database.execute("ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
    try:
        scene.pause(0.2, 1)
    finally:
        reset = "ALTER SYSTEM RESET default_transaction_read_only"
        scene.database.execute(writable, reset, "SELECT pg_reload_conf()")
    return scene.measure_progress()


def refuse_mariadb_writes(scene: Scene) -> Recovery:
    """Make the server read-only for up to one lease, for all but its administrators.

    The statement waits for those that write, and lets no other begin: where one of them waits for a row that an open
    transaction has locked, all three wait for each other. It gives up after a second, and is tried again.
    """
    wait_until(lambda: _set_read_only(scene.database), timeout_seconds=READ_ONLY_SECONDS)
    try:
        scene.pause(0.2, 1)
    finally:
        scene.database.execute("SET GLOBAL read_only = 0")
    return scene.measure_progress()


def lock_rows(scene: Scene) -> Recovery:
    """Lock the rows of open instances in a session of its own for up to one lease."""
    open_rows = "status NOT IN ('FINISHED', 'FAILED', 'CANCELLED')"
    sql = f"SELECT id FROM flowlet_workflow WHERE {open_rows} ORDER BY id LIMIT {LOCKED_ROWS} FOR UPDATE SKIP LOCKED"
    # In a cluster a commit on another node ends a transaction that has locked its rows.
    expected = DATABASE_ERRORS if scene.cluster else ()
    with scene.database.open_session() as session, contextlib.suppress(*expected):
        session.execute("BEGIN")
        session.fetch(sql)
        scene.pause(0.2, 1)
        session.execute("ROLLBACK")
    return scene.measure_progress()


def lock_file(scene: Scene) -> Recovery:
    """Hold the only write lock of a SQLite file for up to one lease."""
    with scene.database.open_session() as session:
        session.execute("BEGIN IMMEDIATE")
        scene.pause(0.2, 1)
        session.execute("ROLLBACK")
    return scene.measure_progress()


def _set_read_only(database: RawDatabase) -> bool:
    with contextlib.suppress(*DATABASE_ERRORS):  # it has given up
        database.execute("SET SESSION lock_wait_timeout = 1", "SET GLOBAL read_only = 1")
        return True
    return False


@contextlib.contextmanager
def restrict_role(database: RawDatabase) -> Iterator[str]:
    """Return the URL for the executors: on MariaDB that of a role that a read-only server does not let write."""
    parts = urlsplit(database.url)
    if database.kind != "mysql":
        yield database.url
        return
    name = parts.path.lstrip("/")
    database.execute(
        "CREATE USER IF NOT EXISTS 'chaos'@'%' IDENTIFIED BY 'chaos'",
        f"GRANT ALL ON `{name}`.* TO 'chaos'@'%'",
    )
    try:
        yield parts._replace(netloc=f"chaos:chaos@{parts.netloc.rpartition('@')[2]}").geturl()
    finally:
        database.execute("DROP USER 'chaos'@'%'")


def _list_database_faults(scene: Scene) -> Mapping[str, Fault]:
    if scene.cluster:
        return _CLUSTER_FAULTS
    if scene.pair:
        return _PAIR_FAULTS
    if scene.disk:
        return _LOG_DISK_FAULTS if scene.database.kind == "postgresql" else _DISK_FAULTS
    network_faults = _NETWORK_FAULTS if scene.fleet.network else {}
    return {**_DATABASE_FAULTS[scene.database.kind], **network_faults}


_EXECUTOR_FAULTS: Mapping[str, Fault] = {
    "executor killed": kill_executor,
    "executor stopped": stop_executor,
    "version changed": change_version,
    "executor frozen": freeze_executor,
    "lane paused": pause_lane,
}
_SERVER_FAULTS: Mapping[str, Fault] = {
    "server killed": kill_server,
    "server restarted": restart_server,
    "server frozen": freeze_server,
    "rows locked": lock_rows,
    "executor cut off": cut_executor_off,
    "executor killed, server frozen": kill_executor_in_frozen_server,
}
_PAIR_FAULTS: Mapping[str, Fault] = {
    "standby promoted": promote_standby,
    "primary killed": kill_primary,
    "standby frozen": freeze_standby,
    "rows locked": lock_rows,
    "sessions ended": end_postgres_sessions,
}
_CLUSTER_FAULTS: Mapping[str, Fault] = {
    "node killed": kill_node,
    "node restarted": restart_node,
    "node frozen": freeze_node,
    "node isolated": isolate_node,
    "rows locked": lock_rows,
    "sessions ended": end_mariadb_sessions,
}
_DISK_FAULTS: Mapping[str, Fault] = {"disk full": fill_disk}
_LOG_DISK_FAULTS: Mapping[str, Fault] = {**_DISK_FAULTS, "disk full, no log": fill_disk_of_log}
_NETWORK_FAULTS: Mapping[str, Fault] = {"executor unplugged": unplug_executor, "machine lost": lose_machine}
_DATABASE_FAULTS: Mapping[str, Mapping[str, Fault]] = {
    "sqlite": {"file locked": lock_file},
    "postgresql": {
        **_SERVER_FAULTS,
        "sessions ended": end_postgres_sessions,
        "read-only": refuse_postgres_writes,
    },
    "mysql": {**_SERVER_FAULTS, "sessions ended": end_mariadb_sessions, "read-only": refuse_mariadb_writes},
}
