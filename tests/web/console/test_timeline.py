"""The timeline of a workflow: its axis, its picture, and the tab that shows it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Status
from flowlet.store.reports.visit_history import ManualAction, Span, SpanKind, Visit, VisitHistory
from flowlet.web.console.axis import build_axis
from flowlet.web.console.timeline import VISITS_DRAWN, build_timeline
from tests.engine.activation.activation_harness import SECOND_MICROSECONDS
from tests.operations.operations_harness import OPERATOR_NAME
from tests.web.console.workflow_console import WorkflowConsole, open_workflow_console

HOUR_MICROSECONDS, DAY_MICROSECONDS = 3600 * SECOND_MICROSECONDS, 86_400 * SECOND_MICROSECONDS
ATTACK_TEXT = "<script>alert(1)</script>\"'&\u202e"


def build_visit(state: str, begin: int, *spans: tuple[SpanKind, int], marks: tuple[ManualAction, ...] = ()) -> Visit:
    """Return a visit of spans that follow one another, each with its length."""
    made, at = [], begin
    for spending, length in spans:
        made.append(Span(spending, at, at + length))
        at += length
    return Visit(state, begin, at, tuple(made), marks)


def read_bars(picture: str) -> list[tuple[str, float, float]]:
    """Return the bars, each with where it begins and how wide it is, in percent."""
    found = re.findall(r'<rect class="([\w ]+)" x="([\d.]+)%" y="\d+" width="([\d.]+)%"', picture)
    return [(name, float(x), float(width)) for name, x, width in found]


def test_an_axis_is_linear() -> None:
    scale = build_axis([0, 3 * SECOND_MICROSECONDS, 10 * SECOND_MICROSECONDS])

    assert [round(scale.to_percent(at * SECOND_MICROSECONDS)) for at in (-1, 0, 3, 5, 10, 11)] == [
        0,
        0,
        30,
        50,
        100,
        100,
    ]
    assert [tick.label for tick in scale.ticks] == ["0", "2 s", "4 s", "6 s", "8 s", "10 s"]
    assert not scale.cuts


def test_a_wait_that_is_far_longer_than_the_rest_is_cut_to_as_much_as_that() -> None:
    scale = build_axis(
        [
            0,
            SECOND_MICROSECONDS,
            SECOND_MICROSECONDS + 3 * DAY_MICROSECONDS,
            2 * SECOND_MICROSECONDS + 3 * DAY_MICROSECONDS,
        ]
    )

    (cut,) = scale.cuts
    assert (cut.label, cut.percent) == ("3 d", 50)
    assert round(scale.to_percent(SECOND_MICROSECONDS)) == 25
    assert round(scale.to_percent(SECOND_MICROSECONDS + 3 * DAY_MICROSECONDS)) == 75
    assert [tick.label for tick in scale.ticks] == ["0", "1 s", "+1 s"]


def test_two_long_waits_are_cut_to_a_quarter_of_the_width_each() -> None:
    scale = build_axis(
        [
            0,
            1 * SECOND_MICROSECONDS,
            1 * SECOND_MICROSECONDS + HOUR_MICROSECONDS,
            2 * SECOND_MICROSECONDS + HOUR_MICROSECONDS,
            2 * SECOND_MICROSECONDS + HOUR_MICROSECONDS + DAY_MICROSECONDS,
        ]
    )

    assert [(cut.label, cut.percent) for cut in scale.cuts] == [("1 h", 37.5), ("1 d", 87.5)]
    assert [round(place) for place in scale.positions] == [0, 25, 50, 75, 100]


CUT_AT_BEGINNING = [0, 138_000_000, 138_343_000, 138_343_000 + 3 * HOUR_MICROSECONDS]


@pytest.mark.parametrize("moments", [[5], [5, 6], [0, 1, 10**17], list(range(0, 10**9, 10**6)), CUT_AT_BEGINNING])
def test_an_axis_has_a_few_ticks_that_do_not_touch(moments: list[int]) -> None:
    scale = build_axis(moments)

    places = sorted(tick.percent for tick in (*scale.ticks, *scale.cuts))
    assert 1 <= len(places) <= 6
    assert all(after - before >= 19 for before, after in pairwise(places))


def test_milliseconds_are_seen_beside_days() -> None:
    spans = (
        (SpanKind.PERSON, DAY_MICROSECONDS),
        (SpanKind.FAILING, 1000),
        (SpanKind.WAITING, 3 * HOUR_MICROSECONDS),
        (SpanKind.RUNNING, HOUR_MICROSECONDS),
    )

    found = build_timeline(VisitHistory((build_visit("wait", 0, *spans),), is_whole=True), [], now=2 * DAY_MICROSECONDS)

    drawn = {name: (x, width) for name, x, width in read_bars(found.svg)}
    assert drawn["err failing"][1] == 0.7
    assert all(x >= 0 and x + width <= 100.01 for x, width in drawn.values())
    assert found.cut_count == 1
    assert [part.label for part in found.legend] == [
        "running",
        "failed attempt",
        "waiting for a timer or a free slot",
        "waiting for a decision",
    ]


def test_a_row_shows_in_words_what_its_bars_show() -> None:
    spans = ((SpanKind.FAILING, 2000), (SpanKind.RETRYING, 9 * SECOND_MICROSECONDS), (SpanKind.RUNNING, 500))
    by_hand = ManualAction(SECOND_MICROSECONDS, ActionKind.WOKEN, "ada")

    (row,) = build_timeline(
        VisitHistory((build_visit("pay", 0, *spans, marks=(by_hand,)),), is_whole=True), [], now=HOUR_MICROSECONDS
    ).rows

    assert (row.total_time, row.run_time, row.failed_attempts) == ("9 s", "2 ms", 1)
    assert (row.wait_times, row.manual_actions) == (["9 s waiting for the next attempt"], ["Run now requested by ada"])


def test_an_end_has_a_short_bar_in_its_colour() -> None:
    visits = (build_visit("go", 0, (SpanKind.RUNNING, SECOND_MICROSECONDS)), build_visit("lost", SECOND_MICROSECONDS))

    picture = build_timeline(VisitHistory(visits, is_whole=True), [], now=HOUR_MICROSECONDS, tones={"lost": "err"}).svg

    assert read_bars(picture) == [("accent running", 0, 100), ("err", 99.3, 0.7)]


def test_many_visits_are_a_row_for_each_state() -> None:
    visits = tuple(
        build_visit("ab"[at % 2], at * SECOND_MICROSECONDS, (SpanKind.RUNNING, SECOND_MICROSECONDS))
        for at in range(VISITS_DRAWN + 2)
    )

    found = build_timeline(VisitHistory(visits, is_whole=True), [], now=HOUR_MICROSECONDS)

    assert found.is_grouped
    assert [(row.name, row.visit_count, row.total_time) for row in found.rows] == [("a", 16, "16 s"), ("b", 16, "16 s")]


def test_names_are_text_and_the_picture_is_well_formed_and_without_style() -> None:
    mark = ManualAction(SECOND_MICROSECONDS, ActionKind.FORCED, ATTACK_TEXT)

    found = build_timeline(
        VisitHistory((build_visit(ATTACK_TEXT, 0, marks=(mark,)),), is_whole=True), [], now=HOUR_MICROSECONDS
    )

    tags = {element.tag for element in ElementTree.fromstring(found.svg).iter()}
    assert tags <= {"svg", "g", "line", "text", "rect", "circle", "title"}
    assert "<script" not in found.svg
    assert "\u202e" not in found.svg
    assert "style" not in found.svg


@pytest.fixture
async def workflow_console(sqlite_url: str) -> AsyncIterator[WorkflowConsole]:
    """An application on SQLite: reading visits is tested on each database elsewhere."""
    async with open_workflow_console(sqlite_url) as client:
        yield client


async def test_the_tab_shows_each_state_and_what_was_done_by_hand(workflow_console: WorkflowConsole) -> None:
    id = await workflow_console.create_instance()
    await workflow_console.fail_instance(id, "no card")

    page = (await workflow_console.viewer.get(f"/workflows/{id}?tab=timeline")).text

    assert '<svg class="timeline-diagram"' in page
    assert "Forced move by ada</text>" in page
    assert '<th scope="row">check</th>' in page
    assert '<th scope="row">unpaid</th>' in page


async def test_the_tab_of_a_workflow_whose_history_is_gone_says_so(workflow_console: WorkflowConsole) -> None:
    id = await workflow_console.create_instance()
    connections = workflow_console.console.app_harness.services.store.connections
    await connections.write(lambda session: session.execute("DELETE FROM flowlet_action"))

    page = await workflow_console.viewer.get(f"/workflows/{id}?tab=timeline")

    assert (page.status_code, "No history" in page.text) == (200, True)


async def test_the_tab_shows_children_as_links_and_a_workflow_that_is_not_known_here(
    workflow_console: WorkflowConsole,
) -> None:
    operations = workflow_console.console.app_harness.services.operations
    parent, child = [(await operations.create("Orders", username=OPERATOR_NAME)).id for _ in range(2)]
    connections = workflow_console.console.app_harness.services.store.connections
    adopted = "UPDATE flowlet_workflow SET parent_id = :parent, status = 'FAILED' WHERE id = :child"
    parted = "UPDATE flowlet_workflow SET children = 1, workflow_type = 'Elsewhere' WHERE id = :parent"
    await connections.write(lambda session: session.execute(adopted, {"parent": parent, "child": child}))
    await connections.write(lambda session: session.execute(parted, {"parent": parent}))

    page = (await workflow_console.viewer.get(f"/workflows/{parent}?tab=timeline")).text

    assert f'<a href="/workflows/{child}"><text class="name"' in page
    assert f'<th scope="row"><a href="/workflows/{child}">#{child} Orders</a></th>' in page
    assert (await workflow_console.get_instance(child)).status is Status.FAILED
