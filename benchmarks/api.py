"""The API under load, compared with the floor of its framework: a bare application with the same endpoint.

    python benchmarks/api.py sqlite:////tmp/bench.db
    python benchmarks/api.py postgresql://postgres@127.0.0.1/bench

First, creates by 32 clients, at a process without an executor and at one that executes the workflows (three handlers
each). Then, on an idle engine, the time from a create until its client knows that the workflow is FINISHED: with the
executor in the server's process, and in another one. The server is a process of its own on the loopback address. The
benchmark deletes the database's content. Figures are comparable only within one run.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import psutil
import uvloop
from hypercorn.asyncio import serve
from hypercorn.config import Config
from loopback import LoadResult, LoopbackClient, compute_quantile, run_load
from quart import Quart, Response, request
from throughput import empty_tables

from flowlet.accounts.roles import Role
from flowlet.auth.users import Users
from flowlet.runtime import run_loop
from flowlet.store.opening import Store, open_store
from flowlet.web.server import create_listener, format_address

WORKFLOW_MODULE = Path(__file__).with_name("three_states.py")
FLOWLET_COMMAND = (sys.executable, "-m", "flowlet", "serve", str(WORKFLOW_MODULE), "--port", "0")
BARE_COMMAND = (sys.executable, __file__, "--bare")
PASSWORD = secrets.token_urlsafe(16)


class ServerProcess:
    """A server process."""

    def __init__(self, pid: int, address: str) -> None:
        self.address = address
        self._process = psutil.Process(pid)

    @property
    def cpu_seconds(self) -> float:
        """The CPU time that it has used, in seconds."""
        times = self._process.cpu_times()
        return float(times.user + times.system)

    @property
    def memory_megabytes(self) -> float:
        """Its resident memory, in megabytes."""
        return float(self._process.memory_info().rss) / 1e6


@asynccontextmanager
async def run_server(*command: str, url: str = "") -> AsyncIterator[ServerProcess]:
    """Run a server for the length of the block."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FLOWLET_")}
    environment |= {"FLOWLET_DATABASE_URL": url, "FLOWLET_ADMIN_PASSWORD": PASSWORD, "FLOWLET_GRACE": "1s"}
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    reading = None
    try:
        line = ""
        ready_text = "runs ThreeStates" if "--no-web" in command else "answers at "
        while ready_text not in line:
            line = (await asyncio.wait_for(process.stdout.readline(), 30)).decode()
            if not line:
                raise RuntimeError(f"{' '.join(command)} ended before it was ready")
        reading = asyncio.create_task(process.stdout.read())
        yield ServerProcess(process.pid, line.partition("answers at ")[2].partition(" ")[0].strip())
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        if reading:
            reading.cancel()


def generate_bodies() -> Iterator[dict[str, Any]]:
    """Return the bodies of creates, each with its own external id."""
    run = secrets.token_hex(4)
    for number in itertools.count():
        yield {
            "workflowType": "ThreeStates",
            "externalId": f"{run}-{number}",
            "businessKey": f"order-{number}",
            "stateVars": {"sku": "A-10291", "amount": 3},
        }


async def create_key(store: Store) -> str:
    """Return an API key with the role operator."""
    users = Users(store, session_idle=timedelta(hours=1), session_lifetime=timedelta(hours=1))
    made = await users.keys.create(
        "benchmark", username="admin", role=Role.OPERATOR, actor="benchmark", lifetime=timedelta(hours=1)
    )
    return made.text


