"""The statements by which a commit tells a breaker how an attempt has ended.

They run in the transaction of the commit, behind its own UPDATE. Each names the state of the breaker in its condition:
a result that comes late, of an attempt that began before the breaker opened, changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from flowlet.store.dialects.batch import ResultFollowup
from flowlet.store.limits.table import GATE

__all__ = ["list_result_statements"]

Bind = Callable[[str], str]


def list_result_statements(followup: ResultFollowup, bind: Bind) -> list[str]:
    """Return the statements for one result, in order.

    Args:
        followup: The result.
        bind: Returns the database's bind of a name of ``ResultFollowup.build_binds``.
    """
    if followup.result.fault is None:
        return [_build_success(bind, [bind(name) for name in followup.id_names])]
    return [_build_probe_failure(bind), _build_failure(bind)]


def _build_success(bind: Bind, ids: list[str]) -> str:
    """The failures in a row end; if one was the instance that was tried after the pause, the breaker closes.

    From left to right, as MySQL assigns: how the others follow is decided before the hold is gone.
    """
    opened = "opened_{0} = CASE WHEN held IS NULL THEN opened_{0} END"
    return (
        f"UPDATE {GATE} SET opened_interval = CASE WHEN held IS NULL THEN opened_interval ELSE breaker_interval END, "
        f"{opened.format('due')}, {opened.format('until')}, failures = 0, held = NULL, held_reason = NULL, "
        "probe_id = NULL "
        f"WHERE gate = {bind('gate')} AND held_by IS NULL "
        f"AND ((held IS NULL AND failures > 0) OR (held IS NOT NULL AND probe_id IN ({', '.join(ids)})))"
    )


def _build_probe_failure(bind: Bind) -> str:
    """The pause begins anew if it was the instance that was tried after the pause."""
    return (
        f"UPDATE {GATE} SET held = {bind('at')}, held_reason = {bind('reason')}, failures = failures + 1, "
        f"probe_id = NULL WHERE gate = {bind('gate')} AND held_by IS NULL AND held IS NOT NULL "
        f"AND probe_id = {bind('id_0')}"
    )


def _build_failure(bind: Bind) -> str:
    """From left to right: MySQL reads what it has just assigned, so the count comes last."""
    return (
        f"UPDATE {GATE} SET held = CASE WHEN failures + 1 >= breaker_count THEN {bind('at')} END, "
        f"held_reason = CASE WHEN failures + 1 >= breaker_count THEN {bind('reason')} END, failures = failures + 1 "
        f"WHERE gate = {bind('gate')} AND held IS NULL AND breaker_count IS NOT NULL"
    )
