"""The picture of a definition: what it shows of an instance or of all of them, and that a page may hold it."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlet.definition import Definition
from flowlet.instances import Status
from flowlet.lettering import count_text, seconds_text, share_text, shortened, text_width
from flowlet.registry import Registry
from flowlet.retry import Retry
from flowlet.states import Kind, Workflow, end, manual
from flowlet.states import state as step
from flowlet.svg import STYLE, DefinitionOverlay, InstanceOverlay, svg
from tests.domain.graphs import DEMO, FAMILY, LOOP, ORDER, definition, random_definition
from tests.engine.making import workflow_module

NAMESPACE = "{http://www.w3.org/2000/svg}"

AT_REVIEW = InstanceOverlay.of_path([("Init", "Review")], start="Init", current="Review", status=Status.WAITING)


def read(picture: str) -> ElementTree.Element:
    return ElementTree.fromstring(picture)


def state(picture: str, name: str) -> ElementTree.Element:
    """Return the group of a state."""
    for group in read(picture).iter(f"{NAMESPACE}g"):
        if "fl-state" in group.get("class", "").split() and group.findtext(f"{NAMESPACE}text") == name:
            return group
    raise LookupError(name)


def classes(element: ElementTree.Element) -> set[str]:
    return set(element.get("class", "").split())


def title(element: ElementTree.Element) -> str:
    return element.findtext(f"{NAMESPACE}title") or ""


def edge(picture: str, start: str) -> ElementTree.Element:
    """Return the line of the edge whose title starts like this."""
    for group in read(picture).iter(f"{NAMESPACE}g"):
        if title(group).startswith(start):
            return group[1]
    raise LookupError(start)


def texts(picture: str, *, within: str) -> list[str]:
    """Return the texts in the groups of a class, each group's in one."""
    return [
        " ".join(text.text or "" for text in group.iter(f"{NAMESPACE}text"))
        for group in read(picture).iter(f"{NAMESPACE}g")
        if within in group.get("class", "").split()
    ]


@pytest.mark.parametrize("graph", [DEMO, FAMILY, LOOP, ORDER, random_definition(5)], ids=lambda graph: graph.name)
def test_every_state_and_transition_is_drawn(graph: Definition) -> None:
    picture = svg(graph)

    titles = [title(group).split(":")[0].split(",")[0] for group in read(picture).iter(f"{NAMESPACE}g")]
    for name, drawn in graph.states.items():
        assert drawn.kind.value in classes(state(picture, name))
        assert all(f"{name} → {target}" in titles for target in drawn.targets)


def test_labels_stand_on_their_edges() -> None:
    assert texts(svg(DEMO), within="fl-label") == ["Approve", "Refuse"]


def test_a_state_tells_its_description_and_its_place_in_the_source() -> None:
    tip = title(state(svg(DEMO), "Review"))

    assert tip == "Review (manual)\nWait for a person.\n\nWhoever answers has read the request.\norders.py:20"


def test_a_state_tells_what_becomes_of_failed_attempts_long_ones_and_missing_answers() -> None:
    @step(start=True, next=["ask"], retry=Retry(limit=3, min="1s", max="1h"), timeout="2 minutes")
    async def go() -> None: ...

    @manual(next=["once"], deadline="3 days", on_deadline="once", retry=Retry(limit=1, min="5s", max="5s"))
    async def ask() -> None: ...

    @step(next=["done"], retry=Retry(limit=0))
    async def once() -> None: ...

    registry = Registry()
    registry.add(workflow_module(go=go, ask=ask, once=once, done=end(), workflow=Workflow("Orders")))
    picture = svg(registry.definition("Orders"))

    tips = {name: title(state(picture, name)).splitlines() for name in ("go", "ask", "once", "done")}
    assert tips["go"][1:3] == [
        "retried 3 times, after 1 second to 1 hour, exponential",
        "an attempt may take 2 minutes",
    ]
    assert tips["ask"][1:3] == ["an answer is due within 3 days", "retried once, after 5 seconds"]
    assert "not retried" in tips["once"]
    assert not any("retried" in line for line in tips["done"])


