"""What pages show of times, numbers and variables, and how the result of a form travels to the next page."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime

import httpx
import pytest
from quart import Blueprint
from werkzeug.wrappers import Response as Redirection

from flowlet.accounts.roles import Role
from flowlet.clock import to_microseconds
from flowlet.instance.instance import Status
from flowlet.instance.path_changes import PathChange
from flowlet.web.auth import require_role
from flowlet.web.console import layout, times
from flowlet.web.console.charts import Bar, ChartSegment, render_chart, render_share_bar, render_sparkline
from flowlet.web.console.flash import COOKIE_NAME, redirect_with_error, redirect_with_success
from flowlet.web.console.times import format_ago, format_clock, format_elapsed, format_milliseconds
from flowlet.web.console.values import VariableChange, describe_changes, render_json
from tests.web.console.console_harness import ConsoleHarness

NOON = datetime.fromisoformat("2026-11-24T12:00:00+00:00")
CHART_SERIES = (ChartSegment("ok", "accent"), ChartSegment("failed", "err"))


@pytest.fixture(autouse=True)
def _freeze_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(times, "now", lambda: to_microseconds(NOON))


@pytest.mark.parametrize(
    ("time", "distance", "length", "clock"),
    [
        ("2026-11-24T12:00:00.4+00:00", "now", "0 s", "12:00:00"),
        ("2026-11-24T11:59:46+00:00", "14 s ago", "14 s", "11:59:46"),
        ("2026-11-24T12:00:14+00:00", "in 14 s", "14 s", "12:00:14"),
        ("2026-11-24T13:57:01+02:00", "2 min 59 s ago", "2 min 59 s", "11:57:01"),
        ("2026-11-25T11:59:59+00:00", "in 23 h 59 min", "23 h 59 min", "Nov 25, 11:59:59"),
        ("2026-10-01T00:00:00+00:00", "54 d 12 h ago", "54 d 12 h", "Oct 1, 00:00:00"),
    ],
)
def test_a_time_is_shown_by_its_distance_or_by_the_clock(time: str, distance: str, length: str, clock: str) -> None:
    moment = datetime.fromisoformat(time)

    assert [
        re.sub("<[^>]+>", "", shown) for shown in (format_ago(moment), format_elapsed(moment), format_clock(moment))
    ] == [
        distance,
        length,
        clock,
    ]


def test_a_time_has_its_exact_self_beside_it() -> None:
    assert format_ago(NOON) == (
        '<time datetime="2026-11-24T12:00:00.000Z" title="2026-11-24 12:00:00 UTC" data-as="ago">now</time>'
    )
    assert format_ago(None) == '<span class="muted">never</span>'


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (None, ""),
        (0, "0 ms"),
        (999.4, "999 ms"),
        (999.6, "1 s"),
        (12_400, "12.4 s"),
        (59_960, "1 min"),
        (72_000, "1 min 12 s"),
        (7_500_000, "2 h 5 min"),
        (86_400_000 * 3 + 59_000, "3 d"),
    ],
)
def test_a_length_of_time_has_at_most_two_units(milliseconds: float | None, text: str) -> None:
    assert format_milliseconds(milliseconds) == text


def test_a_share_that_is_not_zero_is_seen() -> None:
    drawn = render_share_bar(
        [
            ChartSegment("scheduled", "accent", 1_000_000),
            ChartSegment("manual", "warn", 0),
            ChartSegment("failed", "err", 1),
        ]
    )

    assert re.findall(r'rect class="(\w+)" x="[\d.]+" width="([\d.]+)"', drawn) == [
        ("accent", "195"),
        ("err", "3.00019"),
    ]
    assert 'aria-label="1,000,000 scheduled, 1 failed"' in drawn


def test_no_share_is_wider_than_its_whole() -> None:
    assert 'width="199"' in render_share_bar([ChartSegment("busy", "info", 20)], full_count=16)
    assert 'aria-label="none"' in render_share_bar([])


def test_a_chart_says_what_it_shows_and_escapes_it() -> None:
    drawn = render_chart([Bar("12:00", (3, 1)), Bar("<12:01>", (0, 0))], CHART_SERIES, label="Transitions")

    assert 'aria-label="Transitions: maximum 4 (12:00), latest 0"' in drawn
    assert "<title>&lt;12:01&gt;: 0 ok, 0 failed</title>" in drawn
    assert re.findall(r'class="\w+" x="0.15" width=".7" y="([\d.]+)" height="([\d.]+)"', drawn) == [
        ("25.00", "75.00"),
        ("0.00", "25.00"),
    ]


def test_a_chart_of_nothing_is_drawn() -> None:
    assert "no data yet" in render_chart([], CHART_SERIES, label="Transitions")
    assert render_sparkline([1]) == ""
    assert 'd="M0.0 30.0L112.0 30.0"' in render_sparkline([5, 5])


def test_json_is_coloured_and_holds_no_markup() -> None:
    shown = render_json({"a": 'x": <b>', "n": -1.5e3, "t": True, "\u202e": []})

    assert '<span class="key">&#34;a&#34;</span>: <span class="text">&#34;x\\&#34;: &lt;b&gt;&#34;</span>' in shown
    assert '<span class="number">-1500.0</span>' in shown
    assert '<span class="number">true</span>' in shown
    assert "\u202e" not in shown


def test_changes_tell_what_a_variable_was_and_is() -> None:
    changes: list[PathChange] = [
        {"op": "unset", "path": "/a"},
        {"op": "set", "path": "/b", "value": [1]},
        {"op": "set", "path": "/c", "value": 2, "old": 1},
        {"op": "unset", "path": "/d"},
        {"op": "set", "path": "/items/1/n", "value": 3},
        {"op": "set", "path": "", "value": {}},
    ]

    found = describe_changes(changes, {"a": "x", "b": None, "items": [{}, {"n": 2}]})

    assert found[:-1] == [
        VariableChange("a", '"x"', None),
        VariableChange("b", "null", "[\n  1\n]"),
        VariableChange("c", "1", "2"),
        VariableChange("d", None, None),
        VariableChange("items/1/n", "2", "3"),
    ]
    assert (found[-1].name, found[-1].after) == ("all variables", "{}")
    assert describe_changes([]) == []
    assert [change.before for change in describe_changes(changes)] == [None, None, "1", None, None, None]


def test_changes_of_a_part_tell_only_the_part() -> None:
    changes: list[PathChange] = [
        {"op": "append", "path": "/log", "value": "more"},
        {"op": "splice", "path": "/log", "at": 1, "remove": 2, "value": "x"},
        {"op": "splice", "path": "/items", "at": 0, "remove": 1, "value": []},
        {"op": "splice", "path": "/items", "at": 0, "remove": 0, "value": [8]},
        {"op": "splice", "path": "/missing", "at": 0, "remove": 1, "value": ""},
    ]

    found = describe_changes(changes, {"log": "abcd", "items": [7]})

    assert found == [
        VariableChange("log", None, '"more"', "appended"),
        VariableChange("log", '"bc"', '"x"', "replaced at 1"),
        VariableChange("items", "[\n  7\n]", None, "removed at 0"),
        VariableChange("items", None, "[\n  8\n]", "inserted at 0"),
        VariableChange("missing", None, None, "removed at 0"),
    ]


def test_every_status_has_a_colour() -> None:
    assert set(layout.TONES) == set(Status)


@pytest.fixture
def console(console: ConsoleHarness) -> ConsoleHarness:
    """A console whose application gets pages of the test's own."""
    return replace(console, app_harness=console.app_harness.build_own_app())


