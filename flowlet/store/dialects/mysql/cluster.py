"""A session with a node of a Galera cluster: whether the node can be used, and what it waits for.

Each node takes writes. A transaction that another node's has overtaken on the same row fails at its COMMIT, as after a
deadlock, and is tried again: so the fence decides here too. What others have committed is applied a moment later. A
connection that is led to another node would not see what its process has committed before.
"""

from __future__ import annotations

from typing import Any

import pymysql

__all__ = ["NOT_READY", "is_cluster_node", "refuse_unready_node", "wait_for_other_nodes"]

NOT_READY = 1047
"""The error of a node that has lost its cluster, or has not caught up with it."""
_UNKNOWN_VARIABLE = 1193


async def is_cluster_node(session: Any) -> bool:
    """Return whether the server is a node of a cluster; MySQL, and MariaDB without Galera, do not know the variable."""
    async with session.cursor() as cursor:
        try:
            await cursor.execute("SELECT @@global.wsrep_on")
        except pymysql.err.OperationalError as error:
            if error.args[0] == _UNKNOWN_VARIABLE:
                return False
            raise
        ((is_on,),) = await cursor.fetchall()
    return bool(is_on)


async def wait_for_other_nodes(session: Any) -> None:
    """Let each transaction, and each statement outside of one, see all that any node has committed before."""
    await session.query("SET SESSION wsrep_sync_wait = 7")


async def refuse_unready_node(session: Any) -> None:
    """Check that the node takes statements; those without a table are answered by any node.

    To be called before ``wait_for_other_nodes``: an unready node lets each wait fail, as if a row were locked.

    Raises:
        pymysql.err.OperationalError: If it does not, with the number of the error that a statement would raise.
    """
    async with session.cursor() as cursor:
        await cursor.execute("SHOW STATUS LIKE 'wsrep_ready'")
        rows = dict(await cursor.fetchall())
    if rows.get("wsrep_ready") != "ON":
        raise pymysql.err.OperationalError(NOT_READY, "the node has lost its cluster, or has not caught up with it")