async def measure_creates(server: ServerProcess, key: str, arguments: argparse.Namespace) -> tuple[LoadResult, float]:
    """Create with many clients; return the result, and the CPU time of the server for each create, in ms."""
    client = LoopbackClient(server.address, key)
    requests = (
        client.encode_post("/api/workflows", body) for body in itertools.islice(generate_bodies(), arguments.requests)
    )
    await run_load(
        client, itertools.islice(requests, arguments.requests // 10), connections=arguments.connections, seconds=10
    )
    cpu = server.cpu_seconds
    done = await run_load(client, requests, connections=arguments.connections, seconds=arguments.seconds)
    return done, (server.cpu_seconds - cpu) / max(1, len(done.latencies_milliseconds)) * 1000


async def compare_creates(url: str, arguments: argparse.Namespace) -> None:
    """Print creates at a bare application, at a process without an executor, and at one that executes them."""
    servers = {
        "bare": BARE_COMMAND,
        "created": (*FLOWLET_COMMAND, "--no-executor"),
        "created and executed": FLOWLET_COMMAND,
    }
    for number in range(arguments.rounds):
        rate = 0.0
        for name, command in servers.items():
            async with open_store(url) as store:
                await empty_tables(store)
            async with open_store(url) as store, run_server(*command, url=url) as server:
                key = "" if command is BARE_COMMAND else await create_key(store)
                done, cpu = await measure_creates(server, key, arguments)
                memory = server.memory_megabytes
                left = await wait_until_drained(store) if command is FLOWLET_COMMAND else 0
            rate = rate or done.rate
            print(
                f"round {number + 1}: {name:20} {done.rate:5.0f}/s, {done.rate / rate:4.0%} of the bare one, "
                f"p50 {done.get_quantile(0.5):5.1f} p99 {done.get_quantile(0.99):5.1f} "
                f"max {done.latencies_milliseconds[-1]:5.1f} ms, "
                f"{cpu:.2f} ms CPU each, {memory:.0f} MB"
                + (f", {left} not yet executed" if left else "")
                + (f", FAILED {done.failures}" if done.failures else ""),
                flush=True,
            )


async def wait_until_drained(store: Store) -> int:
    """Wait until all workflows have been executed, and return how many had not been at first."""
    sql = "SELECT COUNT(*) FROM flowlet_workflow WHERE status IN ('NEW', 'EXECUTING', 'IN_PROGRESS')"
    first = left = (await store.connections.read(lambda session: session.fetch_rows(sql)))[0][0]
    while left:
        await asyncio.sleep(0.2)
        left = (await store.connections.read(lambda session: session.fetch_rows(sql)))[0][0]
    return int(first)


async def measure_latencies(url: str, arguments: argparse.Namespace) -> None:
    """Print the time from a create until its client knows that the workflow is FINISHED."""
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(url))
        server = await stack.enter_async_context(run_server(*FLOWLET_COMMAND, url=url))
        await _measure_latency(
            "same process", LoopbackClient(server.address, await create_key(store)), arguments.singles
        )
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(url))
        server = await stack.enter_async_context(run_server(*FLOWLET_COMMAND, "--no-executor", url=url))
        await stack.enter_async_context(run_server(*FLOWLET_COMMAND, "--no-web", url=url))
        await _measure_latency(
            "another process", LoopbackClient(server.address, await create_key(store)), arguments.singles
        )


async def _measure_latency(name: str, client: LoopbackClient, singles: int) -> None:
    for way, until_finished in (("createAndWait", _create_and_wait), ("POST, then GETs", _create_and_poll)):
        requests = generate_bodies()
        taken = []
        for place, body in enumerate(itertools.islice(requests, singles + 10)):
            at = time.perf_counter()
            await until_finished(client, body)
            if place >= 10:
                taken.append((time.perf_counter() - at) * 1000)
            await asyncio.sleep(0.02)
        taken.sort()
        p50, p99 = compute_quantile(taken, 0.5), compute_quantile(taken, 0.99)
        figures = f"median {p50:5.1f} p99 {p99:5.1f} max {taken[-1]:5.1f} ms"
        print(f"until FINISHED, {name:15} {way:15} {figures} of {singles}", flush=True)


async def _create_and_wait(client: LoopbackClient, body: dict[str, Any]) -> None:
    connection = await client.open_connection()
    response = await connection.send_request(
        client.encode_post("/api/createAndWait", {"createWorkflowRequest": body, "waitSeconds": 10})
    )
    connection.close()
    assert orjson.loads(response.body)["status"] == "FINISHED", response


async def _create_and_poll(client: LoopbackClient, body: dict[str, Any]) -> None:
    """Create, then read the status every 2 ms after each response."""
    connection = await client.open_connection()
    response = await connection.send_request(client.encode_post("/api/workflows", body))
    path = f"/api/workflows/{orjson.loads(response.body)['id']}"
    while orjson.loads((await connection.send_request(client.encode_get(path))).body)["status"] != "FINISHED":
        await asyncio.sleep(0.002)
    connection.close()


async def serve_bare() -> None:
    """Serve an application of the framework that reads a body, responds, and does nothing else."""
    app = Quart(__name__)

    @app.post("/api/workflows")
    async def create() -> Response:
        await request.get_data()
        return Response(b'{"id":1,"externalId":"a"}', 201, content_type="application/json")

    listener = create_listener("127.0.0.1", 0)
    print(f"answers at {format_address(listener)}", flush=True)
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.errorlog = None
    await serve(app, config)


async def main(arguments: argparse.Namespace) -> None:
    """Compare creates, then measure latencies."""
    print(f"{arguments.requests} creates by {arguments.connections} connections, at most {arguments.seconds} s")
    if arguments.rounds:
        await compare_creates(arguments.url, arguments)
    if arguments.singles:
        await measure_latencies(arguments.url, arguments)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--requests", type=int, default=5_000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--singles", type=int, default=100)
    parser.add_argument("--bare", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.bare:
        run_loop(serve_bare())
    elif given.url is None:
        parser.error("give the URL of a database")
    else:
        uvloop.run(main(given))
