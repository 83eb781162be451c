"""What the page of a definition says of its states and its variables: a row for each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from flowlet.definition import Definition, StateDefinition
from flowlet.durations import duration, spoken
from flowlet.instances import ENDED, Status
from flowlet.retry import Retry
from flowlet.store.reports.graph import Graph, Stay, Way
from flowlet.web.pages.wording import notes, shown, type_of

__all__ = [
    "Edge",
    "StateRow",
    "VariableRow",
    "address",
    "form_address",
    "listing",
    "retry_words",
    "state_rows",
    "variable_rows",
]

DEEPEST = 4
"""How many models within models are unfolded."""
_OPEN = [status.value for status in Status if status not in ENDED]


@dataclass(frozen=True, slots=True)
class Edge:
    """A transition with its figures.

    Attributes:
        why: When it is taken if not by choice: after errors, or after the deadline.
        way: None where the sample has not taken it.
    """

    target: str
    label: str
    why: str
    way: Way | None


@dataclass(frozen=True, slots=True)
class StateRow:
    """A state with its figures.

    Attributes:
        open: How many are in it, and have not ended.
        address: The list of these; for a state that ends, of all that are in it.
        stay: None where the sample has not left it.
        rules: Its timeout, its deadline, and its retry policy where it is not the workflow's; in words.
    """

    state: StateDefinition
    open: int
    address: str
    stay: Stay | None
    edges: tuple[Edge, ...]
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VariableRow:
    """A variable, or a field of a model within one.

    Attributes:
        path: Its name; below a list as in ``items[].sku``, below an object of any names as in ``prices.*.amount``.
        depth: How many models it stands in.
        kind: Its type, as "array of Item or null".
        default: As JSON; None where there is none.
        notes: What else has to hold for it.
    """

    path: str
    depth: int
    kind: str
    is_required: bool
    default: str | None
    description: str
    notes: str


def address(name: str) -> str:
    """Return the address of a definition's page."""
    return f"/definitions/{quote(name, safe='')}"


def form_address(name: str) -> str:
    """Return the address of the form that starts a workflow: not below its page, which may be another one's."""
    return f"/start/{quote(name, safe='')}"


def listing(name: str, *, state: str | None = None, statuses: list[str] | None = None) -> str:
    """Return the address of the list of a definition's workflows: in a state, or of some statuses."""
    pairs = [("type", name), *([("state", state)] if state is not None else [])]
    return f"/workflows?{urlencode([*pairs, *(('status', status) for status in statuses or ())])}"


def state_rows(definition: Definition, graph: Graph) -> list[StateRow]:
    """Return the states in the order of the source."""
    return [
        StateRow(
            state,
            graph.open.get(state.name, 0),
            listing(definition.name, state=state.name, statuses=None if state.is_final else _OPEN),
            graph.stays.get(state.name),
            tuple(
                Edge(edge.target, edge.label, _why(state, edge.target), graph.ways.get((state.name, edge.target)))
                for edge in state.transitions
            ),
            tuple(_rules(state, definition.retry)),
        )
        for state in definition.states.values()
    ]


def variable_rows(schema: Mapping[str, Any]) -> list[VariableRow]:
    """Return the variables of a model in their order, each followed by the fields of the models in it.

    Args:
        schema: The model's, as pydantic writes it; one without properties has no rows.
    """
    root = _resolved(schema, schema)
    return list(_rows(root, schema, "", (id(root),)))


def retry_words(retry: Retry) -> str:
    """Return a retry policy in words, as "3 retries, exponential, 10 seconds to 1 hour"."""
    if not retry.limit:
        return "no retry"
    first, last = spoken(duration(retry.min)), spoken(duration(retry.max))
    times = f"{retry.limit} retr{'y' if retry.limit == 1 else 'ies'}"
    if first == last:
        return f"{times}, after {'up to ' if retry.backoff == 'exponential' else ''}{first}"
    return f"{times}, {retry.backoff}, {first} to {last}"


def _why(state: StateDefinition, target: str) -> str:
    reasons = ["when its attempts are used up"] if target == state.on_error else []
    return " or ".join([*reasons, *(["when its deadline passes"] if target == state.on_deadline else [])])


def _rules(state: StateDefinition, usual: Retry) -> Iterator[str]:
    if state.is_final:
        return
    if state.retry != usual:
        yield retry_words(state.retry)
    if state.timeout:
        yield f"timeout {spoken(state.timeout)}"
    if state.deadline:
        yield f"deadline {spoken(state.deadline)}"


def _rows(
    model: Mapping[str, Any], root: Mapping[str, Any], path: str, inside: tuple[int, ...]
) -> Iterator[VariableRow]:
    for name, given in model.get("properties", {}).items():
        schema: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
        here = f"{path}.{name}" if path else name
        yield VariableRow(
            here,
            len(inside) - 1,
            "".join(part.text for part in type_of(_with_choices(given, root))),
            name in model.get("required", ()),
            shown(schema["default"]) if "default" in schema else None,
            str(schema.get("description", "")),
            "; ".join(notes({key: value for key, value in schema.items() if key not in ("title", "default")})),
        )
        for inner, end in _models(schema, root):
            if id(inner) not in inside and len(inside) <= DEEPEST:
                yield from _rows(inner, root, here + end, (*inside, id(inner)))


def _models(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Yield the models that a value may be of, or its items, each with what stands behind the value's name."""
    found = _resolved(schema, root)
    if found.get("properties"):
        yield found, ""
    for one in (*found.get("anyOf", ()), *found.get("oneOf", ()), *found.get("allOf", ())):
        yield from _models(one, root) if isinstance(one, Mapping) else ()
    for key, mark in (("items", "[]"), ("additionalProperties", ".*")):
        if isinstance(found.get(key), Mapping):
            for inner, end in _models(found[key], root):
                yield inner, f"{mark}{end}"


def _with_choices(schema: Any, root: Mapping[str, Any]) -> Any:
    """Return a schema with the values of enumerations in the place of their names."""
    if isinstance(schema, list):
        return [_with_choices(one, root) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    if "$ref" in schema:
        found = _resolved(schema, root)
        return found if "enum" in found or "const" in found else schema
    return {key: _with_choices(value, root) for key, value in schema.items()}


def _resolved(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    name = str(schema.get("$ref", ""))
    return root.get("$defs", {}).get(name.rpartition("/")[2], {}) if name else schema
