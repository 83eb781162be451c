"""The page of errors: the groups with where they lead, the way to retry one of them, and who may go it."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from flowlet.fingerprints import fingerprint
from flowlet.instances import Status
from flowlet.store.changes import Change, change
from tests.web.pages.hall import Hall

MARKUP = "<script>alert('1')</script>{{7*7}}\"'>"


async def break_down(hall: Hall, message: str, *, state: str = "charge", **columns: Any) -> int:
    """Create an instance of Orders that has failed in a state where it may be tried again, and return its id."""
    id = await hall.create()

    def failing(instance: Any) -> Change:
        values = {
            "status": Status.FAILED,
            "state": state,
            "attempt": 1,
            "reason": f"{message} (attempt 1, no other follows)",
            "fingerprint": fingerprint("Orders", state, message),
            "failed": id,
            "ended": id,
        }
        return Change(instance, replace(instance, **{**values, **columns}), ())

    await change(hall.door.probe.services.store.connections, id, failing, now=id)
    return id


def groups(page: httpx.Response) -> list[str]:
    """Return the HTML of each group, in the order of the page."""
    return re.findall(r'<li id="error-.*?</li>', page.text, re.DOTALL)


async def errors(hall: Hall) -> httpx.Response:
    """Return the page of errors."""
    return await hall.viewer.get("/errors")


def links(html: str) -> list[str]:
    """Return where the links lead."""
    return [unescape(address) for address in re.findall(r'href="([^"]*)"', html)]


async def test_failures_that_are_alike_are_one_group_that_leads_to_its_workflows(hall: Hall) -> None:
    one = await break_down(hall, "ValueError: card 4711 declined")
    await break_down(hall, "OSError: the bank is away")
    two = await break_down(hall, "ValueError: card 4712 declined", status=Status.PAUSED, held_status=Status.IN_PROGRESS)

    page = await hall.viewer.get("/errors")

    first, second = groups(page)
    assert "<b>ValueError: card 4712 declined</b>" in first
    assert "<b>OSError: the bank is away</b>" in second
    assert "1 failed</a>" in first
    assert "1 open</a>" in first
    assert "2 kinds of error</h2>" in page.text
    every, failed, later = [link for link in links(first) if link.startswith("/workflows?")]
    found = [re.findall(r'id="workflow-(\d+)"', (await hall.viewer.get(link)).text) for link in (every, failed, later)]
    assert found == [[str(two), str(one)], [str(one)], [str(two)]]
    assert f"/workflows/{two}" in links(first)


async def test_the_times_of_a_group_are_those_of_the_last_failure_of_each_workflow(sqlite_hall: Hall) -> None:
    now = sqlite_hall.door.probe.services.store.clock.now()
    for seconds in (200, 90, 5):
        await break_down(sqlite_hall, "ValueError: 1", failed=now - seconds * 1_000_000)
    await break_down(sqlite_hall, "OSError: the bank is away", failed=now - 300 * 1_000_000)

    first, second = [
        " ".join(unescape(re.sub("<[^>]+>", " ", one)).split()) for one in groups(await errors(sqlite_hall))
    ]

    assert "Last 5 s ago in #3 Longest ago of these: 3 min ago" in first
    assert "First" not in first
    assert "Last 5 min ago in #4" in second
    assert "Longest" not in second


async def test_what_turns_a_line_round_is_taken_out_of_a_message(sqlite_hall: Hall) -> None:
    await break_down(sqlite_hall, "ValueError: \u202egnp.exe\nsecond line\x07")
    await break_down(sqlite_hall, "OSError: \u202egnp.exe")

    page = await errors(sqlite_hall)

    plain, folded = groups(page)
    assert "\u202e" not in page.text
    assert "\x07" not in page.text
    assert "<b>OSError:  gnp.exe</b>" in plain
    assert "ValueError:  gnp.exe\nsecond line </pre>" in folded


async def test_the_navigation_counts_what_is_failed(sqlite_hall: Hall) -> None:
    before = (await sqlite_hall.viewer.get("/workflows")).text
    await break_down(sqlite_hall, "ValueError: 1")
    await break_down(sqlite_hall, "ValueError: 1", status=Status.PAUSED, held_status=Status.IN_PROGRESS)

    after = (await sqlite_hall.viewer.get("/workflows")).text

    assert 'class="count"' not in before
    assert '<span class="count">1</span>' in after


async def test_the_groups_of_one_workflow(sqlite_hall: Hall) -> None:
    await break_down(sqlite_hall, "ValueError: 1")

    here = await sqlite_hall.viewer.get("/errors", params={"type": "Orders"})
    there = await sqlite_hall.viewer.get("/errors", params={"type": MARKUP})

    assert (len(groups(here)), len(groups(there))) == (1, 0)
    assert "<option selected>Orders</option>" in here.text
    assert "No error of &lt;script&gt;" in there.text
    assert "<script>alert" not in there.text


@pytest.mark.parametrize("type", ["x" * 256, "a\x00b"])
async def test_what_cannot_be_the_name_of_a_workflow_is_refused(sqlite_hall: Hall, type: str) -> None:
    assert (await sqlite_hall.viewer.get("/errors", params={"type": type})).status_code == 400


async def test_where_nothing_has_failed_the_page_says_so(sqlite_hall: Hall) -> None:
    await sqlite_hall.create()

    assert "Nothing has failed" in (await sqlite_hall.viewer.get("/errors")).text


async def test_markup_in_a_message_is_text_and_a_long_one_is_folded(sqlite_hall: Hall) -> None:
    short = await break_down(sqlite_hall, f"KeyError: {MARKUP}", state="check")
    long = await break_down(sqlite_hall, f"KeyError: {MARKUP}\n" + "x" * 900)

    page = await sqlite_hall.operator.get("/errors")
    folded, plain = groups(page)

    assert "<script>alert" not in page.text
    assert "<b>KeyError: &lt;script&gt;" in plain
    assert "<details>" not in plain
    assert "x" * 900 in folded.partition("<pre")[2]
    assert "x" * 900 not in folded.partition("<pre")[0]
    for id in (short, long):
        one = (await sqlite_hall.viewer.get(f"/workflows/{id}")).text
        (alike,) = [link for link in links(one) if link.startswith("/workflows?error=")]
        listed = (await sqlite_hall.viewer.get(alike)).text
        assert "<script>alert" not in one + listed
        assert "Error: KeyError: &lt;script&gt;" in listed


async def test_a_group_is_retried_by_the_preview_that_there_is(sqlite_hall: Hall) -> None:
    ids = [await break_down(sqlite_hall, f"ValueError: card {number} declined") for number in (4711, 4712)]
    other = await break_down(sqlite_hall, "OSError: the bank is away")

    _, group = groups(await sqlite_hall.operator.get("/errors"))
    (retry,) = [link for link in links(group) if "/bulk?" in link]
    preview = await sqlite_hall.operator.get(retry)
    answer = await sqlite_hall.operate("retry", fits=parse_qs(urlsplit(retry).query)["fits"][0])

    assert "Retry 2 workflows?" in preview.text
    assert '<span class="chip">Error: ValueError: card 4711 declined</span>' in preview.text
    assert answer.status_code == 303
    assert [(await sqlite_hall.instance(id)).status for id in ids] == ["IN_PROGRESS"] * 2
    assert (await sqlite_hall.instance(other)).status == "FAILED"
    assert len(groups(await sqlite_hall.operator.get("/errors"))) == 1


async def test_what_has_left_its_group_since_the_preview_is_left_alone(sqlite_hall: Hall) -> None:
    one, two = [await break_down(sqlite_hall, f"ValueError: card {number} declined") for number in (1, 2)]
    fits = f"error={(await sqlite_hall.instance(one)).fingerprint}"
    preview = await sqlite_hall.preview("retry", fits=fits)
    await sqlite_hall.fail(two, "The customer could not pay.")

    before = preview.text.partition('name="before" value="')[2].partition('"')[0]
    answer = await sqlite_hall.operate("retry", fits=fits, other={"before": before})

    assert "Retry 2 workflows?" in preview.text
    assert answer.status_code == 303
    assert "1 workflow was retried." in (await sqlite_hall.operator.get("/workflows")).text
    assert [(await sqlite_hall.instance(id)).status for id in (one, two)] == ["IN_PROGRESS", "FAILED"]


async def test_a_viewer_and_an_error_state_have_no_button(sqlite_hall: Hall) -> None:
    await break_down(sqlite_hall, "ValueError: 1")
    await sqlite_hall.fail(await sqlite_hall.create(), "The customer could not pay.")

    viewed, operated = [groups(await one.get("/errors")) for one in (sqlite_hall.viewer, sqlite_hall.operator)]

    assert ["Retry all" in group for group in viewed] == [False, False]
    assert ["Retry all" in group for group in operated] == [False, True]
    refused = await sqlite_hall.viewer.get("/workflows/bulk?operation=retry&which=all&fits=error%3D1")
    assert refused.status_code == 403


async def test_an_unknown_workflow_s_errors_are_shown_and_a_group_that_is_gone_is_empty(sqlite_hall: Hall) -> None:
    await break_down(sqlite_hall, "ValueError: 1", type="Gone")

    (group,) = groups(await sqlite_hall.operator.get("/errors"))
    gone = await sqlite_hall.viewer.get("/workflows?error=0123456789abcdef")

    assert "Gone" in group
    assert "Retry all" in group
    assert gone.status_code == 200
    assert "Error: 0123456789abcdef" in gone.text
