"""The dashboard: its figures lead to what is behind them, and nothing in a workflow or an address breaks it."""

from __future__ import annotations

import re
import shlex
from html import unescape
from typing import Any

import httpx
import pytest

from flowlet.store.executors import ExecutorRecord
from flowlet.store.reports.activity import GROUPS
from tests.web.api.shop import shop
from tests.web.pages.door import HTML, Door, log_in
from tests.web.pages.hall import Hall
from tests.web.pages.test_definitions import served_elsewhere

MARKUP = "<script>alert('1')</script>{{7*7}}\"'>"
MINUTE = 60_000_000


def section(page: httpx.Response, title: str) -> str:
    """Return the words of the card with a title, and of what stands below its number."""
    card = next(each for each in page.text.split("<section ")[1:] if f">{title}<" in each)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", f"<section {card.partition('</section>')[0]}")).split())


def number(page: httpx.Response, status: str) -> str:
    """Return how many workflows have a status, by the row of all of them."""
    found = re.search(
        rf'<a href="/workflows\?status={status}"><span[^>]*>[^<]*</span><b[^>]*>([^<]*)</b></a>', page.text
    )
    assert found, page.text
    return found[1]


async def employ(hall: Hall, name: str = "worker", **values: object) -> ExecutorRecord:
    """Register an executor that runs Orders."""
    now = hall.door.probe.services.store.clock.now()
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
            "lease_until": now + 60 * MINUTE,
            **values,
        }  # type: ignore[arg-type]  # by name
    )
    await hall.door.probe.services.store.executors.register(record)
    return record


async def execute(hall: Hall, sql: str, values: dict[str, Any]) -> None:
    """Run one statement in a transaction of its own."""
    await hall.door.probe.services.store.connections.write(lambda session: session.execute(sql, values))


async def test_the_start_shows_how_everything_stands(hall: Hall) -> None:
    one, two, three = await hall.create(key="A-1"), await hall.create(), await hall.create()
    await employ(hall)
    await hall.fail(two, "no cover")
    await hall.door.probe.services.operations.pause(three, username="ada")

    page = await hall.viewer.get("/")

    assert page.status_code == 200
    assert [number(page, status) for status in ("NEW", "FAILED", "PAUSED", "FINISHED")] == ["1", "1", "1", "0"]
    assert "0 running, 1 queued" in section(page, "Active")
    assert "0 of 4 slots busy worker default · here:7" in section(page, "Executors")
    assert "unpaid: no cover" in section(page, "Needs attention")
    assert f"#{three} Paused" in section(page, "Recent activity")
    assert f"#{two} Moved by force: check → unpaid by ada no cover Orders" in section(page, "Recent activity")
    assert f'<a href="/workflows/{one}">#{one}</a>' in page.text
    orders = section(page, "Definitions")
    assert "Orders default 1 0 0 0 1 0" in orders
    assert "Families default 0 0 0 0 0 0 none open" in orders


async def test_every_number_leads_to_the_list_behind_it(sqlite_hall: Hall) -> None:
    await sqlite_hall.create()
    await sqlite_hall.fail(await sqlite_hall.create(), "no cover")

    page = await sqlite_hall.viewer.get("/")

    links = {unescape(link) for link in re.findall(r'href="(/workflows[^"]*)"', page.text) if "error=" not in link}
    assert {"/workflows?status=FAILED", "/workflows?type=Orders&status=NEW", "/workflows?status=EXECUTING"} <= links
    for link in links:
        assert (await sqlite_hall.viewer.get(link)).status_code == 200, link


async def test_what_is_queued_leads_to_all_that_are_also_those_without_a_next_activation(sqlite_hall: Hall) -> None:
    for _ in range(2):
        id = await sqlite_hall.create()
    # As a parent that waits for its children without a time limit.
    sql = "UPDATE workflow SET status = 'IN_PROGRESS', next_activation = NULL WHERE id = :id"
    await execute(sqlite_hall, sql, {"id": id})

    page = await sqlite_hall.viewer.get("/")

    (queued,) = re.findall(r'<a class="all" href="([^"]*)">2 queued</a>', page.text)
    listed = (await sqlite_hall.viewer.get(unescape(queued))).text
    assert ">2 workflows</h2>" in listed
    assert "with a next activation" not in listed
    by_next = (await sqlite_hall.viewer.get(f"{unescape(queued)}&sort=next")).text
    assert ">1 workflow</h2>" in by_next
    assert "with a next activation" in by_next


