"""The statements by which a commit consumes a message, and begins or ends the wait for one.

They run in the transaction of the commit, behind its own UPDATE, which holds the lock of the row: every message that
was sent before is counted in ``unread``, and a later one is sent to the row as the commit leaves it. So no message is
missed between the two, and workflows without messages pay nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from flowlet.store.tables import MESSAGE, WORKFLOW

__all__ = ["build_consume_sql", "build_wait_sql"]


def build_consume_sql(bind: Callable[[str], str]) -> str:
    """Return the UPDATE of the message that a commit consumes.

    Args:
        bind: Returns the database's bind of a name: ``consumed_at`` or ``consumed_id``, in this order.
    """
    return f"UPDATE {MESSAGE} SET consumed = {bind('consumed_at')} WHERE id = {bind('consumed_id')}"


def build_wait_sql(bind: Callable[[str], str]) -> str:
    """Return the UPDATE of an instance's wait; it is due now if it has more unread messages than are known.

    From left to right: MySQL's single-table UPDATE reads what it has just assigned, so ``unread`` comes last.

    Args:
        bind: Returns the database's bind of a name, asked in the order of the statement: ``consumed_count``,
            ``unread_seen``, ``now``, ``unread_seen``, ``awaits``, ``message_id``, ``consumed_count``, ``id``.
    """
    return (
        f"UPDATE {WORKFLOW} SET next_activation = CASE WHEN unread - {bind('consumed_count')} > {bind('unread_seen')} "
        f"THEN {bind('now')} ELSE next_activation END, unread_seen = COALESCE({bind('unread_seen')}, 0), "
        f"awaits = {bind('awaits')}, message_id = {bind('message_id')}, unread = unread - {bind('consumed_count')} "
        f"WHERE id = {bind('id')}"
    )
