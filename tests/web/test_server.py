"""The application on a real socket: on its own server, on other ASGI servers, and its orderly shutdown."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from textwrap import dedent
from typing import Any

import httpx
import psutil
import pytest

from flowlet.accounts.roles import Role
from flowlet.app import Flowlet
from flowlet.auth.users import PUBLIC_PASSWORD, Users
from flowlet.definition.registry import Registry
from flowlet.errors import SettingsError
from flowlet.settings import Settings
from flowlet.store.opening import open_store
from flowlet.web.server import create_listener, format_address
from tests.engine.activation.activation_harness import build_single_state, build_workflow_module
from tests.engine.executor_harness import GatedHandler, wait_for
from tests.faults.processes import ManagedProcess
from tests.web.http_server import serve_app

StartFlowlet = Callable[..., Awaitable[ManagedProcess]]

SLOW_MODULE = """
    import asyncio
    from flowlet import Workflow, end, state

    workflow = Workflow("SlowWorkflow")

    @state(start=True, next=["done"])
    async def wait() -> None:
        print("ran wait", flush=True)
        await asyncio.Event().wait()

    done = end()
"""
ADMIN_PASSWORD = "correct horse"


def build_app(url: str, module: Any, **settings: Any) -> Flowlet:
    """Return an application of one module on a database."""
    registry = Registry()
    registry.add(module)
    return Flowlet(registry=registry, settings=Settings(database_url=url, admin_password=ADMIN_PASSWORD, **settings))


async def test_any_server_of_asgi_opens_runs_and_drains_the_application(empty_database_url: str) -> None:
    gate = GatedHandler()
    app = build_app(empty_database_url, build_workflow_module(**build_single_state(gate.build_module().check)))

    async with serve_app(app) as client:
        alive = await client.get("/healthz")
        await wait_for(poll_until(lambda: is_ready(client)))
        created = await app.start("Orders")
        await wait_for(gate.started.wait())
        gate.may_finish.set()

    async with app.running() as store:
        ended = await store.queries.get(created.id)
    assert alive.status_code == 200
    assert ended.state == "done"


async def test_a_request_before_the_lifespan_is_a_mistake_of_the_server() -> None:
    app = build_app("sqlite:///flowlet.db", build_workflow_module(**build_single_state(lambda: "done")))

    with pytest.raises(RuntimeError, match="lifespan"):
        await app({"type": "http"}, asyncio.Event().wait, send_nothing)


async def test_an_application_that_cannot_start_says_so_to_its_server() -> None:
    app = build_app("postgresql://127.0.0.1:1/away", build_workflow_module(**build_single_state(lambda: "done")))
    sent: list[Any] = []

    async def receive_disconnect() -> dict[str, str]:
        return {"type": "lifespan.startup"}

    async def fail_to_send(message: Any) -> None:
        sent.append(message)

    await app({"type": "lifespan"}, receive_disconnect, fail_to_send)

    (message,) = sent
    assert message["type"] == "lifespan.startup.failed"
    assert "cannot open the database" in message["message"]


def test_a_port_that_is_taken_is_told_with_the_cure() -> None:
    with (
        create_listener("127.0.0.1", 0) as taken,
        pytest.raises(SettingsError, match="another process uses this port.*--port"),
    ):
        create_listener("127.0.0.1", taken.getsockname()[1])


@pytest.mark.parametrize(("host", "why"), [("203.0.113.7", "does not have this address"), ("no.such.host.invalid", "")])
def test_a_host_that_is_none_of_this_machine_is_told(host: str, why: str) -> None:
    with pytest.raises(SettingsError, match=f"cannot listen on {host} port 0: .*{why}"):
        create_listener(host, 0)


def test_an_address_of_ipv6_is_written_for_a_browser() -> None:
    with create_listener("::1", 0) as listener:
        assert format_address(listener) == f"http://[::1]:{listener.getsockname()[1]}"


async def test_sigterm_drains_the_requests_and_the_activations(start_flowlet: StartFlowlet, database_url: str) -> None:
    process = await start_flowlet("serve", "slow.py", "--port", "0", database_url=database_url, grace="1s")
    async with open_process_client(process) as client:
        assert (await client.get("/healthz")).status_code == 200

        process.send_signal(signal.SIGTERM)

        assert await process.wait_for_exit() == 0
    assert process.find_lines("stop signal received")
    assert process.find_lines("has stopped")
    assert not process.find_lines("Traceback")


async def test_sigterm_ends_the_streams_of_events_at_once(start_flowlet: StartFlowlet, sqlite_url: str) -> None:
    process = await start_flowlet("serve", "slow.py", "--port", "0", database_url=sqlite_url, grace="1h")
    async with (
        open_process_client(process) as client,
        client.stream("GET", "/api/events", headers={"X-API-Key": await create_key(sqlite_url)}) as answer,
    ):
        lines = answer.aiter_lines()
        await wait_for(anext(lines))

        process.send_signal(signal.SIGTERM)

        assert [line async for line in lines if line.startswith("data")] == []
        assert await process.wait_for_exit() == 0


async def test_a_second_signal_ends_the_requests_too(start_flowlet: StartFlowlet, sqlite_url: str) -> None:
    process = await start_flowlet("serve", "slow.py", "--port", "0", database_url=sqlite_url, grace="1h")
    async with open_process_client(process) as client:
        reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
        writer.write(b"POST /api/nothing HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n")  # and nothing more
        await writer.drain()
        assert (await client.get("/healthz")).status_code == 200

        process.send_signal(signal.SIGTERM)
        await process.wait_for_lines("stop signal received")
        process.send_signal(signal.SIGTERM)

        assert await process.wait_for_exit() == 0
        await reader.read()
        writer.close()


async def test_the_first_start_shows_a_password_once_and_never_logs_it(
    start_flowlet: StartFlowlet, empty_database_url: str
) -> None:
    first = await start_flowlet("serve", "slow.py", "--port", "0", database_url=empty_database_url, admin_password="")
    (line,) = await first.wait_for_lines("Its password, which is not shown again: ")
    await first.wait_for_lines("the API answers at")
    first.send_signal(signal.SIGTERM)
    await first.wait_for_exit()

    second = await start_flowlet("serve", "slow.py", "--port", "0", database_url=empty_database_url, admin_password="")
    await second.wait_for_lines("the API answers at")

    assert len(first.find_lines(line.rpartition(" ")[2])) == 1
    assert not second.find_lines("password")


@pytest.mark.parametrize("given", ["", ADMIN_PASSWORD])
async def test_a_server_lets_nobody_in_with_the_demos_password(
    start_flowlet: StartFlowlet, sqlite_url: str, given: str
) -> None:
    async with open_store(sqlite_url) as store:
        await Users(store).ensure_admin(PUBLIC_PASSWORD)

    process = await start_flowlet("serve", "slow.py", "--port", "0", database_url=sqlite_url, admin_password=given)
    await process.wait_for_lines("the API answers at")

    shown = process.find_lines("Replaced the password of the user 'admin', which was the demo's public password.")
    async with open_store(sqlite_url) as store:
        password = given or shown[0].rpartition(" ")[2]
        assert await Users(store).authenticate("admin", PUBLIC_PASSWORD) is None
        assert await Users(store).authenticate("admin", password) is not None
    assert len(process.find_lines(password)) == (0 if given else 1)


async def test_a_process_may_serve_no_executor_or_no_web(start_flowlet: StartFlowlet, empty_database_url: str) -> None:
    web = await start_flowlet("serve", "slow.py", "--port", "0", "--no-executor", database_url=empty_database_url)
    executor = await start_flowlet("serve", "slow.py", "--no-web", database_url=empty_database_url)

    await executor.wait_for_lines(" runs SlowWorkflow")
    async with open_process_client(web) as client:
        ready = await client.get("/readyz")

    assert ready.json()["checks"] == {"database": "ok"}
    assert not web.find_lines(" runs SlowWorkflow")
    assert not executor.find_lines("the API answers at")


async def test_processes_are_executors_beside_the_first_and_end_with_it(
    start_flowlet: StartFlowlet, empty_postgres_url: str
) -> None:
    process = await start_flowlet(
        "serve", "slow.py", "--port", "0", "--processes", "3", database_url=empty_postgres_url, grace="1s"
    )

    await process.wait_for_lines(" runs SlowWorkflow", times=3)
    process.send_signal(signal.SIGTERM)

    assert await process.wait_for_exit() == 0
    assert len(process.find_lines("the API answers at")) == 1
    assert len(process.find_lines("has stopped")) == 3


async def test_a_process_that_dies_is_replaced(start_flowlet: StartFlowlet, empty_postgres_url: str) -> None:
    process = await start_flowlet(
        "serve", "slow.py", "--port", "0", "--processes", "2", database_url=empty_postgres_url, grace="1s"
    )
    await process.wait_for_lines(" runs SlowWorkflow", times=2)
    (child,) = list_children(process.pid)

    os.kill(child, signal.SIGKILL)
    await process.wait_for_lines("a new one starts")

    await process.wait_for_lines(" runs SlowWorkflow", times=3)
    process.send_signal(signal.SIGTERM)
    assert await process.wait_for_exit() == 0


async def test_processes_end_with_a_first_one_that_is_killed(
    start_flowlet: StartFlowlet, empty_postgres_url: str
) -> None:
    process = await start_flowlet(
        "serve", "slow.py", "--port", "0", "--processes", "3", database_url=empty_postgres_url, grace="1s"
    )
    await process.wait_for_lines(" runs SlowWorkflow", times=3)

    process.send_signal(signal.SIGKILL)

    assert await process.wait_for_exit() == -signal.SIGKILL  # the others have closed the output by then
    assert len(process.find_lines("the process that has started this one has ended")) == 2
    assert len(process.find_lines("has stopped")) == 2


@asynccontextmanager
async def open_process_client(process: ManagedProcess) -> AsyncIterator[httpx.AsyncClient]:
    """Wait until a process logs its address, and return a client of it."""
    (line,) = await process.wait_for_lines("the API answers at")
    url = line.partition("answers at ")[2].split()[0]
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        yield client


async def create_key(url: str) -> str:
    """Return an API key of the admin that the first start created."""
    async with open_store(url) as store:
        return (await Users(store).keys.create("test", username="admin", role=Role.VIEWER, actor="test")).text


def list_children(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    return [child.pid for child in psutil.Process(pid).children()]


async def is_ready(client: httpx.AsyncClient) -> bool:
    return (await client.get("/readyz")).status_code == 200


async def poll_until(condition: Callable[[], Awaitable[bool]]) -> None:
    while not await condition():
        pass


async def send_nothing(_: Any) -> None: ...


@pytest.fixture
async def start_flowlet(tmp_path: Path) -> AsyncIterator[StartFlowlet]:
    """Start ``flowlet`` as a process, in a folder with slow.py, with settings as ``grace="1s"``."""
    (tmp_path / "slow.py").write_text(dedent(SLOW_MODULE))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FLOWLET_")}
    started = []

    async def spawn_process(*arguments: str, **settings: str) -> ManagedProcess:
        given = {"admin_password": ADMIN_PASSWORD, **settings}
        variables = {f"FLOWLET_{name.upper()}": value for name, value in given.items()}
        command = ["-m", "flowlet", *arguments]
        started.append(ManagedProcess.start_python(command, env={**environment, **variables}, cwd=tmp_path))
        return started[-1]

    yield spawn_process
    for process in started:
        await process.close()
