"""Statistics of one definition's graph: open and failed instances by state, and the newest instances' transitions.

Nothing here depends on how many instances have ended: open and failed ones are found by the index of statuses and
counted up to a limit, and transitions are those of a sample of bounded size.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from flowlet.instance.action import ENTRY_KINDS, ActionKind
from flowlet.instance.instance import ENDED_STATUSES, Status
from flowlet.store.connection import Connections
from flowlet.store.database_session import DatabaseSession
from flowlet.store.tables import ACTION, IS_NOT_DONE, WORKFLOW

__all__ = [
    "MAX_COUNTED_OPEN",
    "MAX_SAMPLED_ENTRIES",
    "MAX_SAMPLED_INSTANCES",
    "SAMPLE_WINDOW",
    "GraphStatistics",
    "StateStatistics",
    "TransitionStatistics",
    "compute_p95",
    "read_graph_statistics",
]

SAMPLE_WINDOW = 50_000
"""The sample is taken among so many of the newest instances of any type."""
MAX_SAMPLED_INSTANCES = 1_000
"""How many instances are in the sample at most."""
MAX_SAMPLED_ENTRIES = 5_000
"""How many states the instances of the sample have entered at most, all together."""
MAX_COUNTED_OPEN = 20_000
"""Up to how many open instances are counted."""

_SECOND = 1_000_000
_LEAVING = (ActionKind.TRANSITION, ActionKind.MOVED)
_OPEN = ", ".join(f"'{status}'" for status in Status if status not in ENDED_STATUSES)
_IS_OPEN = f"status IN ({_OPEN})"
_FAILED = f"status = '{Status.FAILED}' AND fingerprint IS NOT NULL"
_ENTERING = ", ".join(f"'{kind}'" for kind in ENTRY_KINDS)

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class TransitionStatistics:
    """The statistics of a transition in the sample.

    Attributes:
        count: How often it was taken.
        share: Its share of all entries of the state that it leaves, from 0 to 1. Instances that are still there, have
            failed there or were moved away by force make the difference to 1.
        median_seconds: The median time in the state before it.
        deadline_share: The part of the share that no handler took, because a deadline had passed.
    """

    count: int
    share: float
    median_seconds: float
    deadline_share: float = 0.0


@dataclass(frozen=True, slots=True)
class StateStatistics:
    """How long the instances of the sample were in a state, from entering to leaving it.

    Attributes:
        count: How often the state was left.
        handler_seconds: The median duration of the activations that left it; None if people moved all of them.
        entered: How often it was entered.
    """

    count: int
    median_seconds: float
    p95_seconds: float
    handler_seconds: float | None
    entered: int = 0


@dataclass(frozen=True, slots=True)
class GraphStatistics:
    """The statistics of a definition's graph.

    Attributes:
        open_by_state: How many open instances are in each state.
        failed_by_state: How many FAILED instances are in each state whose failure nobody has closed.
        open_is_at_least: Whether there are more open or FAILED ones: beyond 20,000 of each they are not counted.
        sampled: How many instances are in the sample.
        since: When the oldest of them was created, in microseconds since 1970 UTC; None if the sample is empty.
        transitions: By the states they lead from and to.
        states: By state; a state that no instance has left is missing.
    """

    open_by_state: Mapping[str, int]
    failed_by_state: Mapping[str, int]
    open_is_at_least: bool
    sampled: int
    since: int | None
    transitions: Mapping[Pair, TransitionStatistics]
    states: Mapping[str, StateStatistics]


async def read_graph_statistics(
    connections: Connections, name: str, *, resolve: Callable[[str], str] = str
) -> GraphStatistics:
    """Return the statistics of a definition.

    The sample is the definition's newest 1,000 instances among the newest 50,000 of all, as far as they have entered
    no more than 5,000 states together: an instance that runs in circles is left out if it would exceed that. Forced
    moves are outside of the graph and not counted.

    Args:
        connections: The database's.
        name: The definition's name; an unknown one has empty statistics.
        resolve: Returns the name under which a state is counted, given any of its names; by default each is by itself.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """

    async def read_statistics(session: DatabaseSession) -> GraphStatistics:
        open_, has_more_open = await _count_by_state(session, name, _IS_OPEN, resolve)
        failed, has_more_failed = await _count_by_state(session, name, _FAILED, resolve)
        ids, since = await _sample_instances(session, name)
        lines = await _read_entries(session, ids) if ids else []
        ways, stays = _compute_statistics(lines, resolve)
        return GraphStatistics(open_, failed, has_more_open or has_more_failed, len(ids), since, ways, stays)

    return await connections.read(read_statistics)


async def _count_by_state(
    session: DatabaseSession, name: str, condition: str, resolve: Callable[[str], str]
) -> tuple[dict[str, int], bool]:
    # The second condition is implied by the first; it lets the databases use the partial index. The index does not hold
    # the state: each counted row is read, and so there is a limit.
    sql = (
        f"SELECT state, COUNT(*) FROM (SELECT state FROM {WORKFLOW} WHERE workflow_type = :type "
        f"AND {condition} AND {IS_NOT_DONE} LIMIT {MAX_COUNTED_OPEN + 1}) counted "
        "GROUP BY state"
    )
    found: Counter[str] = Counter()
    for state, count in await session.fetch_rows(sql, {"type": name}):
        found[resolve(state)] += int(count)
    return found, sum(found.values()) > MAX_COUNTED_OPEN


async def _sample_instances(session: DatabaseSession, name: str) -> tuple[list[int], int | None]:
    # By the primary key, backwards: for a rare type the 50,000 newest rows are read, and never more.
    sql = (
        f"SELECT id, visit, created FROM {WORKFLOW} WHERE workflow_type = :type "
        f"AND id > (SELECT MAX(id) FROM {WORKFLOW}) - {SAMPLE_WINDOW} ORDER BY id DESC LIMIT {MAX_SAMPLED_INSTANCES}"
    )
    ids, since, left = [], None, MAX_SAMPLED_ENTRIES
    for id, visit, created in await session.fetch_rows(sql, {"type": name}):
        if visit + 1 <= left:
            left -= visit + 1
            since = created
            ids.append(id)
    return ids, since


async def _read_entries(session: DatabaseSession, ids: Sequence[int]) -> list[tuple[Any, ...]]:
    expressions = session.dialect.expressions
    sql = (
        f"SELECT workflow_id, kind, at, from_state, to_state, duration_ms FROM {ACTION} "
        f"WHERE workflow_id IN ({expressions.build_ids_sql('ids')}) AND kind IN ({_ENTERING}) ORDER BY workflow_id, id"
    )
    return list(await session.fetch_rows(sql, {"ids": expressions.encode_ids(ids)}))


def _compute_statistics(
    lines: Iterable[tuple[Any, ...]], resolve: Callable[[str], str]
) -> tuple[dict[Pair, TransitionStatistics], dict[str, StateStatistics]]:
    entered_at: dict[int, int] = {}
    entries: Counter[str] = Counter()
    deadlines: Counter[Pair] = Counter()
    seconds: dict[str, dict[str, list[float]]] = {}
    handlers: dict[str, list[float]] = {}
    for id, kind, at, source_name, target_name, duration_ms in lines:
        target = resolve(target_name)
        if kind in _LEAVING and id in entered_at:
            source = resolve(source_name)
            # Executors' clocks may differ by a little: no time in a state is negative.
            seconds.setdefault(source, {}).setdefault(target, []).append(max(at - entered_at[id], 0) / _SECOND)
            if duration_ms is not None:
                handlers.setdefault(source, []).append(duration_ms / 1000)
            elif kind == ActionKind.TRANSITION:
                deadlines[source, target] += 1
        entered_at[id] = at
        entries[target] += 1
    ways, stays = {}, {}
    for source, targets in seconds.items():
        entered = entries[source]
        for target, some in targets.items():
            late = deadlines[source, target] / entered
            ways[source, target] = TransitionStatistics(len(some), len(some) / entered, median(some), late)
        all_ = sorted(each for some in targets.values() for each in some)
        ran = handlers.get(source)
        stays[source] = StateStatistics(
            len(all_), median(all_), compute_p95(all_), median(ran) if ran else None, entered
        )
    return ways, stays


def compute_p95(ordered: Sequence[float]) -> float:
    """Return the least value that 95 of 100 values do not exceed."""
    return ordered[math.ceil(0.95 * len(ordered)) - 1]
