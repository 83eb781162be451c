"""Where a diagram's boxes and lines stand: nothing covers anything, straight lines, few crossings."""

from __future__ import annotations

from itertools import combinations

import pytest

from flowlet.clock import StoreClock
from flowlet.definition import Definition
from flowlet.layout import Frame, Graph, Layout, Link, Point, Size, arranged
from tests.domain.graphs import DEMO, FAMILY, LOOP, ORDER, random_definition

Line = tuple[Point, Point]

BOX, LABEL = Size(100, 34), Size(60, 18)


def graph_of(definition: Definition, *, label: Size | None = None) -> Graph:
    """Return a graph of equal boxes; each edge has the given label, or one only where the definition has one."""
    index = {name: number for number, name in enumerate(definition.states)}
    links = [
        Link(index[state.name], index[edge.target], label or (LABEL if edge.label else Size()))
        for state in definition.states.values()
        for edge in state.transitions
    ]
    return Graph((BOX,) * len(index), tuple(links))


def frame_of(line: Line) -> Frame:
    (x1, y1), (x2, y2) = line
    return Frame(min(x1, x2), min(y1, y2), abs(x1 - x2), abs(y1 - y2))


def cut(line: Line, frame: Frame) -> bool:
    """Return whether a line runs through the inside of a frame."""
    (x1, y1), (x2, y2) = line
    return (
        min(x1, x2) < frame.x + frame.width
        and frame.x < max(x1, x2)
        and min(y1, y2) < frame.y + frame.height
        and frame.y < max(y1, y2)
    )


def cross(one: Line, other: Line) -> bool:
    """Return whether a line down and a line across cross."""
    down, across = frame_of(one), frame_of(other)
    if down.width:
        down, across = across, down
    return (
        not down.width
        and not across.height
        and across.x < down.x < across.x + across.width
        and down.y < across.y < down.y + down.height
    )


def share(one: Line, other: Line) -> bool:
    """Return whether two lines run on top of one another."""
    first, second = frame_of(one), frame_of(other)
    if not first.width and not second.width and first.x == second.x:
        return first.y < second.y + second.height and second.y < first.y + first.height
    if not first.height and not second.height and first.y == second.y:
        return first.x < second.x + second.width and second.x < first.x + first.width
    return False


def crossings(layout: Layout) -> int:
    return sum(
        cross(line, other)
        for route, rest in combinations(layout.routes, 2)
        for line in route.lines
        for other in rest.lines
    )


def lines_on_top_of_one_another(layout: Layout) -> int:
    return sum(
        share(line, other)
        for route, rest in combinations(layout.routes, 2)
        for line in route.lines
        for other in rest.lines
    )


def labels(layout: Layout) -> list[Frame]:
    return [route.label for route in layout.routes if route.label]


@pytest.fixture(scope="module")
def random_layouts() -> list[Layout]:
    plain = [arranged(graph_of(random_definition(seed))) for seed in range(80)]
    return plain + [arranged(graph_of(random_definition(seed), label=Size(90, 31))) for seed in range(80, 120)]


def test_no_two_boxes_or_labels_overlap(random_layouts: list[Layout]) -> None:
    for layout in random_layouts:
        frames = [*layout.boxes, *labels(layout)]

        assert not [pair for pair in combinations(frames, 2) if pair[0].overlaps(pair[1])]


def test_no_edge_runs_through_a_box(random_layouts: list[Layout]) -> None:
    for layout in random_layouts:
        assert not [
            (line, box) for route in layout.routes for line in route.lines for box in layout.boxes if cut(line, box)
        ]


def test_no_edge_runs_through_the_label_of_another(random_layouts: list[Layout]) -> None:
    for layout in random_layouts:
        assert not [
            (line, other.label)
            for route in layout.routes
            for other in layout.routes
            if other is not route and other.label
            for line in route.lines
            if cut(line, other.label)
        ]


def test_no_two_edges_run_on_top_of_one_another(random_layouts: list[Layout]) -> None:
    assert [lines_on_top_of_one_another(layout) for layout in random_layouts] == [0] * len(random_layouts)


def test_everything_lies_inside_the_picture(random_layouts: list[Layout]) -> None:
    for layout in random_layouts:
        for frame in [*layout.boxes, *labels(layout)]:
            assert 0 <= frame.x <= layout.width - frame.width
            assert 0 <= frame.y <= layout.height - frame.height
        for route in layout.routes:
            assert all(0 <= x <= layout.width and 0 <= y <= layout.height for x, y in route.points)