async def _submit_and_follow(console: ConsoleHarness) -> tuple[httpx.AsyncClient, str]:
    """Let a form be done, and return the browser and the cookie of the notice."""
    routes = Blueprint("moves", __name__)

    @routes.get("/done")
    @require_role(Role.VIEWER)
    async def report_moved() -> Redirection:
        return redirect_with_success("<b>Moved</b> \N{ROCKET}" + "." * 1000, "/docs")

    @routes.get("/refused")
    @require_role(Role.VIEWER)
    async def report_refused() -> Redirection:
        return redirect_with_error("It stays", "//elsewhere.example")

    @routes.get("/longest")
    @require_role(Role.VIEWER)
    async def report_longest() -> Redirection:
        return redirect_with_success("\udc00" + "".join(chr(0x10000 + 997 * n) for n in range(1000)), "/docs")

    console.app_harness.app.register_blueprint(routes)
    browser = await console.open_logged_in_browser()
    answer = await browser.get("/done")
    assert (answer.status_code, answer.headers["location"]) == (303, "/docs")
    return browser, browser.cookies[COOKIE_NAME]


async def test_a_notice_is_shown_once_and_escaped(console: ConsoleHarness) -> None:
    browser, _ = await _submit_and_follow(console)

    first, second = await browser.get("/docs"), await browser.get("/docs")

    assert '<p class="notice ok" role="status">&lt;b&gt;Moved&lt;/b&gt; \N{ROCKET}...' in first.text
    assert 'class="notice' not in second.text


