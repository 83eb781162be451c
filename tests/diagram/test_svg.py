"""The picture of a definition: what it shows of an instance or of all of them, and that a page may hold it."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlet.definition.definition import Definition
from flowlet.definition.registry import Registry
from flowlet.diagram.overlay import ChangeOverlay
from flowlet.diagram.svg import STYLESHEET, DefinitionOverlay, InstanceOverlay, render_svg
from flowlet.instance.instance import Status
from flowlet.workflow.retry import Retry
from flowlet.workflow.states import StateKind, end, manual
from flowlet.workflow.states import state as step
from flowlet.workflow.workflow import Workflow
from tests.definition.definitions import (
    DEMO_DEFINITION,
    FAMILY_DEFINITION,
    LOOP_DEFINITION,
    ORDER_DEFINITION,
    build_definition,
    build_random_definition,
)
from tests.engine.activation.activation_harness import build_workflow_module

SVG_NAMESPACE = "{http://www.w3.org/2000/svg}"

REVIEW_OVERLAY = InstanceOverlay.from_path(
    [("Init", "Review")], start="Init", current_state="Review", status=Status.WAITING
)

MARKS = ("added", "removed", "changed")
CHANGES = ChangeOverlay(
    added={"Approve"},
    removed={"ApproveError"},
    renamed={"Review": "Old"},
    added_transitions={("Review", "Approve")},
    removed_transitions={("Review", "ApproveError")},
)


def parse_svg(picture: str) -> ElementTree.Element:
    return ElementTree.fromstring(picture)


def find_state_group(picture: str, name: str) -> ElementTree.Element:
    """Return the group of a state."""
    for group in parse_svg(picture).iter(f"{SVG_NAMESPACE}g"):
        if "fl-state" in group.get("class", "").split() and read_name(group) == name:
            return group
    raise LookupError(name)


def read_name(group: ElementTree.Element) -> str:
    """Return the name that a state's box shows."""
    text = group.find(f"{SVG_NAMESPACE}text")
    return "" if text is None else "".join(text.itertext())


def read_classes(element: ElementTree.Element) -> set[str]:
    return set(element.get("class", "").split())


def read_title(element: ElementTree.Element) -> str:
    return element.findtext(f"{SVG_NAMESPACE}title") or ""


def find_edge_line(picture: str, start: str) -> ElementTree.Element:
    """Return the line of the edge whose title starts like this."""
    for group in parse_svg(picture).iter(f"{SVG_NAMESPACE}g"):
        if read_title(group).startswith(start):
            return group[1]
    raise LookupError(start)


def read_texts(picture: str, *, class_name: str) -> list[str]:
    """Return the texts in the groups of a class, each group's in one."""
    return [
        " ".join("".join(text.itertext()) for text in group.iter(f"{SVG_NAMESPACE}text"))
        for group in parse_svg(picture).iter(f"{SVG_NAMESPACE}g")
        if class_name in group.get("class", "").split()
    ]


@pytest.mark.parametrize(
    "graph",
    [DEMO_DEFINITION, FAMILY_DEFINITION, LOOP_DEFINITION, ORDER_DEFINITION, build_random_definition(5)],
    ids=lambda graph: graph.name,
)
def test_every_state_and_transition_is_drawn(graph: Definition) -> None:
    picture = render_svg(graph)

    titles = [read_title(group).split(":")[0].split(",")[0] for group in parse_svg(picture).iter(f"{SVG_NAMESPACE}g")]
    for name, drawn in graph.states.items():
        assert drawn.kind.value in read_classes(find_state_group(picture, name))
        assert all(f"{name} → {target}" in titles for target in drawn.targets)


def test_labels_stand_on_their_edges() -> None:
    assert read_texts(render_svg(DEMO_DEFINITION), class_name="fl-label") == ["Approve", "Refuse"]


