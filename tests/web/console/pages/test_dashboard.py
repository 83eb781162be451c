"""The dashboard: its figures lead to what is behind them, and nothing in a workflow or an address breaks it."""

from __future__ import annotations

import re
import shlex
from html import unescape
from typing import Any

import httpx
import pytest

from flowlet.store.executors import ExecutorRecord
from flowlet.store.reports.activity import MAX_GROUPS
from tests.web.api.api_users import build_shop_module
from tests.web.console.console_harness import HTML_ACCEPT, ConsoleHarness, submit_login
from tests.web.console.pages.test_definitions import serve_elsewhere
from tests.web.console.workflow_console import WorkflowConsole

MARKUP_TEXT = "<script>alert('1')</script>{{7*7}}\"'>"
MINUTE_MICROSECONDS = 60_000_000


def read_card(page: httpx.Response, title: str) -> str:
    """Return the words of the card with a title."""
    card = next(each for each in page.text.split("<section ")[1:] if f">{title}<" in each)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", f"<section {card.partition('</section>')[0]}")).split())


def read_status_count(page: httpx.Response, status: str) -> str:
    """Return how many workflows have a status, by the row of all of them."""
    found = re.search(
        rf'<a href="/workflows\?status={status}"><span[^>]*>[^<]*</span><b[^>]*>([^<]*)</b></a>', page.text
    )
    assert found, page.text
    return found[1]


async def register_executor(
    workflow_console: WorkflowConsole, name: str = "worker", **values: object
) -> ExecutorRecord:
    """Register an executor that runs Orders."""
    now = workflow_console.console.app_harness.services.store.clock.now()
    record = ExecutorRecord(
        **{
            "id": f"{name}-1",
            "name": name,
            "host": "here",
            "pid": 7,
            "groups": ("default",),
            "types": ("Orders",),
            "slots": 4,
            "status": "RUNNING",
            "started": now,
            "beat": now,
            "lease_until": now + 60 * MINUTE_MICROSECONDS,
            **values,
        }  # type: ignore[arg-type]  # by name
    )
    await workflow_console.console.app_harness.services.store.executors.register(record)
    return record


async def execute_sql(workflow_console: WorkflowConsole, sql: str, values: dict[str, Any]) -> None:
    """Run one statement in a transaction of its own."""
    await workflow_console.console.app_harness.services.store.connections.write(
        lambda session: session.execute(sql, values)
    )


async def test_the_start_shows_the_key_figures(workflow_console: WorkflowConsole) -> None:
    one, two, three = (
        await workflow_console.create_instance(key="A-1"),
        await workflow_console.create_instance(),
        await workflow_console.create_instance(),
    )
    await register_executor(workflow_console)
    await workflow_console.fail_instance(two, "no cover")
    await workflow_console.console.app_harness.services.operations.pause(three, username="ada")

    page = await workflow_console.viewer.get("/")

    assert page.status_code == 200
    assert [read_status_count(page, status) for status in ("NEW", "FAILED", "PAUSED", "FINISHED")] == [
        "1",
        "1",
        "1",
        "0",
    ]
    assert "0 running, 1 queued" in read_card(page, "Active")
    assert "0 of 4 slots busy worker default · here:7" in read_card(page, "Executors")
    assert "unpaid: no cover" in read_card(page, "Needs attention")
    assert f"#{three} Paused" in read_card(page, "Recent activity")
    assert f"#{two} Forced move: check → unpaid by ada no cover Orders" in read_card(page, "Recent activity")
    assert f'<a href="/workflows/{one}">#{one}</a>' in page.text
    orders = read_card(page, "Definitions")
    assert "Orders default 1 0 0 0 1 0" in orders
    assert "Families default 0 0 0 0 0 0 none open" in orders


async def test_every_number_leads_to_the_list_behind_it(sqlite_workflow_console: WorkflowConsole) -> None:
    await sqlite_workflow_console.create_instance()
    await sqlite_workflow_console.fail_instance(await sqlite_workflow_console.create_instance(), "no cover")

    page = await sqlite_workflow_console.viewer.get("/")

    links = {unescape(link) for link in re.findall(r'href="(/workflows[^"]*)"', page.text) if "error=" not in link}
    assert {"/workflows?status=FAILED", "/workflows?type=Orders&status=NEW", "/workflows?status=EXECUTING"} <= links
    for link in links:
        assert (await sqlite_workflow_console.viewer.get(link)).status_code == 200, link


