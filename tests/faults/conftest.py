"""What the fault tests share: executors as processes of their own, which die with the test."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

import pytest

from tests.database_servers import DatabaseServer
from tests.faults.processes import ManagedProcess, StartProcess

SCRIPT_FOLDER = Path(__file__).parent


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "faults: kills, stops or starves real processes and servers")


@pytest.fixture(scope="session")
def postgres_server(durable_postgres_server: DatabaseServer) -> DatabaseServer:
    """The durable server, because what survives a kill is judged here."""
    return durable_postgres_server


@pytest.fixture(scope="session")
def mariadb_server(durable_mariadb_server: DatabaseServer) -> DatabaseServer:
    """The durable server, because what survives a kill is judged here."""
    return durable_mariadb_server


@pytest.fixture
async def start_process(tmp_path: Path) -> AsyncIterator[StartProcess]:
    """Start a script of this folder, or ``flowlet``, as a process, with arguments, and settings as ``lease="1s"``."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FLOWLET_")}
    async with AsyncExitStack() as stack:

        async def spawn_process(script: str, *arguments: str, **settings: str) -> ManagedProcess:
            program = ["-m", "flowlet"] if script == "flowlet" else [str(SCRIPT_FOLDER / script)]
            variables = {f"FLOWLET_{name.upper()}": value for name, value in settings.items()}
            process = ManagedProcess.start_python(
                [*program, *arguments], env={**environment, **variables}, cwd=tmp_path
            )
            stack.push_async_callback(process.close)
            return process

        yield spawn_process


@pytest.fixture
def seeded_random() -> Random:
    """Where moments are drawn from; its seed is shown where the test fails."""
    seed = Random().getrandbits(32)
    print(f"seed {seed}")  # noqa: T201
    return Random(seed)