def test_it_has_a_name_and_a_description_for_those_who_cannot_see_it() -> None:
    root = read(svg(DEMO))

    assert root.get("role") == "img"
    assert title(root) == root.get("aria-label") == "State diagram of DemoWorkflow"
    description = root.findtext(f"{NAMESPACE}desc") or ""
    assert description.startswith("It starts in Init. Init, start, leads to Review.")
    assert "Review, manual, leads to Approve (Approve), ApproveError (Refuse)." in description


def test_states_are_links_where_an_address_is_given() -> None:
    picture = svg(DEMO, href=lambda name: f"/definitions/Demo?a=1&state={name}")

    links = [link.get("href") for link in read(picture).iter(f"{NAMESPACE}a")]
    assert links == [f"/definitions/Demo?a=1&state={name}" for name in DEMO.states]
    assert read(picture).get("role") == "group"


def test_a_strict_content_security_policy_blocks_nothing_of_it() -> None:
    for overlay in (None, AT_REVIEW, DefinitionOverlay()):
        picture = svg(DEMO, overlay, href=lambda name: f"#{name}")

        assert "<style" not in picture
        assert "<script" not in picture
        assert not re.search(r"\s(style|on\w+)=", picture)
        assert "url(" not in picture


def test_two_pictures_in_one_page_share_no_id() -> None:
    assert not [element for element in read(svg(ORDER, AT_REVIEW)).iter() if element.get("id")]


def test_a_file_of_its_own_carries_its_theme() -> None:
    picture = svg(DEMO, standalone=True)

    style = read(picture).findtext(f"{NAMESPACE}style") or ""
    assert "prefers-color-scheme: dark" in style
    used = set(re.findall(r"var\((--[\w-]+)\)", style))
    assert used <= set(re.findall(r"(--[\w-]+):", style))


def test_the_rules_know_every_class_that_is_drawn() -> None:
    overlay = InstanceOverlay.of_path([("Init", "Review")] * 2, start="Init", current="Review", status=Status.EXECUTING)
    numbers = DefinitionOverlay({"Init": 1}, {("Init", "Review"): 1.0})
    without_rules = {"normal", "word", "is-waiting", "is-in-progress", "is-new", "share-1"}

    for picture in (svg(DEMO, overlay, standalone=True), svg(LOOP, AT_REVIEW), svg(DEMO, numbers)):
        drawn = {name for element in read(picture).iter() for name in classes(element)} - without_rules
        assert not {name for name in drawn if f".{name}" not in STYLE}


def test_the_way_taken_is_marked() -> None:
    picture = svg(DEMO, AT_REVIEW)

    assert "visited" in classes(state(picture, "Init"))
    assert "visited" not in classes(state(picture, "Approve"))
    assert "done" in classes(edge(picture, "Init → Review"))
    assert "done" not in classes(edge(picture, "Review → Approve"))
    assert title_of_edge(picture, "Init → Review").endswith("taken once")


def title_of_edge(picture: str, start: str) -> str:
    return next(title(group) for group in read(picture).iter(f"{NAMESPACE}g") if title(group).startswith(start))


@pytest.mark.parametrize("status", Status)
def test_the_current_state_is_marked_with_its_status(status: Status) -> None:
    picture = svg(DEMO, InstanceOverlay(current="Review", status=status))

    assert {"current", f"is-{status.value.lower().replace('_', '-')}"} <= classes(state(picture, "Review"))
    assert "current" not in classes(state(picture, "Init"))


def test_what_happened_more_than_once_is_counted() -> None:
    path = [("poll", "poll")] * 7 + [("poll", "done")]

    picture = svg(LOOP, InstanceOverlay.of_path(path, start="poll", current="done", status=Status.FINISHED))

    assert texts(picture, within="fl-badge") == ["×8", "×7"]
    assert "visited 8 times" in title(state(picture, "poll"))


def test_a_way_through_states_of_another_version_is_drawn_as_far_as_they_exist() -> None:
    picture = svg(DEMO, InstanceOverlay.of_path([("Init", "Gone"), ("Gone", "Finish")], start="Init", current="Gone"))

    assert "visited" in classes(state(picture, "Finish"))
    assert "current" not in picture