async def test_what_is_queued_leads_to_all_that_are_also_those_without_a_next_activation(
    sqlite_workflow_console: WorkflowConsole,
) -> None:
    for _ in range(2):
        id = await sqlite_workflow_console.create_instance()
    # As a parent that waits for its children without a time limit.
    sql = "UPDATE flowlet_workflow SET status = 'IN_PROGRESS', next_activation = NULL WHERE id = :id"
    await execute_sql(sqlite_workflow_console, sql, {"id": id})

    page = await sqlite_workflow_console.viewer.get("/")

    (queued,) = re.findall(r'<a class="see-all-link" href="([^"]*)">2 queued</a>', page.text)
    listed = (await sqlite_workflow_console.viewer.get(unescape(queued))).text
    assert ">2 workflows</h2>" in listed
    assert "with a next activation" not in listed
    by_next = (await sqlite_workflow_console.viewer.get(f"{unescape(queued)}&sort=next")).text
    assert ">1 workflow</h2>" in by_next
    assert "with a next activation" in by_next


async def test_a_workflow_that_was_never_served_leads_to_its_list(sqlite_workflow_console: WorkflowConsole) -> None:
    await sqlite_workflow_console.create_instance()
    await serve_elsewhere(sqlite_workflow_console, build_shop_module("a/../b"))
    for name in ("a/../b", "Never <1>"):
        await sqlite_workflow_console.create_instance()
        sql = "UPDATE flowlet_workflow SET workflow_type = :name WHERE id = (SELECT MAX(id) FROM flowlet_workflow)"
        await execute_sql(sqlite_workflow_console, sql, {"name": name})

    page = await sqlite_workflow_console.viewer.get("/")

    found = [unescape(link) for link in re.findall(r'<th scope="row"><a href="([^"]*)"', page.text)]
    assert found == [
        "/definitions/Families",
        "/workflows?type=Never+%3C1%3E",
        "/definitions/Orders",
        "/definitions/a%2F..%2Fb",
    ]
    assert "never served" in read_card(page, "Definitions")
    for link in found:
        assert (await sqlite_workflow_console.viewer.get(link)).status_code == 200, link


async def test_a_fresh_install_is_shown_what_to_do(sqlite_workflow_console: WorkflowConsole) -> None:
    for browser, may_start in ((sqlite_workflow_console.viewer, False), (sqlite_workflow_console.operator, True)):
        page = await browser.get("/")

        assert "No workflows yet" in page.text
        assert "flowlet start Families -m" in page.text
        assert 'href="/definitions"' in page.text
        assert "No executor is running, so nothing will start" in page.text
        assert ("New workflow" in page.text) is may_start
        assert ("curl -H" in page.text) is may_start


async def test_the_first_steps_can_be_pasted_whatever_a_workflow_is_called(console: ConsoleHarness) -> None:
    console.app_harness.services.registry.add(build_shop_module("Order's <1>; rm"))

    page = await console.app_harness.open_admin_browser(accept=HTML_ACCEPT).get("/")

    database = console.app_harness.services.settings.database_url
    steps = [unescape(text) for text in re.findall(r'<pre id="by-[^>]*>([^<]*)</pre>', page.text)]
    assert [shlex.split(step) for step in steps] == [
        ["flowlet", "start", "Order's <1>; rm", "-m", "orders", "--database", database],
        [
            *("KEY=$(flowlet", "key", "add", "first", "--user", "ada", "--role", "operator", "--database"),
            f"{database})",
            *("curl", "-H", "X-API-Key: $KEY", "http://flowlet.test/api/workflows", "--json"),
            '{"workflowType": "Order\'s <1>; rm", "externalId": "my-first"}',
        ],
    ]


async def test_without_an_executor_it_says_that_nothing_goes_on(sqlite_workflow_console: WorkflowConsole) -> None:
    await sqlite_workflow_console.create_instance()

    page = await sqlite_workflow_console.viewer.get("/")

    assert "Stopped No executor is running 1 queued; start one with flowlet serve" in read_card(page, "Needs attention")
    assert "No executor is running Start one: flowlet serve" in read_card(page, "Executors")


async def test_what_is_due_and_not_run_is_shown_with_how_late_it_is(sqlite_workflow_console: WorkflowConsole) -> None:
    id = await sqlite_workflow_console.create_instance()
    now = sqlite_workflow_console.console.app_harness.services.store.clock.now()
    late = {"at": now - 125 * 1_000_000}
    alone = await sqlite_workflow_console.viewer.get("/")
    await execute_sql(sqlite_workflow_console, "UPDATE flowlet_workflow SET next_activation = :at", late)
    late_alone = await sqlite_workflow_console.viewer.get("/")
    await execute_sql(sqlite_workflow_console, "UPDATE flowlet_workflow SET next_activation = :at", {"at": now})
    await register_executor(sqlite_workflow_console, status="DRAINING")
    draining = await sqlite_workflow_console.viewer.get("/")
    await register_executor(sqlite_workflow_console, "other")
    before = await sqlite_workflow_console.viewer.get("/")
    await execute_sql(sqlite_workflow_console, "UPDATE flowlet_workflow SET next_activation = :at", late)

    page = await sqlite_workflow_console.viewer.get("/")

    assert read_card(alone, "Longest overdue").endswith("– no executor is running")
    assert read_card(late_alone, "Longest overdue").endswith(
        f"no executor is running : #{id} Orders is due but not running"
    )
    assert read_card(draining, "Longest overdue").endswith("– all executors are draining")
    assert read_card(before, "Longest overdue").endswith("On time due work starts within 1 s")
    assert re.search(rf"2 min \d+ s #{id} Orders is due but not running$", read_card(page, "Longest overdue"))
    assert f'<h2><a href="/workflows/{id}">Longest overdue</a></h2>' in page.text


