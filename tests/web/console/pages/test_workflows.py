"""The page of workflows: what fits, in which order, and that nothing in an address or in a workflow breaks it."""

from __future__ import annotations

import csv
import io
import re
from html import unescape
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest

from flowlet.clock import to_datetime
from flowlet.web.console.pages import workflows
from tests.web.console.workflow_console import WorkflowConsole

MARKUP_TEXT = "<script>alert('1')</script>{{7*7}}\"'>"


def read_row_ids(page: httpx.Response) -> list[int]:
    """Return the ids of the rows of a page."""
    return [int(id) for id in re.findall(r'<tr id="workflow-(\d+)">', page.text)]


def read_link(page: httpx.Response, label: str) -> str:
    """Return where a link leads."""
    found = re.search(rf'href="([^"]*)"[^>]*>{label}<', page.text)
    assert found, page.text
    return unescape(found[1])


async def test_the_newest_comes_first_with_where_it_is(sqlite_workflow_console: WorkflowConsole) -> None:
    one, two = (
        await sqlite_workflow_console.create_instance(external_id="o-1", key="A-1"),
        await sqlite_workflow_console.create_instance(external_id="o-2"),
    )

    page = await sqlite_workflow_console.viewer.get("/workflows")

    assert read_row_ids(page) == [two, one]
    assert f'<a href="/workflows/{one}">#{one}</a> <span class="key">A-1</span>' in page.text
    assert '<div class="muted small key">o-1</div>' in page.text
    assert '<span class="badge idle new">New</span>' in page.text
    assert ">2 workflows</h2>" in page.text


FILTERS: list[tuple[Any, list[int]]] = [
    ({"q": "3"}, [3]),
    ({"q": "#3"}, [3]),
    ({"q": " o-1 "}, [1]),
    ({"q": "A-2"}, [2]),
    ({"q": "o"}, [2, 1]),
    ({"q": "A_"}, []),
    ({"q": "a"}, []),
    ({"q": "2"}, [4, 2]),
    ({"q": "99999999999999999999"}, []),
    ({"type": "Orders"}, [4, 3, 2, 1]),
    ({"type": "Families"}, []),
    ({"status": ["PAUSED", "FAILED"]}, [2]),
    ({"state": "check", "status": "NEW"}, [4, 3, 1]),
    ({"group": "night"}, [3]),
    ({"parent": "1"}, []),
    ({"retrying": "true"}, []),
    ({"retrying": "false"}, [4, 3, 2, 1]),
    ({"reason": "STOCK"}, [2]),
    ({"variable": "way = later"}, [3]),
    ({"variable": "amount=1"}, [4, 3, 2, 1]),
    ({"created_from": "2020-01-01T00:00"}, [4, 3, 2, 1]),
    ({"created_to": "2020-01-01"}, []),
    ({"modified_from": "2020-01-01T00:00:00+02:00", "modified_to": "2020-01-02T00:00Z"}, []),
    ({"q": "", "type": " ", "state": "", "colour": "red"}, [4, 3, 2, 1]),
    ({"sort": "id"}, [1, 2, 3, 4]),
    ({"sort": "-modified"}, [2, 4, 3, 1]),
    ({"sort": "next"}, [1, 3, 4]),
    ({"sort": "-next", "status": ["FAILED", "NEW"]}, [4, 3, 1, 2]),
    ({"sort": "created", "type": "Orders"}, [1, 2, 3, 4]),
]


async def test_filters_in_the_address_narrow_what_is_shown(
    workflow_console: WorkflowConsole, subtests: pytest.Subtests
) -> None:
    await workflow_console.create_instance(external_id="o-1")
    two = await workflow_console.create_instance(external_id="o-2", key="A-2")
    await workflow_console.create_instance("later", group="night", external_id="night")
    await workflow_console.create_instance(external_id="2")
    await workflow_console.fail_instance(two, "stock-taking")

    for asked, fits in FILTERS:
        with subtests.test(str(asked)):
            page = await workflow_console.viewer.get("/workflows", params=asked)

            assert (page.status_code, read_row_ids(page)) == (200, fits)


async def test_what_has_no_index_is_searched_among_the_newest_and_then_further(
    sqlite_workflow_console: WorkflowConsole, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workflows, "SCAN_LIMIT", 2)
    ids = [await sqlite_workflow_console.create_instance("later", group="night")] + [
        await sqlite_workflow_console.create_instance() for _ in range(3)
    ]

    first = await sqlite_workflow_console.viewer.get("/workflows?group=night")
    second = await sqlite_workflow_console.viewer.get(read_link(first, "Search further"))
    sorted_ = await sqlite_workflow_console.viewer.get("/workflows?sort=-modified")

    assert "No matches among the newest 2" in first.text
    assert read_row_ids(second) == ids[:1]
    assert read_row_ids(sorted_) == ids[:1:-1]
    assert "among the newest 2<" in sorted_.text
    assert "Search further" not in sorted_.text


