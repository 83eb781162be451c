"""A process that is started before its database: it waits, says so, and can be stopped meanwhile."""

from __future__ import annotations

import asyncio
import signal
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from flowlet.auth.users import ADMIN_USERNAME, Users
from flowlet.engine import outage
from flowlet.errors import StoreUnavailableError
from flowlet.settings import Settings
from flowlet.store.opening import open_store
from flowlet.store.users import UserStore
from flowlet.web.server import ensure_admin
from tests.database_servers import DatabaseServer
from tests.engine.executor_harness import wait_for
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


async def test_a_database_that_goes_away_before_the_first_user_is_created_is_waited_for(
    postgres_server: DatabaseServer,
    postgres_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    is_away = asyncio.Event()

    def note_outage(*_: object) -> float:
        is_away.set()
        return 0.05

    monkeypatch.setattr(outage.Backoff, "next_delay", note_outage)
    async with open_store(postgres_url) as store:
        users = Users(store)
        postgres_server.stop_server()
        try:
            task = asyncio.create_task(ensure_admin(users, Settings(database_url=postgres_url), store.clock))
            await wait_for(is_away.wait())
        finally:
            postgres_server.start_server()

        await task

        password = capsys.readouterr().out.strip().rpartition(" ")[2]
        assert await users.authenticate(ADMIN_USERNAME, password) is not None


async def test_the_password_of_the_first_user_is_shown_although_the_answer_to_its_creation_was_lost(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    insert = UserStore.insert_first
    lost = []

    async def lose_answer(store: UserStore, *arguments: Any, **options: Any) -> Any:
        lost.append(await insert(store, *arguments, **options))
        raise StoreUnavailableError("the connection was closed")

    monkeypatch.setattr(UserStore, "insert_first", lose_answer)
    async with open_store(sqlite_url) as store:
        users = Users(store)

        await ensure_admin(users, Settings(database_url=sqlite_url, start_timeout=timedelta(minutes=1)), store.clock)

        password = capsys.readouterr().out.strip().rpartition(" ")[2]
        assert await users.authenticate(ADMIN_USERNAME, password) is not None
    assert len(lost) == 1
