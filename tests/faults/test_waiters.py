"""Clients that wait: a thousand at once, those that hang up, and those for whom there is no place."""

from __future__ import annotations

import asyncio
import resource
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import orjson
import psutil
import pytest

from flowlet.accounts.roles import Role
from flowlet.auth.users import Users
from tests.faults.fault_harness import REAL_CLOCK, WORKFLOWS, FaultHarness, open_fault_harness
from tests.faults.processes import ManagedProcess, StartProcess

pytestmark = pytest.mark.faults

CLIENT_COUNTS = {"postgresql": 1_000, "sqlite": 300, "mysql": 300}
"""How many clients wait at once. The code that waits is the same on each database, and connecting takes long."""
MAX_WAITERS = 20
USUAL_FILE_LIMIT = 1_024
"""How many files a process may have open where nobody has said otherwise."""
WATCHED_SECONDS = 1
FAR_FUTURE = "2100-01-01T00:00:00Z"


class RawHttpClient:
    """A client on a connection of its own, which asks once."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read_answer(self) -> tuple[int, dict[str, Any]]:
        """Return the status and the body of what it is answered."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        (length,) = [int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        return int(head.split()[1]), orjson.loads(await self._reader.readexactly(length))

    async def close_connection(self) -> None:
        """Go away."""
        self._writer.close()
        await self._writer.wait_closed()


@dataclass
class ServedProcess:
    """A process that serves the API and runs Errand, and a view of its database."""

    process: ManagedProcess
    harness: FaultHarness
    key: str
    base_url: str
    _probe_numbers: Iterator[int] = field(default_factory=lambda: count(1))

    async def send_request(self, path: str, body: object) -> RawHttpClient:
        """Send a request on a connection of its own."""
        parts = urlsplit(self.base_url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        content = orjson.dumps(body)
        head = f"Host: {parts.netloc}\r\nX-API-Key: {self.key}\r\nContent-Length: {len(content)}\r\n\r\n"
        writer.write(f"POST {path} HTTP/1.1\r\n{head}".encode() + content)
        await writer.drain()
        return RawHttpClient(reader, writer)

    async def create_and_wait_for_errands(self, client_count: int) -> Sequence[RawHttpClient]:
        """Let so many clients create an errand at once that is due in an hour, and wait for its end."""
        errand = {"workflowType": "Errand", "nextActivation": FAR_FUTURE}
        body = {"createWorkflowRequest": errand, "waitSeconds": 600}
        return await asyncio.gather(*(self.send_request("/api/createAndWait", body) for _ in range(client_count)))

    async def read_counts(self) -> tuple[int, int]:
        """Return how many wait now, and how often the process has used its database so far."""
        self.process.send_signal(signal.SIGUSR1)
        line = (await self.process.wait_for_lines("wait ", times=next(self._probe_numbers)))[-1].split()
        return int(line[1]), int(line[3])

    async def wait_for_waiters(self, waiter_count: int) -> None:
        """Return when so many wait, and what so many wait for has been created."""

        async def has_all_waiters() -> bool:
            waiting = (await self.read_counts())[0]
            return waiting == waiter_count and await self.harness.count_instances("status = 'NEW'") >= waiter_count

        await self.harness.wait_until(has_all_waiters, timeout_seconds=30, description=f"{waiter_count} wait")

    async def read_connection_uses(self) -> int:
        """Return how often the process uses its database in a second."""
        before = (await self.read_counts())[1]
        await REAL_CLOCK.sleep(WATCHED_SECONDS)
        return (await self.read_counts())[1] - before


@contextmanager
def limit_open_files(soft_limit: int) -> Iterator[None]:
    """Let this process, and those that it starts, have so many files open for the length of the block."""
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft_limit, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))