async def test_pages_follow_each_other_whatever_is_created_meanwhile(workflow_console: WorkflowConsole) -> None:
    ids = [await workflow_console.create_instance() for _ in range(52)]

    first = await workflow_console.viewer.get("/workflows?type=Orders")
    await workflow_console.create_instance()
    second = await workflow_console.viewer.get(read_link(first, "Older"))
    back = await workflow_console.viewer.get(read_link(second, "Newest"))

    assert read_row_ids(first) + read_row_ids(second) == ids[::-1]
    assert len(read_row_ids(back)) == 50
    assert ">53 workflows</h2>" in second.text


async def test_a_heading_sorts_and_turns_round(sqlite_workflow_console: WorkflowConsole) -> None:
    one, two = await sqlite_workflow_console.create_instance(), await sqlite_workflow_console.create_instance()

    page = await sqlite_workflow_console.viewer.get("/workflows?status=NEW")
    by_next = await sqlite_workflow_console.viewer.get(read_link(page, "Next / reason"))
    turned = await sqlite_workflow_console.viewer.get(read_link(by_next, "Next / reason"))

    assert [read_row_ids(each) for each in (by_next, turned)] == [[one, two], [two, one]]
    assert 'aria-sort="descending"' in turned.text
    assert read_link(turned, "Next / reason") == "/workflows?status=NEW&sort=next"


async def test_each_filter_can_be_taken_away(sqlite_workflow_console: WorkflowConsole) -> None:
    page = await sqlite_workflow_console.viewer.get("/workflows?status=NEW&status=FAILED&q=a%26b&sort=id")

    ways = [
        unescape(way)
        for way in re.findall(r'<li><a href="([^"]*)">[^<]*<span class="visually-hidden"> \(remove\)', page.text)
    ]

    assert [parse_qsl(way.partition("?")[2]) for way in ways] == [
        [("status", "NEW"), ("status", "FAILED"), ("sort", "id")],
        [("q", "a&b"), ("status", "FAILED"), ("sort", "id")],
        [("q", "a&b"), ("status", "NEW"), ("sort", "id")],
    ]
    assert "No matching workflows" in page.text


FAULTY_FILTERS: list[tuple[str, str]] = [
    ("created_from=yesterday", "Enter a time such as 2026-11-24T12:00 (UTC)"),
    ("created_to=0001-01-01T00:00%2B10:00", "Enter a time"),
    ("modified_to=2026-02-30", "Enter a time"),
    ("variable=amount", "Enter name=value"),
    ("variable==3", "Enter name=value"),
    ("variable=a%22b=3", "has a quote"),
    ("parent=x", "Enter the id of a workflow"),
    ("retrying=perhaps", "Must be true or false"),
    ("status=OPEN", "is none of"),
    ("sort=colour", "Must be one of"),
    ("cursor=bm9uZQ", "is not a cursor"),
    ("state=a&state=b", "Given more than once"),
    ("q=" + "a" * 256, "has to be a text of 1 to 255 characters"),
    ("group=" + "a" * 256, "has to be a text of 1 to 255 characters"),
    ("reason=" + "a" * 2_001, "has to be a text of 1 to 2,000 characters"),
]


async def test_a_fault_is_shown_at_its_field_and_what_was_given_stays(
    sqlite_workflow_console: WorkflowConsole, subtests: pytest.Subtests
) -> None:
    await sqlite_workflow_console.create_instance()

    for asked, message in FAULTY_FILTERS:
        with subtests.test(asked):
            page = await sqlite_workflow_console.viewer.get(f"/workflows?{asked}&type=%3Cb%3E")

            assert page.status_code == 400
            assert message in unescape(page.text)
            assert "<option selected>&lt;b&gt;</option>" in page.text
            value = parse_qsl(asked)[0][1]
            assert f'value="{value}"'.replace('a"b', "a&#34;b") in page.text or asked.startswith(
                ("status", "sort", "cursor")
            )
            assert read_row_ids(page) == []


ODD_QUERIES: list[str] = [
    "q=%ff%fe",
    "q=%ed%a0%80",
    "q=%27%20OR%201=1--",
    "status=%27&status=NEW",
    "variable=%25_!=%25_!",
    "variable=a.b[0]=$.x",
    "variable=" + "a=" * 900,
    "created_from=9999-12-31T23:59:59-23:59",
    "created_from=%D9%A1%D9%A1%D9%A1%D9%A1-01-01",
    "parent=%C2%B2",
    "q=%C2%B2",
    "parent=" + "9" * 5_000,
    "&".join(["status=NEW"] * 500),
    "&&=&=x&q",
    "sort=-",
    "cursor=%E2%98%83",
    "reason=%25",
]


async def test_no_address_is_a_fault_of_the_server(
    workflow_console: WorkflowConsole, subtests: pytest.Subtests
) -> None:
    for asked in ODD_QUERIES:
        with subtests.test(asked):
            for path in ("/workflows", "/workflows.csv", "/workflows.json"):
                assert (await workflow_console.viewer.get(f"{path}?{asked}")).status_code in (200, 400)
            answer = await workflow_console.operator.get(
                "/workflows/bulk", params={"operation": "pause", "filters": asked}
            )
            assert answer.status_code in (200, 400)


