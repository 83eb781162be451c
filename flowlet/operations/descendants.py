"""Cancelling everything below an instance: its children, their children, and so on."""

from __future__ import annotations

from collections.abc import Callable

from flowlet.definition.definition import Definition
from flowlet.instance.change import Change
from flowlet.instance.instance import Instance
from flowlet.operations.commands import Attribution, apply_cancel
from flowlet.store.changes import change_instances, drop_unmade_children
from flowlet.store.opening import Store

__all__ = ["cancel_descendants"]

BATCH_SIZE = 100
"""How many instances one transaction changes at most."""


async def cancel_descendants(
    store: Store,
    id: int,
    attribution: Attribution,
    *,
    reason: str | None,
    find_definition: Callable[[str], Definition | None],
) -> None:
    """Cancel all open descendants of an instance, level by level.

    Args:
        store: The database.
        id: The instance; it stays as it is itself.
        attribution: Who cancels them, and when.
        reason: Why.
        find_definition: Returns the definition of a workflow by its name; None if it is not loaded.
    """

    def decide(instance: Instance) -> Change | None:
        if instance.has_ended:
            return None
        return apply_cancel(instance, find_definition(instance.type), attribution, reason=reason)

    await _change_descendants(store, id, decide, now=attribution.at)


async def _change_descendants(store: Store, id: int, decide: Callable[[Instance], Change | None], *, now: int) -> None:
    """Change all descendants of an instance, level by level.

    A level is read after the one above it has been changed: a cancelled instance creates no more children, and those of
    an ended one that are still to be made are dropped.

    Args:
        store: The database.
        id: The instance whose descendants are changed; it stays as it is itself.
        decide: Returns what becomes of each descendant; None for no change.
        now: The store's time, in microseconds since 1970 UTC.
    """
    level = [id]
    while level:
        for first in range(0, len(level), BATCH_SIZE):
            await drop_unmade_children(store.connections, level[first : first + BATCH_SIZE], now=now)
        below = [child.id for parent in level for child in await store.queries.list_children(parent)]
        for first in range(0, len(below), BATCH_SIZE):
            await change_instances(store.connections, below[first : first + BATCH_SIZE], decide, now=now)
        level = below
