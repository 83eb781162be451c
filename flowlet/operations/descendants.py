"""Cancelling everything below an instance: its children, their children, and so on."""

from __future__ import annotations

from collections.abc import Callable

from flowlet.instance.change import Change
from flowlet.instance.instance import Instance
from flowlet.store.changes import change_instances
from flowlet.store.opening import Store

__all__ = ["change_descendants"]

BATCH_SIZE = 100
"""How many instances one transaction changes at most."""


async def change_descendants(store: Store, id: int, decide: Callable[[Instance], Change | None], *, now: int) -> None:
    """Change all descendants of an instance, level by level.

    A level is read after the one above it has been changed: a cancelled instance creates no more children.

    Args:
        store: The database.
        id: The instance whose descendants are changed; it stays as it is itself.
        decide: Returns what becomes of each descendant; None for no change.
        now: The store's time, in microseconds since 1970 UTC.
    """
    level = [id]
    while level:
        below = [child.id for parent in level for child in await store.queries.list_children(parent)]
        for first in range(0, len(below), BATCH_SIZE):
            await change_instances(store.connections, below[first : first + BATCH_SIZE], decide, now=now)
        level = below
