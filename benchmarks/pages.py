"""Response times of the console's pages on a filled database, measured one request at a time.

    python benchmarks/fill.py postgresql://postgres@127.0.0.1/million --workflows 1000000
    python benchmarks/pages.py postgresql://postgres@127.0.0.1/million
    python benchmarks/pages.py sqlite:////tmp/many.db --limit 150

The server is a process of its own on the loopback address, without an executor. A time is from the last byte of the
request to the last byte of the response, at a client with minimal overhead. The exit status is 1 if the p95 of a page
is above the limit. If other programs use the CPUs, the p95 measures these too.
Two requests that do not count warm up each page (templates, plans, the database's caches). The database stays as it is,
except for a session, and for the user admin if there was none.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from api import run_server
from fill import WORKFLOW_MODULES
from histories import APPROVAL, AUDIT, ORDER, REFUND
from loopback import LoopbackConnection, compute_quantile

from flowlet.accounts.roles import Principal
from flowlet.auth.users import Users
from flowlet.clock import to_datetime
from flowlet.instance.instance import MICROSECONDS_PER_DAY
from flowlet.store.opening import Store, open_store

SERVER_COMMAND = (sys.executable, "-m", "flowlet", "serve", *WORKFLOW_MODULES, "--port", "0", "--no-executor")
WARMUP_REQUESTS = 2
TABS = ("history", "variables", "children", "definition", "errors", "api")
PAGES = (
    *("?span=day", "inbox", "inbox?sort=oldest", "inbox?whose=mine", f"inbox?type={APPROVAL}"),
    *("errors", "errors?sort=latest", f"errors?type={ORDER}", "errors?q=gateway", "definitions", "schedules"),
    *("audit", "audit?person=user-7", "audit?action=view.changed", "audit?person=no-such-user"),
    *("executors", "teams", "users", "keys", "settings", "account", "docs"),
)
"""The pages that need no key of the database."""
PAGED_SEARCHES = (
    *("all", "type common", "type rare", "failed", "retrying", "by created", "by modified, newest", "by next"),
    *("state common", "q beginning, many", "q beginning, fewer"),
)
"""The lists whose second page is measured too."""


async def create_session_cookie(store: Store) -> str:
    """Return the cookie of a session of the user admin."""
    users = Users(store, session_idle=timedelta(hours=1), session_lifetime=timedelta(hours=1))
    user = await users.get("admin")
    principal = Principal(username=user.username, role=user.role, user_id=user.id)
    return f"flowlet_session={await users.sessions.open_session(principal)}"


async def read_column(store: Store, sql: str) -> list[Any]:
    """Return the first value of each row of a statement."""
    return [row[0] for row in await store.connections.read(lambda session: session.fetch_rows(sql))]


async def find_newest_id(store: Store, condition: str) -> int:
    """Return the id of the newest instance that matches, or 1."""
    found = await read_column(store, f"SELECT id FROM flowlet_workflow WHERE {condition} ORDER BY id DESC LIMIT 1")
    return int(found[0]) if found else 1


def build_searches(now: int, keys: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Return the searches of the workflows page, by name."""

    def format_days_ago(days: float) -> str:
        return to_datetime(now - int(days * MICROSECONDS_PER_DAY)).strftime("%Y-%m-%dT%H:%M:%SZ")

    found: dict[str, dict[str, Any]] = {
        "all": {},
        "type common": {"type": ORDER},
        "type rare": {"type": AUDIT},
        "type unknown": {"type": "Nothing"},
        "type rare, oldest first": {"type": AUDIT, "sort": "id"},
        "type rare by created": {"type": AUDIT, "sort": "-created"},
        "type common by created": {"type": ORDER, "sort": "created"},
        "type rare by modified": {"type": AUDIT, "sort": "-modified"},
        "type rare, finished": {"type": AUDIT, "status": "FINISHED"},
        "type rare, failed": {"type": AUDIT, "status": "FAILED"},
        "type rare, state": {"type": AUDIT, "state": "filed"},
        "type common, unknown state": {"type": ORDER, "state": "nowhere"},
        "type common, failed": {"type": ORDER, "status": "FAILED"},
        "type common, cancelled": {"type": ORDER, "status": "CANCELLED"},
        "type refund, finished": {"type": REFUND, "status": "FINISHED"},
        "failed": {"status": "FAILED"},
        "failed by modified": {"status": "FAILED", "sort": "-modified"},
        "waiting": {"status": "WAITING"},
        "waiting by deadline": {"status": "WAITING", "sort": "next"},
        "paused": {"status": "PAUSED"},
        "cancelled": {"status": "CANCELLED"},
        "finished": {"status": "FINISHED"},
        "executing": {"status": "EXECUTING"},
        "retrying": {"retrying": "true"},
        "not retrying": {"retrying": "false"},
        "state common": {"state": "charge"},
        "state rare": {"state": "review"},
        "state unknown": {"state": "nowhere"},
        "group default": {"group": "default"},
        "group unknown": {"group": "nobody"},
        "parent": {"parent": keys["parent"]},
        "q id": {"q": keys["id"]},
        "q external id": {"q": keys["external_id"]},
        "q business key": {"q": keys["business_key"]},
        "q unknown": {"q": "zebra-1"},
        "q beginning, many": {"q": "order-"},
        "q beginning, fewer": {"q": "order-123"},
        "q beginning, few": {"q": "order-12345"},
        "q beginning, external": {"q": "web-00"},
        "q beginning of an id": {"q": "123"},
        "q one letter": {"q": "o"},
        "q beginning, type rare": {"q": "order-", "type": AUDIT},
        "q beginning, failed": {"q": "order-", "status": "FAILED"},
        "q beginning, by created": {"q": "order-", "sort": "created"},
        "by created": {"sort": "created"},
        "by created, newest": {"sort": "-created"},
        "by modified": {"sort": "modified"},
        "by modified, newest": {"sort": "-modified"},
        "by next": {"sort": "next"},
        "by next, last": {"sort": "-next"},
        "created in the last hour": {"created_from": format_days_ago(1 / 24)},
        "created ten days ago": {"created_from": format_days_ago(10), "created_to": format_days_ago(9.9)},
        "created ten days ago, rare": {
            "created_from": format_days_ago(10),
            "created_to": format_days_ago(9),
            "type": AUDIT,
        },
        "created in the future": {"created_from": format_days_ago(-1)},
        "modified in the last hour": {"modified_from": format_days_ago(1 / 24)},
        "modified ten days ago": {"modified_from": format_days_ago(10), "modified_to": format_days_ago(9.9)},
        "modified in the future": {"modified_from": format_days_ago(-1)},
        "variable common": {"variable": "amount=3"},
        "variable rare": {"variable": f"customer={keys['customer']}"},
        "variable unknown": {"variable": "color=red"},
        "variable, type rare": {"variable": "amount=3", "type": AUDIT},
        "variable, failed": {"variable": "amount=3", "status": "FAILED"},
        "variable, failed or waiting": {"variable": "amount=3", "status": ["FAILED", "WAITING"]},
        "variable unknown, waiting": {"variable": "color=red", "status": "WAITING"},
        "variable range": {"variable": "amount>=30"},
        "variable range, none": {"variable": "amount>=1000000"},
        "variable contains": {"variable": "customer~4711"},
        "variable contains, none": {"variable": "customer~zebra"},
        "variable contains, type rare": {"variable": "customer~4711", "type": AUDIT},
        "variable in another case": {"variable": "CUSTOMER~4711"},
        "reason, waiting, none": {"reason": "zebra", "status": "WAITING"},
        "columns": {"column": ["status", "state", "created", "vars.customer", "vars.amount"]},
        "columns, failed": {"column": ["created", "ended", "vars.customer"], "status": "FAILED", "sort": "-modified"},
        "reason, failed": {"reason": "gateway", "status": "FAILED"},
        "reason": {"reason": "gateway"},
        "reason unknown": {"reason": "zebra"},
    }
    return {f"/workflows: {name}": fields for name, fields in found.items()}