def test_edges_run_down_and_across_from_box_to_box(random_layouts: list[Layout]) -> None:
    for seed, layout in enumerate(random_layouts[:80]):
        graph = graph_of(random_definition(seed))
        for link, route in zip(graph.links, layout.routes, strict=True):
            source, target = layout.boxes[link.source], layout.boxes[link.target]
            assert all((x1 == x2) != (y1 == y2) for (x1, y1), (x2, y2) in route.lines)
            assert on_border(route.points[0], source)
            assert on_border(route.points[-1], target)


def on_border(point: Point, box: Frame) -> bool:
    inside = box.x <= point[0] <= box.x + box.width and box.y <= point[1] <= box.y + box.height
    return inside and not (box.x < point[0] < box.x + box.width and box.y < point[1] < box.y + box.height)


@pytest.mark.parametrize("definition", [DEMO, FAMILY, LOOP, ORDER], ids=lambda definition: definition.name)
@pytest.mark.parametrize("label", [None, Size(90, 31)], ids=["plain", "numbers"])
def test_in_the_real_graphs_nothing_crosses(definition: Definition, label: Size | None) -> None:
    layout = arranged(graph_of(definition, label=label))

    assert (crossings(layout), lines_on_top_of_one_another(layout)) == (0, 0)


def test_the_longest_way_is_one_straight_line() -> None:
    layout = arranged(graph_of(ORDER))
    middle = {name: box.middle[0] for name, box in zip(ORDER.states, layout.boxes, strict=True)}

    trunk = ["Received", "ValidateOrder", "FraudCheck", "ReserveStock", "CapturePayment", "PickItems", "InTransit"]

    assert len({middle[name] for name in [*trunk, "Delivered", "RefundPayment", "Cancelled"]}) == 1


def test_what_comes_later_stands_lower() -> None:
    layout = arranged(graph_of(DEMO))
    heights = [box.y for box in layout.boxes]

    assert heights[0] < heights[1] < heights[2] == heights[3] < heights[4]


def test_an_edge_back_leads_upwards_into_the_box_from_below() -> None:
    layout = arranged(Graph((BOX,) * 3, (Link(0, 1), Link(1, 2), Link(2, 0))))

    back = layout.routes[2].points

    assert back[0][1] == layout.boxes[2].y
    assert back[-1][1] == layout.boxes[0].y + BOX.height


def test_an_edge_and_its_opposite_are_two_lines() -> None:
    layout = arranged(Graph((BOX, BOX), (Link(0, 1), Link(1, 0))))

    there, back = layout.routes

    assert abs(there.points[0][0] - back.points[0][0]) >= 12


def test_a_loop_leaves_and_enters_at_the_side() -> None:
    layout = arranged(Graph((BOX,), (Link(0, 0, LABEL),)))
    (loop,) = layout.routes

    assert loop.is_loop
    assert loop.points[0][0] == loop.points[-1][0] == layout.boxes[0].x + BOX.width
    assert loop.label
    assert loop.label.x > max(x for x, _ in loop.points)


def test_a_box_that_nothing_leads_to_is_drawn_too() -> None:
    layout = arranged(Graph((BOX,) * 3, (Link(0, 1),)))

    assert not [pair for pair in combinations(layout.boxes, 2) if pair[0].overlaps(pair[1])]


def test_the_same_graph_is_always_laid_out_the_same() -> None:
    graph = graph_of(ORDER)

    first = arranged(graph)
    arranged.cache_clear()

    assert arranged(graph) == first


def test_a_layout_is_kept() -> None:
    assert arranged(graph_of(ORDER)) is arranged(graph_of(ORDER))


def test_a_small_thing_on_an_edge_covers_no_box_and_no_other_edge() -> None:
    layout = arranged(graph_of(ORDER))

    for index, route in enumerate(layout.routes):
        spot = layout.spot(index, 12, 12)
        others = [line for other in layout.routes if other is not route for line in other.lines]
        assert not [box for box in layout.boxes if box.overlaps(spot)]
        assert not [line for line in others if cut(line, spot)]


def test_a_chain_of_a_thousand_states_is_laid_out() -> None:
    layout = arranged(Graph((BOX,) * 1000, tuple(Link(number, number + 1) for number in range(999))))

    assert len({box.x for box in layout.boxes}) == 1


def test_twenty_five_states_are_laid_out_in_the_blink_of_an_eye() -> None:
    clock, graph = StoreClock(), graph_of(ORDER)
    durations = []
    for _ in range(5):
        arranged.cache_clear()
        before = clock.elapsed()
        arranged(graph)
        durations.append(clock.elapsed() - before)

    assert min(durations) < 0.25
