"""The horizontal positions of a diagram's boxes and edges: straight lines first, then short ones.

Lines that can be straight are chosen first and align their ends (as in U. Brandes, B. Koepf, "Fast and Simple
Horizontal Coordinate Assignment", 2001). The aligned blocks are then placed so that the total length of all other
lines is minimal: the dual of a minimum-cost flow, solved by successive shortest paths (R. Ahuja, T. Magnanti, J. Orlin,
"Network Flows", 1993, chapter 9).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import pairwise

from flowlet.diagram.layering import Layers

__all__ = ["LOOP_WIDTH", "Placement", "place_vertices"]

PORT_GAP = 18
LOOP_WIDTH = 26
"""How far an edge from a box to itself extends beyond the box."""
BOX_GAP, PASSING_GAP = 32, 16

EdgeSegment = tuple[int, int, int]
"""A part of an edge between two rows: upper vertex, lower vertex, and the chain whose line it is part of."""


@dataclass(frozen=True, slots=True)
class Placement:
    """The centre of each vertex, and where the edges meet it at its top and bottom, by (vertex, chain's line)."""

    middles: list[int]
    tops: dict[tuple[int, int], int]
    bottoms: dict[tuple[int, int], int]
    cost: tuple[int, int]
    """The number of bends, and their total width."""


def place_vertices(layers: Layers) -> Placement:
    """Return the horizontal positions, in whole pixels from 0."""
    place = {vertex: index for row in layers.rows for index, vertex in enumerate(row)}
    pieces = list(dict.fromkeys((*pair, chain.line) for chain in layers.chains for pair in chain.pairs))
    straight = set(_choose_straight_segments(layers, pieces, place))
    tops = _assign_ports(layers, ((lower, upper, chain) for upper, lower, chain in pieces), straight, place)
    bottoms = _assign_ports(layers, pieces, straight, place)
    block = _build_blocks(len(place), straight)
    ties = []
    for upper, lower, chain in pieces:
        if block[upper] != block[lower]:
            weight = 2 if layers.is_box(upper) and layers.is_box(lower) else 1
            offset = bottoms[upper, chain] - tops[lower, chain]
            ties.append((block[upper], block[lower], offset, weight))
    gaps: dict[tuple[int, int], int] = {}
    for row in layers.rows:
        for left, right in pairwise(row):
            pair = block[left], block[right]
            gaps[pair] = max(gaps.get(pair, 0), _compute_distance(layers, left, right))
    positions = _minimize_length(len(place), ties, [(*pair, gap) for pair, gap in gaps.items()])
    middles = [positions[block[vertex]] for vertex in range(len(place))]
    edge = min(middle - layers.get_size(vertex).width // 2 for vertex, middle in enumerate(middles))
    middles = [middle - edge for middle in middles]
    tops = {key: middles[key[0]] + offset for key, offset in tops.items()}
    bottoms = {key: middles[key[0]] + offset for key, offset in bottoms.items()}
    bends = [abs(bottoms[upper, chain] - tops[lower, chain]) for upper, lower, chain in pieces]
    return Placement(middles, tops, bottoms, (sum(map(bool, bends)), sum(bends)))


def _choose_straight_segments(
    layers: Layers, pieces: Sequence[EdgeSegment], place: dict[int, int]
) -> Iterator[EdgeSegment]:
    """Yield the segments to draw straight: the longest path first, then the long edges. None crosses another."""
    trunk = _find_longest_path(layers)
    buses = {chain.line for index, chain in enumerate(layers.chains) if chain.line != index}

    def rank(piece: EdgeSegment) -> tuple[bool, int, int, int]:
        upper, lower, chain = piece
        boxes = layers.is_box(upper) + layers.is_box(lower)
        if chain in buses and layers.is_box(upper):
            boxes = 3  # the branches of a bus bend, so that its line and the lines of others are straight
        return chain not in trunk, boxes, -min(_get_depths(layers, chain)), layers.chains[chain].link

    row_of = {vertex: index for index, row in enumerate(layers.rows) for vertex in row}
    chosen: list[list[tuple[int, int]]] = [[] for _ in layers.rows]
    has_lower, has_upper = set(), set()
    for piece in sorted(pieces, key=rank):
        upper, lower, _ = piece
        if upper in has_lower or lower in has_upper:
            continue
        others = chosen[row_of[upper]]
        if all((place[upper] < left) == (place[lower] < right) for left, right in others):
            others.append((place[upper], place[lower]))
            has_lower.add(upper)
            has_upper.add(lower)
            yield piece


def _get_depths(layers: Layers, chain: int) -> tuple[int, int]:
    vertices = layers.chains[chain].vertices
    return layers.depths[vertices[0]], layers.depths[vertices[-1]]


def _find_longest_path(layers: Layers) -> set[int]:
    """Return the edges of the longest path from the start; of equally long ones, the first in the source."""
    trunk: set[int] = set()
    box, longest = 0, layers.depths[0]
    downward = [
        (chain.vertices, index)
        for index, chain in enumerate(layers.chains)
        if not chain.is_reversed and not layers.graph.links[chain.link].joins_bus
    ]
    rows = {vertex: number for number, row in enumerate(layers.rows) for vertex in row}
    while True:
        following = [
            (rows[vertices[-1]], index, vertices[-1])
            for vertices, index in downward
            if vertices[0] == box and layers.depths[vertices[-1]] == longest
        ]
        if not following:
            return trunk
        _, index, box = min(following)
        trunk.add(index)


def _assign_ports(
    layers: Layers, pieces: Iterable[EdgeSegment], straight: set[EdgeSegment], place: dict[int, int]
) -> dict[tuple[int, int], int]:
    """Return how far from its vertex's centre each segment meets it: a straight one at 0, the others beside it."""
    meeting: dict[int, dict[int, list[int]]] = {}
    for vertex, other, chain in pieces:
        meeting.setdefault(vertex, {}).setdefault(chain, []).append(other)
    ports = {}
    for vertex, lines in meeting.items():
        ends = sorted((sum(place[other] for other in others) / len(others), chain) for chain, others in lines.items())
        last = len(ends) - 1
        aligned = [
            index
            for index, (_, chain) in enumerate(ends)
            if any((vertex, other, chain) in straight or (other, vertex, chain) in straight for other in lines[chain])
        ]
        middle = 2 * aligned[0] if aligned else last
        farthest = max(middle, 2 * last - middle) / 2
        room = max(layers.get_size(vertex).width // 2 - 12, 2)
        gap = min(PORT_GAP, int(room / farthest) // 2 * 2) if farthest else 0
        for index, (_, chain) in enumerate(ends):
            ports[vertex, chain] = (2 * index - middle) * gap // 2
    return ports


def _build_blocks(count: int, straight: Iterable[EdgeSegment]) -> list[int]:
    """Return the number of the block of each vertex: the vertices of one straight line are one block."""
    below = {upper: lower for upper, lower, _ in straight}
    block = list(range(count))
    for top in set(range(count)) - set(below.values()):
        vertex = top
        while vertex in below:
            vertex = below[vertex]
            block[vertex] = top
    return block


def _compute_distance(layers: Layers, left: int, right: int) -> int:
    """Return the least distance between the centres of two neighbours."""
    sizes = layers.get_size(left), layers.get_size(right)
    room = (sizes[0].width + sizes[1].width) // 2
    loop = layers.graph.loops.get(left)
    if loop:
        room += LOOP_WIDTH + (loop.label.width + 6 if loop.label.width else 0)
    boxes = layers.is_box(left) + layers.is_box(right)
    return room + (PASSING_GAP, (BOX_GAP + PASSING_GAP) // 2, BOX_GAP)[boxes]


def _minimize_length(
    count: int, ties: Sequence[tuple[int, int, int, int]], gaps: Sequence[tuple[int, int, int]]
) -> list[int]:
    """Return positions x that satisfy ``x[b] >= x[a] + gap`` for each gap (a, b, gap); the gaps have no cycle.

    They minimise the sum of ``weight * |x[b] - x[a] - offset|`` over the ties (a, b, offset, weight).
    """
    positions = _find_leftmost_positions(count, gaps)
    excess = [0] * count
    arcs: list[_FlowArc] = [_FlowArc(right, left, -gap, 0, None) for left, right, gap in gaps]
    for one, other, offset, weight in ties:
        flow = weight if positions[other] - positions[one] > offset else -weight
        excess[other] += flow
        excess[one] -= flow
        arcs.append(_FlowArc(one, other, offset, flow + weight, 2 * weight))
    touching: list[list[_FlowArc]] = [[] for _ in range(count)]
    for arc in arcs:
        touching[arc.tail].append(arc)
        touching[arc.head].append(arc)
    while way := _find_augmenting_path(positions, excess, touching):
        amount = min([excess[way[0][0]], -excess[way[-1][1]], *(_compute_residual(arc, tail) for tail, _, arc in way)])
        for tail, _, arc in way:
            arc.flow += amount if tail == arc.tail else -amount
        excess[way[0][0]] -= amount
        excess[way[-1][1]] += amount
    return positions


@dataclass(slots=True, eq=False)
class _FlowArc:
    """An arc of the flow network. ``limit`` is its capacity; None means no limit. Flow can be sent back."""

    tail: int
    head: int
    offset: int
    flow: int
    limit: int | None


def _compute_residual(arc: _FlowArc, tail: int) -> int:
    """Return the residual capacity of an arc, starting at ``tail``."""
    if tail == arc.head:
        return arc.flow
    return 1 << 30 if arc.limit is None else arc.limit - arc.flow


def _find_augmenting_path(
    positions: list[int], excess: Sequence[int], touching: Sequence[Sequence[_FlowArc]]
) -> list[tuple[int, int, _FlowArc]]:
    """Return the shortest path from an excess to a deficit, and move the positions so that its arcs have length 0."""
    distances = {vertex: 0 for vertex, amount in enumerate(excess) if amount > 0}
    queue = [(0, vertex) for vertex in distances]
    came: dict[int, tuple[int, int, _FlowArc]] = {}
    final: set[int] = set()
    while queue:
        distance, vertex = heappop(queue)
        if vertex in final:
            continue
        final.add(vertex)
        if excess[vertex] < 0:
            for index in range(len(positions)):
                positions[index] += min(distances[index], distance) if index in final else distance
            return _trace_path(came, vertex)
        for arc in touching[vertex]:
            if not _compute_residual(arc, vertex):
                continue
            other = arc.head if vertex == arc.tail else arc.tail
            slack = arc.offset - positions[arc.head] + positions[arc.tail]
            reached = distance + (slack if vertex == arc.tail else -slack)
            if reached < distances.get(other, 1 << 30):
                distances[other] = reached
                came[other] = (vertex, other, arc)
                heappush(queue, (reached, other))
    return []


def _trace_path(came: dict[int, tuple[int, int, _FlowArc]], vertex: int) -> list[tuple[int, int, _FlowArc]]:
    way = []
    while vertex in came:
        way.append(came[vertex])
        vertex = came[vertex][0]
    return way[::-1]


def _find_leftmost_positions(count: int, gaps: Sequence[tuple[int, int, int]]) -> list[int]:
    """Return the smallest positions that satisfy the gaps."""
    positions = [0] * count
    is_moving = True
    while is_moving:
        is_moving = False
        for left, right, gap in gaps:
            if positions[right] < positions[left] + gap:
                positions[right] = positions[left] + gap
                is_moving = True
    return positions