async def list_searches(store: Store, parent_id: int) -> dict[str, str]:
    """Return the path of each search of the workflows page, by name, with the keys of an instance in the middle."""
    middle = (await read_column(store, "SELECT MAX(id) FROM flowlet_workflow"))[0] // 2
    some = (await store.connections.read(lambda session: session.fetch_rows(_SAMPLE_SQL, {"id": middle})))[0]
    keys = dict(zip(("id", "external_id", "business_key"), map(str, some), strict=True))
    searches = build_searches(store.clock.now(), keys | {"parent": str(parent_id), "customer": "c-4711"})
    return {name: f"/workflows?{urlencode(fields, doseq=True)}" for name, fields in searches.items()}


def list_tabs(id: int, name: str = "") -> dict[str, str]:
    """Return the path of each tab of an instance, by name."""
    return {f"/workflows/<id>: {name}tab {tab}": f"/workflows/{id}?tab={tab}" for tab in TABS}


def list_fixed_pages() -> dict[str, str]:
    """Return the path of each page that needs no key of the database, by name."""
    paths = [*(f"/definitions/{name}" for name in (ORDER, APPROVAL, AUDIT)), *(f"/{path}" for path in PAGES)]
    return {path: path for path in paths}


async def list_pages(store: Store) -> dict[str, str]:
    """Return the path of each measured page, by name."""
    ids = {
        "ended": await find_newest_id(store, "status = 'FINISHED'"),
        "failed": await find_newest_id(store, "status = 'FAILED'"),
        "waiting": await find_newest_id(store, "status = 'WAITING'"),
        "with a child": await find_newest_id(store, "children > 0"),
    }
    found = {"/": "/", "/workflows/1": "/workflows/1", **await list_searches(store, ids["with a child"])}
    for view in await store.views.list_visible("admin"):  # its own address redirects to this one
        found[f"/workflows: view {view.name}"] = f"/workflows?{view.address}&view={view.id}"
    for name, id in ids.items():
        found[f"/workflows/<id>: {name}"] = f"/workflows/{id}"
    return {**found, **list_tabs(ids["failed"]), **list_fixed_pages()}


