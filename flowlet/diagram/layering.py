"""The rows of a diagram: the row of each box, and the order of each row from left to right.

Source: K. Sugiyama, S. Tagawa, M. Toda, "Methods for Visual Understanding of Hierarchical System Structures", 1981.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import NamedTuple

__all__ = ["Chain", "Layers", "LayoutGraph", "Link", "Size", "assign_layers"]

START_ORDERS, SWEEPS_PER_START, MAX_SWAP_ROUNDS = 8, 8, 6
MAX_CANDIDATES = 6
LARGE_GRAPH_VERTICES = 400
"""Graphs with more vertices get fewer starts: with all of them, 150 boxes with 300 edges take over a second."""


@dataclass(frozen=True, slots=True)
class Size:
    """A width and a height, in whole pixels. Widths are even, so that their half is whole too."""

    width: int = 0
    height: int = 0


@dataclass(frozen=True, slots=True)
class Link:
    """An edge between two boxes, by their indexes.

    Attributes:
        label: The size of its text, if it has one.
        joins_bus: Whether it is drawn as a branch of one line with all such edges of its target.
    """

    source: int
    target: int
    label: Size = Size()
    joins_bus: bool = False


@dataclass(frozen=True, slots=True)
class LayoutGraph:
    """The input of the layout: the boxes' sizes, the start first, and the edges, at most one from a box to another."""

    boxes: tuple[Size, ...]
    links: tuple[Link, ...]

    @property
    def loops(self) -> dict[int, Link]:
        """The edges from a box to itself, by the box's index."""
        return {link.source: link for link in self.links if link.source == link.target}


@dataclass(frozen=True, slots=True)
class Chain:
    """An edge as a downward path with one vertex in each row.

    Attributes:
        link: The index of the edge in the graph.
        vertices: Its boxes, and the points between them. The chains of a bus share these points.
        is_reversed: Whether its arrow points up.
        line: The index of the chain with whose line it is drawn: the first one of its bus, otherwise its own.
    """

    link: int
    vertices: tuple[int, ...]
    is_reversed: bool
    line: int

    @property
    def pairs(self) -> Iterator[tuple[int, int]]:
        """Its segments between one row and the next."""
        return pairwise(self.vertices)


@dataclass(frozen=True, slots=True)
class Layers:
    """A graph in rows. The first vertices are its boxes, the others are points where a long edge passes a row."""

    graph: LayoutGraph
    rows: list[list[int]]
    chains: list[Chain]
    labels: dict[int, Size]
    """The size of the label of each vertex that has one."""
    depths: list[int]
    """The number of boxes on the longest path from the start through each box to an end."""

    def is_box(self, vertex: int) -> bool:
        """Return whether the vertex is a box."""
        return vertex < len(self.graph.boxes)

    def get_size(self, vertex: int) -> Size:
        """Return the size of a box or a label; zero for a vertex that is neither."""
        return self.graph.boxes[vertex] if self.is_box(vertex) else self.labels.get(vertex, Size())


class Arc(NamedTuple):
    """An edge between two boxes, turned downwards; ``link`` is its index in the graph."""

    upper: int
    lower: int
    link: int
    is_reversed: bool


class Bus(NamedTuple):
    """The line that some edges of one box share: the first of their chains, and its point in each row."""

    line: int
    vertices: dict[int, int]