async def test_a_workflow_that_was_never_served_leads_to_its_list(sqlite_hall: Hall) -> None:
    await sqlite_hall.create()
    await served_elsewhere(sqlite_hall, shop("a/../b"))
    for name in ("a/../b", "Never <1>"):
        await sqlite_hall.create()
        sql = "UPDATE workflow SET workflow_type = :name WHERE id = (SELECT MAX(id) FROM workflow)"
        await execute(sqlite_hall, sql, {"name": name})

    page = await sqlite_hall.viewer.get("/")

    found = [unescape(link) for link in re.findall(r'<th scope="row"><a href="([^"]*)"', page.text)]
    assert found == [
        "/definitions/Families",
        "/workflows?type=Never+%3C1%3E",
        "/definitions/Orders",
        "/definitions/a%2F..%2Fb",
    ]
    assert "never served" in section(page, "Definitions")
    for link in found:
        assert (await sqlite_hall.viewer.get(link)).status_code == 200, link


async def test_a_fresh_install_is_told_what_to_do(sqlite_hall: Hall) -> None:
    for browser, may_start in ((sqlite_hall.viewer, False), (sqlite_hall.operator, True)):
        page = await browser.get("/")

        assert "Nothing has been started yet" in page.text
        assert "flowlet start Families -m" in page.text
        assert 'href="/definitions"' in page.text
        assert "No executor runs, and nothing would run yet" in page.text
        assert ("New workflow" in page.text) is may_start
        assert ("curl -H" in page.text) is may_start


async def test_the_first_steps_can_be_pasted_whatever_a_workflow_is_called(door: Door) -> None:
    door.probe.services.registry.add(shop("Order's <1>; rm"))

    page = await door.probe.browser(accept=HTML).get("/")

    steps = [unescape(text) for text in re.findall(r'<pre id="by-[^>]*>([^<]*)</pre>', page.text)]
    assert [shlex.split(step) for step in steps] == [
        ["flowlet", "start", "Order's <1>; rm", "-m", "my_workflows.py"],
        [
            *("KEY=$(flowlet", "key", "add", "first", "--user", "ada", "--role", "operator)"),
            *("curl", "-H", "X-API-Key: $KEY", "http://flowlet.test/api/workflows", "--json"),
            '{"workflowType": "Order\'s <1>; rm", "externalId": "my-first"}',
        ],
    ]


async def test_without_an_executor_it_says_that_nothing_goes_on(sqlite_hall: Hall) -> None:
    await sqlite_hall.create()

    page = await sqlite_hall.viewer.get("/")

    assert "Stopped No executor runs 1 queued: start flowlet serve" in section(page, "Needs attention")
    assert "No executor runs Start one: flowlet serve" in section(page, "Executors")


async def test_what_is_due_and_not_run_is_told_with_how_late_it_is(sqlite_hall: Hall) -> None:
    id = await sqlite_hall.create()
    now = sqlite_hall.door.probe.services.store.clock.now()
    late = {"at": now - 125 * 1_000_000}
    alone = await sqlite_hall.viewer.get("/")
    await execute(sqlite_hall, "UPDATE workflow SET next_activation = :at", late)
    late_alone = await sqlite_hall.viewer.get("/")
    await execute(sqlite_hall, "UPDATE workflow SET next_activation = :at", {"at": now})
    await employ(sqlite_hall, status="DRAINING")
    draining = await sqlite_hall.viewer.get("/")
    await employ(sqlite_hall, "other")
    before = await sqlite_hall.viewer.get("/")
    await execute(sqlite_hall, "UPDATE workflow SET next_activation = :at", late)

    page = await sqlite_hall.viewer.get("/")

    assert section(alone, "Longest overdue").endswith("– no executor runs")
    assert section(late_alone, "Longest overdue").endswith(f"no executor runs : #{id} Orders is due and not run")
    assert section(draining, "Longest overdue").endswith("– every executor drains")
    assert section(before, "Longest overdue").endswith("On time whatever is due runs within a second")
    assert section(page, "Longest overdue").endswith(f"2 min 5 s #{id} Orders is due and not run")
    assert f'<h2><a href="/workflows/{id}">Longest overdue</a></h2>' in page.text