def test_a_state_tells_its_description_and_its_place_in_the_source() -> None:
    tip = read_title(find_state_group(render_svg(DEMO_DEFINITION), "Review"))

    assert tip == "Review (manual)\nWait for a person.\n\nWhoever answers has read the request.\norders.py:20"


def test_a_state_tells_what_becomes_of_failed_attempts_long_ones_and_missing_answers() -> None:
    @step(start=True, next=["ask"], retry=Retry(limit=3, min="1s", max="1h"), timeout="2 minutes")
    async def go() -> None: ...

    @manual(next=["once"], deadline="3 days", on_deadline="once", retry=Retry(limit=1, min="5s", max="5s"))
    async def ask() -> None: ...

    @step(next=["done"], retry=Retry(limit=0))
    async def once() -> None: ...

    registry = Registry()
    registry.add(build_workflow_module(go=go, ask=ask, once=once, done=end(), workflow=Workflow("Orders")))
    picture = render_svg(registry.get_definition("Orders"))

    tips = {name: read_title(find_state_group(picture, name)).splitlines() for name in ("go", "ask", "once", "done")}
    assert tips["go"][1:3] == [
        "retried 3 times, after 1 second to 1 hour, exponential",
        "attempts time out after 2 minutes",
    ]
    assert tips["ask"][1:3] == ["must be answered within 3 days", "retried once, after 5 seconds"]
    assert "not retried" in tips["once"]
    assert not any("retried" in line for line in tips["done"])


def test_it_has_a_name_and_a_description_for_those_who_cannot_see_it() -> None:
    root = parse_svg(render_svg(DEMO_DEFINITION))

    assert root.get("role") == "img"
    assert read_title(root) == root.get("aria-label") == "State diagram of DemoWorkflow"
    description = root.findtext(f"{SVG_NAMESPACE}desc") or ""
    assert description.startswith("The start state is Init. Init, start, leads to Review.")
    assert "Review, manual, leads to Approve (Approve), ApproveError (Refuse)." in description


def test_states_are_links_where_an_address_is_given() -> None:
    picture = render_svg(DEMO_DEFINITION, href=lambda name: f"/definitions/Demo?a=1&state={name}")

    links = [link.get("href") for link in parse_svg(picture).iter(f"{SVG_NAMESPACE}a")]
    assert links == [f"/definitions/Demo?a=1&state={name}" for name in DEMO_DEFINITION.states]
    assert parse_svg(picture).get("role") == "group"


def test_a_strict_content_security_policy_blocks_nothing_of_it() -> None:
    for overlay in (None, REVIEW_OVERLAY, DefinitionOverlay()):
        picture = render_svg(DEMO_DEFINITION, overlay, href=lambda name: f"#{name}")

        assert "<style" not in picture
        assert "<script" not in picture
        assert not re.search(r"\s(style|on\w+)=", picture)
        assert "url(" not in picture


def test_two_pictures_in_one_page_share_no_id() -> None:
    assert not [
        element for element in parse_svg(render_svg(ORDER_DEFINITION, REVIEW_OVERLAY)).iter() if element.get("id")
    ]


def test_a_file_of_its_own_carries_its_theme() -> None:
    picture = render_svg(DEMO_DEFINITION, standalone=True)

    style = parse_svg(picture).findtext(f"{SVG_NAMESPACE}style") or ""
    assert "prefers-color-scheme: dark" in style
    used = set(re.findall(r"var\((--[\w-]+)\)", style))
    assert used <= set(re.findall(r"(--[\w-]+):", style))


def test_the_rules_know_every_class_that_is_drawn() -> None:
    overlay = InstanceOverlay.from_path(
        [("Init", "Review")] * 2, start="Init", current_state="Review", status=Status.EXECUTING
    )
    numbers = DefinitionOverlay({"Init": 1}, {"Init": 2}, {("Init", "Review"): 1.0})
    without_rules = {"normal", "word", "is-waiting", "is-in-progress", "is-new", "share-1"}

    for picture in (
        render_svg(DEMO_DEFINITION, overlay, standalone=True),
        render_svg(LOOP_DEFINITION, REVIEW_OVERLAY),
        render_svg(DEMO_DEFINITION, numbers),
        render_svg(DEMO_DEFINITION, CHANGES),
    ):
        drawn = {name for element in parse_svg(picture).iter() for name in read_classes(element)} - without_rules
        assert not {name for name in drawn if f".{name}" not in STYLESHEET}


