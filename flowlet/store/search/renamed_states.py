"""The conditions of a search by what a rename of a state changes: the state, and the fingerprint of its errors."""

from __future__ import annotations

from typing import Any

from flowlet.definition.versions.state_names import StateNames
from flowlet.instance.fingerprint import compute_fingerprint, extract_message
from flowlet.store.database_session import DatabaseSession, build_in_list
from flowlet.store.search.failed_states import FailedInstance, find_failed_states
from flowlet.store.search.query import SearchQuery
from flowlet.store.tables import IS_FAILING, WORKFLOW

__all__ = ["build_renamed_conditions", "build_state_condition", "list_fingerprints"]


async def build_renamed_conditions(
    query: SearchQuery, session: DatabaseSession, names: StateNames
) -> tuple[list[str], dict[str, Any]]:
    """Return the conditions on the state and the fingerprint, and the values of their binds."""
    part, values = build_state_condition(query.workflow_type, query.state, names)
    parts = [part] if part else []
    if query.fingerprint is not None:
        binds, more = build_in_list("fingerprint", await _find_fingerprints(session, query.fingerprint, names))
        parts.append(f"fingerprint IN ({binds})")
        values |= more
    return parts, values


def build_state_condition(type: str | None, state: str | None, names: StateNames) -> tuple[str, dict[str, Any]]:
    """Return the condition that an instance is in a state, whatever the state's name was when it entered it.

    Args:
        type: The workflow that is searched for; None for any. A name may be another state's in another workflow.
        state: One of the state's names; None for no condition, which is "".
        names: The names of all states.
    """
    if state is None:
        return "", {}
    if type is not None:
        binds, values = build_in_list("state", names.list_names(type, state))
        return f"state IN ({binds})", values
    either, values = ["state = :state"], {"state": state}
    for place, one in enumerate(names.find_types(state)):
        binds, more = build_in_list(f"state_{place}", names.list_names(one, state))
        either.append(f"(workflow_type = :state_type_{place} AND state IN ({binds}))")
        values |= {f"state_type_{place}": one, **more}
    return f"({' OR '.join(either)})", values


def list_fingerprints(fingerprint: str, type: str, state: str, reason: str | None, names: StateNames) -> list[str]:
    """Return the fingerprints of one error under all names of its state, the given one first.

    Args:
        fingerprint: The fingerprint of an instance with this error.
        type: The instance's workflow.
        state: The state in which it failed.
        reason: Its reason. One that was cut where the fingerprint was not has no other fingerprints.
        names: The names of all states.
    """
    all_names, message = names.list_names(type, state), extract_message(reason)
    if len(all_names) == 1 or compute_fingerprint(type, state, message) != fingerprint:
        return [fingerprint]
    others = (compute_fingerprint(type, name, message) for name in all_names if name != state)
    return [fingerprint, *others]


async def _find_fingerprints(session: DatabaseSession, fingerprint: str, names: StateNames) -> list[str]:
    if not names.has_renames:
        return [fingerprint]
    sql = f"SELECT id, workflow_type, state, reason FROM {WORKFLOW} WHERE {IS_FAILING} AND fingerprint = :one LIMIT 1"
    for id, type, state, reason in await session.fetch_rows(sql, {"one": fingerprint}):
        states = await find_failed_states(session, [FailedInstance(id, fingerprint, type, state, reason)])
        return list_fingerprints(fingerprint, type, states[id], reason, names)
    return [fingerprint]
