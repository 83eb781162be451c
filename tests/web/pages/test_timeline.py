"""The timeline of a workflow: its axis, its picture, and the tab that shows it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from flowlet.instances import ActionKind, Status
from flowlet.store.reports.passage import Mark, Passage, Span, Spending, Visit
from flowlet.web.pages.axis import axis
from flowlet.web.pages.timeline import VISITS_DRAWN, timeline_of
from tests.engine.making import SECOND
from tests.operations.desk import CLERK
from tests.web.pages.hall import Hall, opened_hall

HOUR, DAY = 3600 * SECOND, 86_400 * SECOND
ATTACK = "<script>alert(1)</script>\"'&\u202e"


def visit(state: str, begin: int, *spans: tuple[Spending, int], marks: tuple[Mark, ...] = ()) -> Visit:
    """Return a visit of spans that follow one another, each with its length."""
    made, at = [], begin
    for spending, length in spans:
        made.append(Span(spending, at, at + length))
        at += length
    return Visit(state, begin, at, tuple(made), marks)


def bars(picture: str) -> list[tuple[str, float, float]]:
    """Return the bars, each with where it begins and how wide it is, in percent."""
    found = re.findall(r'<rect class="([\w ]+)" x="([\d.]+)%" y="\d+" width="([\d.]+)%"', picture)
    return [(name, float(x), float(width)) for name, x, width in found]


def test_an_axis_is_linear() -> None:
    scale = axis([0, 3 * SECOND, 10 * SECOND])

    assert [round(scale.share(at * SECOND)) for at in (-1, 0, 3, 5, 10, 11)] == [0, 0, 30, 50, 100, 100]
    assert [tick.label for tick in scale.ticks] == ["0", "2 s", "4 s", "6 s", "8 s", "10 s"]
    assert not scale.cuts


def test_a_wait_that_is_far_longer_than_the_rest_is_cut_to_as_much_as_that() -> None:
    scale = axis([0, SECOND, SECOND + 3 * DAY, 2 * SECOND + 3 * DAY])

    (cut,) = scale.cuts
    assert (cut.label, cut.share) == ("3 d", 50)
    assert round(scale.share(SECOND)) == 25
    assert round(scale.share(SECOND + 3 * DAY)) == 75
    assert [tick.label for tick in scale.ticks] == ["0", "1 s", "+1 s"]


def test_two_long_waits_are_cut_to_a_quarter_of_the_width_each() -> None:
    scale = axis([0, 1 * SECOND, 1 * SECOND + HOUR, 2 * SECOND + HOUR, 2 * SECOND + HOUR + DAY])

    assert [(cut.label, cut.share) for cut in scale.cuts] == [("1 h", 37.5), ("1 d", 87.5)]
    assert [round(place) for place in scale.places] == [0, 25, 50, 75, 100]


@pytest.mark.parametrize("moments", [[5], [5, 6], [0, 1, 10**17], list(range(0, 10**9, 10**6))])
def test_an_axis_has_a_few_ticks_that_do_not_touch(moments: list[int]) -> None:
    scale = axis(moments)

    places = sorted(tick.share for tick in (*scale.ticks, *scale.cuts))
    assert 1 <= len(places) <= 6
    assert all(after - before >= 19 for before, after in pairwise(places))


def test_milliseconds_are_seen_beside_days() -> None:
    spans = (Spending.PERSON, DAY), (Spending.FAILING, 1000), (Spending.WAITING, 3 * HOUR), (Spending.RUNNING, HOUR)

    found = timeline_of(Passage((visit("wait", 0, *spans),), is_whole=True), [], now=2 * DAY)

    drawn = {name: (x, width) for name, x, width in bars(found.picture)}
    assert drawn["err failing"][1] == 0.7
    assert all(x >= 0 and x + width <= 100.01 for x, width in drawn.values())
    assert found.cuts == 1
    assert [part.label for part in found.legend] == [
        "running",
        "a failed attempt",
        "waiting for a timer or its turn",
        "waiting for a person",
    ]


def test_a_row_tells_in_words_what_its_bars_show() -> None:
    spans = ((Spending.FAILING, 2000), (Spending.RETRYING, 9 * SECOND), (Spending.RUNNING, 500))
    by_hand = Mark(SECOND, ActionKind.WOKEN, "ada")

    (row,) = timeline_of(Passage((visit("pay", 0, *spans, marks=(by_hand,)),), is_whole=True), [], now=HOUR).rows

    assert (row.took, row.ran, row.failures) == ("9 s", "2 ms", 1)
    assert (row.waits, row.deeds) == (["9 s waiting for the next attempt"], ["Run now by ada"])


def test_an_end_has_a_short_bar_in_its_colour() -> None:
    visits = (visit("go", 0, (Spending.RUNNING, SECOND)), visit("lost", SECOND))

    picture = timeline_of(Passage(visits, is_whole=True), [], now=HOUR, tones={"lost": "err"}).picture

    assert bars(picture) == [("accent running", 0, 100), ("err", 99.3, 0.7)]


def test_many_visits_are_a_row_for_each_state() -> None:
    visits = tuple(visit("ab"[at % 2], at * SECOND, (Spending.RUNNING, SECOND)) for at in range(VISITS_DRAWN + 2))

    found = timeline_of(Passage(visits, is_whole=True), [], now=HOUR)

    assert found.is_grouped
    assert [(row.name, row.visits, row.took) for row in found.rows] == [("a", 16, "16 s"), ("b", 16, "16 s")]


def test_names_are_text_and_the_picture_is_well_formed_and_without_style() -> None:
    mark = Mark(SECOND, ActionKind.FORCED, ATTACK)

    found = timeline_of(Passage((visit(ATTACK, 0, marks=(mark,)),), is_whole=True), [], now=HOUR)

    tags = {element.tag for element in ElementTree.fromstring(found.picture).iter()}
    assert tags <= {"svg", "g", "line", "text", "rect", "circle", "title"}
    assert "<script" not in found.picture
    assert "\u202e" not in found.picture
    assert "style" not in found.picture


@pytest.fixture
async def hall(sqlite_url: str) -> AsyncIterator[Hall]:
    """A hall on SQLite: what is read is tested on each database with the passage."""
    async with opened_hall(sqlite_url) as hall:
        yield hall


async def test_the_tab_shows_each_state_and_what_was_done_by_hand(hall: Hall) -> None:
    id = await hall.create()
    await hall.fail(id, "no card")

    page = (await hall.viewer.get(f"/workflows/{id}?tab=timeline")).text

    assert '<svg class="passage"' in page
    assert "Moved by force by ada</text>" in page
    assert '<th scope="row">check</th>' in page
    assert '<th scope="row">unpaid</th>' in page


async def test_the_tab_of_a_workflow_whose_history_is_gone_says_so(hall: Hall) -> None:
    id = await hall.create()
    connections = hall.door.probe.services.store.connections
    await connections.write(lambda session: session.execute("DELETE FROM workflow_action"))

    page = await hall.viewer.get(f"/workflows/{id}?tab=timeline")

    assert (page.status_code, "No history" in page.text) == (200, True)


async def test_the_tab_shows_children_as_links_and_a_workflow_that_is_not_known_here(hall: Hall) -> None:
    operations = hall.door.probe.services.operations
    parent, child = [(await operations.create("Orders", username=CLERK)).id for _ in range(2)]
    connections = hall.door.probe.services.store.connections
    adopted = "UPDATE workflow SET parent_id = :parent, status = 'FAILED' WHERE id = :child"
    parted = "UPDATE workflow SET children = 1, workflow_type = 'Elsewhere' WHERE id = :parent"
    await connections.write(lambda session: session.execute(adopted, {"parent": parent, "child": child}))
    await connections.write(lambda session: session.execute(parted, {"parent": parent}))

    page = (await hall.viewer.get(f"/workflows/{parent}?tab=timeline")).text

    assert f'<a href="/workflows/{child}"><text class="name"' in page
    assert f'<th scope="row"><a href="/workflows/{child}">#{child} Orders</a></th>' in page
    assert (await hall.instance(child)).status is Status.FAILED
