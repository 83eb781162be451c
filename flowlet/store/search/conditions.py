"""The conditions of a search, as SQL with its binds."""

from __future__ import annotations

from typing import Any

from flowlet.instance.instance import Status
from flowlet.instance.json_text import parse_outside_json, write_json
from flowlet.instance.version_gate import GATE_PREFIX
from flowlet.store.database_session import DatabaseSession, build_in_list
from flowlet.store.gates.gated_instances import VERSION_GATES_END
from flowlet.store.search.prefix import build_prefix_search
from flowlet.store.search.query import TIME_COLUMNS, SearchQuery, VariableFilter
from flowlet.store.tables import HAS_BUSINESS_KEY, IS_CANCELLED, IS_NOT_DONE, IS_READY, IS_RETRYING

__all__ = ["UNINDEXED_STATUSES", "build_conditions", "build_name_condition"]

UNINDEXED_STATUSES = frozenset({Status.FINISHED, Status.CANCELLED})
"""The statuses that the index of statuses leaves out."""

# The last condition follows from the one before it. SQLite uses the index of statuses only where it is said.
_IS_SCHEDULED = f"next_activation IS NOT NULL AND {IS_READY} AND {IS_NOT_DONE}"


def build_conditions(query: SearchQuery, session: DatabaseSession) -> tuple[list[str], dict[str, Any]]:
    """Return the conditions, each to be joined by AND, and the values of their binds.

    Those that depend on the names of states are in ``renamed_states``.
    """
    parts: list[str] = []
    values: dict[str, Any] = {}
    for column in ("workflow_type", "executor_group", "parent_id"):
        if (value := getattr(query, column)) is not None:
            parts.append(f"{column} = :{column}")
            values[column] = value
    for column in TIME_COLUMNS:
        for end, sign in (("from", ">="), ("to", "<")):
            if (value := getattr(query, f"{column}_{end}")) is not None:
                parts.append(f"{column} {sign} :{column}_{end}")
                values[f"{column}_{end}"] = value
    status_parts, more = _build_status_conditions(query)
    parts += status_parts
    values |= more
    if query.reason_contains is not None:
        parts.append("LOWER(reason) LIKE LOWER(:reason) ESCAPE '!'")
        values["reason"] = f"%{_escape_like(query.reason_contains)}%"
    for place, variable in enumerate(query.variables):
        part, more = _build_variable_condition(variable, session, f"variable_{place}")
        parts.append(part)
        values |= more
    return parts, values


def _build_status_conditions(query: SearchQuery) -> tuple[list[str], dict[str, Any]]:
    """Return the conditions on the status, and on what only open instances have."""
    parts: list[str] = []
    values: dict[str, Any] = {}
    if statuses := query.statuses:
        binds, values = build_in_list("status", statuses)
        parts.append(f"status IN ({binds})")
        parts += [] if UNINDEXED_STATUSES.intersection(statuses) else [IS_NOT_DONE]
        parts += [IS_CANCELLED] if set(statuses) == {Status.CANCELLED} else []
    if query.is_retrying is not None:
        parts.append(IS_RETRYING if query.is_retrying else f"NOT ({IS_RETRYING})")
    if query.waits_for_version is not None:
        sign = "" if query.waits_for_version else "NOT "
        parts.append(f"{sign}(gate IS NOT NULL AND gate > :gates_start AND gate < :gates_end)")
        values |= {"gates_start": GATE_PREFIX, "gates_end": VERSION_GATES_END}
    if query.has_next:
        parts.append(_IS_SCHEDULED)
    return parts, values


def _build_variable_condition(
    variable: VariableFilter, session: DatabaseSession, bind: str
) -> tuple[str, dict[str, Any]]:
    """Return the condition on a variable, and the values of its binds."""
    dialect, sources = session.dialect, _list_json_spellings(variable.value)
    binds, values = build_in_list(f"{bind}_value", sources)
    if not dialect.expressions.has_slow_json:
        return f"{dialect.expressions.build_variable_sql(bind)} IN ({binds})", {
            bind: dialect.expressions.build_variable_path(variable.name),
            **values,
        }
    # Variables are stored without spaces: a document with this variable contains this piece of text.
    spelled = [_escape_like(f'"{variable.name}":{source}') for source in sources]
    texts = {f"{bind}_text_{place}": f"%{text}%" for place, text in enumerate(spelled)}
    either = " OR ".join(f"vars LIKE :{text} ESCAPE '!'" for text in texts)
    part = f"({either}) AND {dialect.expressions.build_variable_sql(bind)} IN ({binds})"
    return part, {bind: dialect.expressions.build_variable_path(variable.name), **values, **texts}


async def build_name_condition(query: SearchQuery, session: DatabaseSession) -> tuple[list[str], dict[str, Any], bool]:
    """Return the condition on the names, one of which has to match; its binds; and whether only few can match."""
    names = {"id": query.id, "external_id": query.external_id, "business_key": query.business_key}
    values: dict[str, Any] = {f"named_{name}": value for name, value in names.items() if value is not None}
    either = [f"{name} = :named_{name}" for name in names if f"named_{name}" in values]
    either = [f"({part} AND {HAS_BUSINESS_KEY})" if part.startswith("business_key") else part for part in either]
    if query.prefix is not None:
        part, values, is_few = await build_prefix_search(session, query.prefix, either, values)
        return [f"({part})"], values, is_few
    return [f"({' OR '.join(either)})"] if either else [], values, bool(either)


def _escape_like(text: str) -> str:
    return text.replace("!", "!!").replace("%", "!%").replace("_", "!_")


def _list_json_spellings(value: str | float | bool | None) -> list[str]:
    """Return the JSON texts in which a value may be stored."""
    spelled: Any = value
    sources = []
    if isinstance(value, str):
        sources = [write_json(value)]
        try:
            spelled, faults = parse_outside_json(value)
        except ValueError:
            return sources
        if faults or isinstance(spelled, str | list | dict):
            return sources
    sources.append(write_json(spelled))
    if not isinstance(spelled, bool | None) and abs(spelled) < 2**53 and spelled == int(spelled):
        sources += [str(int(spelled)), f"{int(spelled)}.0"]
    return list(dict.fromkeys(sources))