async def test_of_many_groups_the_served_ones_are_looked_at_and_the_tile_says_how_many_it_covers(
    sqlite_workflow_console: WorkflowConsole,
) -> None:
    await register_executor(sqlite_workflow_console, groups=("z-served",))
    ids = [
        await sqlite_workflow_console.create_instance(group=f"group-{number:02}") for number in range(MAX_GROUPS + 1)
    ]
    connections = sqlite_workflow_console.console.app_harness.services.store.connections
    before = await sqlite_workflow_console.viewer.get("/")
    ids.append(await sqlite_workflow_console.create_instance(group="z-served"))
    sql = "UPDATE flowlet_workflow SET next_activation = next_activation - 5000000 WHERE executor_group = 'z-served'"
    await connections.write(lambda session: session.execute(sql))

    page = await sqlite_workflow_console.viewer.get("/")

    few = f"first {MAX_GROUPS} groups"
    assert read_card(before, "Longest overdue").endswith(f"On time {few}: due work starts within 1 s")
    assert read_card(page, "Longest overdue").endswith(f"{few}: #{ids[-1]} Orders is due but not running")


async def test_what_is_due_where_its_group_has_not_loaded_it_needs_attention(
    sqlite_workflow_console: WorkflowConsole,
) -> None:
    await register_executor(sqlite_workflow_console, types=("Families",))
    await register_executor(sqlite_workflow_console, "gpu", groups=("gpu",))
    await sqlite_workflow_console.create_instance()
    connections = sqlite_workflow_console.console.app_harness.services.store.connections
    sql = "UPDATE flowlet_workflow SET next_activation = next_activation - 5000000"
    await connections.write(lambda session: session.execute(sql))

    page = await sqlite_workflow_console.viewer.get("/")

    assert "Unserved Orders in default work is due, but no live executor of this group" in read_card(
        page, "Needs attention"
    )


@pytest.mark.parametrize("asked", ["?span=day", "?span=week", "?span=", "?span=day&span=hour", "?other=1"])
async def test_any_span_is_answered(sqlite_workflow_console: WorkflowConsole, asked: str) -> None:
    await sqlite_workflow_console.create_instance()

    page = await sqlite_workflow_console.viewer.get(f"/{asked}")

    assert page.status_code == 200
    assert ("-24 h" in page.text) is asked.startswith("?span=day")
    assert ("-60 min" in page.text) is not asked.startswith("?span=day")


async def test_what_is_stored_is_only_shown(sqlite_workflow_console: WorkflowConsole) -> None:
    id = await sqlite_workflow_console.create_instance(key=MARKUP_TEXT, group=MARKUP_TEXT)
    await register_executor(
        sqlite_workflow_console, name=MARKUP_TEXT, groups=(MARKUP_TEXT,), types=(MARKUP_TEXT,), host=MARKUP_TEXT
    )
    await sqlite_workflow_console.fail_instance(id, MARKUP_TEXT)
    await sqlite_workflow_console.create_instance(key=MARKUP_TEXT)

    for path in ("/", "/executors"):
        page = await sqlite_workflow_console.viewer.get(path)

        assert page.status_code == 200
        assert "<script>alert" not in page.text
        assert "&lt;script&gt;alert" in page.text
        assert "{{7*7}}" in unescape(page.text)


async def test_a_login_leads_to_the_dashboard_and_nobody_else_sees_it(console: ConsoleHarness) -> None:
    browser = console.open_browser()

    asked, home = await browser.get("/"), await submit_login(browser)

    assert (asked.status_code, asked.headers["location"]) == (303, "/login?next=%2F")
    assert (home.status_code, home.headers["location"]) == (303, "/")
    assert "<h1>Dashboard</h1>" in (await browser.get("/")).text


async def test_the_start_is_the_current_page_on_no_other(console: ConsoleHarness) -> None:
    browser = await console.open_logged_in_browser()

    for path, label in (("/", "Dashboard"), ("/executors", "Executors"), ("/workflows", "Workflows")):
        text = (await browser.get(path)).text
        current = re.findall(r'<a href="([^"]*)" aria-current="page">', text)

        assert current == [path], label
