"""Lanes of the due index, and how a claim draws on them.

A lane is an executor group, a workflow and a priority. An executor reads its own lanes only, so that what is due for
others costs it nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple

from flowlet.store.dialects.batch import ClaimRequest, LeasedRows
from flowlet.store.rows import INSTANCE_READER
from flowlet.store.tables import IS_QUEUED, WORKFLOW

__all__ = ["ClaimPlan", "Draw", "Lane", "build_group_lanes_sql", "build_lanes_sql", "build_next_due_sql"]


class Lane(NamedTuple):
    """Instances of the common queue that are due or scheduled, at least one.

    Attributes:
        earliest_due: When the first of them is due, in microseconds since 1970 UTC; None if all wait for children or
            for a person without a deadline.
    """

    group: str
    type: str
    priority: int
    earliest_due: int | None


@dataclass(frozen=True, slots=True)
class Draw:
    """What a claim leases at once: from each lane the longest due, in turns.

    Attributes:
        lanes: The lanes, all of one priority.
        share: How many instances of each lane at most.
        limit: How many in all at most: first one of each lane, then a second one of each, and so on.
    """

    lanes: Sequence[Lane]
    share: int
    limit: int

    @property
    def priority(self) -> int:
        """The priority of all lanes."""
        return self.lanes[0].priority


class ClaimPlan:
    """The draws of one claim: of the highest priority of which it gets something, the lanes in equal shares.

    What is below is left to the next claim: a hundred such instances would hold up the few above them.
    No lane of a priority gets more than another one that has more to give. A lane that has less than its share leaves
    the rest to the others: they are drawn on again. So each draw locks hardly more rows than the claim needs, however
    many lanes there are.

    Args:
        lanes: The lanes; those with nothing due are left out.
        request: What is wanted.
        turn: Which claim of this process it is. Each one begins with another lane, so that small claims are fair too.
    """

    def __init__(self, lanes: Iterable[Lane], request: ClaimRequest, *, turn: int = 0) -> None:
        scheduled = [(lane.earliest_due, lane) for lane in lanes if lane.earliest_due is not None]
        self._next_due = min((due for due, _ in scheduled), default=None)
        self._lanes = [lane for due, lane in scheduled if due <= request.now]
        self._request = request
        self._turn = turn
        self._priority: int | None = None
        self.rows: list[Sequence[Any]] = []

    @property
    def lane_count(self) -> int:
        """How many lanes of the highest priority have something due."""
        highest = max((lane.priority for lane in self._lanes), default=0)
        return sum(lane.priority == highest for lane in self._lanes)

    def find_next_draw(self) -> Draw | None:
        """Return the next draw; None if the claim is full, or nothing is left of the priority that it has got."""
        if not self._lanes:
            return None
        priority = max(lane.priority for lane in self._lanes)
        missing = self._request.get_limit(priority) - len(self.rows)
        if missing <= 0 or (self.rows and priority != self._priority):
            return None
        self._priority = priority
        lanes = sorted((lane for lane in self._lanes if lane.priority == priority), key=itemgetter(0, 1))
        first = self._turn % len(lanes)
        drawn = [*lanes[first:], *lanes[:first]][:missing]
        return Draw(drawn, -(-missing // len(drawn)), missing)

    def build_result(self) -> LeasedRows:
        """Return what the draws have leased."""
        return LeasedRows(self.rows, None if self.rows else self._next_due)

    def record_rows(self, draw: Draw, rows: Sequence[Sequence[Any]]) -> None:
        """Add the instances that a draw has leased, as rows for ``INSTANCE_READER``."""
        counts = Counter((row[_GROUP], row[_TYPE]) for row in rows)
        exhausted = {lane for lane in draw.lanes if counts[lane.group, lane.type] < draw.share}
        self._lanes = [lane for lane in self._lanes if lane not in exhausted]
        self.rows += rows


_NAMES = INSTANCE_READER.select_list.split(", ")
_GROUP, _TYPE = _NAMES.index("executor_group"), _NAMES.index("workflow_type")
_IN_LANE = "w.executor_group = l.executor_group AND w.workflow_type = l.workflow_type"


_EARLIEST = f"""(SELECT MIN(w.next_activation) FROM {WORKFLOW} w
    WHERE {_IN_LANE} AND w.priority = l.priority AND {IS_QUEUED})"""


def _build_lane_table(pairs: str) -> str:
    """Return the recursive table ``lane`` of the lanes of some groups and workflows; the priority may be NULL.

    It is a loose index scan: of each pair the highest priority, then the next lower one, each by one probe of the due
    index. MIN and MAX in subqueries are single probes; GROUP BY would read every entry.
    """
    return f"""lane (executor_group, workflow_type, priority) AS (
        SELECT g.value, t.value, (SELECT MAX(w.priority) FROM {WORKFLOW} w
            WHERE w.executor_group = g.value AND w.workflow_type = t.value AND {IS_QUEUED})
        FROM {pairs}
        UNION ALL
        SELECT l.executor_group, l.workflow_type, (SELECT MAX(w.priority) FROM {WORKFLOW} w
            WHERE {_IN_LANE} AND w.priority < l.priority AND {IS_QUEUED})
        FROM lane l WHERE l.priority > 0
    )"""


def build_lanes_sql(pairs: str) -> str:
    """Return the statement that reads the lanes of some groups and workflows, as rows of ``Lane``.

    Args:
        pairs: A FROM clause of the tables ``g`` and ``t``, whose columns ``value`` are the groups and the workflows.
    """
    return f"""
    WITH RECURSIVE {_build_lane_table(pairs)}
    SELECT l.executor_group, l.workflow_type, l.priority, {_EARLIEST} FROM lane l WHERE l.priority IS NOT NULL
    """


def build_next_due_sql(pairs: str, now: str) -> str:
    """Return the statement that reads when the next instance of these lanes becomes due, after the time of a bind."""
    return f"""
    WITH RECURSIVE {_build_lane_table(pairs)}
    SELECT MIN(next_due) FROM (
        SELECT (SELECT MIN(w.next_activation) FROM {WORKFLOW} w WHERE {_IN_LANE} AND w.priority = l.priority
            AND {IS_QUEUED} AND w.next_activation > {now}) AS next_due
        FROM lane l WHERE l.priority IS NOT NULL
    ) found
    """


def build_group_lanes_sql(group: str, after: str, limit: str) -> str:
    """Return the statement that reads the lanes of one group, whatever its workflows, as rows of ``Lane``.

    Args:
        group: The bind of the group, as a text.
        after: The bind of a name, as a text: only workflows whose names come behind it.
        limit: The bind of the number of workflows that are read at most.
    """
    return f"""
    WITH RECURSIVE t (value) AS (
        SELECT MIN(workflow_type) FROM {WORKFLOW}
        WHERE executor_group = {group} AND workflow_type > {after} AND {IS_QUEUED}
        UNION ALL
        SELECT (SELECT MIN(w.workflow_type) FROM {WORKFLOW} w
            WHERE w.executor_group = {group} AND w.workflow_type > t.value AND {IS_QUEUED})
        FROM t WHERE t.value IS NOT NULL
    ), g (value) AS (SELECT {group}), s (value) AS (SELECT value FROM t WHERE value IS NOT NULL LIMIT {limit}),
    {_build_lane_table("g CROSS JOIN s t")}
    SELECT l.executor_group, l.workflow_type, l.priority, {_EARLIEST} FROM lane l WHERE l.priority IS NOT NULL
    """
