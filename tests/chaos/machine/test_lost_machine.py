"""A machine that is lost in a transaction keeps no locks: the server finds out without a packet that says so."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.faults import restrict_role
from tests.chaos.machine.network import Network, NetworkedMariadb, NetworkedPostgres, open_network
from tests.chaos.machine.silent_client import LOCK_SQL
from tests.chaos.raw_database import RawDatabase
from tests.database_programs import DatabaseProgram
from tests.database_servers import DatabaseServer

pytestmark = [pytest.mark.timeout(120), pytest.mark.needs_network]

CLIENT = (sys.executable, "-m", "tests.chaos.machine.silent_client")
ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("build_program", [NetworkedPostgres, NetworkedMariadb], ids=["postgresql", "mariadb"])
def test_rows_that_a_lost_machine_has_locked_are_free_again_within_seconds(
    build_program: Callable[[Network], DatabaseProgram],
) -> None:
    with open_network() as network:
        server = DatabaseServer.of(build_program(network))
        try:
            database = RawDatabase(server.get_migrated_database())
            with restrict_role(database) as url:
                lose_client(network, network.build_url(url))

                assert database.fetch(LOCK_SQL)  # the statement has 20 seconds
        finally:
            server.close_server()


def lose_client(network: Network, url: str) -> None:
    """Let a client lock rows, and lose its machine."""
    command = [*network.command_prefix, *CLIENT, url]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout
        assert client.stdout.readline() == "locked\n"
        with network.replace_namespace():
            client.kill()
            client.wait()
