"""The rows of states and variables on a definition's page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from flowlet.clock import format_duration, parse_duration
from flowlet.definition.definition import Definition, StateDefinition
from flowlet.instance.instance import ENDED_STATUSES, Status
from flowlet.store.reports.graph_statistics import GraphStatistics, StateStatistics, TransitionStatistics
from flowlet.web.console.json_schema_text import describe_constraints, describe_type, to_json_line
from flowlet.workflow.retry import Retry

__all__ = [
    "StateRow",
    "TransitionRow",
    "VariableRow",
    "build_definition_url",
    "build_list_url",
    "build_start_url",
    "build_state_rows",
    "build_variable_rows",
    "describe_retry",
]

MAX_DEPTH = 4
"""How many levels of nested models are shown."""
_OPEN_STATUSES = [status.value for status in Status if status not in ENDED_STATUSES]


@dataclass(frozen=True, slots=True)
class TransitionRow:
    """A transition with its figures.

    Attributes:
        condition: When it is taken automatically: after errors, or at the deadline; "" if never.
        usage: None if no workflow of the sample took it.
    """

    target: str
    label: str
    condition: str
    usage: TransitionStatistics | None


@dataclass(frozen=True, slots=True)
class StateRow:
    """A state with its figures.

    Attributes:
        open_count: How many workflows are in it and have not ended.
        list_url: The list of these; for a final state, of all workflows in it.
        failed_count: How many workflows are FAILED in it.
        failed_url: The list of these.
        timing: None if no workflow of the sample left it.
        rules: Its timeout, its deadline, and its retry policy if it differs from the workflow's; in words.
    """

    state: StateDefinition
    open_count: int
    list_url: str
    failed_count: int
    failed_url: str
    timing: StateStatistics | None
    transition_rows: tuple[TransitionRow, ...]
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VariableRow:
    """A variable, or a field of a model within one.

    Attributes:
        path: Its name; in a list as in ``items[].sku``, in an object with arbitrary names as in ``prices.*.amount``.
        depth: How many models enclose it.
        kind: Its type, such as "array of Item or null".
        default: As JSON; None if there is none.
        notes: Its constraints.
    """

    path: str
    depth: int
    kind: str
    is_required: bool
    default: str | None
    description: str
    notes: str


def build_definition_url(name: str) -> str:
    """Return the URL of a definition's page."""
    return f"/definitions/{quote(name, safe='')}"


def build_start_url(name: str) -> str:
    """Return the URL of the form that starts a workflow, outside of the definition pages: names may have slashes."""
    return f"/start/{quote(name, safe='')}"


def build_list_url(name: str, *, state: str | None = None, statuses: list[str] | None = None) -> str:
    """Return the URL of the list of a definition's workflows, in a state or with some statuses."""
    pairs = [("type", name), *([("state", state)] if state is not None else [])]
    return f"/workflows?{urlencode([*pairs, *(('status', status) for status in statuses or ())])}"


def build_state_rows(definition: Definition, graph: GraphStatistics) -> list[StateRow]:
    """Return the rows of the states, in the order of the source."""
    return [
        StateRow(
            state,
            graph.open_by_state.get(state.name, 0),
            build_list_url(definition.name, state=state.name, statuses=None if state.is_final else _OPEN_STATUSES),
            graph.failed_by_state.get(state.name, 0),
            build_list_url(definition.name, state=state.name, statuses=[Status.FAILED.value]),
            graph.states.get(state.name),
            tuple(
                TransitionRow(
                    edge.target,
                    edge.label,
                    _describe_condition(state, edge.target),
                    graph.transitions.get((state.name, edge.target)),
                )
                for edge in state.transitions
            ),
            tuple(_describe_rules(state, definition.retry)),
        )
        for state in definition.states.values()
    ]


def build_variable_rows(schema: Mapping[str, Any]) -> list[VariableRow]:
    """Return the rows of a model's variables in their order, each followed by the fields of its nested models.

    Args:
        schema: The model's schema as pydantic writes it; one without properties has no rows.
    """
    root = _resolve_reference(schema, schema)
    return list(_iterate_variable_rows(root, schema, "", (id(root),)))


def describe_retry(retry: Retry) -> str:
    """Return a retry policy in words, such as "3 retries, exponential, 10 seconds to 1 hour"."""
    if not retry.limit:
        return "no retry"
    first, last = format_duration(parse_duration(retry.min)), format_duration(parse_duration(retry.max))
    times = f"{retry.limit} retr{'y' if retry.limit == 1 else 'ies'}"
    if first == last:
        return f"{times}, after {'up to ' if retry.backoff == 'exponential' else ''}{first}"
    return f"{times}, {retry.backoff}, {first} to {last}"


def _describe_condition(state: StateDefinition, target: str) -> str:
    reasons = ["when attempts are exhausted"] if target == state.on_error else []
    return " or ".join([*reasons, *(["at the deadline"] if target == state.on_deadline else [])])


def _describe_rules(state: StateDefinition, default_retry: Retry) -> Iterator[str]:
    if state.is_final:
        return
    if state.retry != default_retry:
        yield describe_retry(state.retry)
    if state.timeout:
        yield f"timeout {format_duration(state.timeout)}"
    if state.deadline:
        yield f"deadline {format_duration(state.deadline)}"


def _iterate_variable_rows(
    model: Mapping[str, Any], root: Mapping[str, Any], path: str, ancestor_ids: tuple[int, ...]
) -> Iterator[VariableRow]:
    for name, given in model.get("properties", {}).items():
        schema: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
        here = f"{path}.{name}" if path else name
        yield VariableRow(
            here,
            len(ancestor_ids) - 1,
            "".join(part.text for part in describe_type(_inline_enums(given, root))),
            name in model.get("required", ()),
            to_json_line(schema["default"]) if "default" in schema else None,
            str(schema.get("description", "")),
            "; ".join(
                describe_constraints({key: value for key, value in schema.items() if key not in ("title", "default")})
            ),
        )
        for inner, end in _find_models(schema, root):
            if id(inner) not in ancestor_ids and len(ancestor_ids) <= MAX_DEPTH:
                yield from _iterate_variable_rows(inner, root, here + end, (*ancestor_ids, id(inner)))


def _find_models(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Yield the models of a value or of its items, each with the suffix of the path that leads to it."""
    found = _resolve_reference(schema, root)
    if found.get("properties"):
        yield found, ""
    for one in (*found.get("anyOf", ()), *found.get("oneOf", ()), *found.get("allOf", ())):
        yield from _find_models(one, root) if isinstance(one, Mapping) else ()
    for key, mark in (("items", "[]"), ("additionalProperties", ".*")):
        if isinstance(found.get(key), Mapping):
            for inner, end in _find_models(found[key], root):
                yield inner, f"{mark}{end}"


def _inline_enums(schema: Any, root: Mapping[str, Any]) -> Any:
    """Return a schema with references to enumerations replaced by their values."""
    if isinstance(schema, list):
        return [_inline_enums(one, root) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    if "$ref" in schema:
        found = _resolve_reference(schema, root)
        return found if "enum" in found or "const" in found else schema
    return {key: _inline_enums(value, root) for key, value in schema.items()}


def _resolve_reference(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    name = str(schema.get("$ref", ""))
    return root.get("$defs", {}).get(name.rpartition("/")[2], {}) if name else schema
