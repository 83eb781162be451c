"""Where a diagram's boxes and lines stand: nothing covers anything, straight lines, few crossings."""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations

import pytest

from flowlet.clock import StoreClock
from flowlet.definition.definition import Definition
from flowlet.diagram.layout import Layout, LayoutGraph, Link, Point, Rectangle, Size, compute_layout
from tests.definition.definitions import (
    DEMO_DEFINITION,
    FAMILY_DEFINITION,
    LOOP_DEFINITION,
    ORDER_DEFINITION,
    build_random_definition,
)

# The random layouts are computed once, by one worker.
pytestmark = pytest.mark.xdist_group(__name__)

LineSegment = tuple[Point, Point]

BOX_SIZE, LABEL_SIZE = Size(100, 34), Size(60, 18)


def build_graph(definition: Definition, *, label: Size | None = None) -> LayoutGraph:
    """Return a graph of equal boxes; each edge has the given label, or one only where the definition has one."""
    index = {name: number for number, name in enumerate(definition.states)}
    links = [
        Link(index[state.name], index[edge.target], label or (LABEL_SIZE if edge.label else Size()))
        for state in definition.states.values()
        for edge in state.transitions
    ]
    return LayoutGraph((BOX_SIZE,) * len(index), tuple(links))


def build_frame(line: LineSegment) -> Rectangle:
    (x1, y1), (x2, y2) = line
    return Rectangle(min(x1, x2), min(y1, y2), abs(x1 - x2), abs(y1 - y2))


def has_line_inside(line: LineSegment, frame: Rectangle) -> bool:
    """Return whether a line runs through the inside of a frame."""
    (x1, y1), (x2, y2) = line
    return (
        min(x1, x2) < frame.x + frame.width
        and frame.x < max(x1, x2)
        and min(y1, y2) < frame.y + frame.height
        and frame.y < max(y1, y2)
    )


def is_crossing(one: LineSegment, other: LineSegment) -> bool:
    """Return whether a line down and a line across cross."""
    down, across = build_frame(one), build_frame(other)
    if down.width:
        down, across = across, down
    return (
        not down.width
        and not across.height
        and across.x < down.x < across.x + across.width
        and down.y < across.y < down.y + down.height
    )


def is_overlapping(one: LineSegment, other: LineSegment) -> bool:
    """Return whether two lines run on top of one another."""
    first, second = build_frame(one), build_frame(other)
    if not first.width and not second.width and first.x == second.x:
        return first.y < second.y + second.height and second.y < first.y + first.height
    if not first.height and not second.height and first.y == second.y:
        return first.x < second.x + second.width and second.x < first.x + first.width
    return False


def count_crossings(layout: Layout) -> int:
    return sum(
        is_crossing(line, other)
        for route, rest in combinations(layout.routes, 2)
        for line in route.lines
        for other in rest.lines
    )


def count_overlaps(layout: Layout) -> int:
    """Return how often lines of two routes run on top of one another."""
    groups: dict[tuple[str, float], list[tuple[int, float, float]]] = defaultdict(list)
    for number, route in enumerate(layout.routes):
        for frame in map(build_frame, route.lines):
            if not frame.width:
                groups["down", frame.x].append((number, frame.y, frame.y + frame.height))
            if not frame.height:
                groups["across", frame.y].append((number, frame.x, frame.x + frame.width))
    return sum(
        route != other_route and start < other_end and other_start < end
        for group in groups.values()
        for (route, start, end), (other_route, other_start, other_end) in combinations(group, 2)
    )


def list_overlaps(frames: list[Rectangle]) -> list[tuple[Rectangle, Rectangle]]:
    """Return the pairs that overlap. From the top down, each is compared with those that begin above its end."""
    frames = sorted(frames, key=lambda frame: frame.y)
    found = []
    for place, frame in enumerate(frames):
        for other in frames[place + 1 :]:
            if other.y >= frame.y + frame.height:
                break
            if frame.is_overlapping(other):
                found.append((frame, other))
    return found


def list_labels(layout: Layout) -> list[Rectangle]:
    return [route.label for route in layout.routes if route.label]


@pytest.fixture(scope="module")
def random_layouts() -> list[Layout]:
    plain = [compute_layout(build_graph(build_random_definition(seed))) for seed in range(80)]
    return plain + [
        compute_layout(build_graph(build_random_definition(seed), label=Size(90, 31))) for seed in range(80, 120)
    ]


def test_no_two_boxes_or_labels_overlap(random_layouts: list[Layout]) -> None:
    for layout in random_layouts:
        assert list_overlaps([*layout.boxes, *list_labels(layout)]) == []


def test_no_edge_runs_through_a_box(random_layouts: list[Layout]) -> None:
    for layout in random_layouts:
        assert not [
            (line, box)
            for route in layout.routes
            for line in route.lines
            for box in layout.boxes
            if has_line_inside(line, box)
        ]


def test_no_edge_runs_through_the_label_of_another(random_layouts: list[Layout]) -> None:
    for layout in random_layouts:
        assert not [
            (line, other.label)
            for route in layout.routes
            for other in layout.routes
            if other is not route and other.label
            for line in route.lines
            if has_line_inside(line, other.label)
        ]


def test_no_two_edges_run_on_top_of_one_another(random_layouts: list[Layout]) -> None:
    assert [count_overlaps(layout) for layout in random_layouts] == [0] * len(random_layouts)


