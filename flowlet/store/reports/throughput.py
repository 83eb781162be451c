"""How much was done, by time."""

from __future__ import annotations

from dataclasses import dataclass

from flowlet.store.connection import Connections

__all__ = ["Span", "throughput"]


@dataclass(frozen=True, slots=True)
class Span:
    """What happened in a length of time that begins at ``start``, in microseconds since 1970 UTC."""

    start: int
    transitions: int
    failures: int
    finished: int
    failed: int
    cancelled: int


async def throughput(
    connections: Connections, *, since: int, until: int, step: int, type: str | None = None
) -> list[Span]:
    """Return what happened, the oldest span first, empty ones too."""
    by_type = " AND workflow_type = :type" if type is not None else ""
    values = {"since": since, "until": until, "step": step} | ({"type": type} if type is not None else {})
    lines = (
        "SELECT at - MOD(at - :since, :step) AS span, kind, COUNT(*) FROM workflow_action "
        "WHERE at >= :since AND at < :until GROUP BY span, kind"
    )
    ends = (
        "SELECT ended - MOD(ended - :since, :step) AS span, status, COUNT(*) FROM workflow "
        f"WHERE ended >= :since AND ended < :until{by_type} GROUP BY span, status"
    )
    plain = {name: value for name, value in values.items() if name != "type"}
    counts = {
        (int(at), kind): count
        for at, kind, count in (
            *await connections.read(lambda session: session.rows(lines, plain)),
            *await connections.read(lambda session: session.rows(ends, values)),
        )
    }

    def count(start: int, *kinds: str) -> int:
        return sum(counts.get((start, kind), 0) for kind in kinds)

    return [
        Span(
            start,
            count(start, "TRANSITION", "MOVED", "FORCED"),
            count(start, "ERROR"),
            *(count(start, status) for status in ("FINISHED", "FAILED", "CANCELLED")),
        )
        for start in range(since, until, step)
    ]
