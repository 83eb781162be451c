"""Attempts that have been running for long, and how long the attempts of their states usually take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from flowlet.store.connection import Connections
from flowlet.store.reports.activity import IS_RUNNING, RUNNING_COLUMNS, RUNNING_SINCE, RunningInstance
from flowlet.store.reports.graph_statistics import SAMPLE_WINDOW, compute_p95
from flowlet.store.tables import ACTION, WORKFLOW

__all__ = ["MAX_LONG_RUNS", "UsualDuration", "read_long_runs", "read_usual_durations"]

MAX_LONG_RUNS = 500
"""How many running attempts are judged at most, the longest first."""
MAX_SAMPLED_INSTANCES, MAX_SAMPLED_ATTEMPTS = 300, 2_000
"""How many instances are sampled at most, and how many of their attempts: a p95 needs no more."""


@dataclass(frozen=True, slots=True)
class UsualDuration:
    """How long the attempts took that left a state.

    Attributes:
        count: How many are in the sample.
        p95_seconds: The least duration that 95 of 100 of them did not exceed.
    """

    count: int
    p95_seconds: float


async def read_long_runs(connections: Connections, *, before: int) -> list[RunningInstance]:
    """Return the attempts that have been running since before a time, the longest first, at most 500.

    Args:
        connections: The database's.
        before: In microseconds since 1970 UTC.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """
    # As many rows as executors have slots at most, by the index of statuses.
    sql = (
        f"SELECT {RUNNING_COLUMNS} FROM {WORKFLOW} WHERE {IS_RUNNING} AND {RUNNING_SINCE} < :before "
        f"ORDER BY since, id LIMIT {MAX_LONG_RUNS}"
    )
    rows = await connections.read(lambda session: session.fetch_rows(sql, {"before": before}))
    return [RunningInstance(*row) for row in rows]


async def read_usual_durations(
    connections: Connections, type: str, *, resolve: Callable[[str], str] = str
) -> Mapping[str, UsualDuration]:
    """Return how long the attempts usually take that leave each state of a workflow, by the state's name.

    The sample is the newest 300 instances among the newest 50,000 of all, with no more than 2,000 attempts.

    Args:
        connections: The database's.
        type: The workflow.
        resolve: Returns the name under which a state is counted, given any of its names.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """
    # By the primary key, backwards; then each one's lines by their index. No handler ran where there is no duration.
    sql = (
        f"SELECT a.from_state, a.duration_ms FROM (SELECT id FROM {WORKFLOW} WHERE workflow_type = :type "
        f"AND id > (SELECT MAX(id) FROM {WORKFLOW}) - {SAMPLE_WINDOW} "
        f"ORDER BY id DESC LIMIT {MAX_SAMPLED_INSTANCES}) s "
        f"JOIN {ACTION} a ON a.workflow_id = s.id WHERE a.kind = 'TRANSITION' AND a.duration_ms IS NOT NULL "
        f"LIMIT {MAX_SAMPLED_ATTEMPTS}"
    )
    durations: dict[str, list[float]] = {}
    for state, milliseconds in await connections.read(lambda session: session.fetch_rows(sql, {"type": type})):
        durations.setdefault(resolve(state), []).append(milliseconds / 1000)
    return {state: UsualDuration(len(some), compute_p95(sorted(some))) for state, some in durations.items()}