@asynccontextmanager
async def serve_process(url: str, start_process: StartProcess, *, max_waiters: int) -> AsyncIterator[ServedProcess]:
    """Serve the API, with Errand and an executor, for the length of the block."""
    async with open_fault_harness(url, "errand") as seen:
        module = str(WORKFLOWS / "errand.py")
        with limit_open_files(USUAL_FILE_LIMIT):
            process = await start_process(
                "counting_server.py",
                str(max_waiters),
                "serve",
                module,
                "--port",
                "0",
                database_url=url,
                request_timeout="1m",
            )
        (line,) = await process.wait_for_lines("the API answers at")
        users = Users(seen.store, session_idle=timedelta(hours=1), session_lifetime=timedelta(hours=1))
        made = await users.keys.create("test", username="admin", role=Role.OPERATOR, actor="test")
        yield ServedProcess(process, seen, made.text, line.partition("answers at ")[2].split()[0])


@pytest.mark.timeout(120)
async def test_clients_that_wait_at_once_cost_little_and_are_all_answered(
    database_url: str, start_process: StartProcess
) -> None:
    client_count = CLIENT_COUNTS[database_url.partition(":")[0]]
    async with serve_process(database_url, start_process, max_waiters=10_000) as web:
        first = await web.create_and_wait_for_errands(1)
        await web.wait_for_waiters(1)
        uses_for_one = await web.read_connection_uses()

        with limit_open_files(4 * client_count):
            clients = [*first, *await web.create_and_wait_for_errands(client_count - 1)]
        await web.wait_for_waiters(client_count)
        uses_for_all = await web.read_connection_uses()
        memory = psutil.Process(web.process.pid).memory_info().rss

        wake = await web.send_request(
            "/api/workflows/bulk", {"operation": "wake", "filter": {"workflowType": "Errand"}}
        )
        answers = await asyncio.wait_for(asyncio.gather(*(client.read_answer() for client in clients)), 60)
        assert (await wake.read_answer())[1]["done"] == client_count
        for client in (*clients, wake):
            await client.close_connection()
        assert Counter((status, body["status"]) for status, body in answers) == {(200, "FINISHED"): client_count}
        assert len({body["id"] for _, body in answers}) == client_count
        assert memory < 300e6
        assert uses_for_all <= uses_for_one + 30
        await web.wait_for_waiters(0)
        await web.harness.check_consistency()


async def test_for_whom_there_is_no_place_nothing_is_created(database_url: str, start_process: StartProcess) -> None:
    async with serve_process(database_url, start_process, max_waiters=MAX_WAITERS) as web:
        clients = await web.create_and_wait_for_errands(MAX_WAITERS)
        await web.wait_for_waiters(MAX_WAITERS)

        refused = await web.create_and_wait_for_errands(3 * MAX_WAITERS)
        answers = [await client.read_answer() for client in refused]

        assert Counter(status for status, _ in answers) == {429: 3 * MAX_WAITERS}
        assert await web.harness.count_instances("status = 'NEW'") == MAX_WAITERS
        for client in (*clients, *refused):
            await client.close_connection()


async def test_of_those_who_come_at_once_so_many_are_admitted_as_there_are_places(
    sqlite_url: str, start_process: StartProcess
) -> None:
    async with serve_process(sqlite_url, start_process, max_waiters=MAX_WAITERS) as web:
        clients = await web.create_and_wait_for_errands(3 * MAX_WAITERS)
        refusals = [asyncio.create_task(client.read_answer()) for client in clients]
        await web.wait_for_waiters(MAX_WAITERS)

        for number, refusal in enumerate(asyncio.as_completed(refusals), start=1):
            assert (await refusal)[0] == 429
            if number == 2 * MAX_WAITERS:
                break

        assert await web.harness.count_instances("status = 'NEW'") == MAX_WAITERS
        for waiting in refusals:
            waiting.cancel()
        for client in clients:
            await client.close_connection()


async def test_who_hangs_up_gives_up_its_place(sqlite_url: str, start_process: StartProcess) -> None:
    async with serve_process(sqlite_url, start_process, max_waiters=MAX_WAITERS) as web:
        clients = await web.create_and_wait_for_errands(MAX_WAITERS)
        await web.wait_for_waiters(MAX_WAITERS)

        for client in clients:
            await client.close_connection()

        await web.wait_for_waiters(0)
        others = await web.create_and_wait_for_errands(MAX_WAITERS)
        await web.wait_for_waiters(MAX_WAITERS)
        for client in others:
            await client.close_connection()