def assign_layers(graph: LayoutGraph) -> list[Layers]:
    """Return the graph in rows, once for each order found that has the fewest crossings; at least one.

    Edges that close a cycle, as seen from the start, point upwards; all others point downwards. A box is one row below
    the lowest box that leads to it. Labels have rows of their own, between two rows of boxes.
    """
    arcs = list(_build_arcs(graph))
    above, below = _measure_heights(len(graph.boxes), arcs)
    labelled = {_compute_label_row(above, arc) for arc in arcs if graph.links[arc.link].label.width}
    used = sorted({2 * height for height in above} | labelled)
    number = {height: row for row, height in enumerate(used)}
    rows: list[list[int]] = [[] for _ in used]
    ends = [number[2 * height] for height in above]
    labels: dict[int, Size] = {}
    count = len(graph.boxes)
    chains: list[Chain] = []
    buses: dict[int, Bus] = {}
    for arc in arcs:
        passed = range(ends[arc.upper] + 1, ends[arc.lower])
        bus = Bus(len(chains), {})
        if graph.links[arc.link].joins_bus and not arc.is_reversed:
            bus = buses.setdefault(arc.lower, bus)
        for row in passed:
            if row not in bus.vertices:
                bus.vertices[row] = count
                count += 1
        vertices = (arc.upper, *(bus.vertices[row] for row in passed), arc.lower)
        label = graph.links[arc.link].label
        if label.width:
            labels[vertices[number[_compute_label_row(above, arc)] - ends[arc.upper]]] = label
        chains.append(Chain(arc.link, vertices, arc.is_reversed, bus.line))
    for vertex, row in _walk_preorder(graph, chains, ends):
        rows[row].append(vertex)
    depths = [up + down for up, down in zip(above, below, strict=True)]
    return [Layers(graph, order, chains, labels, depths) for order in _find_best_orders(rows, chains, count)]


def _build_arcs(graph: LayoutGraph) -> Iterator[Arc]:
    """Yield each edge between two boxes, turned so that all point downwards and there is no cycle."""
    upward = _find_back_edges(graph)
    for index, link in enumerate(graph.links):
        if index in upward:
            yield Arc(link.target, link.source, index, is_reversed=True)
        elif link.source != link.target:
            yield Arc(link.source, link.target, index, is_reversed=False)


def _find_back_edges(graph: LayoutGraph) -> set[int]:
    """Return the edges that lead back to a box on the path from the start, depth first in the order of the links."""
    outgoing: list[list[int]] = [[] for _ in graph.boxes]
    for index, link in enumerate(graph.links):
        if link.source != link.target:
            outgoing[link.source].append(index)
    seen: set[int] = set()
    open_boxes: set[int] = set()
    closing = set()
    for root in range(len(graph.boxes)):
        stack = [] if root in seen else [(root, iter(outgoing[root]))]
        while stack:
            box, rest = stack[-1]
            seen.add(box)
            open_boxes.add(box)
            for index in rest:
                target = graph.links[index].target
                if target in open_boxes:
                    closing.add(index)
                elif target not in seen:
                    stack.append((target, iter(outgoing[target])))
                    break
            else:
                open_boxes.discard(box)
                stack.pop()
    return closing


def _measure_heights(count: int, arcs: Sequence[Arc]) -> tuple[list[int], list[int]]:
    """Return the number of edges on the longest path from the top to each box, and from each box to the bottom."""
    above, below = [0] * count, [0] * count
    missing = [0] * count
    lower_ones: list[list[int]] = [[] for _ in range(count)]
    for arc in arcs:
        lower_ones[arc.upper].append(arc.lower)
        missing[arc.lower] += 1
    ready = [box for box in range(count) if not missing[box]]
    for box in ready:
        for lower in lower_ones[box]:
            above[lower] = max(above[lower], above[box] + 1)
            missing[lower] -= 1
            if not missing[lower]:
                ready.append(lower)
    for box in reversed(ready):
        below[box] = max((below[lower] + 1 for lower in lower_ones[box]), default=0)
    return above, below


def _compute_label_row(above: Sequence[int], arc: Arc) -> int:
    """Return the row of an edge's label, in half rows: beside the box that the edge leaves."""
    return 2 * above[arc.lower] - 1 if arc.is_reversed else 2 * above[arc.upper] + 1


