"""The visitors of a run: they log in, read the console's pages, follow events, wait for results, and hang up."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from random import Random

import httpx

from tests.chaos.fleet import ADMIN_PASSWORD

__all__ = ["Visitors"]

PAGES = (
    *("/", "/workflows", "/workflows?status=FAILED", "/definitions", "/definitions/Voyage", "/inbox", "/errors"),
    *("/executors", "/account", "/docs", "/openapi.json", "/api/executors", "/api/definitions/Voyage.svg"),
    *("/static/console.js", "/healthz", "/readyz", "/no-such-page", "/workflows/4000000000"),
)
PAGES_PER_LOGIN = 40
STREAM_SECONDS = 1.5
"""How long a stream is followed at most."""
REQUEST_SECONDS = 20.0
EXPECTED_STATUSES = frozenset({200, 201, 303, 304, 404, 503, 504})
"""What the visitors' requests may be answered with: 503 where a request has reached its deadline on a busy machine, 504
where a wait was too short."""

Visit = Callable[[httpx.AsyncClient], Awaitable[None]]


class Visitors:
    """Several visitors of one server, in the event loop of a thread of their own.

    Args:
        address: The server.
        key: An API key of an operator.
        random: Where choices are drawn from.
        pause_seconds: How long each visitor rests between two visits, on average.

    Attributes:
        visits: How many visits of each kind there were.
        problems: Answers that a server in good health does not give.
    """

    def __init__(self, address: str, key: str, random: Random, *, pause_seconds: float) -> None:
        self.visits: Counter[str] = Counter()
        self.problems: list[str] = []
        self._address = address
        self._key = key
        self._random = random
        self._pause_seconds = pause_seconds
        self._thread = threading.Thread(target=lambda: asyncio.run(self._visit_until_closed()))
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_closing: asyncio.Event | None = None
        self._has_begun = threading.Event()

    def start(self) -> None:
        """Begin to visit."""
        self._thread.start()
        self._has_begun.wait()

    def close(self) -> None:
        """End the visits, and all connections."""
        assert self._loop, "they have not been started"
        assert self._is_closing
        with contextlib.suppress(RuntimeError):  # its loop has ended by an error, which is shown where it was raised
            self._loop.call_soon_threadsafe(self._is_closing.set)
        self._thread.join()

    async def _visit_until_closed(self) -> None:
        self._loop, self._is_closing = asyncio.get_running_loop(), asyncio.Event()
        self._has_begun.set()
        # A login ends the browser's former session: one in which others have open requests logs in only once.
        async with (
            self._open_client() as first_reader,
            self._open_client() as second_reader,
            self._open_client() as browser,
            self._open_client(headers={"X-API-Key": self._key}) as program,
            asyncio.TaskGroup() as group,
        ):
            # At once, so that each thread that verifies passwords has the memory that it needs from the beginning.
            await asyncio.gather(*map(self._log_in, (browser, first_reader, second_reader)))
            visits: Sequence[tuple[Visit, httpx.AsyncClient]] = (
                *((self._read_pages, first_reader), (self._read_pages, second_reader)),
                *((self._follow_events, browser), (self._follow_events, browser), (self._follow_events, program)),
                *((self._wait_for_result, program), (self._hang_up, program)),
            )
            for visit, client in visits:
                group.create_task(self._repeat(visit, client))

    def _open_client(self, headers: Mapping[str, str] | None = None) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self._address, timeout=REQUEST_SECONDS, trust_env=False, headers=headers)

    async def _repeat(self, visit: Visit, client: httpx.AsyncClient) -> None:
        assert self._is_closing
        while not self._is_closing.is_set():
            try:
                await visit(client)
            except httpx.HTTPError as error:
                self.problems.append(f"a visitor was not answered: {error!r}")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2 * self._pause_seconds * self._random.random()):
                    await self._is_closing.wait()

    async def _read_pages(self, browser: httpx.AsyncClient) -> None:
        """Read a page; log in anew from time to time, which ends the former session."""
        if self._random.randrange(PAGES_PER_LOGIN) == 0:
            await self._log_in(browser)
        self._note("page", await browser.get(self._random.choice(PAGES), headers={"Accept": "text/html"}))

    async def _log_in(self, browser: httpx.AsyncClient) -> None:
        form = {"username": "admin", "password": ADMIN_PASSWORD}
        self._note("login", await browser.post("/login", data=form, headers={"Origin": self._address}))

    async def _follow_events(self, client: httpx.AsyncClient) -> None:
        """Open a stream of events, as an open page does, and leave it after a while."""
        seconds = STREAM_SECONDS * self._random.random()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds), client.stream("GET", "/api/events") as answer:
                self._note("stream", answer)
                async for _ in answer.aiter_lines():
                    self.visits["line of a stream"] += 1

    async def _wait_for_result(self, program: httpx.AsyncClient) -> None:
        """Create a workflow and wait for its end, for a time that is too short now and then."""
        self._note(
            "wait", await program.post("/api/createAndWait", json=self._build_wait(self._random.choice((0.1, 10))))
        )

    async def _hang_up(self, program: httpx.AsyncClient) -> None:
        """Wait for a result and hang up before it has come."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.05 + 0.1 * self._random.random()):
                self._note("wait", await program.post("/api/createAndWait", json=self._build_wait(10)))
        self.visits["hang-up"] += 1

    def _build_wait(self, seconds: float) -> dict[str, object]:
        number = self._random.randrange(10_000)
        return {
            "createWorkflowRequest": {"workflowType": "Parcel", "stateVars": {"number": number}},
            "waitSeconds": seconds,
        }

    def _note(self, kind: str, answer: httpx.Response) -> None:
        self.visits[kind] += 1
        if answer.status_code not in EXPECTED_STATUSES:
            self.problems.append(f"{kind} {answer.url.path}: {answer.status_code}")
