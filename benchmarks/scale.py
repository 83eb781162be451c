"""Claims, commits, creates and the console's pages on a large PostgreSQL database, compared with a small one.

    python benchmarks/fill.py postgresql://postgres@127.0.0.1/small --finished 10000 --waiting 1000
    python benchmarks/fill.py postgresql://postgres@127.0.0.1/large --finished 10000000 --waiting 1000000
    python benchmarks/scale.py postgresql://postgres@127.0.0.1/small postgresql://postgres@127.0.0.1/large

The small database is not empty: a page that lists nothing is no fair comparison for one that lists 50 rows. Both are
filled by the same generator, and both are kept, so that the large one can be measured again. Each action and each
request alternates between both. A round creates 260 instances of a workflow of three states in each, and claims,
commits and ends them: they remain as FINISHED ones. The executor also knows the workflows of what waits.
The exit status is 1 if a median or a p95 on the large database is more than ``--limit`` times that on the small one.
Figures are comparable only within one run.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from api import run_server
from claims import Scenario
from histories import APPROVAL, ORDER, PATHS
from loopback import compute_quantile
from pages import (
    SERVER_COMMAND,
    WARMUP_REQUESTS,
    PageClient,
    create_session_cookie,
    find_newest_id,
    list_fixed_pages,
    list_searches,
    list_tabs,
)
from throughput import EXECUTOR_ID, build_transition, load_registry

from flowlet.database_url import normalize_database_url
from flowlet.instance.instance import Instance
from flowlet.store.dialects.batch import ClaimRequest
from flowlet.store.opening import open_store

DEFINITION = load_registry().get_definition("ThreeStates")
TYPES = (DEFINITION.name, *PATHS)
CREATED = (*(100,) * 2, *(1,) * 60)
CLAIMED = (*(100,) * 2, *(10,) * 6)
COMMITTED = (256, *(1,) * 4)
"""The sizes of a round: each sum is the same."""
IDLE_TIMES = 10
"""How often a round claims when nothing is due."""
SEARCHES = (
    *("all", "type common", "finished", "waiting", "waiting by deadline", "type refund, finished"),
    *("by created", "by created, newest", "by modified", "by modified, newest", "by next", "by next, last"),
    *("q id", "q external id", "q business key", "q beginning, many", "variable common", "variable range"),
)
"""The searches that list about as many rows in both databases: the number of the others' rows grows with it."""


@dataclass
class MeasuredDatabase(Scenario):
    """One of both databases, its server, and the paths of its pages by name."""

    url: str = ""
    client: PageClient | None = None
    pages: dict[str, str] = field(default_factory=dict)
    claimed: list[Instance] = field(default_factory=list)

    async def create(self, size: int) -> None:
        """Create instances that are due, and note how long it took."""
        now = self.store.clock.now()
        made = [DEFINITION.build_instance(None, now=now) for _ in range(size)]
        await self.measure(f"create of {size}", lambda: self.store.instances.create(made, now=now))

    async def claim(self, size: int) -> None:
        """Claim some of them, and note how long it took."""
        request = ClaimRequest(EXECUTOR_ID, ("default",), TYPES, size, self.store.clock.now())
        found, _ = await self.measure(f"claim of {size}", lambda: self.store.instances.claim(request))
        if len(found) != size or {one.type for one in found} != {DEFINITION.name}:
            raise SystemExit(f"{self.name}: a claim of {size} returned {len(found)} instances, or some of others")
        self.claimed += found

    async def commit(self, size: int) -> None:
        """Commit the three transitions of as many claimed instances, and note how long each batch took."""
        batch, self.claimed = self.claimed[:size], self.claimed[size:]
        for hop in range(3):
            now = self.store.clock.now()
            made = [build_transition(replace(one, version=hop), hop, now) for one in batch]
            commit = partial(self.store.instances.commit, EXECUTOR_ID, made, now=now)
            await self.measure(f"commit of {size}", commit)

    async def look_for_work(self, _: int) -> None:
        """Claim while nothing is due, and note how long that took."""
        instances, now = self.store.instances, self.store.clock.now()
        request = ClaimRequest(EXECUTOR_ID, ("default",), TYPES, 100, now)
        await self.measure("idle claim", lambda: instances.claim(request))

    async def fetch_page(self, name: str) -> None:
        """Fetch a page, and note how long it took."""
        assert self.client is not None
        status, milliseconds, _ = await self.client.fetch_page(self.pages[name])
        if status != 200:
            raise SystemExit(f"{self.name}: {self.pages[name]} has the status {status}")
        self.milliseconds.setdefault(name, []).append(milliseconds)

    def get_quantile(self, action: str, share: float) -> float:
        """Return the time that this share of an action's times did not exceed, in milliseconds."""
        return compute_quantile(sorted(self.milliseconds[action]), share)


