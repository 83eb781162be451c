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

from flowlet.roles import Role
from flowlet.users import Users
from tests.faults.checking import CLOCK, WORKFLOWS, Bench, bench
from tests.faults.processes import Process, Start

pytestmark = pytest.mark.faults

CLIENTS = 1_000
MOST = 20
USUAL_FILES = 1_024
"""How many files a process may have open where nobody has said otherwise."""
WATCHED_SECONDS = 1
IN_AN_HOUR = "2100-01-01T00:00:00Z"


class Client:
    """A client on a connection of its own, which asks once."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def answer(self) -> tuple[int, dict[str, Any]]:
        """Return the status and the body of what it is answered."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        (length,) = [int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        return int(head.split()[1]), orjson.loads(await self._reader.readexactly(length))

    async def hang_up(self) -> None:
        """Go away."""
        self._writer.close()
        await self._writer.wait_closed()


@dataclass
class Served:
    """A process that serves the API and runs Errand, and a view of its database."""

    process: Process
    seen: Bench
    key: str
    address: str
    _asked: Iterator[int] = field(default_factory=lambda: count(1))

    async def ask(self, path: str, body: object) -> Client:
        """Send a request on a connection of its own."""
        parts = urlsplit(self.address)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        content = orjson.dumps(body)
        head = f"Host: {parts.netloc}\r\nX-API-Key: {self.key}\r\nContent-Length: {len(content)}\r\n\r\n"
        writer.write(f"POST {path} HTTP/1.1\r\n{head}".encode() + content)
        await writer.drain()
        return Client(reader, writer)

    async def wait_for_errands(self, number: int) -> Sequence[Client]:
        """Let so many clients create an errand at once that is due in an hour, and wait for its end."""
        errand = {"workflowType": "Errand", "nextActivation": IN_AN_HOUR}
        body = {"createWorkflowRequest": errand, "waitSeconds": 600}
        return await asyncio.gather(*(self.ask("/api/createAndWait", body) for _ in range(number)))

    async def state(self) -> tuple[int, int]:
        """Return how many wait now, and how often the process has used its database so far."""
        self.process.send(signal.SIGUSR1)
        line = (await self.process.says("wait ", times=next(self._asked)))[-1].split()
        return int(line[1]), int(line[3])

    async def have_come(self, number: int) -> None:
        """Return when so many wait, and what so many wait for has been created."""

        async def holds() -> bool:
            waiting = (await self.state())[0]
            return waiting == number and await self.seen.count("status = 'NEW'") >= number

        await self.seen.until(holds, within=30, what=f"{number} wait")

    async def uses(self) -> int:
        """Return how often the process uses its database in a second."""
        before = (await self.state())[1]
        await CLOCK.sleep(WATCHED_SECONDS)
        return (await self.state())[1] - before


@contextmanager
def files(soft: int) -> Iterator[None]:
    """Let this process, and those that it starts, have so many files open for the length of the block."""
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))


@asynccontextmanager
async def served(url: str, run: Start, *, most: int) -> AsyncIterator[Served]:
    """Serve the API, with Errand and an executor, for the length of the block."""
    async with bench(url, "errand") as seen:
        module = str(WORKFLOWS / "errand.py")
        with files(USUAL_FILES):
            process = await run("counting.py", str(most), "serve", module, "--port", "0", database_url=url)
        (line,) = await process.says("the API answers at")
        users = Users(seen.store, session_idle=timedelta(hours=1), session_lifetime=timedelta(hours=1))
        made = await users.keys.add("test", username="admin", role=Role.OPERATOR, by="test")
        yield Served(process, seen, made.text, line.partition("answers at ")[2].split()[0])


@pytest.mark.timeout(120)
async def test_a_thousand_clients_wait_at_once_cost_little_and_are_all_answered(database_url: str, run: Start) -> None:
    async with served(database_url, run, most=10_000) as web:
        first = await web.wait_for_errands(1)
        await web.have_come(1)
        uses_for_one = await web.uses()

        with files(4 * CLIENTS):
            clients = [*first, *await web.wait_for_errands(CLIENTS - 1)]
        await web.have_come(CLIENTS)
        uses_for_all = await web.uses()
        memory = psutil.Process(web.process.pid).memory_info().rss

        wake = await web.ask("/api/workflows/bulk", {"operation": "wake", "filter": {"workflowType": "Errand"}})
        answers = await asyncio.wait_for(asyncio.gather(*(client.answer() for client in clients)), 60)
        assert (await wake.answer())[1]["done"] == CLIENTS
        for client in (*clients, wake):
            await client.hang_up()
        assert Counter((status, body["status"]) for status, body in answers) == {(200, "FINISHED"): CLIENTS}
        assert len({body["id"] for _, body in answers}) == CLIENTS
        assert memory < 300e6
        assert uses_for_all <= uses_for_one + 10
        await web.have_come(0)
        await web.seen.check()


async def test_for_whom_there_is_no_place_nothing_is_created(database_url: str, run: Start) -> None:
    async with served(database_url, run, most=MOST) as web:
        clients = await web.wait_for_errands(MOST)
        await web.have_come(MOST)

        refused = await web.wait_for_errands(3 * MOST)
        answers = [await client.answer() for client in refused]

        assert Counter(status for status, _ in answers) == {429: 3 * MOST}
        assert await web.seen.count("status = 'NEW'") == MOST
        for client in (*clients, *refused):
            await client.hang_up()


async def test_of_those_who_come_at_once_so_many_are_admitted_as_there_are_places(sqlite_url: str, run: Start) -> None:
    async with served(sqlite_url, run, most=MOST) as web:
        clients = await web.wait_for_errands(3 * MOST)
        refusals = [asyncio.create_task(client.answer()) for client in clients]
        await web.have_come(MOST)

        for number, refusal in enumerate(asyncio.as_completed(refusals), start=1):
            assert (await refusal)[0] == 429
            if number == 2 * MOST:
                break

        assert await web.seen.count("status = 'NEW'") == MOST
        for waiting in refusals:
            waiting.cancel()
        for client in clients:
            await client.hang_up()


async def test_who_hangs_up_gives_up_its_place(sqlite_url: str, run: Start) -> None:
    async with served(sqlite_url, run, most=MOST) as web:
        clients = await web.wait_for_errands(MOST)
        await web.have_come(MOST)

        for client in clients:
            await client.hang_up()

        await web.have_come(0)
        others = await web.wait_for_errands(MOST)
        await web.have_come(MOST)
        for client in others:
            await client.hang_up()