def test_everything_lies_inside_the_picture(random_layouts: list[Layout]) -> None:
    for layout in random_layouts:
        for frame in [*layout.boxes, *list_labels(layout)]:
            assert 0 <= frame.x <= layout.width - frame.width
            assert 0 <= frame.y <= layout.height - frame.height
        for route in layout.routes:
            assert all(0 <= x <= layout.width and 0 <= y <= layout.height for x, y in route.points)


def test_edges_run_down_and_across_from_box_to_box(random_layouts: list[Layout]) -> None:
    for seed, layout in enumerate(random_layouts[:80]):
        graph = build_graph(build_random_definition(seed))
        for link, route in zip(graph.links, layout.routes, strict=True):
            source, target = layout.boxes[link.source], layout.boxes[link.target]
            assert all((x1 == x2) != (y1 == y2) for (x1, y1), (x2, y2) in route.lines)
            assert is_on_border(route.points[0], source)
            assert is_on_border(route.points[-1], target)


def is_on_border(point: Point, box: Rectangle) -> bool:
    inside = box.x <= point[0] <= box.x + box.width and box.y <= point[1] <= box.y + box.height
    return inside and not (box.x < point[0] < box.x + box.width and box.y < point[1] < box.y + box.height)


@pytest.mark.parametrize(
    "definition",
    [DEMO_DEFINITION, FAMILY_DEFINITION, LOOP_DEFINITION, ORDER_DEFINITION],
    ids=lambda definition: definition.name,
)
@pytest.mark.parametrize("label", [None, Size(90, 31)], ids=["plain", "numbers"])
def test_in_the_real_graphs_nothing_crosses(definition: Definition, label: Size | None) -> None:
    layout = compute_layout(build_graph(definition, label=label))

    assert (count_crossings(layout), count_overlaps(layout)) == (0, 0)


def test_the_longest_way_is_one_straight_line() -> None:
    layout = compute_layout(build_graph(ORDER_DEFINITION))
    middle = {name: box.middle[0] for name, box in zip(ORDER_DEFINITION.states, layout.boxes, strict=True)}

    trunk = ["Received", "ValidateOrder", "FraudCheck", "ReserveStock", "CapturePayment", "PickItems", "InTransit"]

    assert len({middle[name] for name in [*trunk, "Delivered", "RefundPayment", "Cancelled"]}) == 1


def test_what_comes_later_stands_lower() -> None:
    layout = compute_layout(build_graph(DEMO_DEFINITION))
    heights = [box.y for box in layout.boxes]

    assert heights[0] < heights[1] < heights[2] == heights[3] < heights[4]


def test_an_edge_back_leads_upwards_into_the_box_from_below() -> None:
    layout = compute_layout(LayoutGraph((BOX_SIZE,) * 3, (Link(0, 1), Link(1, 2), Link(2, 0))))

    back = layout.routes[2].points

    assert back[0][1] == layout.boxes[2].y
    assert back[-1][1] == layout.boxes[0].y + BOX_SIZE.height


def test_an_edge_and_its_opposite_are_two_lines() -> None:
    layout = compute_layout(LayoutGraph((BOX_SIZE, BOX_SIZE), (Link(0, 1), Link(1, 0))))

    there, back = layout.routes

    assert abs(there.points[0][0] - back.points[0][0]) >= 12


def test_a_loop_leaves_and_enters_at_the_side() -> None:
    layout = compute_layout(LayoutGraph((BOX_SIZE,), (Link(0, 0, LABEL_SIZE),)))
    (loop,) = layout.routes

    assert loop.is_loop
    assert loop.points[0][0] == loop.points[-1][0] == layout.boxes[0].x + BOX_SIZE.width
    assert loop.label
    assert loop.label.x > max(x for x, _ in loop.points)


def test_a_box_that_nothing_leads_to_is_drawn_too() -> None:
    layout = compute_layout(LayoutGraph((BOX_SIZE,) * 3, (Link(0, 1),)))

    assert not [pair for pair in combinations(layout.boxes, 2) if pair[0].is_overlapping(pair[1])]


def test_the_same_graph_is_always_laid_out_the_same() -> None:
    graph = build_graph(ORDER_DEFINITION)

    first = compute_layout(graph)
    compute_layout.cache_clear()

    assert compute_layout(graph) == first


def test_a_layout_is_kept() -> None:
    assert compute_layout(build_graph(ORDER_DEFINITION)) is compute_layout(build_graph(ORDER_DEFINITION))


def test_a_small_thing_on_an_edge_covers_no_box_and_no_other_edge() -> None:
    layout = compute_layout(build_graph(ORDER_DEFINITION))

    for index, route in enumerate(layout.routes):
        spot = layout.find_free_rectangle(index, 12, 12)
        others = [line for other in layout.routes if other is not route for line in other.lines]
        assert not [box for box in layout.boxes if box.is_overlapping(spot)]
        assert not [line for line in others if has_line_inside(line, spot)]


def test_a_chain_of_a_thousand_states_is_laid_out() -> None:
    layout = compute_layout(LayoutGraph((BOX_SIZE,) * 1000, tuple(Link(number, number + 1) for number in range(999))))

    assert len({box.x for box in layout.boxes}) == 1


def test_twenty_five_states_are_laid_out_in_the_blink_of_an_eye() -> None:
    clock, graph = StoreClock(), build_graph(ORDER_DEFINITION)
    durations = []
    for _ in range(5):
        compute_layout.cache_clear()
        before = clock.monotonic()
        compute_layout(graph)
        durations.append(clock.monotonic() - before)

    assert min(durations) < 0.25