def test_what_a_version_changes_is_marked_and_said() -> None:
    picture = parse_svg(render_svg(DEMO_DEFINITION, CHANGES))

    assert [sum(name in read_classes(one) for one in picture.iter()) for name in MARKS] == [3, 3, 1]
    badges = ["".join(one.itertext()) for one in picture.iter() if "fl-badge" in read_classes(one)]
    assert sorted(badges) == ["added", "removed", "was Old"]


def test_the_way_taken_is_marked() -> None:
    picture = render_svg(DEMO_DEFINITION, REVIEW_OVERLAY)

    assert "visited" in read_classes(find_state_group(picture, "Init"))
    assert "visited" not in read_classes(find_state_group(picture, "Approve"))
    assert "done" in read_classes(find_edge_line(picture, "Init → Review"))
    assert "done" not in read_classes(find_edge_line(picture, "Review → Approve"))
    assert find_edge_title(picture, "Init → Review").endswith("taken once")


def find_edge_title(picture: str, start: str) -> str:
    return next(
        read_title(group)
        for group in parse_svg(picture).iter(f"{SVG_NAMESPACE}g")
        if read_title(group).startswith(start)
    )


@pytest.mark.parametrize("status", Status)
def test_the_current_state_is_marked_with_its_status(status: Status) -> None:
    picture = render_svg(DEMO_DEFINITION, InstanceOverlay(current_state="Review", status=status))

    assert {"current", f"is-{status.value.lower().replace('_', '-')}"} <= read_classes(
        find_state_group(picture, "Review")
    )
    assert "current" not in read_classes(find_state_group(picture, "Init"))


def test_what_happened_more_than_once_is_counted() -> None:
    path = [("poll", "poll")] * 7 + [("poll", "done")]

    picture = render_svg(
        LOOP_DEFINITION, InstanceOverlay.from_path(path, start="poll", current_state="done", status=Status.FINISHED)
    )

    assert read_texts(picture, class_name="fl-badge") == ["×8", "×7"]
    assert "visited 8 times" in read_title(find_state_group(picture, "poll"))


def test_a_way_through_states_of_another_version_is_drawn_as_far_as_they_exist() -> None:
    picture = render_svg(
        DEMO_DEFINITION,
        InstanceOverlay.from_path([("Init", "Gone"), ("Gone", "Finish")], start="Init", current_state="Gone"),
    )

    assert "visited" in read_classes(find_state_group(picture, "Finish"))
    assert "current" not in picture


def test_a_definition_shows_how_many_instances_are_where() -> None:
    picture = render_svg(
        DEMO_DEFINITION, DefinitionOverlay(instance_counts={"Review": 5, "Finish": 53_100, "Init": 0, "Gone": 3})
    )

    assert read_texts(picture, class_name="fl-badge") == ["5", "53.1k"]


def test_a_definition_shows_shares_and_median_times() -> None:
    pair = ("Review", "Approve")

    picture = render_svg(DEMO_DEFINITION, DefinitionOverlay(shares={pair: 0.816}, median_seconds={pair: 190.0}))

    assert read_texts(picture, class_name="fl-label") == ["Approve 82 % · 3.2 min", "Refuse"]
    assert find_edge_title(picture, "Review → Approve") == "Review → Approve: Approve, 82 % · 3.2 min"
    assert "share-3" in read_classes(find_edge_line(picture, "Review → Approve"))


