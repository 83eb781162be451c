"""The faults of a module's limits: what is no limit, variables that they cannot count by, and limits that overlap."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.errors import PydanticUserError

from flowlet.definition.module_source import ModuleSource
from flowlet.errors import Fault
from flowlet.text import format_suggestion
from flowlet.workflow.limits import Breaker, Limit, Rate
from flowlet.workflow.states import State

__all__ = ["find_limit_faults"]

_SCALARS = frozenset({"string", "integer", "number", "boolean", "null"})


def find_limit_faults(source: ModuleSource) -> list[Fault]:
    """Return the faults of the limits of all states, and of the workflow."""
    faults: list[Fault] = []
    workflow = source.workflow
    if workflow is not None:
        owner = f"Workflow({source.name!r})"
        options = {"limit": (workflow.limit, Limit), "rate": (workflow.rate, Rate)}
        faults += [Fault(source.file, source.line, message) for message in _check_options(source, owner, options)]
    for name, state in source.states.items():
        faults += [source.build_fault(name, message) for message in _check_state(source, name, state)]
    return faults


def _check_state(source: ModuleSource, name: str, state: State[..., Any]) -> Iterator[str]:
    owner = f"state {name!r}"
    options = {
        "limit": (state.limit, Limit),
        "rate": (state.rate, Rate),
        "breaker": (state.breaker, Breaker),
    }
    yield from _check_options(source, owner, options)
    workflow = source.workflow
    if workflow is None or (workflow.limit is None and workflow.rate is None):
        return
    if own := [option for option, (given, _) in options.items() if given is not None]:
        yield (
            f"{owner} has {own[0]}=, and its Workflow has a limit or a rate for all states.\n"
            "An attempt waits at one place: give the limits to the states, or to the Workflow."
        )


def _check_options(source: ModuleSource, owner: str, options: Mapping[str, tuple[object, type]]) -> Iterator[str]:
    for option, (given, expected) in options.items():
        if given is None:
            continue
        if not isinstance(given, expected):
            example = {"limit": "Limit(10)", "rate": "Rate(100, per='1 minute')"}.get(
                option, "Breaker(5, pause='1 minute')"
            )
            yield f"{option} of {owner} is {given!r}, not a {expected.__name__}.\nWrite {option}={example}."
        elif isinstance(given, Limit) and given.by is not None:
            yield from _check_variable(source, given.by, f"limit of {owner}")


def _check_variable(source: ModuleSource, name: str, subject: str) -> Iterator[str]:
    model = source.workflow.vars if source.workflow else None
    if model is None:
        yield f"{subject} counts by {name!r}, but the workflow has no model of its variables.\nAdd vars= to Workflow."
        return
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return  # another fault
    try:
        schema = model.model_json_schema(mode="serialization", by_alias=True)
    except (PydanticUserError, NameError):
        return  # another fault
    fields = schema.get("properties", {})
    if name not in fields:
        cure = format_suggestion(name, fields).strip() or "Name a variable of the model."
        yield f"{subject} counts by {name!r}, but {model.__name__} has no such variable.\n{cure}"
    elif not _is_scalar(fields[name], schema.get("$defs", {})):
        yield (
            f"{subject} counts by {name!r}, which is not a single value: a list or an object cannot be counted by.\n"
            "Name a variable that is a text, a number, a bool or an enum."
        )


def _is_scalar(field: Mapping[str, Any], definitions: Mapping[str, Any]) -> bool:
    """Return whether a field of a JSON schema holds no list and no object."""
    if reference := field.get("$ref"):
        return _is_scalar(definitions.get(str(reference).rpartition("/")[2], {}), definitions)
    if options := field.get("anyOf") or field.get("oneOf") or field.get("allOf"):
        return all(_is_scalar(option, definitions) for option in options)
    if "enum" in field or "const" in field:
        return all(not isinstance(one, list | dict) for one in (*field.get("enum", ()), field.get("const")))
    return field.get("type") in _SCALARS