async def test_what_a_script_fetches_leaves_the_notice_for_the_page(console: ConsoleHarness) -> None:
    browser, _ = await _submit_and_follow(console)

    fetched = await browser.get("/docs", headers={"sec-fetch-dest": "empty"})

    assert 'class="notice' not in fetched.text
    assert 'class="notice' in (await browser.get("/docs", headers={"sec-fetch-dest": "document"})).text


async def test_a_notice_of_another_session_or_of_nobody_is_not_shown(console: ConsoleHarness) -> None:
    _, cookie = await _submit_and_follow(console)
    other = await console.open_logged_in_browser()

    for value in (cookie, "b2sgcGF5IHVz.", "b2sgcGF5IHVz", "%%%.x", "", "."):
        other.cookies.set(COOKIE_NAME, value)
        assert 'class="notice' not in (await other.get("/docs")).text


async def test_the_longest_notice_fits_into_a_cookie_and_is_shown(console: ConsoleHarness) -> None:
    browser, _ = await _submit_and_follow(console)

    await browser.get("/longest")

    assert len(browser.cookies[COOKIE_NAME]) < 4_000
    assert '<p class="notice ok" role="status">?\U00010000' in (await browser.get("/docs")).text


async def test_a_refusal_is_an_alert_and_leads_nowhere_else(console: ConsoleHarness) -> None:
    browser, _ = await _submit_and_follow(console)

    answer = await browser.get("/refused")

    assert answer.headers["location"] == "/"
    assert '<p class="notice err" role="alert">It stays</p>' in (await browser.get("/docs")).text


@pytest.mark.parametrize(
    ("count", "shown"), [(0, ""), (7, '<span class="count">7</span>'), (1234, '<span class="count">99+</span>')]
)
async def test_the_navigation_counts_what_waits(
    console: ConsoleHarness, monkeypatch: pytest.MonkeyPatch, count: int, shown: str
) -> None:
    async def count_many() -> int:
        return count

    entry = layout.NavigationItem("/docs", "API", "code", counter=count_many)
    monkeypatch.setattr(layout, "NAVIGATION", (entry,))

    page = await (await console.open_logged_in_browser()).get("/docs")

    assert f"API{shown}</a>" in page.text


async def test_the_colours_of_diagrams_are_served_from_their_one_place(console: ConsoleHarness) -> None:
    page = await (await console.open_logged_in_browser()).get("/docs")
    address = re.search(r'"(/static/diagram.css[^"]+)"', page.text)
    assert address

    found = await console.open_browser().get(address[1])

    assert found.headers["content-type"] == "text/css; charset=utf-8"
    assert ".fl-state.current" in found.text
