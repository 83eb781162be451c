"""A process that is started before its database: it waits, says so, and can be stopped meanwhile."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.database_servers import DatabaseServer
from tests.faults.processes import StartProcess

pytestmark = pytest.mark.faults

MODULE = str(Path(__file__).parent / "workflows" / "vigil.py")
SERVE = ("flowlet", "serve", MODULE, "--port", "0")
UNREACHABLE_URL = "postgresql://ada@127.0.0.1:1/shop"


async def test_a_database_that_is_started_later_is_waited_for(
    postgres_server: DatabaseServer, postgres_url: str, start_process: StartProcess
) -> None:
    postgres_server.stop_server()
    try:
        process = await start_process(*SERVE, database_url=postgres_url)
        await process.wait_for_lines("cannot open the database")
    finally:
        postgres_server.start_server()

    await process.wait_for_lines("the API answers")
    await process.wait_for_lines(" runs Vigil")
    process.send_signal(signal.SIGTERM)
    assert await process.wait_for_exit() == 0


async def test_a_process_that_waits_for_its_database_can_be_stopped(start_process: StartProcess) -> None:
    process = await start_process(*SERVE, database_url=UNREACHABLE_URL)
    await process.wait_for_lines("cannot open the database")

    process.send_signal(signal.SIGTERM)

    assert await process.wait_for_exit() == 0
    assert not process.find_lines("Traceback")


async def test_a_wait_of_several_attempts_says_once_what_the_environment_has(start_process: StartProcess) -> None:
    process = await start_process(*SERVE, database_url=UNREACHABLE_URL, log_level="DEBUG", weather="sunny")

    await process.wait_for_lines("opening the database: the store is away", times=3)

    assert len(process.find_lines("FLOWLET_WEATHER")) == 1


async def test_the_wait_has_an_end(start_process: StartProcess) -> None:
    process = await start_process(*SERVE, database_url=UNREACHABLE_URL, start_timeout="100ms")

    assert await process.wait_for_exit() == 1
    assert process.find_lines("cannot open the database")
    assert not process.find_lines("Traceback")
