"""The state in which an instance failed: its own or, in an error state, the one that it left for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from flowlet.instance.action import ENTRY_KINDS
from flowlet.instance.fingerprint import compute_fingerprint, extract_message
from flowlet.store.database_session import DatabaseSession, build_in_list
from flowlet.store.tables import ACTION

__all__ = ["FailedInstance", "find_failed_states"]

_ENTERING = ", ".join(f"'{kind}'" for kind in ENTRY_KINDS)


class FailedInstance(NamedTuple):
    """What identifies the failure of an instance."""

    id: int
    fingerprint: str
    type: str
    state: str
    reason: str | None


async def find_failed_states(session: DatabaseSession, instances: Sequence[FailedInstance]) -> dict[int, str]:
    """Return the state in which each of these instances failed, by id; its own state if that cannot be said.

    The fingerprint tells: it is that of the state in which the instance failed. Histories are read only of those that
    are in another state, and of these only the lines by which they entered a state.
    """
    found = {one.id: one.state for one in instances}
    moved = {one.id: one for one in instances if not _is_state(one, one.state)}
    if not moved:
        return found
    binds, values = build_in_list("id", list(moved))
    # The last line of each one is how it entered its present state. A history may have any number of others.
    sql = f"""
    SELECT workflow_id, from_state FROM (
        SELECT workflow_id, from_state, ROW_NUMBER() OVER (PARTITION BY workflow_id ORDER BY id DESC) AS number
        FROM {ACTION} WHERE workflow_id IN ({binds}) AND kind IN ({_ENTERING}) AND from_state IS NOT NULL
    ) entries WHERE number = 1
    """
    origins: dict[int, str] = dict(await session.fetch_rows(sql, values))
    return found | {id: state for id, state in origins.items() if _is_state(moved[id], state)}


def _is_state(one: FailedInstance, state: str) -> bool:
    return compute_fingerprint(one.type, state, extract_message(one.reason)) == one.fingerprint
