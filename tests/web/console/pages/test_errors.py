"""The page of errors: the groups with where they lead, the way to retry one of them, and who may go it."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from flowlet.instance.change import Change
from flowlet.instance.fingerprint import compute_fingerprint
from flowlet.instance.instance import Status
from flowlet.store.changes import change_instance
from tests.web.console.workflow_console import WorkflowConsole

MARKUP_TEXT = "<script>alert('1')</script>{{7*7}}\"'>"


async def create_failed_instance(
    workflow_console: WorkflowConsole, message: str, *, state: str = "charge", **columns: Any
) -> int:
    """Create an instance of Orders that has failed in a state where it may be tried again, and return its id."""
    id = await workflow_console.create_instance()

    def build_failure(instance: Any) -> Change:
        values = {
            "status": Status.FAILED,
            "state": state,
            "attempt": 1,
            "reason": f"{message} (attempt 1, no other follows)",
            "fingerprint": compute_fingerprint("Orders", state, message),
            "failed_us": id,
            "ended_us": id,
        }
        return Change(instance, replace(instance, **{**values, **columns}), ())

    await change_instance(workflow_console.console.app_harness.services.store.connections, id, build_failure, now=id)
    return id


def read_groups(page: httpx.Response) -> list[str]:
    """Return the HTML of each group, in the order of the page."""
    return re.findall(r'<li id="error-.*?</li>', page.text, re.DOTALL)


async def fetch_error_page(workflow_console: WorkflowConsole) -> httpx.Response:
    """Return the page of errors."""
    return await workflow_console.viewer.get("/errors")


def read_links(html: str) -> list[str]:
    """Return where the links lead."""
    return [unescape(address) for address in re.findall(r'href="([^"]*)"', html)]


async def test_failures_that_are_alike_are_one_group_that_leads_to_its_workflows(
    workflow_console: WorkflowConsole,
) -> None:
    one = await create_failed_instance(workflow_console, "ValueError: card 4711 declined")
    await create_failed_instance(workflow_console, "OSError: the bank is away")
    two = await create_failed_instance(
        workflow_console, "ValueError: card 4712 declined", status=Status.PAUSED, held_status=Status.IN_PROGRESS
    )

    page = await workflow_console.viewer.get("/errors")

    first, second = read_groups(page)
    assert "<b>ValueError: card 4712 declined</b>" in first
    assert "<b>OSError: the bank is away</b>" in second
    assert "1 failed</a>" in first
    assert "1 open</a>" in first
    assert "2 error groups</h2>" in page.text
    every, failed, later = [link for link in read_links(first) if link.startswith("/workflows?")]
    found = [
        re.findall(r'id="workflow-(\d+)"', (await workflow_console.viewer.get(link)).text)
        for link in (every, failed, later)
    ]
    assert found == [[str(two), str(one)], [str(one)], [str(two)]]
    assert f"/workflows/{two}" in read_links(first)


async def test_the_most_harmful_comes_first_and_a_search_says_what_it_looked_at(
    sqlite_workflow_console: WorkflowConsole,
) -> None:
    now = sqlite_workflow_console.console.app_harness.services.store.clock.now()
    for seconds in (200, 90):
        await create_failed_instance(sqlite_workflow_console, "ValueError: 1", failed_us=now - seconds * 1_000_000)
    await create_failed_instance(sqlite_workflow_console, "OSError: the Bank is away", failed_us=now)

    viewer = sqlite_workflow_console.viewer
    harm, latest = await viewer.get("/errors"), await viewer.get("/errors?sort=latest")
    found, none = await viewer.get("/errors?q=the+bank"), await viewer.get("/errors?q=<b>&type=Orders")

    assert ["ValueError" in one for one in read_groups(harm)] == [True, False]
    assert ["ValueError" in one for one in read_groups(latest)] == [False, True]
    assert "2 in 24 h, 2 in the last 2 h" in read_groups(harm)[0]
    assert ["OSError: the Bank" in one for one in read_groups(found)] == [True]
    assert "No error with “&lt;b&gt;” in Orders" in none.text
    assert "Searched the message, the workflow and the state of 2 error groups." in none.text
    assert (await viewer.get("/errors", params={"q": "x" * 201})).status_code == 400


async def test_the_times_of_a_group_are_those_of_the_last_failure_of_each_workflow(
    sqlite_workflow_console: WorkflowConsole,
) -> None:
    now = sqlite_workflow_console.console.app_harness.services.store.clock.now()
    for seconds in (200, 90, 5):
        await create_failed_instance(sqlite_workflow_console, "ValueError: 1", failed_us=now - seconds * 1_000_000)
    await create_failed_instance(sqlite_workflow_console, "OSError: the bank is away", failed_us=now - 300 * 1_000_000)

    first, second = [
        " ".join(unescape(re.sub("<[^>]+>", " ", one)).split())
        for one in read_groups(await fetch_error_page(sqlite_workflow_console))
    ]

    assert re.search(r"Last \d+ s ago in #3 First seen 3 min( \d+ s)? ago", first)
    assert re.search(r"Last 5 min( \d+ s)? ago in #4", second)
    assert "First" not in second


async def test_what_turns_a_line_round_is_taken_out_of_a_message(sqlite_workflow_console: WorkflowConsole) -> None:
    await create_failed_instance(sqlite_workflow_console, "ValueError: \u202egnp.exe\nsecond line\x07")
    await create_failed_instance(sqlite_workflow_console, "OSError: \u202egnp.exe")

    page = await fetch_error_page(sqlite_workflow_console)

    plain, folded = read_groups(page)
    assert "\u202e" not in page.text
    assert "\x07" not in page.text
    assert "<b>OSError:  gnp.exe</b>" in plain
    assert "ValueError:  gnp.exe\nsecond line </pre>" in folded


async def test_the_navigation_counts_what_is_failed(sqlite_workflow_console: WorkflowConsole) -> None:
    before = (await sqlite_workflow_console.viewer.get("/workflows")).text
    await create_failed_instance(sqlite_workflow_console, "ValueError: 1")
    await create_failed_instance(
        sqlite_workflow_console, "ValueError: 1", status=Status.PAUSED, held_status=Status.IN_PROGRESS
    )

    after = (await sqlite_workflow_console.viewer.get("/workflows")).text

    assert 'class="count"' not in before
    assert '<span class="count">1</span>' in after


async def test_the_groups_of_one_workflow(sqlite_workflow_console: WorkflowConsole) -> None:
    await create_failed_instance(sqlite_workflow_console, "ValueError: 1")

    here = await sqlite_workflow_console.viewer.get("/errors", params={"type": "Orders"})
    there = await sqlite_workflow_console.viewer.get("/errors", params={"type": MARKUP_TEXT})

    assert (len(read_groups(here)), len(read_groups(there))) == (1, 0)
    assert "<option selected>Orders</option>" in here.text
    assert "No errors in &lt;script&gt;" in there.text
    assert "<script>alert" not in there.text


@pytest.mark.parametrize("type", ["x" * 256, "a\x00b"])
async def test_what_cannot_be_the_name_of_a_workflow_is_refused(
    sqlite_workflow_console: WorkflowConsole, type: str
) -> None:
    assert (await sqlite_workflow_console.viewer.get("/errors", params={"type": type})).status_code == 400


async def test_where_nothing_has_failed_the_page_says_so(sqlite_workflow_console: WorkflowConsole) -> None:
    await sqlite_workflow_console.create_instance()

    assert "No errors" in (await sqlite_workflow_console.viewer.get("/errors")).text


async def test_markup_in_a_message_is_text_and_a_long_one_is_folded(sqlite_workflow_console: WorkflowConsole) -> None:
    short = await create_failed_instance(sqlite_workflow_console, f"KeyError: {MARKUP_TEXT}", state="check")
    long = await create_failed_instance(sqlite_workflow_console, f"KeyError: {MARKUP_TEXT}\n" + "x" * 900)

    page = await sqlite_workflow_console.operator.get("/errors")
    folded, plain = read_groups(page)

    assert "<script>alert" not in page.text
    assert "<b>KeyError: &lt;script&gt;" in plain
    assert "<details>" not in plain
    assert "x" * 900 in folded.partition("<pre")[2]
    assert "x" * 900 not in folded.partition("<pre")[0]
    for id in (short, long):
        one = (await sqlite_workflow_console.viewer.get(f"/workflows/{id}")).text
        (alike,) = [link for link in read_links(one) if link.startswith("/workflows?error=")]
        listed = (await sqlite_workflow_console.viewer.get(alike)).text
        assert "<script>alert" not in one + listed
        assert "Error: KeyError: &lt;script&gt;" in listed


async def test_a_group_is_retried_by_the_preview_that_there_is(sqlite_workflow_console: WorkflowConsole) -> None:
    ids = [
        await create_failed_instance(sqlite_workflow_console, f"ValueError: card {number} declined")
        for number in (4711, 4712)
    ]
    other = await create_failed_instance(sqlite_workflow_console, "OSError: the bank is away")

    group, _ = read_groups(await sqlite_workflow_console.operator.get("/errors"))
    (retry,) = [link for link in read_links(group) if "/bulk?" in link]
    preview = await sqlite_workflow_console.operator.get(retry)
    answer = await sqlite_workflow_console.submit_bulk(
        "retry", filter_query=parse_qs(urlsplit(retry).query)["filters"][0]
    )

    assert "Retry 2 workflows?" in preview.text
    assert '<span class="chip">Error: ValueError: card 4711 declined</span>' in preview.text
    assert answer.status_code == 303
    assert [(await sqlite_workflow_console.get_instance(id)).status for id in ids] == ["IN_PROGRESS"] * 2
    assert (await sqlite_workflow_console.get_instance(other)).status == "FAILED"
    assert len(read_groups(await sqlite_workflow_console.operator.get("/errors"))) == 1


async def test_what_has_left_its_group_since_the_preview_is_left_alone(
    sqlite_workflow_console: WorkflowConsole,
) -> None:
    one, two = [
        await create_failed_instance(sqlite_workflow_console, f"ValueError: card {number} declined")
        for number in (1, 2)
    ]
    fits = f"error={(await sqlite_workflow_console.get_instance(one)).fingerprint}"
    preview = await sqlite_workflow_console.preview_bulk("retry", filter_query=fits)
    await sqlite_workflow_console.fail_instance(two, "The customer could not pay.")

    before = preview.text.partition('name="created_before" value="')[2].partition('"')[0]
    answer = await sqlite_workflow_console.submit_bulk("retry", filter_query=fits, overrides={"created_before": before})

    assert "Retry 2 workflows?" in preview.text
    assert answer.status_code == 303
    assert "1 workflow was retried." in (await sqlite_workflow_console.operator.get("/workflows")).text
    assert [(await sqlite_workflow_console.get_instance(id)).status for id in (one, two)] == ["IN_PROGRESS", "FAILED"]


async def test_only_operators_may_retry_a_group_and_an_error_state_has_the_button_too(
    sqlite_workflow_console: WorkflowConsole,
) -> None:
    await create_failed_instance(sqlite_workflow_console, "ValueError: 1")
    await sqlite_workflow_console.fail_instance(
        await sqlite_workflow_console.create_instance(), "The customer could not pay."
    )

    viewed, operated = [
        read_groups(await one.get("/errors"))
        for one in (sqlite_workflow_console.viewer, sqlite_workflow_console.operator)
    ]

    assert ["Retry all" in group for group in viewed] == [False, False]
    assert ["Retry all" in group for group in operated] == [True, True]
    refused = await sqlite_workflow_console.viewer.get("/workflows/bulk?operation=retry&scope=all&filters=error%3D1")
    assert refused.status_code == 403


async def test_an_unknown_workflow_s_errors_are_shown_and_a_group_that_is_gone_is_empty(
    sqlite_workflow_console: WorkflowConsole,
) -> None:
    await create_failed_instance(sqlite_workflow_console, "ValueError: 1", type="Gone")

    (group,) = read_groups(await sqlite_workflow_console.operator.get("/errors"))
    gone = await sqlite_workflow_console.viewer.get("/workflows?error=0123456789abcdef")

    assert "Gone" in group
    assert "Retry all" in group
    assert gone.status_code == 200
    assert "Error: 0123456789abcdef" in gone.text
