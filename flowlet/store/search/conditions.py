"""The conditions of a search, as SQL with its binds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowlet.instance.instance import Status
from flowlet.instance.json_text import parse_outside_json, write_json
from flowlet.instance.version_gate import GATE_PREFIX
from flowlet.store.database_session import DatabaseSession, build_in_list
from flowlet.store.dialects.json_path import is_position
from flowlet.store.gates.gated_instances import VERSION_GATES_END
from flowlet.store.search.prefix import build_prefix_search
from flowlet.store.search.query import CONTAINS, TIME_COLUMNS, SearchQuery, VariableFilter
from flowlet.store.tables import HAS_BUSINESS_KEY, IS_CANCELLED, IS_NOT_DONE, IS_RETRYING

__all__ = ["UNINDEXED_STATUSES", "build_conditions", "build_name_condition"]

UNINDEXED_STATUSES = frozenset({Status.FINISHED, Status.CANCELLED})
"""The statuses that the index of statuses leaves out."""


def build_conditions(query: SearchQuery, session: DatabaseSession) -> tuple[list[str], dict[str, Any]]:
    """Return the conditions, each to be joined by AND, and the values of their binds.

    Those that depend on the names of states are in ``renamed_states``; that of ``has_next`` is in ``page_parts``.
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
        # Words, not binds: a statement with binds has one plan for any status in PostgreSQL, after five runs. It walks
        # all ids in their order, to find the few that are EXECUTING: 300 ms of a million, instead of 1.
        words = ", ".join(f"'{Status(one).value}'" for one in statuses)
        parts.append(f"status IN ({words})")
        parts += [] if UNINDEXED_STATUSES.intersection(statuses) else [IS_NOT_DONE]
        parts += [IS_CANCELLED] if set(statuses) == {Status.CANCELLED} else []
    if query.is_retrying is not None:
        parts.append(IS_RETRYING if query.is_retrying else f"NOT ({IS_RETRYING})")
    if query.waits_for_version is not None:
        sign = "" if query.waits_for_version else "NOT "
        parts.append(f"{sign}(gate IS NOT NULL AND gate > :gates_start AND gate < :gates_end)")
        values |= {"gates_start": GATE_PREFIX, "gates_end": VERSION_GATES_END}
    return parts, values


def _build_variable_condition(
    variable: VariableFilter, session: DatabaseSession, bind: str
) -> tuple[str, dict[str, Any]]:
    """Return the condition on a variable, or on a value within one, and the values of its binds."""
    if variable.sign == CONTAINS:
        return _build_part_condition(variable, session, bind)
    if variable.sign:
        return _build_range_condition(variable, session, bind)
    sources = _list_json_spellings(variable.value)
    binds, values = build_in_list(f"{bind}_value", sources)
    either = []
    for place, path in enumerate(variable.paths):
        part, more = _build_path_condition(path, sources, binds, session, f"{bind}_{place}")
        either.append(part)
        values |= more
    return f"({' OR '.join(either)})", values


def _build_range_condition(variable: VariableFilter, session: DatabaseSession, bind: str) -> tuple[str, dict[str, Any]]:
    """Return the condition that a variable is on one side of a bound, and the values of its binds."""
    expressions, number = session.dialect.expressions, variable.bound
    either, values = [], {}
    for place, path in enumerate(variable.paths):
        one = f"{bind}_{place}"
        either.append(expressions.build_range_sql(one, variable.sign, is_number=number is not None))
        values[one] = expressions.build_variable_path(path)
        values[f"{one}_bound"] = str(variable.value) if number is None else write_json(number)
    return f"({' OR '.join(either)})", values


def _build_part_condition(variable: VariableFilter, session: DatabaseSession, bind: str) -> tuple[str, dict[str, Any]]:
    """Return the condition that a variable is a text which contains another one, and the values of its binds."""
    expressions, sought = session.dialect.expressions, str(variable.value)
    values = {f"{bind}_part": f"%{_escape_like(sought)}%"}
    either = []
    for place, path in enumerate(variable.paths):
        one = f"{bind}_{place}"
        values[one] = expressions.build_variable_path(path)
        either.append(expressions.build_part_sql(one, f"{bind}_part"))
    found = f"({' OR '.join(either)})"
    if not expressions.has_slow_json:
        return found, values
    # A document with such a text contains it as JSON writes it, in which only few characters differ.
    values[f"{bind}_text"] = f"%{_escape_like(write_json(sought)[1:-1])}%"
    return f"LOWER(vars) LIKE LOWER(:{bind}_text) ESCAPE '!' AND {found}", values


def _build_path_condition(
    path: Sequence[str], sources: Sequence[str], binds: str, session: DatabaseSession, bind: str
) -> tuple[str, dict[str, Any]]:
    """Return the condition that the value at a path is one of ``sources``, whose binds are given."""
    expressions = session.dialect.expressions
    values = {bind: expressions.build_variable_path(path)}
    part = f"{expressions.build_variable_sql(bind)} IN ({binds})"
    if not expressions.has_slow_json:
        return part, values
    # Variables are stored without spaces: a document with this value contains this piece of text.
    name = "" if len(path) > 1 and is_position(path[-1]) else f'"{path[-1]}":'
    texts = {f"{bind}_text_{place}": f"%{_escape_like(name + source)}%" for place, source in enumerate(sources)}
    either = " OR ".join(f"vars LIKE :{text} ESCAPE '!'" for text in texts)
    return f"({either}) AND {part}", {**values, **texts}


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