async def alternate(
    databases: Sequence[MeasuredDatabase],
    work: Callable[[MeasuredDatabase, Any], Awaitable[None]],
    values: Sequence[Any],
) -> None:
    """Do the work for each value on both databases, each time beginning with the other one."""
    for place, value in enumerate(values):
        for database in databases if place % 2 else reversed(databases):
            await work(database, value)


async def measure_store(databases: Sequence[MeasuredDatabase], rounds: int) -> None:
    """Create, claim, commit and look for work; the first round warms caches and plans."""
    for number in range(rounds + 1):
        await alternate(databases, MeasuredDatabase.create, CREATED)
        await alternate(databases, MeasuredDatabase.claim, CLAIMED)
        await alternate(databases, MeasuredDatabase.commit, COMMITTED)
        await alternate(databases, MeasuredDatabase.look_for_work, range(IDLE_TIMES))
        if number == 0:
            for database in databases:
                database.milliseconds.clear()


async def list_compared_pages(database: MeasuredDatabase) -> dict[str, str]:
    """Return the path of each compared page, by name."""
    store = database.store
    searches = await list_searches(store, await find_newest_id(store, "children > 0"))
    found = {"/": "/", **{name: searches[name] for name in (f"/workflows: {search}" for search in SEARCHES)}}
    for name, type, status in (("finished", ORDER, "FINISHED"), ("waiting", APPROVAL, "WAITING")):
        id = await find_newest_id(store, f"workflow_type = '{type}' AND status = '{status}'")
        found |= {f"/workflows/<id>: {name}": f"/workflows/{id}", **list_tabs(id, f"{name}, ")}
    return found | list_fixed_pages()


async def measure_pages(databases: Sequence[MeasuredDatabase], arguments: argparse.Namespace) -> int:
    """Serve both databases, fetch their pages and print the times; return how many exceed the limit."""
    slow = 0
    async with AsyncExitStack() as stack:
        for database in databases:
            server = await stack.enter_async_context(run_server(*SERVER_COMMAND, url=database.url))
            database.client = PageClient(server.address, await create_session_cookie(database.store))
            database.pages = await list_compared_pages(database)
        for name in databases[0].pages:
            await alternate(databases, MeasuredDatabase.fetch_page, [name] * (WARMUP_REQUESTS + arguments.times))
            for database in databases:
                del database.milliseconds[name][:WARMUP_REQUESTS]
            slow += print_comparison(databases, name, arguments.limit)
    return slow


def print_comparison(databases: Sequence[MeasuredDatabase], action: str, limit: float) -> bool:
    """Print the figures of an action in both databases and their ratios; return whether a ratio exceeds the limit."""
    times = [database.get_quantile(action, share) for database in databases for share in (0.5, 0.95)]
    ratios = [large / small for small, large in zip(times[:2], times[2:], strict=True)]
    is_slow = max(ratios) > limit
    figures = " ".join(f"{milliseconds:8.2f}" for milliseconds in times)
    print(f"{action:44} {figures} {ratios[0]:7.2f} {ratios[1]:6.2f}{'  <--' if is_slow else ''}", flush=True)
    return is_slow


async def main(arguments: argparse.Namespace) -> int:
    """Measure both databases; return how many actions and pages exceed the limit."""
    async with AsyncExitStack() as stack:
        databases = []
        for name in ("small", "large"):
            url = normalize_database_url(getattr(arguments, name))
            store = await stack.enter_async_context(open_store(url))
            databases.append(MeasuredDatabase(name, store, TYPES, url=url))
        print(f"{'milliseconds':44}    small      p95    large      p95  ratios    p95", flush=True)
        await measure_store(databases, arguments.rounds)
        slow = sum([print_comparison(databases, action, arguments.limit) for action in databases[0].milliseconds])
        slow += await measure_pages(databases, arguments)
    print(f"{len(databases[0].milliseconds)} actions and pages, {slow} above {arguments.limit:g} times")
    return slow


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("small", help="the URL of the small database")
    parser.add_argument("large", help="the URL of the large database")
    parser.add_argument("--rounds", type=int, default=40, help="of creates, claims and commits")
    parser.add_argument("--times", type=int, default=60, help="requests for each page")
    parser.add_argument("--limit", type=float, default=1.5, help="the largest ratio")
    given = parser.parse_args()
    sys.exit(asyncio.run(main(given)) > 0)
