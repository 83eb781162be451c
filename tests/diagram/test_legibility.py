"""Definitions that are hard to draw: their texts are whole and overlap nothing, and no line runs through a box."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from xml.etree import ElementTree

import pytest

from flowlet.definition.definition import Definition
from flowlet.diagram.layout import Layout, Rectangle, compute_layout
from flowlet.diagram.overlay import DefinitionOverlay, InstanceOverlay, Overlay
from flowlet.diagram.state_graph import build_state_graph
from flowlet.diagram.svg import render_svg
from flowlet.diagram.text_metrics import measure_text
from tests.definition.definitions import ORDER_DEFINITION
from tests.diagram.drawn_definitions import LARGE_DEFINITION, MIDDLE_DEFINITION, SMALL_DEFINITION
from tests.diagram.test_layout import has_line_inside, is_overlapping

SVG_NAMESPACE = "{http://www.w3.org/2000/svg}"
DEFINITIONS = [SMALL_DEFINITION, MIDDLE_DEFINITION, LARGE_DEFINITION, ORDER_DEFINITION]
EVERY_DEFINITION = pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda definition: definition.name)
ASCENT, DESCENT = 0.74, 0.2


@dataclass(frozen=True)
class DrawnText:
    """A line of text and the rectangle that its letters cover."""

    text: str
    frame: Rectangle


def build_overlays(definition: Definition) -> Iterator[Overlay | None]:
    """Yield what can be drawn over a definition, with the widest numbers everywhere."""
    yield None
    pairs = [(state.name, target) for state in definition.states.values() for target in state.targets]
    counts = dict.fromkeys(definition.states, 12_345)
    yield DefinitionOverlay(counts, counts, dict.fromkeys(pairs, 0.5), {}, dict.fromkeys(pairs, 190.0))
    yield InstanceOverlay.from_path(pairs, start=definition.start, current_state=pairs[-1][0])


def read_texts(picture: str) -> Iterator[DrawnText]:
    """Yield each line of text that a picture shows."""
    for text in ElementTree.fromstring(picture).iter(f"{SVG_NAMESPACE}text"):
        for line in list(text) or [text]:
            size, words = float(text.get("font-size", "13")), (line.text or "").rstrip()
            width = measure_text(words, size)
            x, y = float(line.get("x", "")), float(line.get("y", ""))
            left = x if text.get("text-anchor") == "start" else x - width / 2
            frame = Rectangle(round(left), round(y - ASCENT * size), round(width), round((ASCENT + DESCENT) * size))
            yield DrawnText(words, frame)


def read_layout(definition: Definition, *, has_numbers: bool = False) -> Layout:
    return compute_layout(build_state_graph(definition, has_numbers=has_numbers).graph)


def test_the_definitions_are_of_the_sizes_that_are_promised() -> None:
    branches = [link for link in build_state_graph(LARGE_DEFINITION, has_numbers=False).graph.links if link.joins_bus]

    assert [len(definition.states) for definition in DEFINITIONS[:3]] == [3, 13, 38]
    assert len(branches) == 15


@EVERY_DEFINITION
def test_no_text_covers_another_and_none_is_cut(definition: Definition) -> None:
    for overlay in build_overlays(definition):
        texts = list(read_texts(render_svg(definition, overlay)))

        assert not [pair for pair in combinations(texts, 2) if pair[0].frame.is_overlapping(pair[1].frame)]
        assert "…" not in "".join(text.text for text in texts)


@EVERY_DEFINITION
def test_no_mark_covers_a_text_or_another_mark(definition: Definition) -> None:
    for overlay in build_overlays(definition):
        picture = render_svg(definition, overlay)
        marks = list(read_marks(picture))
        frames = [*marks, *(text.frame for text in read_texts(picture))]

        assert len(marks) == sum(bool(state.on_error) + bool(state.on_deadline) for state in definition.states.values())
        assert not [(mark, each) for mark in marks for each in frames if each is not mark and mark.is_overlapping(each)]


def read_marks(picture: str) -> Iterator[Rectangle]:
    for circle in ElementTree.fromstring(picture).iter(f"{SVG_NAMESPACE}circle"):
        x, y, radius = (int(circle.get(name, "")) for name in ("cx", "cy", "r"))
        yield Rectangle(x - radius, y - radius, 2 * radius, 2 * radius)


@EVERY_DEFINITION
def test_every_name_is_whole_and_inside_its_box(definition: Definition) -> None:
    graph, layout = build_state_graph(definition, has_numbers=False), read_layout(definition)

    texts = list(read_texts(render_svg(definition)))

    for name, box in zip(definition.states, layout.boxes, strict=True):
        lines = graph.names[name]
        assert "".join(lines) == name
        inside = [text.text for text in texts if is_inside(text.frame, box)]
        assert inside == [line.rstrip() for line in lines]


def is_inside(frame: Rectangle, box: Rectangle) -> bool:
    return (
        box.x < frame.x
        and frame.x + frame.width < box.x + box.width
        and box.y < frame.y
        and frame.y + frame.height < box.y + box.height
    )


@EVERY_DEFINITION
@pytest.mark.parametrize("has_numbers", [False, True], ids=["plain", "numbers"])
def test_no_line_runs_through_a_box_or_along_another_line(definition: Definition, has_numbers: bool) -> None:
    layout = read_layout(definition, has_numbers=has_numbers)

    for route in layout.routes:
        assert not [box for line in route.lines for box in layout.boxes if has_line_inside(line, box)]
    for route, other in combinations(layout.routes, 2):
        if not (route.has_bus and other.has_bus):
            assert not [line for line in route.lines if any(is_overlapping(line, each) for each in other.lines)]


@EVERY_DEFINITION
def test_no_detour_winds(definition: Definition) -> None:
    """Down, across and down, and once more across for a label or another row: never a staircase."""
    corners = [len(route.points) for route in read_layout(definition).routes]

    assert max(corners) <= 6


def test_fifteen_errors_are_one_line_with_a_branch_for_each_state() -> None:
    layout = read_layout(LARGE_DEFINITION)
    branches = [route for route in layout.routes if route.has_bus]

    ways_in = {route.points[-2:] for route in branches}
    trunk = {(route.points[-1][0], route.points[-1][1]) for route in branches}
    across = [line for route in branches for line in route.lines if line[0][1] == line[1][1]]

    assert len(branches) == 15
    assert len(trunk) == 1
    assert len({x for (x, _), _ in ways_in}) == 1
    assert len(set(across)) == 15


def test_two_errors_to_one_state_meet_and_an_edge_with_a_label_has_its_own_line() -> None:
    graph = build_state_graph(MIDDLE_DEFINITION, has_numbers=False)

    branches = {pair for pair, link in zip(graph.labels, graph.graph.links, strict=True) if link.joins_bus}

    assert {target for _, target in branches} == {"failed"}
    assert ("sign", "expired") not in branches
    assert not build_state_graph(SMALL_DEFINITION, has_numbers=False).graph.links[1].joins_bus