async def test_of_many_groups_the_served_ones_are_looked_at_and_the_tile_says_of_how_many_it_tells(
    sqlite_hall: Hall,
) -> None:
    await employ(sqlite_hall, groups=("z-served",))
    ids = [await sqlite_hall.create(group=f"group-{number:02}") for number in range(GROUPS + 1)]
    connections = sqlite_hall.door.probe.services.store.connections
    before = await sqlite_hall.viewer.get("/")
    ids.append(await sqlite_hall.create(group="z-served"))
    sql = "UPDATE workflow SET next_activation = next_activation - 5000000 WHERE executor_group = 'z-served'"
    await connections.write(lambda session: session.execute(sql))

    page = await sqlite_hall.viewer.get("/")

    few = f"of the first {GROUPS} groups"
    assert section(before, "Longest overdue").endswith(f"On time {few}: whatever is due runs within a second")
    assert section(page, "Longest overdue").endswith(f"{few}: #{ids[-1]} Orders is due and not run")


async def test_what_is_due_where_its_group_has_not_loaded_it_needs_attention(sqlite_hall: Hall) -> None:
    await employ(sqlite_hall, types=("Families",))
    await employ(sqlite_hall, "gpu", groups=("gpu",))
    await sqlite_hall.create()
    connections = sqlite_hall.door.probe.services.store.connections
    sql = "UPDATE workflow SET next_activation = next_activation - 5000000"
    await connections.write(lambda session: session.execute(sql))

    page = await sqlite_hall.viewer.get("/")

    assert "Unserved Orders in default is due, and no live executor of this group" in section(page, "Needs attention")


@pytest.mark.parametrize("asked", ["?span=day", "?span=week", "?span=", "?span=day&span=hour", "?other=1"])
async def test_any_span_is_answered(sqlite_hall: Hall, asked: str) -> None:
    await sqlite_hall.create()

    page = await sqlite_hall.viewer.get(f"/{asked}")

    assert page.status_code == 200
    assert ("-24 h" in page.text) is asked.startswith("?span=day")
    assert ("-60 min" in page.text) is not asked.startswith("?span=day")


async def test_what_is_stored_is_only_shown(sqlite_hall: Hall) -> None:
    id = await sqlite_hall.create(key=MARKUP, group=MARKUP)
    await employ(sqlite_hall, name=MARKUP, groups=(MARKUP,), types=(MARKUP,), host=MARKUP)
    await sqlite_hall.fail(id, MARKUP)
    await sqlite_hall.create(key=MARKUP)

    for path in ("/", "/executors"):
        page = await sqlite_hall.viewer.get(path)

        assert page.status_code == 200
        assert "<script>alert" not in page.text
        assert "&lt;script&gt;alert" in page.text
        assert "{{7*7}}" in unescape(page.text)


async def test_a_login_leads_to_the_dashboard_and_nobody_else_sees_it(door: Door) -> None:
    browser = door.browser()

    asked, home = await browser.get("/"), await log_in(browser)

    assert (asked.status_code, asked.headers["location"]) == (303, "/login?next=%2F")
    assert (home.status_code, home.headers["location"]) == (303, "/")
    assert "<h1>Dashboard</h1>" in (await browser.get("/")).text


async def test_the_start_is_the_current_page_on_no_other(door: Door) -> None:
    browser = await door.logged_in()

    for path, label in (("/", "Dashboard"), ("/executors", "Executors"), ("/workflows", "Workflows")):
        text = (await browser.get(path)).text
        current = re.findall(r'<a href="([^"]*)" aria-current="page">', text)

        assert current == [path], label