def _walk_preorder(graph: LayoutGraph, chains: Sequence[Chain], ends: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield each vertex with its row, depth first. This order alone draws a tree without crossings."""
    outgoing: list[list[Chain]] = [[] for _ in graph.boxes]
    for chain in chains:
        outgoing[chain.vertices[0]].append(chain)
    seen: set[int] = set()
    for root in range(len(graph.boxes)):
        stack: list[tuple[int, int]] = [(root, ends[root])]
        while stack:
            vertex, row = stack.pop()
            if vertex in seen:
                continue
            seen.add(vertex)
            yield vertex, row
            if vertex < len(graph.boxes):
                for chain in reversed(outgoing[vertex]):
                    following = [(passed, row + step) for step, passed in enumerate(chain.vertices) if step]
                    stack.extend(reversed(following))


def _find_best_orders(rows: list[list[int]], chains: Sequence[Chain], count: int) -> list[list[list[int]]]:
    """Return the orders of the rows with the fewest crossings, found by sweeping up and down from several starts."""
    upper: list[list[int]] = [[] for _ in range(count)]
    lower: list[list[int]] = [[] for _ in range(count)]
    for above, below, _ in dict.fromkeys((*pair, chain.line) for chain in chains for pair in chain.pairs):
        lower[above].append(below)
        upper[below].append(above)
    best, fewest = [rows], _count_crossings(rows, lower)
    for start in range(START_ORDERS if count <= LARGE_GRAPH_VERTICES else 2):
        order = _shuffle_rows(rows, start)
        for sweep in range(start, start + SWEEPS_PER_START):
            _sort_rows_by_neighbours(order, upper if sweep % 2 == 0 else lower, is_downward=sweep % 2 == 0)
            _swap_neighbours(order, upper, lower)
            crossings = _count_crossings(order, lower)
            if crossings < fewest:
                best, fewest = [], crossings
            if crossings == fewest and order not in best and len(best) < MAX_CANDIDATES:
                best.append([list(row) for row in order])
    return best


def _shuffle_rows(rows: Sequence[Sequence[int]], start: int) -> list[list[int]]:
    """Return the rows in an initial order: unchanged, mirrored, or random with ``start`` as the seed."""
    if start < 2:
        return [list(row[:: 1 - 2 * start]) for row in rows]
    random = Random(start)  # noqa: S311 - not a secret; the seed makes the picture reproducible
    return [random.sample(row, len(row)) for row in rows]


def _sort_rows_by_neighbours(rows: list[list[int]], fixed: Sequence[Sequence[int]], *, is_downward: bool) -> None:
    """Sort each row by the mean position of its neighbours in the row sorted before."""
    sequence = rows if is_downward else rows[::-1]
    place = {vertex: index for index, vertex in enumerate(sequence[0])}
    for row in sequence[1:]:
        means = {}
        for index, vertex in enumerate(row):
            neighbours = fixed[vertex]
            means[vertex] = sum(place[other] for other in neighbours) / len(neighbours) if neighbours else index
        row.sort(key=means.__getitem__)
        place.update((vertex, index) for index, vertex in enumerate(row))


def _swap_neighbours(rows: list[list[int]], upper: Sequence[Sequence[int]], lower: Sequence[Sequence[int]]) -> None:
    """Swap adjacent vertices while that removes a crossing."""
    place = {vertex: index for row in rows for index, vertex in enumerate(row)}
    for _ in range(MAX_SWAP_ROUNDS):
        is_better = False
        for row in rows:
            for index in range(len(row) - 1):
                left, right = row[index], row[index + 1]
                gain = 0
                for neighbours in (upper, lower):
                    gain += _count_removed_crossings(neighbours[left], neighbours[right], place)
                if gain > 0:
                    row[index], row[index + 1] = right, left
                    place[left], place[right] = index + 1, index
                    is_better = True
        if not is_better:
            return


def _count_removed_crossings(left: Sequence[int], right: Sequence[int], place: dict[int, int]) -> int:
    """Return how many crossings swapping two adjacent vertices with these neighbours removes."""
    gain = 0
    for one in left:
        for other in right:
            gain += (place[one] > place[other]) - (place[one] < place[other])
    return gain


def _count_crossings(rows: Sequence[Sequence[int]], lower: Sequence[Sequence[int]]) -> int:
    place = {vertex: index for row in rows for index, vertex in enumerate(row)}
    crossings = 0
    for row in rows:
        passed: list[int] = []
        for vertex in row:
            ends = sorted(place[below] for below in lower[vertex])
            crossings += sum(len(passed) - bisect_right(passed, end) for end in ends)
            for end in ends:
                insort(passed, end)
    return crossings