async def test_a_nul_in_an_address_is_refused(sqlite_workflow_console: WorkflowConsole) -> None:
    assert (await sqlite_workflow_console.viewer.get("/workflows?q=%00")).status_code == 400
    answer = await sqlite_workflow_console.operator.get(
        "/workflows/bulk", params={"operation": "pause", "filters": "q=%00"}
    )
    assert answer.status_code == 400


async def test_what_a_workflow_holds_is_text_on_every_page(workflow_console: WorkflowConsole) -> None:
    id = await workflow_console.create_instance(external_id=MARKUP_TEXT, key=f"key {MARKUP_TEXT}", group=MARKUP_TEXT)
    await workflow_console.fail_instance(id, MARKUP_TEXT)

    pages = [
        await workflow_console.viewer.get("/workflows"),
        await workflow_console.viewer.get(
            "/workflows", params={"q": MARKUP_TEXT, "reason": MARKUP_TEXT, "type": MARKUP_TEXT, "state": MARKUP_TEXT}
        ),
        await workflow_console.viewer.get(
            "/workflows", params={"variable": MARKUP_TEXT, "cursor": MARKUP_TEXT, "sort": MARKUP_TEXT}
        ),
        await workflow_console.preview_bulk("resume", id),
        await workflow_console.submit_bulk("pause", id, reason=MARKUP_TEXT),
    ]

    for page in pages:
        assert "<script>alert" not in page.text
        assert ">49<" not in page.text
    assert f"key {MARKUP_TEXT}" in unescape(pages[0].text)


async def test_nothing_at_all_says_how_to_start(sqlite_workflow_console: WorkflowConsole) -> None:
    page = await sqlite_workflow_console.viewer.get("/workflows")

    assert "No workflows yet" in page.text
    assert '<a href="/docs">the API</a>' in page.text


async def test_events_are_those_of_the_type_that_is_chosen(sqlite_workflow_console: WorkflowConsole) -> None:
    page = await sqlite_workflow_console.viewer.get("/workflows", params={"type": "A & <B>"})

    assert 'data-events="workflowType=A+%26+%3CB%3E"' in page.text


async def test_a_viewer_is_offered_no_operation(sqlite_workflow_console: WorkflowConsole) -> None:
    await sqlite_workflow_console.create_instance()

    seen, operated = (
        await sqlite_workflow_console.viewer.get("/workflows"),
        await sqlite_workflow_console.operator.get("/workflows"),
    )

    assert 'name="operation"' not in seen.text
    assert 'type="checkbox" name="id"' not in seen.text
    assert 'name="operation"' in operated.text


async def test_a_table_has_what_fits_and_no_formula(workflow_console: WorkflowConsole) -> None:
    keys = ["=1+1", "+1", "-1", "@a", "\uff1d1+1", "a;=1+1", "a; \uff201;b", 'a "quoted", one', "a;b-1", "ä"]
    for key in keys:
        await workflow_console.create_instance(key=key)
    await workflow_console.create_instance(group="night")

    answer = await workflow_console.viewer.get("/workflows.csv?group=default&sort=id")

    head, *lines = csv.reader(io.StringIO(answer.content.decode(), newline=""), strict=True)
    assert head[:4] == ["id", "externalId", "businessKey", "workflowType"]
    assert [line[2] for line in lines] == [
        "'=1+1",
        "'+1",
        "'-1",
        "'@a",
        "'\uff1d1+1",
        "a;'=1+1",
        "a; '\uff201;b",
        *keys[7:],
    ]
    first = await workflow_console.get_instance(1)
    assert (
        lines[0][head.index("created")]
        == f"{to_datetime(first.created_us).replace(tzinfo=None).isoformat('T', 'microseconds')}Z"
    )
    assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    assert answer.headers["content-disposition"] == 'attachment; filename="workflows.csv"'
    assert answer.content.endswith(b"\r\n")


SORTS: list[str] = ["-id", "id", "-created", "next", "-modified"]


async def test_a_file_goes_through_all_pages_up_to_its_limit(
    workflow_console: WorkflowConsole, monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests
) -> None:
    monkeypatch.setattr("flowlet.web.bulk.PAGE_SIZE", 3)
    monkeypatch.setattr("flowlet.web.console.lists.export.MAX_ROWS", 8)
    ids = [await workflow_console.create_instance(key=MARKUP_TEXT) for _ in range(10)]

    for sort in SORTS:
        with subtests.test(sort):
            found = (
                await workflow_console.viewer.get("/workflows.json", params={"sort": sort, "cursor": "left alone"})
            ).json()

            expected = ids[:8] if sort == "id" else ids[::-1][:8]
            assert [one["id"] for one in found] == expected
            assert (found[0]["businessKey"], found[0]["stateVars"]["way"]) == (MARKUP_TEXT, "charge")


async def test_an_empty_file_is_a_file(sqlite_workflow_console: WorkflowConsole) -> None:
    assert (await sqlite_workflow_console.viewer.get("/workflows.json")).json() == []
    assert (await sqlite_workflow_console.viewer.get("/workflows.csv")).text.count("\r\n") == 1