def test_a_definition_shows_how_many_instances_are_where() -> None:
    picture = svg(DEMO, DefinitionOverlay(instances={"Review": 5, "Finish": 53_100, "Init": 0, "Gone": 3}))

    assert texts(picture, within="fl-badge") == ["5", "53.1k"]


def test_a_definition_shows_shares_and_median_times() -> None:
    pair = ("Review", "Approve")

    picture = svg(DEMO, DefinitionOverlay(shares={pair: 0.816}, median_seconds={pair: 190.0}))

    assert texts(picture, within="fl-label") == ["Approve 82 % · 3.2 min", "Refuse"]
    assert title_of_edge(picture, "Review → Approve") == "Review → Approve: Approve, 82 % · 3.2 min"
    assert "share-3" in classes(edge(picture, "Review → Approve"))


def test_an_instance_is_drawn_in_the_same_place_as_its_definition() -> None:
    def boxes(picture: str) -> list[dict[str, str]]:
        rects = (state(picture, name).find(f"{NAMESPACE}rect") for name in DEMO.states)
        return [{key: rect.get(key, "") for key in ("x", "y", "width")} for rect in rects if rect is not None]

    assert boxes(svg(DEMO)) == boxes(svg(DEMO, AT_REVIEW))


def test_the_way_of_errors_and_deadlines_is_told_apart() -> None:
    edges = {"ask": ["go", "late"], "go": ["done", "broken"], "late": [], "broken": [], "done": []}
    picture = svg(definition("D", edges, on_error={"go": "broken"}, on_deadline={"ask": "late"}))

    assert "otherwise" in classes(edge(picture, "go → broken"))
    assert "otherwise" not in classes(edge(picture, "go → done"))
    assert title_of_edge(picture, "go → broken") == "go → broken, when the attempts are used up"
    assert title_of_edge(picture, "ask → late") == "ask → late, when nobody answers in time"


def test_a_long_name_is_shortened_and_told_in_full() -> None:
    name = "very_" * 50 + "long"

    picture = svg(definition("D", {name: ["done"], "done": []}))

    assert title(state(picture, shortened(name, 36))).startswith(f"{name} (start)")


@given(st.text(st.characters(), min_size=1, max_size=20), st.text(st.characters(), max_size=40))
def test_whatever_names_and_texts_hold_the_picture_is_well_formed(name: str, text: str) -> None:
    graph = definition(
        text, {"start": [(name, text)], name: [("start", text)]}, descriptions={name: text}, kinds={name: Kind.MANUAL}
    )

    for standalone in (False, True):
        root = read(svg(graph, DefinitionOverlay({name: 3}), href=lambda state: state, standalone=standalone))
        assert {element.tag.removeprefix(NAMESPACE) for element in root.iter()} <= {
            *("svg", "title", "desc", "style", "a", "g", "rect", "path", "text")
        }


def test_markup_in_a_name_is_text() -> None:
    name = '"><script>alert(1)</script>'

    picture = svg(definition(name, {name: [("done", name)], "done": []}))

    assert "<script" not in picture
    assert name in texts(picture, within="fl-label")


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (5_310, "5,310"), (9_999, "9,999"), (12_449, "12.4k"), (99_960, "100k"), (999_600, "1.0M")],
)
def test_large_counts_are_rounded(count: int, text: str) -> None:
    assert count_text(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *[(0, "0 ms"), (0.84, "840 ms"), (1, "1 s"), (12.44, "12.4 s"), (59.97, "1 min"), (190, "3.2 min")],
        *[(3_600, "1 h"), (18_360, "5.1 h"), (86_399, "1 d"), (300_000, "3.5 d")],
    ],
)
def test_times_are_told_in_their_largest_unit(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


@pytest.mark.parametrize(
    ("share", "text"), [(0, "0 %"), (0.004, "<1 %"), (0.5, "50 %"), (0.996, ">99 %"), (1, "100 %")]
)
def test_a_rare_transition_is_not_called_none_and_a_usual_one_not_all(share: float, text: str) -> None:
    assert share_text(share) == text


def test_wide_letters_are_wider() -> None:
    assert text_width("ill", 13) < text_width("abc", 13) < text_width("MWM", 13) < text_width("注文確認", 13)
    assert text_width("e\u0301", 13) == text_width("e", 13)
