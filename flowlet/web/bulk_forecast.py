"""What a bulk operation would do: how many workflows permit it now, and why the others refuse it."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterable, Sequence
from dataclasses import dataclass

from flowlet.instance.instance import Instance
from flowlet.operations.permitted import Operation
from flowlet.operations.service import Operations
from flowlet.web.bulk import BulkOperation

__all__ = ["MAX_FORECAST", "BulkForecast", "count_move_targets", "forecast_operation"]

MAX_FORECAST = 2_000
"""Of how many workflows a preview looks at each: a page of 500 takes about as long as a page of the list."""


@dataclass(frozen=True, slots=True)
class BulkForecast:
    """What a bulk operation would do now.

    Attributes:
        examined: How many workflows were looked at; the operation may match more.
        possible: How many of them permit it.
        refusals: Each reason of the others with its count, the most frequent first.
    """

    examined: int
    possible: int
    refusals: tuple[tuple[str, int], ...]

    @property
    def refused(self) -> int:
        """How many of them refuse it."""
        return self.examined - self.possible


async def forecast_operation(
    operations: Operations,
    name: BulkOperation,
    pages: AsyncIterable[Sequence[Instance]],
    *,
    state: str = "",
    with_children: bool = False,
) -> BulkForecast:
    """Return what an operation would do, without changing anything.

    Args:
        operations: The operations of this process.
        name: The name of the operation.
        pages: The workflows.
        state: The target state of a move.
        with_children: Whether a cancel ends the open children too, also those of a workflow that has ended.
    """
    examined = 0
    reasons: Counter[str] = Counter()
    async for page in pages:
        examined += len(page)
        decided = [one for one in page if not (with_children and one.has_ended and one.open_children)]
        reasons.update(
            reason for one in decided if (reason := operations.explain_refusal(one, name, target=state)) is not None
        )
    return BulkForecast(examined, examined - reasons.total(), tuple(reasons.most_common()))


async def count_move_targets(
    operations: Operations, pages: AsyncIterable[Sequence[Instance]]
) -> tuple[tuple[str, int], ...]:
    """Return the states to which workflows may be moved now, each with how many of them, the most frequent first.

    Args:
        operations: The operations of this process.
        pages: The workflows.
    """
    targets: Counter[str] = Counter()
    async for page in pages:
        for instance in page:
            permitted = operations.get_permitted_operations(instance)
            targets.update(permitted.states if Operation.MOVE in permitted.operations else ())
    return tuple(targets.most_common())
