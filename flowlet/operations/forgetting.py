"""Personal data: the deletion of all that is stored under a business key."""

from __future__ import annotations

import logging

from flowlet.accounts.audit import AuditAction, AuditEntry
from flowlet.engine.retention.rules import ENDED_BEFORE_MICROSECONDS
from flowlet.errors import RefusedError
from flowlet.store.opening import Store
from flowlet.store.retention.deletion import MAX_DELETED_INSTANCES, Deleted, delete_parts
from flowlet.store.retention.ended_trees import EndedTree, read_ended_trees, split_trees
from flowlet.store.retention.roots import find_roots_by_key

__all__ = ["count_keyed_trees", "forget_key"]

MAX_NAMED_INSTANCES = 10
logger = logging.getLogger(__name__)


async def count_keyed_trees(store: Store, key: str) -> int:
    """Return how many trees have an instance with a business key.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """
    return len(await _read_keyed_trees(store, key))


async def forget_key(store: Store, key: str, *, username: str) -> Deleted:
    """Delete the whole tree of each instance with a business key: rows, histories and external ids.

    What is deleted is counted, and logged without the key. Killed in the middle it has deleted a part; run it again.

    Args:
        store: The database.
        key: The business key; not empty.
        username: Who deletes, for the log.

    Raises:
        RefusedError: If one of the trees is open, or ended less than a minute ago: nothing is deleted then. Also if a
            tree was changed meanwhile: it is left.
        StoreUnavailableError: If the database is unavailable.
    """
    trees = await _read_keyed_trees(store, key)
    if open_ids := [tree.root_id for tree in trees if tree.is_open]:
        named = ", ".join(map(str, open_ids[:MAX_NAMED_INSTANCES]))
        raise RefusedError(
            f"{len(open_ids):,} workflows with this key have not ended, or have children that have not: {named}. "
            "Nothing was deleted. Cancel them with their children, or wait for their end."
        )
    # Before the deletion: killed in the middle, it has deleted a part.
    entry = AuditEntry(username, AuditAction.RETENTION_FORGOTTEN, "business key", f"{len(trees):,} trees")
    await store.audit.write(entry, now=store.clock.now())
    total = Deleted()
    for parts in split_trees(trees, MAX_DELETED_INSTANCES):
        total = total.add(await delete_parts(store.connections, parts, now=store.clock.now(), keeps_external_ids=False))
    logger.info("%s deleted %d instances in %d trees by their business key", username, total.instances, total.trees)
    if total.left_parts:
        raise RefusedError(
            f"{total.trees:,} trees were deleted, and {total.left_parts:,} were left: they ended less than a minute "
            "ago, or were changed meanwhile. Run it again in a minute."
        )
    return total


async def _read_keyed_trees(store: Store, key: str) -> list[EndedTree]:
    before = store.clock.now() - ENDED_BEFORE_MICROSECONDS
    roots = await find_roots_by_key(store.connections, key)
    trees = await read_ended_trees(store.connections, roots, before=before, is_whole=True)
    for root, tree in zip(roots, trees, strict=True):
        tree.is_open |= not root.ended
    return trees