_SAMPLE_SQL = "SELECT id, external_id, business_key FROM flowlet_workflow WHERE id >= :id ORDER BY id LIMIT 1"


class PageClient:
    """A logged-in client that fetches pages on one connection, and reconnects when the server closes it."""

    def __init__(self, address: str, cookie: str) -> None:
        host, _, port = address.removeprefix("http://").partition(":")
        self._host_and_port = host, int(port)
        self._head = f"Host: {host}:{port}\r\nCookie: {cookie}\r\nAccept: text/html\r\n"
        self._connection: LoopbackConnection | None = None

    async def fetch_page(self, path: str) -> tuple[int, float, bytes]:
        """Return the status of a page, its response time in milliseconds, and its body."""
        if self._connection is None or not self._connection.is_open:
            _, self._connection = await asyncio.get_running_loop().create_connection(
                LoopbackConnection, *self._host_and_port
            )
        began = time.perf_counter()
        response = await self._connection.send_request(f"GET {path} HTTP/1.1\r\n{self._head}\r\n".encode())
        return response.status, (time.perf_counter() - began) * 1000, response.body


async def find_second_page(client: PageClient, path: str) -> str | None:
    """Return the path of a list's second page; None if it has only one."""
    _, _, body = await client.fetch_page(path)
    for part in body.decode().split('href="')[1:]:
        target = part.partition('"')[0].replace("&amp;", "&")
        if "cursor=" in target:
            return target
    return None


async def measure_page(client: PageClient, name: str, path: str, arguments: argparse.Namespace) -> bool:
    """Print the response times of a page; return whether its p95 is within the limit."""
    for _ in range(WARMUP_REQUESTS):
        status, _, _ = await client.fetch_page(path)
    if status in (303, 404):
        print(f"{name:44} not there", flush=True)
        return True
    taken = []
    for _ in range(arguments.times):
        status, milliseconds, body = await client.fetch_page(path)
        taken.append(milliseconds)
    taken.sort()
    p95 = compute_quantile(taken, 0.95)
    figures = (
        f"p50 {compute_quantile(taken, 0.5):6.1f}  p95 {p95:6.1f}  max {taken[-1]:6.1f} ms  {len(body) / 1000:4.0f} kB"
    )
    is_right = status == 200 and p95 <= arguments.limit
    print(
        f"{name:44} {figures}{'' if status == 200 else f'  status {status}'}{'' if is_right else '  <--'}", flush=True
    )
    return is_right


async def main(arguments: argparse.Namespace) -> int:
    """Measure every page; return how many were too slow or failed."""
    async with open_store(arguments.url) as store:
        found = await list_pages(store)
        async with run_server(*SERVER_COMMAND, url=arguments.url) as server:
            browser = PageClient(server.address, await create_session_cookie(store))
            for name, path in list(found.items()):
                if name.removeprefix("/workflows: ") in PAGED_SEARCHES and (
                    other := await find_second_page(browser, path)
                ):
                    found[f"{name}, second page"] = other
            wanted = {name: path for name, path in found.items() if arguments.only in name}
            slow = [name for name, path in wanted.items() if not await measure_page(browser, name, path, arguments)]
            print(
                f"{len(wanted)} pages, {len(slow)} above {arguments.limit:g} ms or failed; "
                f"{server.memory_megabytes:.0f} MB"
            )
    return len(slow)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--times", type=int, default=40, help="requests for each page")
    parser.add_argument("--limit", type=float, default=100, help="the largest p95, in milliseconds")
    parser.add_argument("--only", default="", help="only pages whose names contain this text")
    given = parser.parse_args()
    sys.exit(asyncio.run(main(given)) > 0)