def test_an_instance_is_drawn_in_the_same_place_as_its_definition() -> None:
    def read_boxes(picture: str) -> list[dict[str, str]]:
        rects = (find_state_group(picture, name).find(f"{SVG_NAMESPACE}rect") for name in DEMO_DEFINITION.states)
        return [{key: rect.get(key, "") for key in ("x", "y", "width")} for rect in rects if rect is not None]

    assert read_boxes(render_svg(DEMO_DEFINITION)) == read_boxes(render_svg(DEMO_DEFINITION, REVIEW_OVERLAY))


def test_the_way_of_errors_and_deadlines_is_told_apart() -> None:
    edges = {"ask": ["go", "late"], "go": ["done", "broken"], "late": [], "broken": [], "done": []}
    picture = render_svg(build_definition("D", edges, on_error={"go": "broken"}, on_deadline={"ask": "late"}))

    assert read_classes(find_edge_line(picture, "go → broken")) == {"fl-edge", "on-error"}
    assert read_classes(find_edge_line(picture, "ask → late")) == {"fl-edge", "on-deadline"}
    assert read_classes(find_edge_line(picture, "go → done")) == {"fl-edge"}
    assert find_edge_title(picture, "go → broken") == "go → broken, when no attempt is left"
    assert find_edge_title(picture, "ask → late") == "ask → late, when the deadline passes without an answer"


def test_a_choice_that_is_taken_at_the_deadline_too_is_a_usual_line_with_a_mark() -> None:
    edges = {"ask": [("go", "Yes"), ("late", "No")], "go": [], "late": []}
    picture = render_svg(build_definition("D", edges, on_deadline={"ask": "late"}))

    marks = [read_classes(each) - {"fl-mark"} for each in parse_svg(picture).iter() if "fl-mark" in read_classes(each)]
    assert marks == [{"on-deadline"}]
    assert read_classes(find_edge_line(picture, "ask → late")) == {"fl-edge"}


def test_a_definition_shows_how_many_failed_where_and_how_many_of_a_share_were_late() -> None:
    edges = {"ask": [("go", "Yes"), ("late", "No")], "go": [], "late": []}
    overlay = DefinitionOverlay(
        failed_counts={"ask": 49}, shares={("ask", "late"): 0.75}, deadline_shares={("ask", "late"): 0.25}
    )

    picture = render_svg(build_definition("D", edges, on_deadline={"ask": "late"}), overlay)

    assert read_texts(picture, class_name="failed-here") == ["✕ 49"]
    assert read_title(find_state_group(picture, "ask")).endswith("49 failed here")
    assert find_edge_title(picture, "ask → late").endswith("75 %, of which 25 % at the deadline")


def test_a_long_name_is_wrapped_and_drawn_in_full() -> None:
    name = "very_" * 50 + "long"

    picture = render_svg(build_definition("D", {name: ["done"], "done": []}))

    assert read_title(find_state_group(picture, name)).startswith(f"{name} (start)")


@given(st.text(st.characters(), min_size=1, max_size=20), st.text(st.characters(), max_size=40))
def test_whatever_names_and_texts_hold_the_picture_is_well_formed(name: str, text: str) -> None:
    graph = build_definition(
        text,
        {"start": [(name, text)], name: [("start", text)]},
        descriptions={name: text},
        kinds={name: StateKind.MANUAL},
    )

    for standalone in (False, True):
        root = parse_svg(
            render_svg(graph, DefinitionOverlay({name: 3}), href=lambda state: state, standalone=standalone)
        )
        assert {element.tag.removeprefix(SVG_NAMESPACE) for element in root.iter()} <= {
            *("svg", "title", "desc", "style", "a", "g", "rect", "path", "text", "tspan", "circle")
        }


def test_markup_in_a_name_is_text() -> None:
    name = '"><script>alert(1)</script>'

    picture = render_svg(build_definition(name, {name: [("done", name)], "done": []}))

    assert "<script" not in picture
    assert name in read_texts(picture, class_name="fl-label")
